//! Limits, what the kernel does beyond them, and what is used.

use std::fs;

use api::runtime::{
    ChangeCause, Executable, ResourceLimits, RestartWhen, SignalWhom, UnitResult, UnitState,
};
use tests::{
    Daemon, Fifo, Need, Options, argv, eventually,
    rpc::{self, named},
    units::much_later,
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[Need::Cgroup];
        beyond_its_memory_it_is_killed_and_said_so,
        a_child_beyond_its_memory_is_no_end_of_its_parent,
        a_kill_is_not_for_want_of_memory,
        a_fork_bomb_stays_in_its_limit,
        processor_time_is_kept,
        usage_is_told,
        exec_has_limits_too,
        the_least_memory_holds_the_longest_words,
    ];
    all.extend(cases![[]; without_cgroups_limits_are_refused, a_limit_without_a_controller]);
    all
}

/// A process joins its cgroup while it shares the daemon's memory: a limit that its words alone would pass would kill
/// the daemon. Less is refused by name, and the least is enough for the most that a program can be given.
fn the_least_memory_holds_the_longest_words() {
    Daemon::with(Options::default(), |daemon| {
        let before = daemon.status().daemon_starts;
        for bytes in [1, 512, 16_384, (8 << 20) - 1] {
            let limits = ResourceLimits { memory_max_bytes: Some(bytes), ..memory(8) };
            let refused = daemon.try_up(limited(limits, named("tiny", argv(&["/bin/true"]))));
            let refused = refused.expect_err("it is too little");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("limits.memory_max_bytes"), "{refused}");
        }
        let mut words = vec!["/bin/true".to_owned()];
        words.extend((0..15).map(|_| "x".repeat(120 << 10)));
        let answer = daemon.exec(limited(memory(8), argv(&words)));
        if let Some(answer) = kept(answer, "memory") {
            assert_eq!(answer.exit_code, "0", "{answer:?}");
        }
        assert_eq!(daemon.status().daemon_starts, before, "the daemon died of it");
    });
}

/// The daemon's answer where this machine cannot keep a limit: then there is nothing to test of it, and it has been
/// seen that the refusal names the controller.
fn kept<T>(answer: Result<T, tonic::Status>, controller: &str) -> Option<T> {
    match answer {
        Err(refused) if refused.message().contains("cannot be kept") => {
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains(controller), "{refused}");
            None
        }
        answer => Some(answer.expect("a limit that can be kept")),
    }
}

fn limited(limits: ResourceLimits, executable: Executable) -> Executable {
    Executable { limits: Some(limits), ..executable }
}

fn memory(megabytes: u64) -> ResourceLimits {
    ResourceLimits { memory_max_bytes: Some(megabytes << 20), ..ResourceLimits::default() }
}

/// A program that takes more memory than it may is killed by the kernel: the record says so, the unit's result is
/// oom-kill, the change came from the kernel, and on-failure starts it again where on-abort does not.
fn beyond_its_memory_it_is_killed_and_said_so() {
    Daemon::with(Options::default(), |daemon| {
        let eater = |name: &str| {
            let program = daemon.probe(&["line", "eating", "alloc", "256", "pause"]);
            limited(memory(32), named(name, program))
        };
        if kept(daemon.try_up(eater("plain")), "memory").is_none() {
            return;
        }
        let unit = daemon.until_state("plain", UnitState::Failed);
        assert_eq!(unit.result(), UnitResult::OutOfMemory);
        let exit = unit.last_exit.unwrap();
        assert_eq!((exit.out_of_memory, rpc::signal(&exit)), (Some(true), Some(9)));
        assert_eq!(String::from_utf8_lossy(&exit.last_line), "eating");
        let peak = exit.usage.unwrap().memory_peak_bytes.unwrap();
        assert!((16 << 20..=33 << 20).contains(&peak), "{peak}");
        let changes = daemon.changes("plain");
        assert!(changes.iter().any(|it| it.cause() == ChangeCause::Kernel), "{changes:?}");
        for (when, state) in [
            (RestartWhen::OnFailure, UnitState::Waiting),
            (RestartWhen::OnAbnormal, UnitState::Waiting),
            (RestartWhen::OnAbort, UnitState::Failed),
        ] {
            let name = when.as_str_name().to_lowercase();
            daemon.up(Executable { restart: Some(much_later(when)), ..eater(&name) });
            let unit = daemon.until_state(&name, state);
            assert_eq!(unit.result(), UnitResult::OutOfMemory, "{name}");
        }
    });
}

