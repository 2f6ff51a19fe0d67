//! Who changed what, or tried to, is in the audit log.

use std::fs;

use serde_json::Value;
use tests::{Daemon, Options, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        every_change_is_in_the_audit_log_with_who_and_why,
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
