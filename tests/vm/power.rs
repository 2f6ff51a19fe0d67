//! The machine's end: in order, whatever its units do, and with clean disks.

use std::time::Duration;

use libtest_mimic::Trial;
use tests::{
    eventually,
    vm::{Boot, Ending, Machine},
};

use crate::{
    PROBE,
    disks::{Disk, KERNEL},
    status, trials, until_running,
};

/// The first signal of the real-time ones, as programs see it.
const REAL_TIME: i32 = 34;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        powers_off_in_order,
        reboots_in_order,
        ctrl_alt_delete_boots_it_again,
        halts,
        forced_it_ends_at_once,
    ]
}

/// Starts a unit that ends at once, one that takes two seconds, and one that never heeds SIGTERM.
fn quick_slow_and_deaf(machine: &Machine) {
    let said = |name: &str, words: &[&str]| {
        let mut all = vec!["start", "--name", name, "--stop-timeout"];
        all.push(if name == "deaf" { "3s" } else { "60s" });
        all.extend(["--", PROBE, "ignore", "SIGTERM"]);
        all.extend(words);
        let _ = machine.told(&all);
    };
    said("quick", &["hear", "SIGTERM", "append", "/var/ended", "quick"]);
    said("slow", &["hear", "SIGTERM", "nap", "2000", "append", "/var/ended", "slow"]);
    said("deaf", &["pause"]);
}

/// Units that were asked to end had the time to, and what they wrote then is on a clean disk.
#[track_caller]
fn was_in_order(disk: &Disk) {
    disk.is_clean();
    let ended = disk.read("/var/ended");
    let mut ended: Vec<&str> = ended.lines().collect();
    ended.sort_unstable();
    assert_eq!(ended, ["quick", "slow"]);
}

fn ends_in_order(name: &str, order: impl FnOnce(&Machine), expected: Ending) {
    let disk = Disk::make(|_| {});
    let machine = Machine::start(Boot::of(name, KERNEL).from_disk(&disk.path()));
    until_running(&machine, "steady");
    quick_slow_and_deaf(&machine);
    order(&machine);
    assert_eq!(machine.ends(), expected, "{}", machine.console.tail());
    drop(machine);
    was_in_order(&disk);
    // It comes up again from what is there.
    let machine = Machine::start(Boot::of(name, KERNEL).from_disk(&disk.path()));
    until_running(&machine, "steady");
    assert_eq!(status(&machine)["problems"], serde_json::json!([]));
}

/// Ordered by a client, it is switched off, with quick, slow and deaf units, and the disk is clean.
fn powers_off_in_order() {
    let order = |machine: &Machine| {
        let _ = machine.told(&["power", "off", "--message", "the end of the test"]);
    };
    ends_in_order("powers_off_in_order", order, Ending::Off);
}

/// The same for a reboot, by a signal to PID 1, as other inits have it.
fn reboots_in_order() {
    let order = |machine: &Machine| machine.agent.kill(1, REAL_TIME + 5);
    ends_in_order("reboots_in_order", order, Ending::Reboot);
}

/// The keys reboot the machine, which comes up again with all that is enabled.
fn ctrl_alt_delete_boots_it_again() {
    let disk = Disk::make(|_| {});
    let boot = Boot::of("ctrl_alt_delete_boots_it_again", KERNEL).from_disk(&disk.path()).reboots();
    let machine = Machine::start(boot);
    until_running(&machine, "steady");
    let id = |machine: &Machine| machine.agent.read("/proc/sys/kernel/random/boot_id");
    let before = id(&machine);
    machine.press_ctrl_alt_delete();
    machine.boots_again();
    until_running(&machine, "steady");
    assert_ne!(id(&machine), before);
    assert_eq!(status(&machine)["daemon_starts"], 1);
}

/// Halted by a signal, it stays on and does nothing.
fn halts() {
    let machine = Machine::start(Boot::of("halts", KERNEL).from_memory());
    until_running(&machine, "steady");
    machine.agent.kill(1, REAL_TIME + 3);
    machine.console.until("System halted");
    assert!(!machine.has_ended());
}

/// Where nobody wants to wait, deaf units do not matter.
fn forced_it_ends_at_once() {
    let machine = Machine::start(Boot::of("forced_it_ends_at_once", KERNEL).from_memory());
    let words =
        ["start", "--name", "deaf", "--stop-timeout", "1h", "--", PROBE, "ignore", "SIGTERM"];
    let mut words = words.to_vec();
    words.push("pause");
    let _ = machine.told(&words);
    eventually("the API answers", || status(&machine)["runs_live"].as_u64() >= Some(1));
    let _ = machine.told(&["power", "off", "--force"]);
    assert_eq!(machine.ends_within(Duration::from_secs(60)), Ending::Off);
}
