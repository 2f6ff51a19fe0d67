//! `aer logs`, as people and scripts use it.

use tests::{Daemon, Fifo, Options, rpc::named, wait::eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        one_name_is_exact,
        several_names_are_told_apart,
        lines_are_chosen,
        waiting_ends_with_the_status,
        nothing_commands_the_terminal,
        json_lines_are_readable,
        long_lines_are_one,
        mistakes_are_one_line,
        the_log_level_changes_at_run_time,
    ]
}

/// `aer logs NAME` into a file is what was printed, byte by byte, whatever it is.
fn one_name_is_exact() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["broken", "nuls", "3", "out", "\x1b[2J", "bytes", "300000", "err", "e"];
        daemon.answer(named("odd", daemon.probe(&words)));
        let mut expected = b"a\xff\xfe\x80b\n\0\0\0\x1b[2J".to_vec();
        expected.extend([b'x'; 300_000]);
        for arguments in
            [&["logs", "odd"][..], &["logs", "odd", "-o", "cat"], &["logs", "odd", "-f", "--wait"]]
        {
            let output = daemon.aer(arguments);
            assert_eq!(output.code(), Some(0), "{}", output.err());
            assert!(output.stdout == expected, "{arguments:?}: not what was printed");
            assert_eq!(output.err(), "e");
        }
        assert_eq!(daemon.aer(&["logs", "odd", "--stderr"]).stdout, b"");
    });
}

/// Several names: in the order of time, each line with its name, without colours in a pipe.
fn several_names_are_told_apart() {
    Daemon::with(Options::default(), |daemon| {
        for (name, text) in [("a", "one\n"), ("b", "two\n"), ("a", "three"), ("b", "four\n")] {
            daemon.answer(named(name, daemon.probe(&["out", text])));
        }
        let shown = "a one\nb two\na three\nb four\n";
        let mut lines: Vec<&str> = shown.lines().collect();
        lines.sort_unstable();
        // What no newline has ended is shown when nothing more comes.
        let output = daemon.aer(&["logs", "a", "b"]);
        let mut told: Vec<String> = output.out().lines().map(str::to_owned).collect();
        assert!(output.out().starts_with("a one\nb two\n"), "{}", output.out());
        told.sort_unstable();
        assert_eq!(told, lines);
        let precise = daemon.aer(&["logs", "--all", "-o", "precise"]).out();
        let first = precise.lines().next().unwrap();
        assert!(first.ends_with("stdout: one") && first.contains("Z a ["), "{first}");
        let json = daemon.aer(&["logs", "a", "b", "-o", "json"]).out();
        let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!((&first["name"], &first["data"]), (&"a".into(), &"one\n".into()));
    });
}

/// The last lines, lines that match, lines of a time, of a run.
fn lines_are_chosen() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["line", "apple", "line", "pear", "err", "plum\n", "line", "apricot"];
        let run = daemon.answer(named("fruit", daemon.probe(&words))).run_id;
        daemon.answer(named("fruit", daemon.probe(&["line", "fig"])));
        let out = |arguments: &[&str]| {
            let mut words = vec!["logs", "fruit"];
            words.extend(arguments);
            let output = daemon.aer(&words);
            assert_eq!(output.code(), Some(0), "{}", output.err());
            output.out()
        };
        assert_eq!(out(&["-n", "2", "--stdout"]), "apricot\nfig\n");
        assert_eq!(out(&["-n", "3", "--stdout", "--until", "now"]), "pear\napricot\nfig\n");
        assert_eq!(out(&["-n", "0"]), "");
        assert_eq!(out(&["-g", "^a.*t$"]), "apricot\n");
        assert_eq!(out(&["-g", "(?i)APP|fig"]), "apple\nfig\n");
        assert_eq!(out(&["--previous"]), "apple\npear\napricot\n");
        assert_eq!(out(&["--since", "5m"]), "apple\npear\napricot\nfig\n");
        assert_eq!(out(&["--until", "5m"]), "");
        assert_eq!(daemon.aer(&["logs", "--run", &run, "-n", "1", "--stdout"]).out(), "apricot\n");
        // Lines that match are counted, wherever they stand.
        assert_eq!(out(&["-n", "1", "-g", "pear"]), "pear\n");
        assert_eq!(out(&["-n", "2", "-g", "^ap"]), "apple\napricot\n");
        assert_eq!(out(&["-n", "1", "-g", "^ap", "--wait"]), "");
        assert_eq!(out(&["-n", "1", "-g", "i", "--wait"]), "fig\n");
        assert!(out(&["-n", "1", "-g", "fig", "-o", "json"]).contains("\"data\":\"fig\\n\""));
    });
}

/// `--wait` follows the present run and ends as it does; a program's status, a signal, a run that is over.
fn waiting_ends_with_the_status() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = ["line", "up", "await", gate.path(), "line", "down", "exit", "7"];
        daemon.up(named("job", daemon.probe(&words)));
        let waiting = daemon.start_aer(&["logs", "job", "--wait"]);
        waiting.wait_for_output("up\n");
        daemon.replace();
        gate.release();
        let output = waiting.finish();
        assert_eq!((output.out().as_str(), output.code()), ("up\ndown\n", Some(7)));
        assert_eq!(daemon.aer(&["logs", "job", "--wait", "-n", "1"]).code(), Some(7));
        daemon.answer(named("shot", daemon.probe(&["raise", "SIGKILL"])));
        assert_eq!(daemon.aer(&["logs", "shot", "--wait"]).code(), Some(137));
    });
}

