//! Units and the daemon's own life: boot, its end in order, and its death.

use std::fs;

use api::runtime::{
    Executable, KillMode, RestartPolicy, RestartWhen, StopPolicy, UnitKind, UnitState,
};
use tests::{
    Daemon, Fifo, Options, argv, eventually, procfs,
    rpc::named,
    units::{again, step},
};
use tonic::Code;

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![boot_starts_units_by_their_rules]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        the_daemons_end_stops_units_as_they_say,
        the_daemons_end_spares_nobody,
        the_daemons_end_ends_what_is_on_its_way,
        what_is_orphaned_ends_with_its_unit,
    ]
}

/// What is enabled is started at boot as a unit: with its restart policy, readiness and all; one that fails at first
/// comes up later; one that cannot come up says why.
fn boot_starts_units_by_their_rules(options: Options) {
    let mut daemon = Daemon::start(options);
    let words = ["first", &daemon.work("first"), "{", "exit", "1", "}", "pause"];
    daemon.enable(Executable {
        restart: Some(again(RestartWhen::OnFailure)),
        ..named("flaky", daemon.probe(&words))
    });
    daemon.enable(Executable {
        kind: UnitKind::Oneshot.into(),
        remain_after_exit: true,
        ..named("job", argv(&["/bin/true"]))
    });
    daemon.enable(Executable {
        readiness: api::runtime::Readiness::Notify.into(),
        ..named("ready", daemon.probe(&["notify", "READY=1", "pause"]))
    });
    daemon.enable(named("missing", argv(&["/nonexistent/x"])));
    daemon.restart();
    eventually("all are known", || daemon.units(false).len() == 4);
    let flaky = daemon.until("flaky", "it is up again", |unit| {
        unit.state() == UnitState::Running && unit.restarts == 1
    });
    assert_eq!(flaky.wanted_by.unwrap().door, "daemon");
    daemon.until_state("job", UnitState::Exited);
    daemon.until_state("ready", UnitState::Running);
    daemon.until_state("missing", UnitState::Failed);
    let changes = daemon.changes("flaky");
    assert_eq!(changes[0].origin.as_ref().unwrap().reason, "it is enabled");
    daemon.stop();
}

/// The daemon's end stops each unit as the unit says, its commands and signal, the last to start first.
fn the_daemons_end_stops_units_as_they_say() {
    let mut daemon = Daemon::start(Options::default());
    let said = daemon.work("said");
    let mut up = Fifo::make(daemon.path(), "up");
    for name in ["one", "two", "three"] {
        let words = [
            "ignore",
            "SIGUSR2",
            "say",
            up.path(),
            "up",
            "hear",
            "SIGUSR2",
            "append",
            &said,
            "heard",
            "exit",
            "0",
        ];
        daemon.up(Executable {
            stop: Some(StopPolicy { signal: 12, ..StopPolicy::default() }),
            on_stop: vec![step(&[&daemon.binary("probe"), "append", &said, name])],
            // It wants to be up, and is not started again all the same.
            restart: Some(again(RestartWhen::Always)),
            ..named(name, daemon.probe(&words))
        });
        assert_eq!(up.line(), "up");
    }
    daemon.shut_down();
    let text = fs::read_to_string(&said).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!(lines.iter().filter(|line| **line == "heard").count(), 3, "{text}");
    daemon.start_again();
    // What each unit has logged says when it was brought down.
    assert_eq!(daemon.units(false), []);
    let log = daemon.own_log();
    let stopping: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("to=stopping"))
        .filter_map(|line| ["one", "two", "three"].into_iter().find(|name| line.contains(*name)))
        .collect();
    assert_eq!(stopping, ["three", "two", "one"], "{log}");
    daemon.stop();
}

/// Whatever its kill mode, and however deaf it is, nothing of a unit outlives the daemon's stop_timeout.
fn the_daemons_end_spares_nobody() {
    let daemon = Daemon::start(Options::default().stop_timeout("1s"));
    let mut up = Fifo::make(daemon.path(), "up");
    let path = up.path().to_owned();
    let words = [
        "ignore", "SIGTERM", "start", "{", "setsid", "ignore", "SIGTERM", "say", &path, "up",
        "pause", "}", "pause",
    ];
    let mut pids = Vec::new();
    for mode in [KillMode::ControlGroup, KillMode::Mixed, KillMode::Process, KillMode::None] {
        let name = mode.as_str_name().to_lowercase();
        let started = daemon.up(Executable {
            stop: Some(StopPolicy {
                kill_mode: mode.into(),
                timeout_ms: Some(3_600_000),
                final_kill: Some(false),
                ..StopPolicy::default()
            }),
            ..named(&name, daemon.probe(&words))
        });
        assert_eq!(up.line(), "up");
        pids.push(started.pid);
    }
    let before = tests::wait::wall_clock();
    // It sees that nothing is left.
    daemon.stop();
    assert!(pids.iter().all(|&pid| !procfs::alive(pid)));
    let took = (tests::wait::wall_clock() - before) / 1_000_000_000;
    assert!(took < 30, "it took {took} s");
}

/// Units that are on their way up, that wait for a restart and that flap do not hold up the daemon's end.
fn the_daemons_end_ends_what_is_on_its_way() {
    let daemon = Daemon::start(Options::default());
    let never = Executable {
        readiness: api::runtime::Readiness::Notify.into(),
        ..named("never", daemon.probe(&["pause"]))
    };
    let begun = daemon.begin_start(tests::units::of(never));
    eventually("it is starting", || daemon.inspect("never").is_ok());
    let waiting = RestartPolicy { delay_ms: Some(3_600_000), ..again(RestartWhen::Always) };
    let unit = named("waiting", argv(&["/bin/false"]));
    drop(daemon.try_up(Executable { restart: Some(waiting), ..unit }));
    let unit = named("flapping", argv(&["/bin/false"]));
    drop(daemon.try_up(Executable { restart: Some(again(RestartWhen::Always)), ..unit }));
    daemon.until_state("waiting", UnitState::Waiting);
    daemon.until("flapping", "it flaps", |unit| unit.restarts > 3);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    let refused = daemon.answered(begun).unwrap_err();
    assert!(matches!(refused.code(), Code::Unavailable | Code::Aborted), "{refused}");
    daemon.ends();
}

/// What a unit's program started and abandoned ends with the unit, and holds up nobody by the pipes that it holds.
fn what_is_orphaned_ends_with_its_unit() {
    Daemon::with(Options::default(), |daemon| {
        let pid = daemon.work("pid");
        let mut up = Fifo::make(daemon.path(), "up");
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = [
            "start",
            "{",
            "setsid",
            "start",
            "{",
            "setsid",
            "ignore",
            "SIGTERM",
            "mark",
            &pid,
            "say",
            up.path(),
            "up",
            "pause",
            "}",
            "}",
            "await",
            gate.path(),
            "exit",
            "0",
        ];
        let unit = Executable {
            stop: Some(StopPolicy { timeout_ms: Some(300), ..StopPolicy::default() }),
            ..named("web", daemon.probe(&words))
        };
        daemon.up(unit);
        assert_eq!(up.line(), "up");
        gate.release();
        let waited = daemon.wait_down("web");
        let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert!(!procfs::alive(pid), "the grandchild has survived");
        assert_eq!(waited.exit.unwrap().leftovers(), api::runtime::Leftovers::Killed);
    });
}
