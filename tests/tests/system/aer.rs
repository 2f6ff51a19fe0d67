//! `aer`, as people and scripts use it.

use std::fs;

use tests::{Daemon, House, Need, Options, Output, Process};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        exec_passes_everything_through,
        exec_takes_words_as_they_stand,
        exec_parses_a_string,
        exec_exit_statuses,
        exec_refusals_are_125,
        status_as_table_and_json,
        logs_of_a_run,
        completions_and_version,
        nobody_answers,
        the_socket_may_come_from_elsewhere,
        wrong_usage,
    ];
    all.extend(cases![[Need::OtherUser]; an_ordinary_user_end_to_end]);
    all
}

/// A failure is one line on standard error, and a status that is not 0.
fn one_line(output: &Output) {
    assert!(!output.status.success(), "it says that all is well");
    assert_eq!(output.err().trim_end().lines().count(), 1, "not one line: {}", output.err());
    assert_eq!(output.out(), "", "a failure is not output");
}

/// Bytes of both outputs arrive unchanged and apart; the status is the program's own.
fn exec_passes_everything_through() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let output =
            daemon.aer(&["exec", "--", &probe, "broken", "nuls", "2", "err", "e", "exit", "7"]);
        assert_eq!(output.stdout, b"a\xff\xfe\x80b\n\0\0");
        assert_eq!((output.err().as_str(), output.code()), ("e", Some(7)));
        let output = daemon.aer(&["exec", "--", &probe, "bytes", "3000000"]);
        assert_eq!((output.stdout.len(), output.code()), (3_000_000, Some(0)));
    });
}

/// Everything behind `--` is argv: spaces, quotes, flags, empty words, the program's own name.
fn exec_takes_words_as_they_stand() {
    Daemon::with(Options::default(), |daemon| {
        let output = daemon.aer(&[
            "exec",
            "--name",
            "words",
            "--",
            "/bin/echo",
            "a  b",
            "'",
            "",
            "$HOME",
            "--name",
            "/bin/echo",
        ]);
        assert_eq!(output.out(), "a  b '  $HOME --name /bin/echo\n", "{}", output.err());
    });
}

/// `-c` is parsed as ExecStart is.
fn exec_parses_a_string() {
    Daemon::with(Options::default(), |daemon| {
        let output = daemon.aer(&["exec", "-c", r#"/bin/echo 'a  b' "c\td" $$"#]);
        assert_eq!((output.out().as_str(), output.code()), ("a  b c\td $\n", Some(0)));
    });
}

/// The program's own status, 128 + signal, and 126 and 127 as shells use them.
fn exec_exit_statuses() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        for status in [0, 1, 42, 125, 255] {
            let output = daemon.aer(&["exec", "--", &probe, "exit", &status.to_string()]);
            assert_eq!((output.code(), output.err().as_str()), (Some(status), ""));
        }
        for (signal, status) in [("SIGKILL", 137), ("SIGTERM", 143), ("SIGINT", 130)] {
            assert_eq!(daemon.aer(&["exec", "--", &probe, "raise", signal]).code(), Some(status));
        }
        for (program, status) in [
            ("/nonexistent", 127),
            ("no-such-program", 127),
            ("/usr/bin", 126),
            ("/etc/passwd", 126),
        ] {
            let output = daemon.aer(&["exec", "--", program]);
            assert_eq!(output.code(), Some(status), "{program}: {}", output.err());
            one_line(&output);
            assert!(output.err().contains(program), "{}", output.err());
        }
    });
}

/// What the daemon refuses is 125, in one line that names the field.
fn exec_refusals_are_125() {
    Daemon::with(Options::default(), |daemon| {
        for (words, field) in [
            (["exec", "--name", "a/b", "--", "/bin/true"].as_slice(), "name"),
            (&["exec", "-c", "'"], "command"),
            (&["exec", "-c", "/bin/true ; /bin/true"], "command"),
        ] {
            let output = daemon.aer(words);
            assert_eq!(output.code(), Some(125), "{words:?}: {}", output.err());
            one_line(&output);
            assert!(output.err().contains(field), "{}", output.err());
        }
    });
}

/// Status as a table for people, as JSON for programs.
fn status_as_table_and_json() {
    Daemon::with(Options::default(), |daemon| {
        let table = daemon.aer(&["status"]);
        assert!(table.status.success() && table.out().contains("test-node"), "{table:?}");
        let json = daemon.aer(&["-o", "json", "status"]);
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert!(value.is_object(), "{value}");
        let text = value.to_string();
        let pid = daemon.status().daemon_pid.to_string();
        assert!(text.contains("test-node") && text.contains(&pid), "{text}");
    });
}