/// Where a child is killed for want of memory and the program goes on and ends well, the record says that memory ran
/// out, and the unit has not failed.
fn a_child_beyond_its_memory_is_no_end_of_its_parent() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let pid = daemon.work("pid");
        let words =
            ["start", "{", "mark", &pid, "alloc", "256", "pause", "}", "await", gate.path()];
        let unit = limited(memory(48), named("web", daemon.probe(&words)));
        if kept(daemon.try_up(unit), "memory").is_none() {
            return;
        }
        eventually("the child is killed", || {
            let child = fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse().ok());
            child.is_some_and(|child| !tests::procfs::alive(child))
        });
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
        gate.release();
        let unit = daemon.until_state("web", UnitState::Inactive);
        assert_eq!(unit.result(), UnitResult::Success);
        assert_eq!(unit.last_exit.unwrap().out_of_memory, Some(true));
    });
}

/// kill -9 of a unit that has a limit of memory is a signal, and nothing about memory.
fn a_kill_is_not_for_want_of_memory() {
    Daemon::with(Options::default(), |daemon| {
        let unit = limited(memory(64), named("web", daemon.probe(&["pause"])));
        if kept(daemon.try_up(unit), "memory").is_none() {
            return;
        }
        daemon.signal_unit("web", 9, SignalWhom::Main).unwrap();
        let unit = daemon.until_state("web", UnitState::Failed);
        assert_eq!(unit.result(), UnitResult::Signal);
        let exit = unit.last_exit.unwrap();
        assert_eq!((exit.out_of_memory, rpc::signal(&exit)), (Some(false), Some(9)));
    });
}

/// A fork bomb gets as many processes as it may have; another unit and the daemon go on, and Stop ends them all.
fn a_fork_bomb_stays_in_its_limit() {
    Daemon::with(Options::default(), |daemon| {
        let other = daemon.up(named("other", daemon.probe(&["pause"])));
        let count = daemon.work("count");
        let limits = ResourceLimits { pids_max: Some(20), ..ResourceLimits::default() };
        let bomb = named("bomb", daemon.probe(&["swarm", "200", &count, "pause"]));
        if kept(daemon.try_up(limited(limits, bomb)), "pids").is_none() {
            return;
        }
        eventually("the kernel refuses one more", || {
            fs::read_to_string(&count).is_ok_and(|count| count.ends_with('\n'))
        });
        eventually("all are told", || {
            daemon.unit("bomb").usage.is_some_and(|usage| usage.pids == Some(20))
        });
        assert_eq!(fs::read_to_string(&count).unwrap(), "19\n");
        assert_eq!(daemon.answer(argv(&["/bin/echo", "x"])).stdout, "x\n");
        let unit = daemon.unit("other");
        assert_eq!((unit.state(), unit.run_id), (UnitState::Running, other.run_id));
        daemon.down("bomb");
        eventually("nothing of it runs", || daemon.status().runs_live == 1);
    });
}

/// A quota of processor time is kept: a program that does nothing but compute gets no more.
fn processor_time_is_kept() {
    Daemon::with(Options::default(), |daemon| {
        let limits = ResourceLimits {
            cpu_quota_percent: Some(10),
            cpu_weight: Some(50),
            ..ResourceLimits::default()
        };
        let unit = named("busy", argv(&["/bin/sh", "-c", "while :; do :; done"]));
        let unit = Executable { run_limit_ms: 1500, ..limited(limits, unit) };
        if kept(daemon.try_up(unit), "cpu").is_none() {
            return;
        }
        let exit = daemon.wait_down("busy").exit.unwrap();
        let usage = exit.usage.unwrap();
        let used = usage.user_time_ns.unwrap() + usage.system_time_ns.unwrap();
        let span = u64::try_from(exit.ended_at - exit.started_at).unwrap();
        assert!(used * 4 < span, "{used} of {span} ns is more than a quarter");
    });
}

