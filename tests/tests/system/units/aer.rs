//! `aer`'s verbs of units, as people and scripts use them.

use std::fs;

use api::runtime::UnitState;
use serde_json::Value;
use tests::{Daemon, Fifo, Need, Options, eventually, procfs};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        a_service_from_start_to_forget,
        failures_are_one_line_and_a_status,
        wait_gives_the_programs_own_status,
        reload_and_signal,
        options_say_what_a_unit_is,
        watch_tells_changes_as_they_happen,
        enable_now_and_disable_now,
        reasons_are_kept,
    ];
    all.extend(cases![[Need::OtherUser]; an_ordinary_user_has_services]);
    all
}

/// What aer printed, where all was well.
#[track_caller]
fn good(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.aer(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", output.err());
    output.out()
}

#[track_caller]
fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["-o", "json"].iter().chain(arguments).copied().collect();
    serde_json::from_str(&good(daemon, &arguments)).expect("one JSON document")
}

/// start, list, inspect, restart, stop, forget.
fn a_service_from_start_to_forget() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let said = good(
            daemon,
            &["start", "--name", "web", "--comment", "pages", "--", &probe, "line", "hi", "pause"],
        );
        let pid = daemon.unit("web").pid;
        assert!(said.contains("web") && said.contains(&pid.to_string()), "{said}");
        daemon.until_logged("web", "hi\n");
        let row = good(daemon, &["list"]);
        let row = row.lines().find(|line| line.contains("web")).expect("a row");
        assert!(row.contains("running") && row.contains("pages"), "{row}");
        let facts = good(daemon, &["inspect", "web"]);
        for word in ["running", "pages", &pid.to_string(), "starting -> running"] {
            assert!(facts.contains(word), "{word}: {facts}");
        }
        let told = json(daemon, &["inspect", "web"]);
        assert_eq!(told["unit"]["pid"], pid);
        assert_eq!(told["unit"]["state"], "running");
        good(daemon, &["restart", "web"]);
        assert!(!procfs::alive(pid));
        let second = daemon.unit("web").pid;
        assert_ne!(second, pid);
        daemon.until_logged("web", "hi\nhi\n");
        let said = good(daemon, &["stop", "web"]);
        assert!(said.contains("web"), "{said}");
        assert!(!procfs::alive(second));
        assert!(good(daemon, &["list"]).contains("inactive"));
        good(daemon, &["start", "web"]);
        good(daemon, &["stop", "web"]);
        assert!(good(daemon, &["logs", "web"]).starts_with("hi\nhi\n"));
        good(daemon, &["forget", "web"]);
        assert_eq!(daemon.units(false), []);
        assert_eq!(good(daemon, &["forget", "--all"]), "");
    });
}

/// A start that fails, a name that is not there, a unit that is up: one line that says it, and a status.
fn failures_are_one_line_and_a_status() {
    Daemon::with(Options::default(), |daemon| {
        good(daemon, &["start", "--name", "up", "--", &daemon.binary("probe"), "pause"]);
        for (arguments, word) in [
            (&["start", "--name", "web", "--", "/nonexistent/x"][..], "/nonexistent/x"),
            (&["start", "nobody"], "nobody"),
            (&["stop", "nobody"], "nobody"),
            (&["restart", "nobody"], "nobody"),
            (&["reload", "up"], "on_reload"),
            (&["inspect", "nobody"], "nobody"),
            (&["wait", "nobody"], "nobody"),
            (&["signal", "nobody", "HUP"], "nobody"),
            (&["forget", "up"], "running"),
        ] {
            let output = daemon.aer(arguments);
            assert!(!output.status.success(), "{arguments:?}");
            let said = output.err();
            assert_eq!(said.trim_end().lines().count(), 1, "{arguments:?}: {said}");
            assert!(said.contains(word), "{arguments:?}: {said}");
            assert_eq!(output.out(), "", "{arguments:?}");
        }
        // Each name is tried.
        let output = daemon.aer(&["stop", "nobody", "up"]);
        assert!(!output.status.success());
        assert_eq!(daemon.unit("up").state(), UnitState::Inactive);
    });
}

/// aer wait ends when the unit is down, with the program's own status.
fn wait_gives_the_programs_own_status() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let probe = daemon.binary("probe");
        good(daemon, &["start", "--name", "web", "--", &probe, "await", gate.path(), "exit", "7"]);
        let waiting = daemon.start_aer(&["wait", "web"]);
        gate.release();
        let output = waiting.finish();
        assert_eq!(output.code(), Some(7));
        assert!(output.out().contains("web"), "{}", output.out());
        good(daemon, &["start", "--name", "killed", "--", &probe, "pause"]);
        good(daemon, &["signal", "killed", "KILL"]);
        assert_eq!(daemon.aer(&["wait", "killed"]).code(), Some(137));
    });
}

