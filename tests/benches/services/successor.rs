//! From a death to the successor's first deed, where nothing is to be waited for.

use std::{
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use api::runtime::{Executable, RestartPolicy, RestartWhen, UnitState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, PATIENCE, argv, eventually, procfs,
    rpc::named,
    services::{Bare, Calls},
    wait::{Deadline, holds_within, readable},
};

use crate::{load, median, ratio};

const ROUNDS: usize = 200;
const WARM_UP: usize = 10;
/// Medians, over one who waits for the death and makes the next process.
const BOUND: f64 = 2.0;
/// It tells its process id as soon as it can, and then sleeps.
const SCRIPT: &str = r#"echo $$ > "$0"; exec /bin/sleep infinity"#;

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    let calls = Calls::to(&daemon);
    let mut said = Fifo::make(&daemon.path().join("work"), "said");
    calls.start(successive(&said)).expect("it starts");
    let mut main = said.line().parse().expect("a process id");
    let mut bare = Bare::prepare();
    let (place, mut said_bare) = (bare.place().to_owned(), Fifo::make(daemon.path(), "said-bare"));
    let mut child = bare.spawn(&["/bin/sh", "-c", SCRIPT, said_bare.path()], &place);
    let _ = said_bare.line();
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + WARM_UP {
        await_rest(&calls, main);
        let (took, next) = die(main, &mut said);
        main = next;
        eventually("the shell sleeps", || procfs::command(child.pid.as_raw()) == "sleep");
        let (took_bare, next) = die_bare(&mut bare, &place, child, &mut said_bare);
        child = next;
        if round >= WARM_UP {
            ours.push(took);
            others.push(took_bare);
        }
    }
    kill(child.pid, Signal::SIGKILL).expect("our child");
    child.pidfd.reap().expect("our child");
    daemon.stop();
    let (ours, others) = (median(ours), median(others));
    let ratio = ratio(ours, others);
    println!(
        "services: from a death to the successor {ours:?}, bare {others:?}, ratio {ratio:.2} (bound {BOUND}), load average {}",
        load()
    );
    ratio <= BOUND
}

/// A unit that comes back at once, however often.
fn successive(said: &Fifo) -> Executable {
    let restart = RestartPolicy {
        when: RestartWhen::Always.into(),
        delay_ms: Some(0),
        start_limit: Some(0),
        ..RestartPolicy::default()
    };
    let unit = named("successive", argv(&["/bin/sh", "-c", SCRIPT, said.path()]));
    Executable { restart: Some(restart), ..unit }
}

/// Until the unit is up and nobody has anything left to do for its start.
fn await_rest(calls: &Calls, main: i32) {
    eventually("it runs and sleeps", || {
        let view = calls.view("successive");
        view.state() == UnitState::Running && view.pid == main && procfs::command(main) == "sleep"
    });
    // Whatever is done behind an answer is done by then: the moment of the death is chosen, not a wait.
    let _ = holds_within(Duration::from_millis(5), || false);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn die(main: i32, said: &mut Fifo) -> (Duration, i32) {
    let begin = Instant::now();
    kill(Pid::from_raw(main), Signal::SIGKILL).expect("it lives");
    let next = said.line();
    (begin.elapsed(), next.parse().expect("a process id"))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn die_bare(
    bare: &mut Bare,
    place: &Path,
    child: spawn::Spawned,
    said: &mut Fifo,
) -> (Duration, spawn::Spawned) {
    let _ = holds_within(Duration::from_millis(5), || false);
    let words = ["/bin/sh", "-c", SCRIPT, said.path()].map(str::to_owned);
    let begin = Instant::now();
    kill(child.pid, Signal::SIGKILL).expect("it lives");
    assert!(readable(child.pidfd.as_fd(), Deadline::after(PATIENCE)), "it dies");
    child.pidfd.reap().expect("our child");
    let next = bare.spawn(&words.each_ref().map(String::as_str), place);
    let _ = said.line();
    (begin.elapsed(), next)
}
