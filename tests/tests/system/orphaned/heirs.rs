//! Another keeper takes over: the same processes, every line, every end.

use std::{fs, os::unix::net::UnixStream, time::Duration};

use api::runtime::{Executable, RestartWhen, UnitState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, binaries, eventually, procfs,
    rpc::{code, named, signal},
    units::{again, by_name},
};
use tonic::Request;

use crate::{Case, Core, cases, core_cases, overflow::check};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        no_line_is_lost_and_no_end,
        what_runs_is_not_started_again,
        a_daemon_after_the_next_knows_them_too,
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        ten_keepers,
        who_waits_in_the_queue_is_answered,
        aer_exec_goes_on,
        a_keeper_in_the_place_of_the_next_knows_them_too,
        a_daemon_that_hangs_is_killed,
        a_second_keeper_is_refused_as_ever,
        strangers_end_with_everything_else,
    ]
}

/// Numbered lines, printed through the keeper's death, the time without one and the take-over: each is there, once. The
/// numbers of changes go on, and the process is the same. What ends after that has its exact end.
fn no_line_is_lost_and_no_end(options: Options) {
    let mut daemon = Daemon::start(options);
    let mut go = Fifo::make(daemon.path(), "go");
    let count = daemon.work("count");
    daemon.up(named("lines", daemon.probe(&["numbered", &count, "0"])));
    daemon.up(named("web", daemon.probe(&["await", go.path(), "exit", "5"])));
    let counted = || fs::read_to_string(&count).map_or(0, |text| text.trim().parse().unwrap_or(0));
    let prints_on = || {
        let before: u64 = counted();
        eventually("it prints on", || counted() > before + 20_000);
    };
    prints_on();
    let stands = |daemon: &Daemon, name: &str| {
        let sequence = daemon.changes(name).last().unwrap().sequence;
        let unit = daemon.unit(name);
        (unit.pid, unit.run_id, unit.since, sequence)
    };
    let before = ["lines", "web"].map(|name| stands(&daemon, name));
    let orphan = daemon.lose_keeper();
    prints_on();
    assert!(procfs::alive(orphan));
    daemon.start_again();
    assert_eq!(["lines", "web"].map(|name| stands(&daemon, name)), before);
    prints_on();
    let pid = before[0].0;
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let exit = daemon.wait_down("lines").exit.unwrap();
    assert_eq!((signal(&exit), exit.pid), (Some(9), pid));
    let logged = daemon.unit_log("lines");
    let (found, counted) = (check(&logged.stdout), counted());
    assert_eq!(logged.gaps, 0);
    assert!(found == counted || found == counted + 1, "{counted} were written, {found} found");
    go.release();
    assert_eq!(code(&daemon.wait_down("web").exit.unwrap()), Some(5));
    daemon.stop();
}

/// A new keeper's boot starts what is enabled, and nothing that runs already; what an operator had stopped is started, as
/// at any boot.
fn what_runs_is_not_started_again(options: Options) {
    let mut daemon = Daemon::start(options);
    let unit =
        |name: &str| named(name, daemon.probe(&["append", &daemon.work(name), "x", "pause"]));
    let names = ["runs", "stopped", "never"];
    names.map(unit).into_iter().for_each(|unit| daemon.enable(unit));
    let start = |name| daemon.order_start(Request::new(by_name(name))).unwrap();
    let runs = start("runs");
    start("stopped");
    eventually("both have begun", || daemon.began("runs") + daemon.began("stopped") == 2);
    daemon.down("stopped");
    daemon.lose_keeper();
    daemon.start_again();
    for name in names {
        daemon.until_state(name, UnitState::Running);
    }
    let now = daemon.unit("runs");
    assert_eq!((now.pid, &now.run_id), (runs.pid, &runs.run_id));
    eventually("all have begun", || names.map(|name| daemon.began(name)) == [1, 2, 1]);
    daemon.stop();
}

