//! What is left behind becomes the first program's, which reaps it.

use std::time::Duration;

use tests::{
    vm::{LONG, Machine},
    wait::holds_within,
};

use crate::{PROBE, json, unit};

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
    let storm = [PROBE, "swarm", "1000", file, "pause"];
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

/// While a unit makes processes for ever, as many as it may, whoever asks is answered, programs start and end, and PID 1 reaps.
pub(super) fn a_fork_storm_that_goes_on_holds_up_nobody(machine: &Machine) {
    const MOST: u32 = 32;
    let before = names(machine);
    let words = ["start", "--name", "storm", "--pids-max", &MOST.to_string(), "--", PROBE, "breed"];
    let _ = machine.told(&words);
    let ours = json(&machine.told(&["-o", "json", "status"]))["cgroup"].clone();
    let run = unit(machine, "storm")["run_id"].clone();
    let (ours, run) = (ours.as_str().unwrap(), run.as_str().unwrap());
    let cgroup = format!("/sys/fs/cgroup{ours}/units/storm/{run}");
    let refused = || {
        let events = machine.agent.read(&format!("{cgroup}/pids.events"));
        let line = events.lines().find_map(|line| line.strip_prefix("max "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert!(holds_within(LONG, || refused() > 0), "the storm never came to its bound");
    let (first, told) = (made(machine), machine.console.count("descriptors held"));
    for round in 1..=3 {
        let (made_before, refused_before) = (made(machine), refused());
        assert_eq!(json(&machine.told(&["-o", "json", "status"]))["healthy"], true);
        let output = machine.aer(&["exec", "--", PROBE, "line", "unharmed"]);
        assert_eq!((output.code(), output.out().as_str()), (Some(0), "unharmed\n"));
        // PID 1 itself.
        machine.agent.kill(1, 10);
        let says = || machine.console.count("descriptors held") >= told + round;
        assert!(holds_within(LONG, says), "PID 1 says nothing\n{}", machine.console.tail());
        let goes_on = || made(machine) > made_before + 100 && refused() > refused_before;
        assert!(holds_within(LONG, goes_on), "the storm is over in round {round}");
        let count: u32 =
            machine.agent.read(&format!("{cgroup}/pids.current")).trim().parse().unwrap();
        assert!(count <= MOST, "{count} processes");
    }
    eprintln!("{} processes in the storm", made(machine) - first);
    let _ = machine.told(&["stop", "storm"]);
    let _ = machine.told(&["forget", "storm"]);
    let mut last = Vec::new();
    let held = holds_within(LONG, || {
        last = names(machine);
        last == before
    });
    assert!(held, "{last:?} are not those before: {before:?}");
}
