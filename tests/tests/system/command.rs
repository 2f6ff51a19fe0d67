//! What may be executed, and how a command is worded.

use api::{
    meta,
    runtime::{ExecutableStatus, StartStage, exit_record::Cause},
};
use std::{fs, os::unix::fs::PermissionsExt};
use tests::{Daemon, Options, argv, command};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        arguments_stand,
        words_and_quotes,
        variables,
        prefixes,
        percent_is_literal,
        cannot_be_executed,
        failed_start_frees_the_name,
    ]
}

fn reported(answer: &ExecutableStatus) -> Vec<String> {
    let report: serde_json::Value =
        serde_json::from_str(&answer.stdout).expect("the probe's report");
    let words = report["argv"].as_array().unwrap();
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// `argv` stands as it is: spaces, empty words, quotes, variables, and the program's own name repeated.
fn arguments_stand(options: Options) {
    Daemon::with(options, |daemon| {
        let probe = daemon.binary("probe");
        let odd = [
            "report",
            "out",
            "",
            "out",
            "a  b",
            "out",
            "'\"\\",
            "out",
            "$HOME ${X} %s ;",
            "out",
            "ä\n\t",
        ];
        let mut words = vec![probe.as_str()];
        words.extend(odd);
        words.extend(["out", probe.as_str()]);
        let answer = daemon.answer(argv(&words));
        let line = answer.stdout.lines().next().unwrap().to_owned();
        assert_eq!(reported(&ExecutableStatus { stdout: line, ..answer }), words);
    });
}

/// `command` has systemd's words, quotes and escapes; a quote opens a whole word.
fn words_and_quotes(options: Options) {
    Daemon::with(options, |daemon| {
        let probe = daemon.binary("probe");
        let text = format!(
            r#"{probe} report out 'a  b' out "c\td" out \x41\s\u00e4 out '' out "it's" out 'a"b'"#
        );
        let words = [
            "report", "out", "a  b", "out", "c\td", "out", "A ä", "out", "", "out", "it's", "out",
            "a\"b",
        ];
        let answer = daemon.answer(command(&text));
        let line = answer.stdout.lines().next().unwrap().to_owned();
        assert_eq!(reported(&ExecutableStatus { stdout: line, ..answer })[1..], words);
        let refused = daemon.exec(command(r#"/bin/echo a"b c""#)).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains("column 12"), "{refused}");
    });
}

/// `${X}` is one word, bare `$X` any number of them, `$$` a dollar; all from the run's own environment.
fn variables(options: Options) {
    Daemon::with(options, |daemon| {
        let answer =
            daemon.answer(command("/bin/echo [${USER}] [${UNSET_XYZ}] $$5 $UNSET_XYZ end"));
        let user = answer.stdout.split(']').next().unwrap().trim_start_matches('[').to_owned();
        assert!(!user.is_empty(), "{answer:?}");
        assert_eq!(answer.stdout, format!("[{user}] [] $5 end\n"));
        let answer = daemon.answer(command("/bin/echo ${AURAE_RUN}"));
        assert_eq!(answer.stdout.trim(), answer.run_id);
    });
}

/// `@` names argv[0], `:` leaves variables alone, `-` is accepted, the others are refused for now.
fn prefixes(options: Options) {
    Daemon::with(options, |daemon| {
        let probe = daemon.binary("probe");
        let answer = daemon.answer(command(&format!("@{probe} other-name report")));
        assert_eq!(reported(&answer), ["other-name", "report"]);
        assert_eq!(daemon.answer(command(":/bin/echo ${HOME}")).stdout, "${HOME}\n");
        assert_eq!(daemon.answer(command("-/bin/echo a")).stdout, "a\n");
        for text in ["+/bin/true", "!/bin/true", "!!/bin/true"] {
            let refused = daemon.exec(command(text)).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{text}: {refused}");
        }
    });
}

/// `%` has no meaning, for ever.
fn percent_is_literal(options: Options) {
    Daemon::with(options, |daemon| {
        let answer = daemon.answer(command("date +%s"));
        assert!(
            answer.stdout.trim().parse::<u64>().is_ok_and(|now| now > 1_600_000_000),
            "{answer:?}"
        );
        assert_eq!(daemon.answer(command("/bin/echo %% %n %")).stdout, "%% %n %\n");
    });
}

/// What cannot be started is an answer with ERROR that names stage, program and errno; nothing ran.
fn cannot_be_executed(options: Options) {
    Daemon::with(options, |daemon| {
        let script = |name: &str, text: &str, mode: u32| {
            let path = daemon.work(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let cases = [
            ("/nonexistent/program".to_owned(), 2),
            ("/usr/bin".to_owned(), 13),
            ("/etc/hostname/x".to_owned(), 20),
            (script("plain", "#!/bin/sh\n", 0o644), 13),
            (script("orphan", "#!/nonexistent/interpreter\n", 0o755), 2),
            (script("nonsense", "\u{1}\u{2}nothing", 0o755), 8),
        ];
        for (program, errno) in cases {
            let answer = daemon.answer(argv(&[&program]));
            assert_eq!(answer.status(), meta::Status::Error, "{program}: {answer:?}");
            assert_eq!(answer.exit_code, "", "{program}");
            let message = answer.meta.unwrap().message;
            assert!(message.contains(&program), "{message}");
            let Some(Cause::Failure(failure)) = answer.exit.unwrap().cause else {
                panic!("{program}: no failure is told");
            };
            assert_eq!(failure.stage(), StartStage::Exec, "{program}: {failure:?}");
            assert_eq!(failure.error_number, errno, "{program}: {failure:?}");
        }
        let answer = daemon.answer(argv(&["no-such-program-anywhere"]));
        assert_eq!(answer.status(), meta::Status::Error);
        assert!(answer.meta.unwrap().message.contains("no-such-program-anywhere"));
    });
}

/// A start that failed leaves no name taken and no run alive.
fn failed_start_frees_the_name(options: Options) {
    Daemon::with(options, |daemon| {
        for _ in 0..3 {
            let answer = daemon.answer(tests::rpc::named("x", argv(&["/nonexistent"])));
            assert_eq!(answer.status(), meta::Status::Error);
        }
        assert_eq!(daemon.status().runs_live, 0);
        assert_eq!(daemon.answer(tests::rpc::named("x", argv(&["/bin/true"]))).exit_code, "0");
    });
}