/// The keeper holds them for every daemon that comes, without waiting for them itself: a daemon that dies after the
/// take-over loses no end, neither of one that lives then nor of one that ends while there is none.
fn a_daemon_after_the_next_knows_them_too(options: Options) {
    let mut daemon = Daemon::start(options);
    let mut goes = ["a", "b"].map(|name| Fifo::make(daemon.path(), name));
    for (number, go) in goes.iter().enumerate() {
        let words = ["line", "up", "await", go.path(), "line", "down", "exit", "6"];
        let name = format!("unit-{number}");
        daemon.up(named(&name, daemon.probe(&words)));
        daemon.until_logged(&name, "up\n");
    }
    daemon.lose_keeper();
    daemon.start_again();
    let before = daemon.status().daemon_pid;
    daemon.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    eventually("the daemon is dead", || procfs::gone(before));
    let pid = daemon_less(&daemon);
    goes[0].release();
    eventually("it ends", || procfs::gone(pid));
    daemon.signal(Signal::SIGCONT);
    assert_eq!(code(&daemon.wait_down("unit-0").exit.unwrap()), Some(6));
    goes[1].release();
    assert_eq!(code(&daemon.wait_down("unit-1").exit.unwrap()), Some(6));
    for name in ["unit-0", "unit-1"] {
        daemon.until_logged(name, "up\ndown\n");
    }
    daemon.stop();
}

/// A keeper that takes the place of the new one, in the same process, holds them as that did.
fn a_keeper_in_the_place_of_the_next_knows_them_too() {
    let mut daemon = Daemon::start(Options::default());
    let mut go = Fifo::make(daemon.path(), "go");
    let words = ["line", "up", "await", go.path(), "line", "down", "exit", "6"];
    let web = daemon.up(named("web", daemon.probe(&words)));
    daemon.lose_keeper();
    daemon.start_again();
    let upgrade = daemon.aer(&["daemon", "upgrade"]);
    assert!(upgrade.status.success(), "{}", upgrade.err());
    assert_eq!(daemon.unit("web").pid, web.pid);
    go.release();
    assert_eq!(code(&daemon.wait_down("web").exit.unwrap()), Some(6));
    daemon.until_logged("web", "up\ndown\n");
    daemon.stop();
}

/// The process of `unit-0`, found where no daemon can be asked.
fn daemon_less(daemon: &Daemon) -> i32 {
    let fifo = daemon.path().join("a");
    let fifo = fifo.to_str().unwrap().as_bytes();
    let waits = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == fifo)
    };
    procfs::all().into_iter().find(waits).expect("it lives")
}

/// Ten keepers are killed, one after the other, while a program prints as fast as it can and a service flaps.
fn ten_keepers() {
    let mut daemon = Daemon::start(Options::default());
    let (count, lock) = (daemon.work("count"), daemon.work("lock"));
    let complaints = daemon.work("complaints");
    let flaps = ["sole", &lock, &complaints, "nap", "5", "exit", "1"];
    daemon.up(Executable {
        restart: Some(again(RestartWhen::Always)),
        ..named("flaps", daemon.probe(&flaps))
    });
    let web = daemon.up(named("web", daemon.probe(&["numbered", &count, "0"])));
    for _ in 0..10 {
        daemon.lose_keeper();
        daemon.start_again();
        assert_eq!(daemon.unit("web").pid, web.pid);
    }
    daemon.down("flaps");
    kill(Pid::from_raw(web.pid), Signal::SIGKILL).unwrap();
    assert_eq!(signal(&daemon.wait_down("web").exit.unwrap()), Some(9));
    let found = check(&daemon.unit_log("web").stdout);
    let counted: u64 = fs::read_to_string(&count).unwrap().trim().parse().unwrap();
    assert!(found == counted || found == counted + 1, "{counted} were written, {found} found");
    assert!(!fs::exists(&complaints).unwrap(), "it was started twice");
    daemon.stop();
}