/// Logs by name, run id and pid are the bytes that were printed; unknown ones are one line.
fn logs_of_a_run() {
    Daemon::with(Options::default(), |daemon| {
        let words = daemon.probe(&["line", "one", "broken", "out", "rest"]);
        let answer = daemon.answer(tests::rpc::named("job", words));
        let pid = answer.proc.unwrap().pid.to_string();
        for what in ["job", &answer.run_id, &pid] {
            let output = daemon.aer(&["logs", what]);
            assert_eq!(output.stdout, b"one\na\xff\xfe\x80b\nrest", "{what}: {}", output.err());
            assert!(output.status.success());
        }
        let followed = daemon.aer(&["logs", &answer.run_id, "-f"]);
        assert_eq!(followed.stdout, b"one\na\xff\xfe\x80b\nrest");
        one_line(&daemon.aer(&["logs", "never-ran"]));
        let own = daemon.aer(&["logs", "--daemon"]);
        assert!(own.status.success() && !own.stdout.is_empty(), "{}", own.err());
    });
}

/// Completions for the usual shells, and the version, need no daemon.
fn completions_and_version() {
    let house = House::prepare(Options::default());
    let aer = |arguments: &[&str]| {
        let mut command = house.command("aer");
        command.args(arguments);
        Process::start(command, || {}).finish()
    };
    for shell in ["bash", "zsh", "fish"] {
        let output = aer(&["completions", shell]);
        assert!(
            output.status.success() && output.out().contains("aer"),
            "{shell}: {}",
            output.err()
        );
    }
    assert!(aer(&["--version"]).out().starts_with("aer "), "{:?}", aer(&["--version"]));
}

/// Where nobody answers: one line that names the socket, and no status 0 from any verb.
fn nobody_answers() {
    let house = House::prepare(Options::default());
    let aer = |arguments: &[&str]| {
        let mut command = house.command("aer");
        command.arg("--socket").arg(house.socket()).args(arguments);
        Process::start(command, || {}).finish()
    };
    for arguments in [
        ["status"].as_slice(),
        &["logs", "x"],
        &["logs", "--daemon", "-f"],
        &["exec", "--", "/bin/true"],
    ] {
        let output = aer(arguments);
        one_line(&output);
        assert!(output.err().contains(house.socket().to_str().unwrap()), "{}", output.err());
    }
    assert_eq!(aer(&["exec", "--", "/bin/true"]).code(), Some(125));
}

/// The socket may come from AURAE_SOCKET or ~/.aurae/config; the flag wins over both.
fn the_socket_may_come_from_elsewhere() {
    Daemon::with(Options::default(), |daemon| {
        let status = |flag: bool, variable: Option<&str>| {
            let mut command = daemon.command("aer");
            if flag {
                command.arg("--socket").arg(daemon.socket());
            }
            command.envs(variable.map(|value| ("AURAE_SOCKET", value))).arg("status");
            Process::start(command, || {}).finish()
        };
        let socket = daemon.socket();
        assert!(status(false, socket.to_str()).status.success());
        assert!(status(true, Some("/nonexistent/socket")).status.success());
        one_line(&status(false, Some("/nonexistent/socket")));
        // The harness makes this folder the user's home.
        fs::create_dir(daemon.path().join(".aurae")).unwrap();
        let config = format!("[system]\nsocket = {socket:?}\n");
        fs::write(daemon.path().join(".aurae/config"), config).unwrap();
        let output = status(false, None);
        assert!(output.status.success(), "{}", output.err());
        one_line(&status(false, Some("/nonexistent/socket")));
    });
}

/// Wrong usage is not 0 and names the fault.
fn wrong_usage() {
    Daemon::with(Options::default(), |daemon| {
        for (arguments, word) in [
            (["no-such-verb"].as_slice(), "no-such-verb"),
            (&["exec"], "CMD"),
            (&["-o", "xml", "status"], "xml"),
            (&["exec", "-c", "/bin/true", "--", "/bin/true"], "-c"),
        ] {
            let output = daemon.aer(arguments);
            assert!(!output.status.success(), "{arguments:?}");
            let said = output.err().to_lowercase();
            assert!(said.contains(&word.to_lowercase()), "{arguments:?}: {said}");
        }
    });
}

/// With no root, no cgroup and no other service, a command runs, and its output and status arrive.
fn an_ordinary_user_end_to_end() {
    Daemon::with(Options::default().user(65534), |daemon| {
        let output = daemon.aer(&["exec", "--", "/bin/sh", "-c", "id -u; echo e >&2; exit 3"]);
        assert_eq!((output.out().as_str(), output.err().as_str()), ("65534\n", "e\n"));
        assert_eq!(output.code(), Some(3));
    });
}
