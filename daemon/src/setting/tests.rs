//! Settings, as real processes find them.

use std::{fs, io::Read, path::Path};

use nix::{sys::wait::WaitStatus, unistd::geteuid};
use spawn::{Method, Parentage, Plan, PlanInput, Spawner};
use units::{CommandLine, Ended, EnvironmentFile, Setting, Stdin, UnitResult};

use super::*;

const ID: [u8; 16] = [9; 16];

fn circumstances(comment: &str) -> Circumstances<'_> {
    Circumstances::of(RunId::from_bytes(ID), comment)
}

/// What a line prints, as a process with this setting.
fn output(setting: &Setting, circumstances: &Circumstances<'_>, line: &str) -> String {
    let null = File::open("/dev/null").unwrap();
    let variables = variables(setting, &Environment::of_this_user(), circumstances).unwrap();
    let inputs = inputs(setting, &variables, (None, &null)).unwrap();
    let words = variables.expand(&CommandLine::parse(line).unwrap()).unwrap();
    let text = |bytes: &[u8]| CString::new(bytes).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let input = PlanInput {
        program: text(&words.program),
        argv: words.argv.words().iter().map(|word| text(word)).collect(),
        environment: inputs.environment,
        stdin: inputs.stdin,
        stdout: writer.into(),
        stderr: null.into(),
        cgroup: None,
        legacy_cgroups: Vec::new(),
        new_session: false,
        identity: None,
        working_directory: Some(inputs.working_directory),
        umask: Some(inputs.umask),
        nice: inputs.nice,
        open_files_limit: None,
        oom_score_adjustment: None,
        mark: None,
    };
    let plan = Plan::new(input).unwrap();
    let child = Spawner::new(Method::Clone).unwrap().spawn(&plan, Parentage::Child).unwrap();
    drop(plan);
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert!(matches!(child.pidfd.reap().unwrap(), WaitStatus::Exited(_, 0)), "{output}");
    output
}

fn value(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    lines.find(|(each, _)| *each == name).map(|(_, value)| value.to_owned())
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn variables_count_in_their_order_and_ours_above_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "B=file\nAURAE_RUN=mine\nAURAE_COMMENT=mine\nHOME=/file\nMAINPID=1\n")
        .unwrap();
    let setting = Setting {
        environment: [("A", "1"), ("A", "2"), ("B", "own"), ("USER", "own"), ("AURAE_RUN", "own")]
            .map(|(name, value)| pair(name, value))
            .into(),
        environment_files: vec![EnvironmentFile {
            path: path.to_str().unwrap().to_owned(),
            optional: false,
        }],
        ..Setting::default()
    };
    let run = RunId::from_bytes(ID).to_string();
    let printed = output(&setting, &circumstances(""), "/usr/bin/env");
    for (name, expected) in [
        ("A", Some("2")),
        ("B", Some("file")),
        ("HOME", Some("/file")),
        ("USER", Some("own")),
        ("PATH", Some(spawn::SEARCH_PATH)),
        ("AURAE_RUN", Some(run.as_str())),
        ("AURAE_COMMENT", None),
        ("MAINPID", Some("1")),
        ("NOTIFY_SOCKET", None),
    ] {
        assert_eq!(value(&printed, name).as_deref(), expected, "{name}: {printed}");
    }
    let told = Circumstances {
        comment: "why",
        told: Told {
            main_pid: 42,
            result: Some(UnitResult::Signal),
            ended: Some(Ended::Killed(15)),
        },
        notify_socket: Some(Path::new("/run/x/notify")),
        ..circumstances("")
    };
    let printed = output(&setting, &told, "/usr/bin/env");
    for (name, expected) in [
        ("AURAE_RUN", run.as_str()),
        ("AURAE_COMMENT", "why"),
        ("MAINPID", "42"),
        ("NOTIFY_SOCKET", "/run/x/notify"),
        ("SERVICE_RESULT", "signal"),
        ("EXIT_CODE", "killed"),
        ("EXIT_STATUS", "TERM"),
    ] {
        assert_eq!(value(&printed, name).as_deref(), Some(expected), "{name}: {printed}");
    }
}

#[test]
fn files_are_read_at_each_start_and_words_are_expanded_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let setting = Setting {
        environment_files: vec![EnvironmentFile {
            path: path.to_str().unwrap().to_owned(),
            optional: true,
        }],
        ..Setting::default()
    };
    let line = "/usr/bin/printf '%s|' ${X} $X $AURAE_COMMENT $$";
    assert_eq!(output(&setting, &circumstances("a b"), line), "|a|b|$|");
    fs::write(&path, "X='one two'").unwrap();
    assert_eq!(output(&setting, &circumstances(""), line), "one two|one|two|$|");
}

#[test]
fn the_rest_of_a_setting_reaches_the_process() {
    let plain = Setting::default();
    let line = "/bin/sh -c 'pwd -P; umask; cat'";
    assert_eq!(output(&plain, &circumstances(""), line), "/\n0022\n");
    let setting = Setting {
        working_directory: Some("/proc/sys".to_owned()),
        umask: Some(0o027),
        nice: Some(19),
        stdin: Stdin::Data(b"from memory".to_vec()),
        ..Setting::default()
    };
    assert_eq!(output(&setting, &circumstances(""), line), "/proc/sys\n0027\nfrom memory");
    assert_eq!(output(&setting, &circumstances(""), "/usr/bin/nice"), "19\n");
    if geteuid().is_root() {
        let setting = Setting { nice: Some(-7), ..Setting::default() };
        assert_eq!(output(&setting, &circumstances(""), "/usr/bin/nice"), "-7\n");
    }
}

#[test]
fn a_start_that_cannot_be_prepared_says_why() {
    let missing = EnvironmentFile { path: "/nonexistent/file".to_owned(), optional: false };
    let setting = Setting { environment_files: vec![missing], ..Setting::default() };
    let failure =
        variables(&setting, &Environment::of_this_user(), &circumstances("")).unwrap_err();
    assert!(failure.to_string().contains("/nonexistent/file"), "{failure}");
    let null = File::open("/dev/null").unwrap();
    let setting = Setting { working_directory: Some("/a\0b".to_owned()), ..Setting::default() };
    let failure = inputs(&setting, &Variables::default(), (None, &null)).unwrap_err();
    assert_eq!(failure.stage, StartStage::Chdir);
}
