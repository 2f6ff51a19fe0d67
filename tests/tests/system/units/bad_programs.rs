//! Programs that do their worst: none hurts the daemon or another unit, and each shows what became of it.

use api::runtime::{
    Executable, ResourceLimits, RestartPolicy, RestartWhen, StopPolicy, UnitResult, UnitState,
};
use tests::{
    Daemon, Fifo, Need, Options, argv, eventually, procfs,
    rpc::{self, named},
    units::again,
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_bounded_fork_bomb,
        deaf_and_stopped,
        dead_while_grandchildren_hold_its_pipes,
        a_torrent_of_output,
        closed_outputs,
        a_storm_of_notifications,
        fifty_at_once_that_fail,
        all_of_them_side_by_side,
    ]
    .into_iter()
    .chain(cases![[Need::Cgroup]; one_that_leaves_its_cgroup])
    .collect()
}

/// Root's programs can leave their cgroup, as container managers do: it is stopped and killed all the same.
fn one_that_leaves_its_cgroup() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let root = tests::cgroup::mount().expect("there are cgroups");
        let leave = format!("echo $$ > {}/cgroup.procs", root.display());
        for end in ["trap '' TERM; ", ""] {
            let mut up = Fifo::make(daemon.path(), if end.is_empty() { "up" } else { "deaf" });
            let script =
                format!("{end}{leave} || exit 9; echo up > {}; exec sleep 1000", up.path());
            let stop = StopPolicy { timeout_ms: Some(200), ..StopPolicy::default() };
            let unit = Executable { stop: Some(stop), ..argv(&["/bin/sh", "-c", &script]) };
            let pid = daemon.up(named("runaway", unit)).pid;
            assert_eq!(up.line(), "up");
            daemon.down("runaway");
            assert!(!procfs::alive(pid), "it lives");
        }
        all_is_well(daemon, &quiet);
    });
}

/// The daemon answers, and a unit that does nothing wrong is as it was.
fn all_is_well(daemon: &Daemon, quiet: &str) {
    let unit = daemon.unit("quiet");
    assert_eq!((unit.state(), unit.run_id.as_str()), (UnitState::Running, quiet));
    assert_eq!(daemon.answer(argv(&["/bin/echo", "well"])).stdout, "well\n");
}

fn quiet(daemon: &Daemon) -> String {
    daemon.up(named("quiet", daemon.probe(&["pause"]))).run_id
}

/// A hundred children are ended with their unit.
fn a_bounded_fork_bomb() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let mut up = Fifo::make(daemon.path(), "up");
        let started = daemon
            .up(named("bomb", daemon.probe(&["bomb", "100", "say", up.path(), "up", "pause"])));
        assert_eq!(up.line(), "up");
        let children = procfs::descendants(started.pid);
        assert_eq!(children.len(), 100);
        all_is_well(daemon, &quiet);
        daemon.down("bomb");
        assert!(children.iter().all(|&pid| !procfs::alive(pid)));
        assert_eq!(daemon.unit("bomb").state(), UnitState::Inactive);
        all_is_well(daemon, &quiet);
    });
}

/// Deaf to SIGTERM and stopped at once: killed after its time.
fn deaf_and_stopped() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let unit = Executable {
            stop: Some(StopPolicy { timeout_ms: Some(200), ..StopPolicy::default() }),
            ..named("deaf", daemon.probe(&["ignore", "SIGTERM", "raise", "SIGSTOP", "pause"]))
        };
        let pid = daemon.up(unit).pid;
        eventually("it stops itself", || procfs::state(pid) == Some('T'));
        let exit = daemon.down("deaf").exit.unwrap();
        assert_eq!(rpc::signal(&exit), Some(9));
        let unit = daemon.unit("deaf");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        all_is_well(daemon, &quiet);
    });
}

/// A program that dies while its grandchildren hold its pipes is dead: it is started again, and they are gone.
fn dead_while_grandchildren_hold_its_pipes() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let pids = daemon.work("pids");
        let mut up = Fifo::make(daemon.path(), "up");
        let words = [
            "first",
            &daemon.work("first"),
            "{",
            "start",
            "{",
            "setsid",
            "start",
            "{",
            "setsid",
            "mark",
            &pids,
            "say",
            up.path(),
            "up",
            "pause",
            "}",
            "}",
            "nap",
            "100",
            "raise",
            "SIGKILL",
            "}",
            "line",
            "second",
            "pause",
        ];
        let unit = Executable {
            restart: Some(again(RestartWhen::OnFailure)),
            ..named("web", daemon.probe(&words))
        };
        daemon.up(unit);
        assert_eq!(up.line(), "up");
        daemon.until("web", "it is up again", |unit| {
            unit.restarts == 1 && unit.state() == UnitState::Running
        });
        let left: Vec<i32> = std::fs::read_to_string(&pids)
            .unwrap_or_default()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert!(left.iter().all(|&pid| !procfs::alive(pid)), "{left:?}");
        let exit = daemon.unit("web").last_exit.unwrap();
        assert_eq!(rpc::signal(&exit), Some(9));
        all_is_well(daemon, &quiet);
    });
}

