//! The keeper: start, stop, and a daemon that dies.

use std::os::unix::net::UnixDatagram;

use api::runtime::UnitState;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Daemon, Fifo, Options, Process, Tracking, argv, eventually, procfs, rpc::named};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        interrupt_ends_in_order,
        termination_within_the_bound,
        termination_during_a_call,
        a_daemon_that_dies_of_an_orderly_end_is_followed,
        keeper_is_every_runs_parent,
        a_killed_daemon_is_replaced,
        killed_five_times,
        the_keeper_is_small_in_descriptors,
        a_service_manager_that_reads_nothing_holds_up_nobody,
        prints_its_version,
    ]
}

/// SIGINT ends everything in order, as SIGTERM does, with status 0.
fn interrupt_ends_in_order() {
    let daemon = Daemon::start(Options::default());
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    daemon.stop_with(Signal::SIGINT);
}

/// Where the daemon dies while everything is told to end, the next one goes on with that: what runs has its time.
fn a_daemon_that_dies_of_an_orderly_end_is_followed() {
    let daemon = Daemon::start(Options::default().stop_timeout("60s"));
    let mut go = Fifo::make(daemon.path(), "go");
    let mark = daemon.work("mark");
    let script = format!(
        "trap 'read line < {}; echo in order > {mark}; exit 7' TERM; echo up; while :; do sleep 0.1; done",
        go.path()
    );
    daemon.up(named("web", argv(&["sh", "-c", &script])));
    daemon.until_logged("web", "up\n");
    let before = daemon.status().daemon_pid;
    daemon.signal(Signal::SIGTERM);
    daemon.until_state("web", UnitState::Stopping);
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    eventually("another daemon goes on with it", || {
        daemon.status_if_there().is_some_and(|status| status.daemon_pid != before)
    });
    daemon.until_state("web", UnitState::Stopping);
    go.release();
    eventually("it ended by itself", || {
        std::fs::read_to_string(&mark).is_ok_and(|text| text == "in order\n")
    });
    daemon.ends();
}

/// SIGTERM ends deaf programs with their children within the configured bound, and the status is 0.
fn termination_within_the_bound() {
    for tracking in [Tracking::Auto, Tracking::BestEffort] {
        let daemon = Daemon::start(Options::default().tracking(tracking).stop_timeout("1s"));
        let words = [
            "ignore", "SIGTERM", "start", "{", "setsid", "ignore", "SIGTERM", "out", "up", "pause",
            "}", "pause",
        ];
        let mut run = daemon.run(daemon.probe(&words));
        run.read_until("up");
        let id = run.started.run_id.clone();
        drop(run);
        daemon.stop();
        assert_eq!(procfs::carriers(&id), Vec::<i32>::new());
    }
}

/// A client that waits for its program when the daemon is told to end gets an answer or a status, no hang.
fn termination_during_a_call() {
    let daemon = Daemon::start(Options::default().stop_timeout("5s"));
    let mut up = Fifo::make(daemon.path(), "up");
    let begun = daemon.begin(daemon.probe(&["say", up.path(), "up", "pause"]));
    assert_eq!(up.line(), "up");
    daemon.signal(Signal::SIGTERM);
    match daemon.block(begun).unwrap() {
        Ok(answer) => assert_eq!(answer.exit_code, "143", "{answer:?}"),
        Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
    }
    daemon.ends();
}

/// Every run's parent, and the daemon's, is the keeper.
fn keeper_is_every_runs_parent() {
    Daemon::with(Options::default(), |daemon| {
        let status = daemon.status();
        assert_eq!(status.keeper_pid, daemon.keeper());
        assert_eq!(procfs::parent(status.daemon_pid), Some(daemon.keeper()));
        let run = daemon.run(daemon.probe(&["pause"]));
        assert_eq!(procfs::parent(run.started.pid), Some(daemon.keeper()));
    });
}

/// Kills the daemon and waits for the next.
fn replace(daemon: &Daemon) {
    let before = daemon.status();
    kill(Pid::from_raw(before.daemon_pid), Signal::SIGKILL).unwrap();
    eventually("the keeper starts another daemon", || {
        daemon.status_if_there().is_some_and(|status| status.daemon_pid != before.daemon_pid)
    });
}

/// A daemon that dies is replaced; the next one works, and says how the last one ended.
fn a_killed_daemon_is_replaced() {
    Daemon::with(Options::default(), |daemon| {
        let before = daemon.status();
        assert_eq!((before.daemon_starts, before.previous_daemon.as_str()), (1, ""));
        replace(daemon);
        let after = daemon.status();
        assert_eq!((after.keeper_pid, after.daemon_starts), (before.keeper_pid, 2));
        assert!(
            after.previous_daemon.contains("KILL") || after.previous_daemon.contains('9'),
            "{after:?}"
        );
        assert!(after.started_at > before.started_at);
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// A daemon that is killed again and again is started again and again.
fn killed_five_times() {
    Daemon::with(Options::default(), |daemon| {
        for _ in 0..5 {
            replace(daemon);
        }
        assert_eq!(daemon.status().daemon_starts, 6);
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    });
}

/// Neither keeper nor daemon loses descriptors over a hundred runs.
fn the_keeper_is_small_in_descriptors() {
    Daemon::with(Options::default(), |daemon| {
        let core = daemon.status().daemon_pid;
        let client = daemon.connect();
        let mut client = api::runtime::runtime_client::RuntimeClient::new(client);
        let mut hundred = || {
            for _ in 0..100 {
                daemon.block(client.exec(daemon.probe(&["out", "x", "err", "y"]))).unwrap();
            }
        };
        hundred();
        let before = (procfs::descriptors(daemon.keeper()), procfs::descriptors(core));
        hundred();
        eventually("the descriptors of a hundred runs are closed", || {
            procfs::descriptors(daemon.keeper()) <= before.0
                && procfs::descriptors(core) <= before.1 + 5
        });
    });
}

/// A service manager whose socket is full is told in vain: start, calls and end go on.
fn a_service_manager_that_reads_nothing_holds_up_nobody() {
    let house = tests::House::prepare(Options::default());
    let full = house.path().join("full");
    let _manager = UnixDatagram::bind(&full).unwrap();
    let stuffing = UnixDatagram::unbound().unwrap();
    stuffing.set_nonblocking(true).unwrap();
    while stuffing.send_to(b"X_STUFFING=1", &full).is_ok() {}
    let mut command = house.auraed();
    command.env("NOTIFY_SOCKET", &full);
    let keeper = Process::start(command, || {});
    let aer = |arguments: &[&str]| {
        let mut command = house.command("aer");
        command.arg("--socket").arg(house.socket()).args(arguments);
        Process::start(command, || {}).finish()
    };
    eventually("it answers", || aer(&["status"]).status.success());
    assert_eq!(aer(&["exec", "--", "/bin/echo", "on"]).out(), "on\n");
    keeper.signal(Signal::SIGTERM);
    let output = keeper.finish();
    assert!(output.status.success(), "{}", output.err());
    assert!(output.err().contains("READY=1"), "nobody is told: {}", output.err());
}

/// `auraed --version` and `--help` answer without starting anything.
fn prints_its_version() {
    let house = tests::House::prepare(Options::default());
    for flag in ["--version", "--help"] {
        let mut command = house.command("auraed");
        command.arg(flag);
        let output = Process::start(command, || {}).finish();
        assert!(output.status.success(), "{flag}: {}", output.err());
        assert!(output.out().contains("auraed"), "{flag}: {}", output.out());
    }
    assert!(!house.state_dir().exists());
}
