//! What is there when a machine has started.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{
    vm::{LONG, Machine, store::Kernel},
    wait::holds_within,
};

use crate::json;

/// The API answers from outside, the daemon is well, and the first program is its keeper.
pub(super) fn boots_to_the_api(machine: &Machine) {
    let status = json(&machine.told(&["-o", "json", "status"]));
    assert_eq!(status["healthy"], true, "{status}");
    assert_eq!(status["keeper_pid"], 1, "{status}");
    assert_eq!(status["tracking"], "cgroup2", "{status}");
    assert_eq!(status["spawn_method"], "clone3-into-cgroup", "{status}");
    assert_eq!(status["problems"], Value::Array(Vec::new()), "{status}");
    assert_eq!(status["daemon_starts"], 1, "{status}");
}

/// What was enabled before the machine was first switched on is up.
pub(super) fn enabled_units_are_up(machine: &Machine) {
    crate::until_running(machine, "steady");
}

/// Nothing runs but the keeper, the daemon, the unit, and what the tests brought; no child is left of the early work.
pub(super) fn processes_are_as_expected(machine: &Machine) {
    let mut last = Vec::new();
    let expected = ["auraed 0", "auraed-core 1", "guest-agent 1", "probe 1"];
    let held = holds_within(LONG, || {
        last = machine.agent.processes();
        let mut seen: Vec<String> =
            last.iter().map(|process| format!("{} {}", process.name, process.parent)).collect();
        seen.sort();
        seen == expected
    });
    assert!(held, "{last:#?}");
}

/// Programs may open as many files as on other machines, and the daemon has room for a thousand of them.
pub(super) fn open_files_are_as_expected(machine: &Machine) {
    let limit = |pid: i64| {
        let limits = machine.agent.read(&format!("/proc/{pid}/limits"));
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        line.unwrap().split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit(crate::unit(machine, "steady")["pid"].as_i64().unwrap()), ["1024", "524288"]);
    assert_eq!(limit(1), ["524288", "524288"]);
}

/// What a machine has mounted: the type, where, and how. What the kernel says of sizes is left out.
const MOUNTS: [&str; 15] = [
    "rootfs / rw",
    "proc /proc rw,nosuid,nodev,noexec,relatime",
    "sysfs /sys rw,nosuid,nodev,noexec,relatime",
    "devtmpfs /dev rw,nosuid,noexec,relatime,mode=755",
    "devpts /dev/pts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666",
    "tmpfs /dev/shm rw,nosuid,nodev,relatime",
    "tmpfs /run rw,nosuid,nodev,relatime,mode=755",
    "cgroup2 /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot",
    "mqueue /dev/mqueue rw,nosuid,nodev,noexec,relatime",
    "securityfs /sys/kernel/security rw,nosuid,nodev,noexec,relatime",
    "debugfs /sys/kernel/debug rw,nosuid,nodev,noexec,relatime",
    "tracefs /sys/kernel/tracing rw,nosuid,nodev,noexec,relatime",
    "bpf /sys/fs/bpf rw,nosuid,nodev,noexec,relatime,mode=700",
    FUSE,
    "pstore /sys/fs/pstore rw,nosuid,nodev,noexec,relatime",
];

/// Built into the newest kernel, and a module of the oldest one.
const FUSE: &str = "fusectl /sys/fs/fuse/connections rw,nosuid,nodev,noexec,relatime";

/// The filesystems are those that a machine has, each once, in this order and with these options.
pub(super) fn mounts_are_as_expected(machine: &Machine) {
    let mounts = machine.agent.read("/proc/self/mounts");
    let seen: Vec<String> = mounts.lines().map(mount).collect();
    let built_in = machine.is_of(Kernel::Newest);
    let expected: Vec<&str> = MOUNTS.into_iter().filter(|it| *it != FUSE || built_in).collect();
    assert_eq!(seen, expected);
}

fn mount(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, point, kind, options, ..] = words.as_slice() else { panic!("{line:?}") };
    let size = |option: &&str| {
        ["size=", "nr_inodes=", "inode64"].iter().any(|prefix| option.starts_with(prefix))
    };
    let options: Vec<&str> = options.split(',').filter(|option| !size(option)).collect();
    format!("{kind} {point} {}", options.join(","))
}

/// Every controller that the kernel offers and units can have limits of is there for them.
pub(super) fn controllers_are_as_expected(machine: &Machine) {
    let offered = machine.agent.read("/sys/fs/cgroup/cgroup.controllers");
    for wanted in ["cpu", "io", "memory", "pids"] {
        assert!(offered.split_whitespace().any(|word| word == wanted), "{offered}");
    }
    // All of them are handed down from the root.
    let down = machine.agent.read("/sys/fs/cgroup/cgroup.subtree_control");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(words(&down), words(&offered));
    let status = json(&machine.told(&["-o", "json", "status"]));
    let ours = status["cgroup"].as_str().unwrap().to_owned();
    let units = machine.agent.read(&format!("/sys/fs/cgroup{ours}/units/cgroup.controllers"));
    let mut units: Vec<&str> = units.split_whitespace().collect();
    units.sort_unstable();
    assert_eq!(units, ["cpu", "io", "memory", "pids"]);
    // Each process in a leaf: only the keeper, the daemon and the runs are in our tree.
    for inner in [ours.clone(), format!("{ours}/units")] {
        let inside = machine.agent.read(&format!("/sys/fs/cgroup{inner}/cgroup.procs"));
        assert_eq!(inside, "", "{inner} has processes");
    }
}