/// Output as fast as it goes delays neither the daemon nor a stop, and its last line is told.
fn a_torrent_of_output() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let unit = named("loud", daemon.probe(&["numbered", &daemon.work("count"), "0"]));
        daemon.up(unit);
        eventually("it is loud", || {
            std::fs::read_to_string(daemon.work("count"))
                .is_ok_and(|text| text.trim().parse::<u64>().is_ok_and(|count| count > 2000))
        });
        all_is_well(daemon, &quiet);
        let exit = daemon.down("loud").exit.unwrap();
        assert!(exit.stdout_total >= 20_000, "{exit:?}");
        let last = String::from_utf8_lossy(&exit.last_line).into_owned();
        assert!(last.parse::<u64>().is_ok(), "{last:?}");
        all_is_well(daemon, &quiet);
    });
}

/// A service that closes its outputs, as daemons do, goes on.
fn closed_outputs() {
    Daemon::with(Options::default(), |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["close", "1", "close", "2", "say", up.path(), "up", "pause"];
        let started = daemon.up(named("web", daemon.probe(&words)));
        assert_eq!(up.line(), "up");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, started.pid));
        assert_eq!(rpc::signal(&daemon.down("web").exit.unwrap()), Some(15));
    });
}

/// Thousands of notifications, long ones and nonsense among them: the last status is shown, and calls are answered.
fn a_storm_of_notifications() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let long = format!("STATUS={}", "x".repeat(5000));
        let mut words = vec!["notify", "READY=1"];
        for _ in 0..20 {
            words.extend(["notify", &long]);
            words.extend(["notify", "STATUS=busy", "notify", "=\n\u{1}nonsense"].repeat(50));
        }
        words.extend(["notify", "STATUS=at \u{7}rest", "pause"]);
        let unit = Executable {
            readiness: api::runtime::Readiness::Notify.into(),
            ..named("web", daemon.probe(&words))
        };
        daemon.up(unit);
        let unit = daemon.until("web", "it rests", |unit| unit.status_text.starts_with("at "));
        assert_eq!(unit.status_text, "at \u{fffd}rest");
        all_is_well(daemon, &quiet);
    });
}

/// Fifty units at once that die at once, each by its rules, each with its own end.
fn fifty_at_once_that_fail() {
    Daemon::with(Options::default(), |daemon| {
        let quiet = quiet(daemon);
        let begun: Vec<_> = (0..50)
            .map(|number| {
                let status = (number % 5).to_string();
                let unit = Executable {
                    restart: Some(RestartPolicy {
                        start_limit: Some(3),
                        start_interval_ms: Some(600_000),
                        ..again(RestartWhen::OnFailure)
                    }),
                    ..named(&format!("unit-{number}"), daemon.probe(&["exit", &status]))
                };
                daemon.begin_start(tests::units::of(unit))
            })
            .collect();
        begun.into_iter().for_each(|begun| drop(daemon.answered(begun)));
        for number in 0..50 {
            let name = format!("unit-{number}");
            let status = number % 5;
            let state = if status == 0 { UnitState::Inactive } else { UnitState::Failed };
            let unit = daemon.until_state(&name, state);
            let result = if status == 0 { UnitResult::Success } else { UnitResult::StartLimitHit };
            assert_eq!(unit.result(), result, "{name}");
            assert_eq!(rpc::code(&unit.last_exit.unwrap()), Some(status), "{name}");
        }
        all_is_well(daemon, &quiet);
        assert_eq!(daemon.status().runs_live, 1);
    });
}

/// All sorts side by side, for a while: the quiet one is never disturbed, and the daemon's descriptors do not grow.
fn all_of_them_side_by_side() {
    Daemon::with(Options::default().stop_timeout("1s"), |daemon| {
        let quiet = quiet(daemon);
        let flapping = Executable {
            restart: Some(again(RestartWhen::Always)),
            ..named("flapping", daemon.probe(&["line", "x", "exit", "1"]))
        };
        drop(daemon.try_up(flapping));
        let orphans = Executable {
            restart: Some(RestartPolicy { delay_ms: Some(50), ..again(RestartWhen::Always) }),
            ..named("orphans", daemon.probe(&["bomb", "5", "nap", "20", "exit", "0"]))
        };
        drop(daemon.try_up(orphans));
        daemon.up(named("deaf", daemon.probe(&["ignore", "SIGTERM", "pause"])));
        daemon.up(named("loud", daemon.probe(&["numbered", &daemon.work("count"), "1000"])));
        let limits =
            Some(ResourceLimits { memory_max_bytes: Some(16 << 20), ..Default::default() });
        let eater = Executable {
            limits,
            restart: Some(RestartPolicy { delay_ms: Some(50), ..again(RestartWhen::Always) }),
            ..named("eater", daemon.probe(&["alloc", "64", "pause"]))
        };
        // Where the machine cannot keep it there is one bad program less.
        drop(daemon.try_up(eater));
        let restarts = |name| daemon.unit(name).restarts;
        eventually("they have all gone on for a while", || {
            restarts("flapping") > 20 && restarts("orphans") > 5
        });
        let core = daemon.status().daemon_pid;
        let before = procfs::descriptors(core);
        let then = restarts("flapping");
        eventually("they have gone on", || restarts("flapping") > then + 20);
        all_is_well(daemon, &quiet);
        assert!(procfs::descriptors(core) <= before + 40, "descriptors are lost");
        for name in ["flapping", "orphans", "deaf", "loud"] {
            daemon.down(name);
        }
        all_is_well(daemon, &quiet);
    });
}
