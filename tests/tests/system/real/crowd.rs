//! The short form of the benchmark `services`: it asserts no times.

use api::runtime::UnitState;
use tests::{
    Daemon, Need, Options, procfs,
    services::{Bare, Calls, names, sleeper},
};

use crate::{Case, cases};

const COUNT: usize = 20;

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Cgroup]; a_crowd_comes_and_goes]
}

/// Started with many calls under way, twenty run, each in a process of its own; stopped, nothing of them is left,
/// forgotten, their names are free. Beside them the bare loop, which the benchmark compares with, does the same.
fn a_crowd_comes_and_goes() {
    let daemon = Daemon::start(Options::default());
    let calls = Calls::to(&daemon);
    let mut bare = Bare::prepare();
    let names = names(COUNT);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let kept = bare.start(COUNT);
        calls.start_all(names.iter().map(|name| sleeper(name)).collect());
        let running = calls.list();
        assert_eq!(running.len(), COUNT);
        for (view, name) in running.iter().zip(&names) {
            let meta = view.meta.clone().unwrap_or_default();
            assert_eq!((&meta.name, view.state()), (name, UnitState::Running));
            assert_eq!(procfs::command(view.pid), "sleep", "{name} has a process that sleeps");
        }
        let mut pids: Vec<i32> = running.iter().map(|view| view.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), COUNT, "each has a process of its own");
        let weight = |pid| procfs::pss_kib(pid).unwrap_or_default();
        assert!(weight(daemon.keeper()) > 0 && weight(daemon.status().daemon_pid) > 0);
        calls.stop_all(&names);
        bare.stop(kept);
        assert!(super::gone(&pids), "a unit that is down has no process");
        assert!(calls.list().iter().all(|view| view.state() == UnitState::Inactive));
        assert_eq!(calls.forget_all(), COUNT);
        assert_eq!(calls.list(), Vec::new());
        seen.extend(pids);
    }
    assert!(super::gone(&seen));
    daemon.stop();
}
