//! Daemons that die, however they do: what runs goes on, and nothing of it is lost.

use nix::sys::signal::Signal;
use tests::{
    vm::{LONG, Machine},
    wait::holds_within,
};

use crate::{PROBE, json, unit};

/// Killed without warning.
pub(super) fn a_killed_one_is_followed_by_the_next(machine: &Machine) {
    follows(machine, Signal::SIGKILL);
}

/// As if by a fault of its own.
pub(super) fn one_that_crashes_is_followed_by_the_next(machine: &Machine) {
    follows(machine, Signal::SIGSEGV);
}

/// Stopped, so that it does nothing any more.
pub(super) fn one_that_hangs_is_followed_by_the_next(machine: &Machine) {
    follows(machine, Signal::SIGSTOP);
}

fn follows(machine: &Machine, signal: Signal) {
    let count = "/tmp/count";
    let _ = machine.told(&["start", "--name", "writer", "--", PROBE, "numbered", count, "100"]);
    let (before, run) = (json(&machine.told(&["-o", "json", "status"])), unit(machine, "writer"));
    let daemon = before["daemon_pid"].as_i64().unwrap();
    let pid = daemon.to_string();
    machine.agent.kill(i32::try_from(daemon).unwrap(), signal as i32);
    // The question is what a hanging one owes an answer to.
    let mut after = serde_json::Value::Null;
    let held = holds_within(LONG, || {
        if signal == Signal::SIGSEGV {
            // std's own look-out for overflowing stacks takes the first one that comes from outside, and then stands back;
            // until it has, others count as the same one.
            drop(machine.agent.ask(&["kill", &pid, &(signal as i32).to_string()], &[]));
        }
        let output = machine.aer(&["-o", "json", "status"]);
        after = serde_json::from_str(&output.out()).unwrap_or_default();
        after["healthy"] == true && after["daemon_pid"].as_i64().is_some_and(|pid| pid != daemon)
    });
    assert!(held, "no other daemon came, or it is not well: {after}");
    assert_eq!(after["keeper_pid"], 1, "{after}");
    let adopted = unit(machine, "writer");
    assert_eq!(adopted["run_id"], run["run_id"], "{adopted}");
    assert_eq!(adopted["pid"], run["pid"], "{adopted}");
    let _ = machine.told(&["stop", "writer"]);
    let printed = machine.told(&["logs", run["run_id"].as_str().unwrap()]);
    let lines: Vec<u64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<u64> = (1..=lines.len() as u64).collect();
    assert_eq!(lines, expected, "lines are missing or twice there");
    // It says in the file what it has printed, after that.
    let written: u64 = machine.agent.read(count).trim().parse().unwrap();
    assert!(lines.len() as u64 >= written, "{written} lines were printed, {} kept", lines.len());
    let ended = unit(machine, "writer");
    assert_eq!(ended["last_exit"]["signal"], Signal::SIGTERM as i32, "{ended}");
    let _ = machine.told(&["forget", "writer"]);
}
