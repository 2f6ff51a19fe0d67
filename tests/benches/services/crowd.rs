//! A thousand that sleep: started, weighed and stopped.

use std::time::{Duration, Instant};

use api::runtime::UnitState;
use tests::{
    Daemon, Options, procfs,
    services::{Bare, Calls, Other, Supervision, names, sleeper},
};

use crate::{load, median, ratio, rest};

const COUNT: usize = 1000;
/// Each of them in both orders: on some hosts cgroups that were removed slow down what comes next.
const ROUNDS: usize = 4;
/// All running, over a bare loop of clone3 into as many cgroups.
const START_BOUND: f64 = 1.3;
/// All stopped, over a bare loop of kill, wait and rmdir.
const STOP_BOUND: f64 = 1.5;
/// Keeper and daemon, for each, in KiB.
const MEMORY_BOUND: f64 = 8.0;

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    let calls = Calls::to(&daemon);
    let (mut ours, mut bare) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut memory = f64::INFINITY;
    for round in 0..ROUNDS {
        let turn = |bare: &mut (Vec<Duration>, Vec<Duration>)| {
            let (start, stop) = loops();
            println!("services: round {round}, bare start {start:?}, stop {stop:?}");
            bare.0.push(start);
            bare.1.push(stop);
        };
        if round % 2 == 1 {
            turn(&mut bare);
        }
        let (start, stop, each) = services(&daemon, &calls);
        println!(
            "services: round {round}, ours start {start:?}, stop {stop:?}, {each:.2} KiB each, load average {}",
            load()
        );
        ours.0.push(start);
        ours.1.push(stop);
        if round == 0 {
            // Later the daemon has room from before.
            memory = each;
        }
        if round % 2 == 0 {
            turn(&mut bare);
        }
    }
    daemon.stop();
    let (start, bare_start) = (median(ours.0), median(bare.0));
    let (stop, bare_stop) = (median(ours.1), median(bare.1));
    let (starts, stops) = (ratio(start, bare_start), ratio(stop, bare_stop));
    println!(
        "services: {COUNT} running in {start:?}, bare clone3 into as many cgroups {bare_start:?}, ratio {starts:.2} (bound {START_BOUND})"
    );
    println!(
        "services: {COUNT} stopped in {stop:?}, bare kill, wait and rmdir {bare_stop:?}, ratio {stops:.2} (bound {STOP_BOUND})"
    );
    println!("services: keeper and daemon {memory:.2} KiB PSS each (bound {MEMORY_BOUND})");
    let first = Other::ALL.into_iter().all(|other| faster_than(other, start));
    first && starts <= START_BOUND && stops <= STOP_BOUND && memory <= MEMORY_BOUND
}

/// How long the bare loops take.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn loops() -> (Duration, Duration) {
    let mut bare = Bare::prepare();
    let begin = Instant::now();
    let all = bare.start(COUNT);
    let start = begin.elapsed();
    let begin = Instant::now();
    bare.stop(all);
    (start, begin.elapsed())
}

/// How long ours take, and the memory for each.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn services(daemon: &Daemon, calls: &Calls) -> (Duration, Duration, f64) {
    let names = names(COUNT);
    let executables = names.iter().map(|name| sleeper(name)).collect();
    let before = weight(daemon);
    let begin = Instant::now();
    calls.start_all(executables);
    let start = begin.elapsed();
    let running = |state| calls.list().iter().filter(|view| view.state() == state).count();
    assert_eq!(running(UnitState::Running), COUNT);
    let after = weight(daemon);
    println!(
        "services: keeper {} to {}, daemon {} to {} KiB PSS",
        before.0, after.0, before.1, after.1
    );
    let each = (after.0 + after.1).saturating_sub(before.0 + before.1);
    let begin = Instant::now();
    calls.stop_all(&names);
    let stop = begin.elapsed();
    assert_eq!(running(UnitState::Inactive), COUNT);
    assert_eq!(calls.forget_all(), COUNT);
    (start, stop, f64::from(u32::try_from(each).expect("less than 4 TiB")) / COUNT as f64)
}

/// The memory of keeper and of daemon in KiB, when they have come to rest.
fn weight(daemon: &Daemon) -> (u64, u64) {
    let (keeper, core) = (daemon.keeper(), rest(daemon));
    let pss = |pid| procfs::pss_kib(pid).expect("it lives");
    (pss(keeper), pss(core))
}

/// Whether another supervisor takes longer; one that is not installed does.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn faster_than(other: Other, ours: Duration) -> bool {
    if let Some(reason) = other.missing() {
        println!("services: {}: {reason}", other.name());
        return true;
    }
    let folder = other.furnish(COUNT);
    let begin = Instant::now();
    let supervision = Supervision::start(other, folder, COUNT);
    supervision.await_all();
    let took = begin.elapsed();
    println!(
        "services: {} has {COUNT} in {took:?}, ours over it {:.2}; {:.1} KiB PSS each, load average {}",
        other.name(),
        ratio(ours, took),
        f64::from(u32::try_from(supervision.pss_kib()).expect("less than 4 TiB")) / COUNT as f64,
        load()
    );
    ours < took
}