/// Inspect and List tell what a unit uses; List only when it is asked to; what is down uses nothing.
fn usage_is_told() {
    Daemon::with(Options::default(), |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let limits = ResourceLimits { pids_max: Some(100), ..memory(256) };
        let words = ["alloc", "16", "bomb", "3", "say", up.path(), "up", "pause"];
        let unit = limited(limits, named("web", daemon.probe(&words)));
        if kept(daemon.try_up(unit), "").is_none() {
            return;
        }
        assert_eq!(up.line(), "up");
        let usage = daemon.unit("web").usage.expect("it runs");
        assert_eq!(usage.pids, Some(4));
        assert!(usage.memory_bytes.unwrap() >= 16 << 20, "{usage:?}");
        assert!(usage.memory_peak_bytes.unwrap() >= usage.memory_bytes.unwrap() / 2, "{usage:?}");
        let listed = daemon.units(true).remove(0).usage.expect("asked for");
        assert_eq!(listed.pids, Some(4));
        assert_eq!(daemon.units(false).remove(0).usage, None);
        daemon.down("web");
        assert_eq!(daemon.unit("web").usage, None);
        assert_eq!(daemon.units(true).remove(0).usage, None);
    });
}

/// Exec keeps limits as a unit does, and its record has the verdict.
fn exec_has_limits_too() {
    Daemon::with(Options::default(), |daemon| {
        let executable = limited(memory(32), daemon.probe(&["alloc", "256"]));
        let Some(answer) = kept(daemon.exec(executable), "memory") else { return };
        assert_eq!(answer.exit.unwrap().out_of_memory, Some(true));
        assert_eq!(answer.exit_code, "137");
    });
}

/// Where runs are tracked without cgroups no limit can be kept, and each is refused by controller.
fn without_cgroups_limits_are_refused() {
    let best_effort = Options::default().tracking(tests::Tracking::BestEffort);
    Daemon::with(best_effort, |daemon| {
        let none = ResourceLimits::default;
        let table = [
            (ResourceLimits { cpu_weight: Some(5), ..none() }, "cpu_weight", "cpu"),
            (ResourceLimits { cpu_quota_percent: Some(5), ..none() }, "cpu_quota", "cpu"),
            (memory(64), "memory_max", "memory"),
            (
                ResourceLimits { memory_high_bytes: Some(8 << 20), ..none() },
                "memory_high",
                "memory",
            ),
            (ResourceLimits { pids_max: Some(5), ..none() }, "pids_max", "pids"),
        ];
        for (limits, field, controller) in table {
            let unit = limited(limits, named("web", argv(&["/bin/true"])));
            let exec = daemon.exec(limited(limits, argv(&["/bin/true"]))).map(drop);
            for refused in [daemon.try_up(unit).map(drop), exec] {
                let refused = refused.expect_err(field);
                assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
                for word in [field, controller] {
                    assert!(refused.message().contains(word), "{word}: {refused}");
                }
            }
        }
        assert_eq!(daemon.units(false), []);
    });
}

/// On a hybrid host there is no memory.high: FAILED_PRECONDITION that names limit and controller. Elsewhere it is kept.
fn a_limit_without_a_controller() {
    Daemon::with(Options::default(), |daemon| {
        let limits =
            ResourceLimits { memory_high_bytes: Some(64 << 20), ..ResourceLimits::default() };
        let answer = daemon.try_up(limited(limits, named("web", daemon.probe(&["pause"]))));
        if daemon.status().tracking.contains("hybrid") {
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains("memory_high"), "{refused}");
            assert!(refused.message().contains("memory"), "{refused}");
            assert_eq!(daemon.units(false), []);
        } else {
            drop(kept(answer, "memory"));
        }
    });
}
