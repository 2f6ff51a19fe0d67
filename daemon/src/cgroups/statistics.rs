//! What a cgroup used.

use std::path::Path;

use units::Account;

use super::{
    controllers::Controller,
    limits::Control,
    usage::{io, killed, memory_peak},
};
use crate::processes::read_small;

/// What the kernel tells about a cgroup; unavailable where it has no controller for it, never 0.
pub(super) fn account(path: &Path, control: Option<&Control>) -> Account {
    // cpu.stat is there without any controller (cgroup-v2.rst: "This file exists whether the controller
    // is enabled or not"). It is read at each end of a run: by half as many system calls as cgroups-rs takes.
    let cpu = read_small(path.join("cpu.stat")).unwrap_or_default();
    let cpu = String::from_utf8_lossy(&cpu);
    let mut account = Account {
        user_time: value(&cpu, "user_usec"),
        system_time: value(&cpu, "system_usec"),
        ..Account::default()
    };
    if let Some(control) = control
        && let Some(counter) = control.counter(Controller::Memory)
    {
        let before = control.killed_before();
        account.out_of_memory = killed(path, counter).map(|killed| killed > before);
        account.memory_peak = memory_peak(path, counter);
    }
    if let Some(io) = io(path, control) {
        (account.read_bytes, account.written_bytes) = (Some(io.read_bytes), Some(io.write_bytes));
    }
    account
}

/// The value of a line `KEY VALUE`.
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "usage_usec 12\nuser_usec 7\noom_kill 1\n";
        assert_eq!(value(text, "user_usec"), Some(7));
        assert_eq!(value(text, "usec"), None);
    }
}
