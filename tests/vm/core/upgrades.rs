//! Other programs in the place of those that run: what runs goes on, and PID 1 lives.

use tests::{
    vm::{LONG, Machine},
    wait::holds_within,
};

use crate::{PROBE, status, unit};

/// A daemon that misbehaves as files beside it say.
const STRANGER: &str = "/aurae-tests/stranger";

/// Does this, after which keeper and daemon have to be others, and a unit that prints the same.
fn goes_on(machine: &Machine, change: impl FnOnce(), keeper: &str) {
    let count = "/tmp/upgrades";
    let _ = machine.told(&["start", "--name", "goes-on", "--", PROBE, "numbered", count, "100"]);
    let (before, run) = (status(machine), unit(machine, "goes-on"));
    change();
    let mut after = serde_json::Value::Null;
    let held = holds_within(LONG, || {
        let output = machine.aer(&["-o", "json", "status"]);
        after = serde_json::from_str(&output.out()).unwrap_or_default();
        after["healthy"] == true && after["daemon_pid"] != before["daemon_pid"]
    });
    assert!(held, "no other daemon came, or it is not well: {after}");
    assert_eq!(after["keeper_pid"], 1, "{after}");
    assert_eq!(machine.agent.target("/proc/1/exe"), keeper);
    let adopted = unit(machine, "goes-on");
    assert_eq!((&adopted["run_id"], &adopted["pid"]), (&run["run_id"], &run["pid"]));
    let _ = machine.told(&["stop", "goes-on"]);
    let printed = machine.told(&["logs", run["run_id"].as_str().unwrap()]);
    let lines: Vec<u64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines, (1..=lines.len() as u64).collect::<Vec<_>>(), "lines are missing or twice");
    let _ = machine.told(&["forget", "goes-on"]);
}

/// A new daemon and a new keeper, by order, in the place of PID 1.
pub(super) fn both_programs_are_followed_by_others_in_place(machine: &Machine) {
    let agent = machine.agent;
    agent.folder("/opt/next");
    for name in ["auraed", "auraed-core"] {
        agent.copy(&format!("/usr/sbin/{name}"), &format!("/opt/next/{name}"));
    }
    // The keeper is the one beside it.
    let upgrade = || drop(machine.told(&["daemon", "upgrade", "/opt/next/auraed-core"]));
    goes_on(machine, upgrade, "/opt/next/auraed");
}

/// SIGTERM to PID 1 of a machine, as other inits have it.
pub(super) fn sigterm_executes_both_again(machine: &Machine) {
    let keeper = machine.agent.target("/proc/1/exe");
    goes_on(machine, || machine.agent.kill(1, 15), &keeper);
}

/// A release of which the daemon dies before it is healthy: its keeper is PID 1 already, and both make room for those before.
pub(super) fn a_release_that_is_not_healthy_is_left_again(machine: &Machine) {
    let (agent, folder) = (machine.agent, "/opt/unhealthy");
    let keeper = agent.target("/proc/1/exe");
    agent.folder(folder);
    agent.copy("/usr/sbin/auraed", &format!("{folder}/auraed"));
    agent.copy(STRANGER, &format!("{folder}/auraed-core"));
    agent.write(&format!("{folder}/real"), b"/usr/sbin/auraed-core");
    agent.write(&format!("{folder}/serve"), b"1000 dies");
    let upgrade = || {
        let output = machine.aer(&["daemon", "upgrade", &format!("{folder}/auraed-core")]);
        assert_eq!(output.code(), Some(1), "{}", output.err());
        assert!(output.err().contains("exit status 3"), "{}", output.err());
        // It has lived, and has started that daemon.
        assert_eq!(agent.read(&format!("{folder}/starts")), "1");
    };
    goes_on(machine, upgrade, &keeper);
}
