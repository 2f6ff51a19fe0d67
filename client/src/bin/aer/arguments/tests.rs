use clap::CommandFactory;
use proptest::prelude::*;

use client::LogSource;

use super::*;

fn read(words: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::read(["aer"].iter().chain(words).map(OsString::from))
}

fn exec(words: &[&str]) -> Exec {
    let Verb::Exec(exec) = read(words).unwrap().verb else { panic!("{words:?}") };
    *exec
}

fn source(words: &[&str]) -> LogSource {
    let Verb::Logs(logs) = read(words).unwrap().verb else { panic!("{words:?}") };
    let sources = logs.sources();
    let [only] = sources.as_slice() else { panic!("{sources:?}") };
    only.clone()
}

#[test]
fn the_definitions_are_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn words_after_the_dashes_are_taken_as_they_stand() {
    let exec = exec(&["exec", "--name", "n", "--", "sh", "-c", "a  b", "--", "", "--name", "x"]);
    assert_eq!(exec.argv, ["sh", "-c", "a  b", "--", "", "--name", "x"]);
    assert_eq!(exec.name.as_deref(), Some("n"));
    assert_eq!(exec.command, None);
}

#[test]
fn a_command_may_begin_with_a_prefix_or_a_hyphen() {
    assert_eq!(exec(&["exec", "-c", "-/bin/false"]).command.as_deref(), Some("-/bin/false"));
    assert_eq!(exec(&["exec", "--command", ""]).command.as_deref(), Some(""));
}

#[test]
fn exec_wants_words_or_a_command_and_not_both() {
    for words in [&["exec"][..], &["exec", "--"], &["exec", "-c", "a", "--", "b"], &["exec", "ls"]]
    {
        assert_eq!(read(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
}

#[test]
fn global_arguments_stand_before_or_after_the_verb() {
    for words in [&["-o", "json", "status"][..], &["status", "--output", "json"]] {
        assert_eq!(read(words).unwrap().form, Form::Json);
    }
    assert_eq!(read(&["status", "--reason", "why"]).unwrap().reason.as_deref(), Some("why"));
    assert_eq!(read(&["status"]).unwrap().form, Form::Table);
}

#[test]
fn a_socket_excludes_an_address_wherever_they_stand() {
    for words in [
        &["--socket", "/s", "--address", "http://h:1", "status"][..],
        &["--socket", "/s", "status", "--address", "http://h:1"],
    ] {
        assert_eq!(read(words).unwrap_err().exit_code(), 2);
    }
    assert!(read(&["--address", "https://h:1", "status"]).is_err());
}

#[test]
fn a_log_is_named_by_run_pid_or_name() {
    let uuid = "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(source(&["logs", uuid]), LogSource::Run(uuid.parse().unwrap()));
    assert_eq!(source(&["logs", "4711"]), LogSource::ProcessId(4711));
    assert_eq!(source(&["logs", "backup"]), LogSource::Name("backup".into()));
    assert_eq!(source(&["logs", "-f", "--name", "4711"]), LogSource::Name("4711".into()));
    assert_eq!(source(&["logs", "--pid", "1"]), LogSource::ProcessId(1));
    assert_eq!(source(&["logs", "--run", uuid]), LogSource::Run(uuid.parse().unwrap()));
    assert_eq!(source(&["logs", "--daemon"]), LogSource::Daemon);
    let bare = uuid.replace('-', "");
    assert_eq!(source(&["logs", &bare]), LogSource::Name(bare.clone()));
}

#[test]
fn several_logs_are_named_and_one_run_of_a_name() {
    let sources = |words: &[&str]| {
        let Verb::Logs(logs) = read(words).unwrap().verb else { panic!("{words:?}") };
        logs.sources()
    };
    let name = |name: &str| LogSource::Name(name.into());
    let several = sources(&["logs", "a", "b", "--audit", "--name", "7"]);
    assert_eq!(several, [name("a"), name("b"), name("7"), LogSource::Audit]);
    assert_eq!(sources(&["logs", "--wait", "a"]), [LogSource::Newest("a".into())]);
    assert_eq!(sources(&["logs", "--previous", "a"]), [LogSource::Previous("a".into())]);
    assert!(sources(&["logs", "--all"]).is_empty());
}

#[test]
fn what_is_no_log_is_refused() {
    for words in [
        &["logs"][..],
        &["logs", "-f"],
        &["logs", "a", "b", "--wait"],
        &["logs", "--daemon", "--wait"],
        &["logs", "--all", "--previous"],
        &["logs", "a", "--since", "soon"],
        &["logs", "a", "-g", "("],
        &["status", "-o", "short"],
        &["logs", "--pid", "0"],
        &["logs", "99999999999999999999"],
        &["logs", "--run", "x"],
    ] {
        assert_eq!(read(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
}

#[test]
fn every_verb_has_an_example() {
    for verb in Arguments::command().get_subcommands() {
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("aer {}", verb.get_name())), "{}", verb.get_name());
        assert!(verb.get_about().is_some(), "{}", verb.get_name());
    }
}

proptest! {
    #[test]
    fn any_words_reach_the_program_unchanged(argv in proptest::collection::vec(any::<String>(), 1..5)) {
        let words: Vec<&str> =
            ["exec", "--"].into_iter().chain(argv.iter().map(String::as_str)).collect();
        prop_assert_eq!(exec(&words).argv, argv);
    }
}

#[test]
fn an_empty_log_level_is_refused() {
    for words in [&["daemon", "log-level", ""][..], &["daemon", "log-level", "  "]] {
        let told = read(words).unwrap_err();
        assert_eq!(told.exit_code(), 2);
        assert!(
            told.to_string().contains("it is empty, and nothing was changed; write off"),
            "{told}"
        );
    }
    assert!(read(&["daemon", "log-level"]).is_ok());
}
