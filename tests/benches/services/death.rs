//! From the daemon's death to the first call that the next one answers, and how long an upgrade of daemon and keeper leaves
//! calls without an answer, with a thousand running units; over a cold start of `auraed` with nothing, and the first over
//! the same death of a daemon that has nothing to adopt.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use api::runtime::UnitState;
use tests::{
    Daemon, Options, binaries,
    services::{Calls, names, sleeper},
};

use crate::{load, median, ratio, rest};

const COUNT: usize = 1000;
const ROUNDS: usize = 15;
/// Over the cold start.
const BOUND: f64 = 3.0;

pub(crate) fn run() -> bool {
    let options = || Options::default().restart_delay("1ms");
    let (idle, busy) = (Daemon::start(options()), Daemon::start(options()));
    let mut third = Daemon::start(options());
    let calls = Calls::to(&busy);
    calls.start_all(names(COUNT).iter().map(|name| sleeper(name)).collect());
    let before = pids(&busy);
    assert_eq!(before.len(), COUNT);
    let (mut with, mut without, mut cold, mut paused) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    let releases = binaries::releases(busy.path());
    for release in releases.iter().cycle().take(ROUNDS) {
        with.push(replaced(&busy));
        // What it does after its first answer is not the other's price.
        rest(&busy);
        without.push(replaced(&idle));
        rest(&idle);
        cold.push(started(&mut third));
        paused.push(upgraded(&busy, release));
        rest(&busy);
    }
    assert_eq!(pids(&busy), before, "no unit is lost, and none is started twice");
    busy.stop();
    idle.stop();
    third.stop();
    let (with, without, cold, paused) =
        (median(with), median(without), median(cold), median(paused));
    let (over_cold, over_death) = (ratio(with, cold), ratio(with, without));
    let pause_over_cold = ratio(paused, cold);
    println!(
        "services: from the daemon's death to the first answer with {COUNT} units {with:?}, from a cold start of keeper and daemon {cold:?}, ratio {over_cold:.2} (bound {BOUND}); from a death with none {without:?}, ratio {over_death:.2}; load average {}",
        load()
    );
    println!(
        "services: the longest time between two answers during an upgrade with {COUNT} units {paused:?}, ratio to a cold start {pause_over_cold:.2} (bound {BOUND})"
    );
    over_cold <= BOUND && pause_over_cold <= BOUND
}

/// The longest time from one answer to the next, while who calls again and again meets an upgrade to this program.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn upgraded(daemon: &Daemon, program: &Path) -> Duration {
    let before = daemon.status().daemon_pid;
    let order = daemon.start_aer(&["daemon", "upgrade", program.to_str().expect("UTF-8")]);
    let (mut last, mut longest, mut is_next) = (Instant::now(), Duration::ZERO, false);
    while !is_next {
        if let Some(status) = daemon.status_if_there() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            is_next = status.daemon_pid != before;
        }
    }
    let output = order.finish();
    assert!(output.status.success(), "{}", output.err());
    longest
}

/// The main processes of what runs, by name.
fn pids(daemon: &Daemon) -> Vec<(String, i32)> {
    let running =
        Calls::to(daemon).list().into_iter().filter(|it| it.state() == UnitState::Running);
    let mut pids: Vec<_> = running
        .map(|view| (view.meta.map(|meta| meta.name).unwrap_or_default(), view.pid))
        .collect();
    pids.sort();
    pids
}

/// How long it takes from nothing to the first answer, where there was a daemon before, and nothing of it runs.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn started(daemon: &mut Daemon) -> Duration {
    daemon.shut_down();
    let begin = Instant::now();
    daemon.start_again();
    assert_eq!(daemon.status().keeper_pid, daemon.keeper());
    begin.elapsed()
}

/// How long there was no daemon.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn replaced(daemon: &Daemon) -> Duration {
    let begin = Instant::now();
    daemon.replace();
    begin.elapsed()
}