/// What a hostile program prints commands nobody's terminal.
fn nothing_commands_the_terminal() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(named(
            "evil",
            daemon.probe(&["out", "\x1b]0;owned\x07\x1b[2J\u{9b}5A\r\u{202e}x\n"]),
        ));
        daemon.answer(named("good", daemon.probe(&["line", "y"])));
        for arguments in [
            &["logs", "evil", "good"][..],
            &["logs", "evil", "-o", "short"],
            &["logs", "evil", "-o", "precise"],
        ] {
            let shown = daemon.aer(arguments).out();
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            assert!(shown.contains("\\u{1b}]0;owned\\u{7}"), "{shown:?}");
            assert!(shown.contains("\\u{202e}x"), "{shown:?}");
        }
    });
}

/// A line of JSON is shown as level, message and the rest; `cat` leaves it.
fn json_lines_are_readable() {
    Daemon::with(Options::default(), |daemon| {
        let line = r#"{"level":"warn","msg":"slow","ms":5.10,"t":1}"#;
        daemon.answer(named("app", daemon.probe(&["line", line])));
        assert_eq!(daemon.aer(&["logs", "app", "-o", "short"]).out(), "WARN slow ms=5.10 t=1\n");
        assert_eq!(daemon.aer(&["logs", "app", "-o", "cat"]).out(), format!("{line}\n"));
    });
}

/// A line of more than a piece is shown as one, and searched as one.
fn long_lines_are_one() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(named("long", daemon.probe(&["bytes", "300000", "line", "needle"])));
        daemon.answer(named("short", daemon.probe(&["line", "nothing"])));
        let whole = format!("{}needle\n", "x".repeat(300_000));
        for arguments in [
            &["logs", "long", "-o", "short"][..],
            &["logs", "long", "-g", "^x*needle$"],
            &["logs", "long", "-n", "1", "-g", "xneedle"],
        ] {
            assert!(daemon.aer(arguments).out() == whole, "{arguments:?}");
        }
        let both = daemon.aer(&["logs", "long", "short", "-g", "needle"]).out();
        assert!(both == format!("long {whole}"), "{} bytes", both.len());
    });
}

/// What cannot be is told in one line.
fn mistakes_are_one_line() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(named("job", daemon.probe(&["out", "x"])));
        for (arguments, wanted) in [
            (&["logs", "never"][..], "nothing of the name never has run here"),
            (&["logs", "never", "no"], "never has run here"),
            (&["logs", "job", "--since", "2999-01-01"], "in the future"),
            (&["logs", "job", "--since", "1m", "--until", "2m"], "--until is not later"),
            (&["logs", "job", "--since", "soon"], "\"soon\" is no time"),
            (&["logs", "job", "-g", "("], "unclosed group"),
            (&["logs", "job", "--previous"], "job has no run before"),
            (&["status", "-o", "cat"], "forms of logs"),
        ] {
            let output = daemon.aer(arguments);
            assert!(!output.status.success() && output.out().is_empty(), "{arguments:?}");
            let told = output.err();
            assert_eq!(told.trim_end().lines().count(), 1, "{arguments:?}: {told}");
            assert!(told.contains(wanted), "{arguments:?}: {told}");
        }
    });
}

/// What the daemon prints is changed while it runs, told with who and why, and is what is configured after it.
fn the_log_level_changes_at_run_time() {
    Daemon::with(Options::default().config("daemon", "log = \"warn\""), |daemon| {
        let level = |arguments: &[&str]| {
            let mut words = vec!["daemon", "log-level"];
            words.extend(arguments);
            let output = daemon.aer(&words);
            assert_eq!(output.code(), Some(0), "{}", output.err());
            output.out()
        };
        assert_eq!(level(&[]), "warn\n");
        assert_eq!(level(&["debug", "--reason", "to see more"]), "debug, before warn\n");
        assert_eq!(level(&[]), "debug\n");
        daemon.answer(named("job", daemon.probe(&["out", "x"])));
        eventually("it prints more", || daemon.log().contains("INFO auraed_core"));
        let told = daemon.aer(&["logs", "--daemon", "-g", "prints what passes debug"]).out();
        assert!(told.contains("before warn") && told.contains("to see more"), "{told}");
        let refused = daemon.aer(&["daemon", "log-level", ""]);
        assert_eq!((refused.code(), refused.out().as_str()), (Some(2), ""));
        assert!(refused.err().contains("nothing was changed"), "{}", refused.err());
        let refused = daemon.aer(&["daemon", "log-level", "loud"]);
        assert_eq!((refused.code(), refused.err().trim_end().lines().count()), (Some(1), 1));
        assert!(refused.err().contains("filter: "), "{}", refused.err());
        daemon.replace();
        assert_eq!(level(&[]), "warn\n");
    });
}
