//! SIGHUP to the keeper: another configuration, while everything runs.

use std::{
    fs,
    net::{TcpListener, TcpStream},
};

use api::runtime::UnitState;
use nix::sys::signal::Signal;
use tests::{Daemon, Options, Tracking, argv, eventually, rpc::named};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        another_configuration_is_taken_while_everything_runs,
        what_is_wrong_changes_nothing,
        what_cannot_move_does_not,
        one_that_no_daemon_can_live_with_is_given_up,
        a_stop_ends_in_order_by_what_was_before,
        a_door_goes_and_comes_back,
    ]
}

/// Edits the configuration, and has it read.
fn reloads(daemon: &Daemon, edit: impl FnOnce(String) -> String) {
    let path = daemon.config();
    fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
    daemon.signal(Signal::SIGHUP);
}

/// The daemon goes by what the file says now; no run notices anything, and no line is missing.
fn another_configuration_is_taken_while_everything_runs() {
    let daemon = Daemon::start(Options::default());
    let script = "n=1; while :; do echo $n; n=$((n+1)); sleep 0.01; done";
    daemon.up(named("counts", argv(&["sh", "-c", script])));
    eventually("it prints", || !daemon.unit_log("counts").stdout.is_empty());
    let (before, pid) = (daemon.status(), daemon.unit("counts").pid);
    reloads(&daemon, |text| text.replace("test-node", "renamed"));
    eventually("a daemon goes by it", || {
        daemon.status_if_there().is_some_and(|status| status.meta.unwrap().name == "renamed")
    });
    let after = daemon.status();
    assert_eq!((after.keeper_pid, after.daemon_starts), (before.keeper_pid, 2));
    assert_eq!(daemon.unit("counts").pid, pid);
    let printed = daemon.unit_log("counts").stdout.len();
    eventually("it prints on", || daemon.unit_log("counts").stdout.len() > printed);
    let lines = String::from_utf8(daemon.unit_log("counts").stdout).unwrap();
    let whole = lines.rsplit_once('\n').unwrap().0;
    let numbers: Vec<usize> = whole.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    // Once more without a change, which is none.
    daemon.signal(Signal::SIGHUP);
    eventually("it is said", || daemon.log().contains("the configuration is as it was"));
    assert_eq!(daemon.status().daemon_pid, after.daemon_pid);
    daemon.stop();
}

fn what_is_wrong_changes_nothing() {
    let daemon = Daemon::start(Options::default());
    let before = daemon.status().daemon_pid;
    reloads(&daemon, |text| format!("{text}\n[daemon]\nstop_timeuot = '1s'\n"));
    eventually("it is said", || daemon.log().contains("going on with the configuration as it was"));
    assert!(daemon.log().contains("stop_timeuot"), "{}", daemon.log());
    assert_eq!(daemon.status().daemon_pid, before);
    daemon.stop();
}

/// Where runs are tracked stays, as long as something runs. (Socket and folders are words of the command line here.)
fn what_cannot_move_does_not() {
    let daemon = Daemon::start(Options::default());
    let before = daemon.status().daemon_pid;
    for (line, said) in [
        ("mode = \"off\"", "whether cgroups are used"),
        ("parent = \"aurae-elsewhere\"", "the cgroup"),
    ] {
        reloads(&daemon, |text| {
            let (before, _) = text.split_once("[cgroup]").unwrap();
            format!("{before}[cgroup]\n{line}\n\n[system]\nnode = \"test-node\"\n")
        });
        eventually("it is refused", || daemon.log().contains(said));
    }
    assert_eq!(daemon.status().daemon_pid, before);
    daemon.stop();
}

/// A daemon that dies of it is followed by one that goes by the configuration before, and that is told.
fn one_that_no_daemon_can_live_with_is_given_up() {
    let daemon = Daemon::start(Options::default().tracking(Tracking::BestEffort));
    daemon.up(named("stays", daemon.probe(&["pause"])));
    let pid = daemon.unit("stays").pid;
    reloads(&daemon, |text| format!("{text}\n[spawn]\nmethod = \"clone3-into-cgroup\"\n"));
    eventually("it is given up", || {
        daemon.log().contains("the one before is back")
            && daemon.status_if_there().is_some_and(|status| status.daemon_starts == 3)
    });
    let view = daemon.unit("stays");
    assert_eq!((view.state(), view.pid), (UnitState::Running, pid));
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    let said = daemon.aer(&["status"]).out();
    assert!(said.contains("was not healthy"), "{said}");
    daemon.stop();
}

/// A configuration that is on trial when everything is told to end does not decide how: what runs has its time.
fn a_stop_ends_in_order_by_what_was_before() {
    let daemon = Daemon::start(Options::default().tracking(Tracking::BestEffort));
    let mark = daemon.work("mark");
    let words = ["ignore", "SIGTERM", "line", "up", "hear", "SIGTERM", "nap", "7000", "append"];
    let words: Vec<&str> = words.into_iter().chain([mark.as_str(), "in order"]).collect();
    daemon.up(named("polite", daemon.probe(&words)));
    daemon.until_logged("polite", "up\n");
    reloads(&daemon, |text| {
        format!(
            "{text}\n[daemon]\nstop_timeout = \"1s\"\n[spawn]\nmethod = \"clone3-into-cgroup\"\n"
        )
    });
    daemon.signal(Signal::SIGTERM);
    eventually("it ended in its own time", || {
        fs::read_to_string(&mark).is_ok_and(|text| text == "in order\n")
    });
    daemon.ends();
}

/// Where a door is not wanted any more nobody waits at it, and should it be wanted again it is served.
fn a_door_goes_and_comes_back() {
    let daemon = Daemon::start(Options::default());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let without = fs::read_to_string(daemon.config()).unwrap();
    let with = format!("{without}\n[doors.drunc]\nlisten = \"{free}\"\n");
    let serves = || TcpStream::connect(free).is_ok();
    // While a daemon is on trial it is refused, and said: so it is asked for until it is done.
    let until = |text: &str, served: bool| {
        fs::write(daemon.config(), text).unwrap();
        eventually("the door is as the file says", || {
            daemon.signal(Signal::SIGHUP);
            serves() == served
        });
    };
    for _ in 0..2 {
        until(&with, true);
        until(&without, false);
    }
    daemon.stop();
}
