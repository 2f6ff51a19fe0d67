//! Who changed what, or tried to, is in the audit log.

use std::fs;

use api::runtime::Executable;
use serde_json::Value;
use tests::{Daemon, Options, argv, eventually, rpc::named};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        every_change_is_in_the_audit_log_with_who_and_why,
        what_is_refused_at_the_door_is_in_it_and_aer_shows_it,
        retention_is_as_the_configuration_says,
    ]
}

/// The lines of the audit log: its bytes are in its segments as they are.
fn lines(daemon: &Daemon) -> Vec<Value> {
    let folder = daemon.state_dir().join("logs/audit");
    let mut segments: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    segments.sort_unstable();
    let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was done, to what, with what result, and why.
fn told(line: &Value) -> [&str; 4] {
    ["action", "name", "result", "why"].map(|key| line[key].as_str().unwrap_or_default())
}

fn every_change_is_in_the_audit_log_with_who_and_why() {
    Daemon::with(Options::default(), |daemon| {
        let aer = |words: &[&str]| daemon.aer(words);
        let probe = daemon.binary("probe");
        aer(&["--reason", "ticket 1", "start", "--name", "web", "--", &probe, "pause"]);
        aer(&["--reason", "ticket 2", "enable", "web", "--", &probe, "pause"]);
        aer(&["signal", "web", "USR1"]);
        aer(&["stop", "web"]);
        aer(&["stop", "nobody"]);
        aer(&["exec", "--", "/bin/true"]);
        // What only asks is no change.
        aer(&["list"]);
        aer(&["inspect", "web"]);
        aer(&["disable", "web"]);
        aer(&["disable", "nobody"]);
        let is_last = |line: &Value| told(line)[..3] == ["disable", "nobody", "refused"];
        eventually("the last of it is told", || lines(daemon).iter().any(is_last));
        let lines = lines(daemon);
        let wanted = [
            ["start", "web", "done", "ticket 1"],
            ["enable", "web", "done", "ticket 2"],
            ["stop", "web", "done", ""],
            ["stop", "nobody", "refused", ""],
            ["disable", "web", "done", ""],
            ["disable", "nobody", "refused", ""],
        ];
        for wanted in wanted {
            let found: Vec<_> = lines.iter().filter(|line| told(line) == wanted).collect();
            assert_eq!(found.len(), 1, "{wanted:?} in {lines:#?}");
            let by = &found[0]["by"];
            assert_eq!(by["uid"], nix::unistd::geteuid().as_raw(), "{by}");
            assert!(by["pid"].as_i64().is_some_and(|pid| pid > 0), "{by}");
            assert_eq!(found[0]["error"].is_string(), wanted[2] == "refused");
            assert!(found[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        }
        let actions: Vec<_> = lines.iter().map(|line| told(line)[0]).collect();
        let count = |wanted| actions.iter().filter(|&&action| action == wanted).count();
        assert_eq!((count("begin"), count("execute"), count("signal")), (1, 1, 1), "{lines:#?}");
        assert_eq!(actions.len(), wanted.len() + 3, "{lines:#?}");
    });
}

/// What never reaches the core, since it cannot be meant, was tried all the same. `aer logs --audit` shows the lines, alone
/// and beside others.
fn what_is_refused_at_the_door_is_in_it_and_aer_shows_it() {
    Daemon::with(Options::default(), |daemon| {
        let aer = |words: &[&str]| daemon.aer(words);
        daemon.up(named("web", daemon.probe(&["line", "hello", "pause"])));
        daemon.until_logged("web", "hello\n");
        assert!(!aer(&["--reason", "a try", "start", "nobody"]).status.success());
        let not_a_path = named("here", argv(&["/bin/true"]));
        let relative = Executable { working_directory: "here".to_owned(), ..not_a_path };
        let refused = daemon.try_up(relative).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let wanted = [["start", "nobody", "refused", "a try"], ["start", "here", "refused", ""]];
        let all_there = || {
            let lines = lines(daemon);
            wanted.iter().all(|wanted| lines.iter().any(|line| told(line) == *wanted))
        };
        eventually("both tries are told", all_there);
        // Whoever silences the daemon is told of himself; a mistyped level is refused.
        assert!(aer(&["--reason", "quiet", "daemon", "log-level", "error"]).status.success());
        assert!(!aer(&["--reason", "typo", "daemon", "log-level", "eror"]).status.success());
        let level = |line: &Value| line["action"] == "log-level";
        let both = || lines(daemon).iter().filter(|line| level(line)).count() == 2;
        eventually("both orders about the log are told", both);
        let shown = aer(&["logs", "--audit"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("nobody") && shown.contains("a try"), "{shown}");
        let cat = aer(&["logs", "--audit", "-o", "cat", "-g", "\"refused\""]);
        let cat = String::from_utf8(cat.stdout).unwrap();
        let refused: Vec<Value> =
            cat.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(refused.len(), 3, "{cat}");
        let both = aer(&["logs", "web", "--audit"]);
        let both = String::from_utf8(both.stdout).unwrap();
        assert!(both.contains("hello") && both.contains("nobody"), "{both}");
    });
}

/// A unit that floods keeps to its bound, and loses nothing that is within it.
fn retention_is_as_the_configuration_says() {
    let options = Options::default().config("logs.units.loud", "max_size = \"512KiB\"");
    Daemon::with(options, |daemon| {
        let text = |count: usize| (0..count).map(|n| format!("line {n:090}\n")).collect::<String>();
        let printed = text(50_000);
        let script = "i=0; while [ $i -lt 50000 ]; do printf 'line %090d\\n' $i; i=$((i+1)); done";
        let output = daemon.aer(&["exec", "--name", "loud", "--", "/bin/sh", "-c", script]);
        assert!(output.status.success());
        let folder = daemon.state_dir().join("logs/units/loud");
        let files = || fs::read_dir(&folder).unwrap().filter_map(|file| Some(file.ok()?.path()));
        let size = || files().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum::<u64>();
        eventually("the log is within its bound", || size() <= 512 << 10);
        let mut segments: Vec<_> =
            files().filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        segments.sort_unstable();
        let kept: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(kept.len() > 256 << 10 && printed.ends_with(&kept), "{} bytes", kept.len());
    });
}
