//! What is left behind becomes the first program's, which reaps it.

use std::time::Duration;

use tests::{
    vm::{LONG, Machine},
    wait::holds_within,
};

use crate::{PROBE, json};

/// How many.
const COUNT: u64 = 10_000;

/// The processes that were ever made.
fn made(machine: &Machine) -> u64 {
    let stat = machine.agent.read("/proc/stat");
    let line = stat.lines().find_map(|line| line.strip_prefix("processes ")).unwrap();
    line.parse().unwrap()
}

fn names(machine: &Machine) -> Vec<String> {
    machine.agent.processes().into_iter().map(|process| process.name).collect()
}

/// Ten thousand orphans are reaped, no zombie is left, and the API answers meanwhile.
pub(super) fn ten_thousand_are_reaped(machine: &Machine) {
    let (before, first) = (names(machine), made(machine));
    let run = machine.start_aer(&["exec", "--", PROBE, "orphans", &COUNT.to_string()]);
    let mut answered = 0;
    while run.end_within(Duration::from_secs(3)).is_none() {
        assert_eq!(json(&machine.told(&["-o", "json", "status"]))["healthy"], true);
        answered += 1;
    }
    let output = run.finish_within(LONG);
    assert!(output.status.success(), "{}{}", output.out(), output.err());
    assert!(answered > 0, "the storm was over before anybody asked anything");
    let count = made(machine) - first;
    assert!(count >= COUNT, "only {count} processes were made");
    let mut last = Vec::new();
    let held = holds_within(LONG, || {
        last = machine.agent.processes();
        !last.iter().any(|process| process.state == 'Z') && names(machine) == before
    });
    assert!(held, "not all was reaped: {last:#?}");
}

/// A unit that makes processes without end has as many as it may have, and harms nobody; its end is the end of all.
pub(super) fn a_fork_storm_stays_within_its_bound(machine: &Machine) {
    let before = names(machine);
    let file = "/tmp/swarm";
    let storm = [PROBE, "swarm", "5000", file, "pause"];
    let mut words = vec!["start", "--name", "storm", "--pids-max", "64", "--"];
    words.extend(storm);
    let _ = machine.told(&words);
    let held =
        holds_within(LONG, || machine.agent.is_there(file) && !machine.agent.read(file).is_empty());
    assert!(held, "the storm never came to its bound");
    // Itself and those that it made.
    assert_eq!(machine.agent.read(file), "63\n");
    let output = machine.aer(&["exec", "--", PROBE, "line", "unharmed"]);
    assert_eq!((output.code(), output.out().as_str()), (Some(0), "unharmed\n"), "{}", output.err());
    let _ = machine.told(&["stop", "storm"]);
    let _ = machine.told(&["forget", "storm"]);
    machine.agent.remove(file);
    let mut last = Vec::new();
    let held = holds_within(LONG, || {
        last = names(machine);
        last == before
    });
    assert!(held, "{last:?} are not those before: {before:?}");
}
