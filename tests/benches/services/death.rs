//! From the daemon's death to the first call that the next one answers, with a thousand running units.

use std::time::{Duration, Instant};

use api::runtime::UnitState;
use tests::{
    Daemon, Options,
    services::{Calls, names, sleeper},
};

use crate::{load, median, ratio, rest};

const COUNT: usize = 1000;
const ROUNDS: usize = 15;
/// Over the same where nothing runs, which is a cold start of the daemon.
const BOUND: f64 = 3.0;

pub(crate) fn run() -> bool {
    let options = || Options::default().restart_delay("1ms");
    let (idle, busy) = (Daemon::start(options()), Daemon::start(options()));
    let calls = Calls::to(&busy);
    calls.start_all(names(COUNT).iter().map(|name| sleeper(name)).collect());
    let before = pids(&busy);
    assert_eq!(before.len(), COUNT);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(replaced(&busy));
        // What it does after its first answer is not the other's price.
        rest(&busy);
        without.push(replaced(&idle));
        rest(&idle);
    }
    assert_eq!(pids(&busy), before, "no unit is lost, and none is started twice");
    busy.stop();
    idle.stop();
    let (with, without) = (median(with), median(without));
    let ratio = ratio(with, without);
    println!(
        "services: from the daemon's death to the first answer with {COUNT} units {with:?}, with none {without:?}, ratio {ratio:.2} (bound {BOUND}), load average {}",
        load()
    );
    ratio <= BOUND
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

/// How long there was no daemon.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn replaced(daemon: &Daemon) -> Duration {
    let begin = Instant::now();
    daemon.replace();
    begin.elapsed()
}
