//! What logs cost, each against a bare loop of the same in the same run.
//!
//! Parts to be run are arguments (`capture`, `silence`, `follow`, `crowd`, `last`, `fast`; all by default). Fails where a bound is
//! passed.

mod bare;
mod capture;
mod crowd;
mod fast;
mod follow;
mod last;
mod printer;
mod silence;

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use api::observe::{LogSource, log_source::Of};
use tests::{Daemon, argv, rpc::named};

/// Its name, and what tells whether it keeps its bounds.
type Part = (&'static str, fn() -> bool);

fn main() -> ExitCode {
    if printer::is_asked_for() {
        return printer::run();
    }
    // cargo adds `--bench`.
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [Part; 6] = [
        ("capture", capture::run),
        ("silence", silence::run),
        ("follow", follow::run),
        ("crowd", crowd::run),
        ("last", last::run),
        ("fast", fast::run),
    ];
    let mut fine = true;
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("logs: {name}");
            fine &= run();
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes of a line, with its end.
const LINE: usize = 100;

/// Has a program print so many lines of [`LINE`] bytes, and waits for its end: its run and process.
fn print(daemon: &Daemon, name: &str, lines: usize) -> (String, i32) {
    let count = lines.to_string();
    let words = ["/usr/bin/seq", "-f", "%099.0f", &count];
    let mut client = daemon.runtime_client();
    let answer = daemon.block_for(Duration::from_secs(600), client.exec(named(name, argv(&words))));
    let answer = answer.expect("it prints").into_inner();
    (answer.run_id, answer.proc.expect("it ran").pid)
}

fn of_name(name: &str) -> Vec<LogSource> {
    vec![LogSource { of: Some(Of::Name(name.to_owned())) }]
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = what();
    (begin.elapsed(), result)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