/// The listener is handed over: the socket is the same, and who connects while the next daemon is held up on its way, and
/// the orphan is gone, waits there and is answered.
fn who_waits_in_the_queue_is_answered() {
    let programs = tempfile::tempdir().unwrap();
    let folder = programs.path();
    binaries::put("auraed", folder, "auraed");
    binaries::put("gate", folder, "auraed-core");
    fs::write(folder.join("core"), binaries::path("auraed-core").to_str().unwrap()).unwrap();
    let mut daemon = Daemon::start(Options::default().binaries(folder));
    let inode = |daemon: &Daemon| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(daemon.socket()).unwrap())
    };
    let before = inode(&daemon);
    let orphan = daemon.lose_keeper();
    let mut gate = Fifo::make(folder, "gate");
    daemon.launch_again();
    // For the settings; the daemon comes to the gate when all was handed over.
    gate.release();
    eventually("the orphan is gone", || procfs::gone(orphan));
    let calls: Vec<_> =
        (0..3).map(|_| daemon.start_aer(&["exec", "--", "/bin/echo", "on"])).collect();
    let waiting = UnixStream::connect(daemon.socket()).unwrap();
    assert!(calls.iter().all(|call| call.end_within(Duration::from_millis(300)).is_none()));
    gate.release();
    for call in calls {
        let output = call.finish();
        assert_eq!(output.out(), "on\n", "{}", output.err());
    }
    assert_eq!(inode(&daemon), before);
    drop(waiting);
    daemon.stop();
}

/// `aer exec` prints on, and exits as its program does.
fn aer_exec_goes_on() {
    let mut daemon = Daemon::start(Options::default());
    let mut go = Fifo::make(daemon.path(), "go");
    let probe = daemon.binary("probe");
    let call = daemon.start_aer(&[
        "exec",
        "--",
        &probe,
        "line",
        "one",
        "await",
        go.path(),
        "line",
        "two",
        "exit",
        "7",
    ]);
    call.wait_for_output("one\n");
    daemon.lose_keeper();
    daemon.start_again();
    go.release();
    let output = call.finish();
    assert_eq!(
        (output.out().as_str(), output.status.code()),
        ("one\ntwo\n", Some(7)),
        "{}",
        output.err()
    );
    daemon.stop();
}

/// A daemon that has lost its keeper and hangs is killed by the next one, which finds the runs by their files.
fn a_daemon_that_hangs_is_killed() {
    let options = Options::default().config("daemon", "answer_timeout = \"1s\"");
    let mut daemon = Daemon::start(options);
    let web = daemon.up(named("web", daemon.probe(&["pause"])));
    let orphan = daemon.lose_keeper();
    kill(Pid::from_raw(orphan), Signal::SIGSTOP).unwrap();
    daemon.start_again();
    assert!(procfs::gone(orphan));
    assert!(daemon.log().contains("hands nothing over"), "{}", daemon.log());
    assert_eq!(daemon.unit("web").pid, web.pid);
    assert_eq!(signal(&daemon.down("web").exit.unwrap()), Some(15));
    daemon.stop();
}

/// Nobody takes over from a daemon whose keeper lives.
fn a_second_keeper_is_refused_as_ever() {
    Daemon::with(Options::default(), |daemon| {
        let before = daemon.status().daemon_pid;
        let said = daemon.refused().err();
        assert!(said.contains("another auraed"), "{said}");
        assert_eq!(daemon.status().daemon_pid, before);
        // Nor may one with a state folder of its own have what is in the runtime folder of another.
        let mut command = daemon.command("auraed");
        command.arg("--state-dir").arg(daemon.path().join("other-state"));
        command.arg("--socket").arg(daemon.path().join("other.sock"));
        command.arg("--runtime-dir").arg(daemon.runtime_dir());
        let said = daemon.refuses(command).err();
        assert!(said.contains("runtime folder") && said.contains("--runtime-dir"), "{said}");
        assert_eq!(daemon.status().daemon_pid, before);
    });
}

/// An orderly end of the next keeper ends them as well, and one that is asked twice kills them.
fn strangers_end_with_everything_else() {
    for deaf in [false, true] {
        let mut daemon = Daemon::start(Options::default().stop_timeout("60s"));
        let words: &[&str] = if deaf {
            &["ignore", "SIGTERM", "line", "up", "pause"]
        } else {
            &["line", "up", "pause"]
        };
        let web = daemon.up(named("web", daemon.probe(words)));
        daemon.until_logged("web", "up\n");
        daemon.lose_keeper();
        daemon.start_again();
        daemon.signal(Signal::SIGTERM);
        if deaf {
            daemon.until_state("web", UnitState::Stopping);
            daemon.signal(Signal::SIGTERM);
        }
        daemon.ends();
        eventually("it is gone", || procfs::gone(web.pid));
    }
}
