//! What services cost, each against a bare loop of the same in the same run: a thousand started and stopped, their
//! memory, the time from a death to the successor, one among ten thousand, and the daemon's own death among a thousand.
//!
//! Parts to be run are arguments (`crowd`, `successor`, `known`, `death`; all by default). Fails where a bound is passed.

mod crowd;
mod death;
mod known;
mod successor;

use std::{env, fs, process::ExitCode, time::Duration};

use tests::{Daemon, procfs, wait::holds_within};

/// Its name, and what tells whether it keeps its bounds.
type Part = (&'static str, fn() -> bool);

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [Part; 4] = [
        ("crowd", crowd::run),
        ("successor", successor::run),
        ("known", known::run),
        ("death", death::run),
    ];
    let mut fine = true;
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("services: {name}, load average {}", load());
            fine &= run();
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How busy the machine was in the last minute: whoever reads a figure has to know.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Waits until keeper and daemon have nothing more to do; the daemon's process.
fn rest(daemon: &Daemon) -> i32 {
    let (keeper, core) = (daemon.keeper(), daemon.status().daemon_pid);
    let switches = || procfs::context_switches(keeper) + procfs::context_switches(core);
    let mut last = switches();
    let _ = holds_within(Duration::from_secs(10), || {
        let _ = holds_within(Duration::from_millis(300), || false);
        let now = switches();
        std::mem::replace(&mut last, now) == now
    });
    core
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(ours: Duration, bare: Duration) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}