/// aer reload runs what reloads; aer signal sends what it says.
fn reload_and_signal() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let mut heard = Fifo::make(daemon.path(), "heard");
        let file = daemon.work("reloaded");
        let on_reload = format!("{probe} append {file} $MAINPID");
        let arguments = [
            "start",
            "--name",
            "web",
            "--on-reload",
            &on_reload,
            "--",
            &probe,
            "ignore",
            "SIGUSR1",
            "say",
            heard.path(),
            "up",
            "hear",
            "SIGUSR1",
            "say",
            heard.path(),
            "usr1",
            "pause",
        ];
        good(daemon, &arguments);
        assert_eq!(heard.line(), "up");
        good(daemon, &["reload", "web"]);
        let pid = daemon.unit("web").pid.to_string();
        assert_eq!(fs::read_to_string(&file).unwrap().trim(), pid);
        good(daemon, &["signal", "web", "USR1"]);
        assert_eq!(heard.line(), "usr1");
    });
}

/// What options say of a unit is what it is.
fn options_say_what_a_unit_is() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let arguments = [
            "start",
            "--name",
            "web",
            "--restart",
            "on-failure",
            "--restart-delay",
            "1h",
            "--start-limit",
            "0",
            "--env",
            "A=1",
            "--umask",
            "077",
            "--stop-signal",
            "USR1",
            "--stop-timeout",
            "5s",
            "--success",
            "9",
            "--working-directory",
            "/usr",
            "--",
            &probe,
            "report",
            "pause",
        ];
        good(daemon, &arguments);
        eventually("it has reported", || {
            String::from_utf8_lossy(&daemon.unit_log("web").stdout).contains('\n')
        });
        let printed = daemon.unit_log("web").stdout;
        let found: Value = serde_json::from_slice(&printed).unwrap();
        assert_eq!(found["environment"]["A"], "1");
        assert_eq!((&found["umask"], &found["directory"]), (&"0077".into(), &"/usr".into()));
        good(daemon, &["signal", "web", "KILL"]);
        daemon.until_state("web", UnitState::Waiting);
        let said = good(daemon, &["start", "web"]);
        assert!(said.contains("started"), "{said}");
        let said = good(daemon, &["stop", "web"]);
        assert!(said.contains("USR1"), "{said}");
        let told = json(daemon, &["inspect", "web"]);
        assert_eq!(told["executable"]["restart"]["when"], "on-failure");
        good(daemon, &["start", "--oneshot", "--name", "job", "--", &probe, "exit", "0"]);
        assert_eq!(daemon.unit("job").state(), UnitState::Inactive);
    });
}

/// aer watch prints each change, as JSON one to a line, from a number on.
fn watch_tells_changes_as_they_happen() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let watching = daemon.start_aer(&["watch", "--from", "0"]);
        good(daemon, &["start", "--name", "web", "--", &probe, "pause"]);
        watching.wait_for_output("starting -> running");
        good(daemon, &["--reason", "night", "stop", "web"]);
        watching.wait_for_output("stopping -> inactive");
        watching.wait_for_output("night");
        let lines = daemon.start_aer(&["-o", "json", "watch", "--from", "2", "web"]);
        lines.wait_for_output("inactive");
        watching.signal(nix::sys::signal::Signal::SIGINT);
        lines.signal(nix::sys::signal::Signal::SIGINT);
        let printed = lines.finish().out();
        let events: Vec<Value> =
            printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[0]["begin"]["after"], 2);
        assert_eq!(events[1]["change"]["sequence"], 3);
        assert_eq!(events[1]["change"]["to"], "stopping");
        drop(watching.finish());
    });
}

/// enable --now starts what it has registered; disable --now stops it.
fn enable_now_and_disable_now() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        good(daemon, &["enable", "--now", "web", "--", &probe, "pause"]);
        let unit = daemon.unit("web");
        assert_eq!(unit.state(), UnitState::Running);
        good(daemon, &["disable", "--now", "web"]);
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
        assert!(!procfs::alive(unit.pid));
        assert_eq!(daemon.disabled().unwrap().len(), 1);
        // Registered or not is one thing, and what came of the start another.
        let output = daemon.aer(&["enable", "--now", "bad", "--", "/nonexistent/x"]);
        assert!(!output.status.success());
        assert!(output.err().contains("/nonexistent/x"), "{}", output.err());
        assert_eq!(daemon.enabled().unwrap().len(), 1);
    });
}

/// --reason is kept with the change, and shown.
fn reasons_are_kept() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        good(daemon, &["--reason", "ticket 4711", "start", "--name", "web", "--", &probe, "pause"]);
        let told = daemon.unit("web").wanted_by.unwrap();
        assert_eq!((told.reason.as_str(), told.door.as_str()), ("ticket 4711", "grpc"));
        assert!(good(daemon, &["inspect", "web"]).contains("ticket 4711"));
        eventually("the daemon's log has it", || daemon.own_log().contains("ticket 4711"));
    });
}

/// An ordinary user starts, restarts and stops services of his own.
fn an_ordinary_user_has_services() {
    Daemon::with(Options::default().user(65534), |daemon| {
        let probe = daemon.binary("probe");
        let arguments =
            ["start", "--name", "web", "--restart", "always", "--", &probe, "bomb", "3", "pause"];
        good(daemon, &arguments);
        let pid = daemon.unit("web").pid;
        assert_eq!(procfs::field(pid, "Uid").unwrap().split_whitespace().next(), Some("65534"));
        good(daemon, &["signal", "web", "KILL"]);
        daemon.until("web", "it is up again", |unit| {
            unit.restarts == 1 && unit.state() == UnitState::Running
        });
        good(daemon, &["stop", "web"]);
        assert_eq!(daemon.status().runs_live, 0);
    });
}
