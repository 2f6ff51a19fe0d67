//! The machine's end: in order, whatever its units do, and with clean disks.

use std::{fs, time::Duration};

use libtest_mimic::Trial;
use tests::{
    eventually,
    vm::{
        Boot, Ending, Machine, image,
        store::{self, Kernel},
    },
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
        another_kernel_is_executed_in_order,
        halts,
        forced_it_ends_at_once,
        what_is_stacked_is_taken_down_in_reverse,
        a_disk_that_hangs_does_not_hold_the_end,
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
fn was_in_order(disk: &Disk, expected: &[&str]) {
    disk.is_clean();
    let ended = disk.read("/var/ended");
    let mut ended: Vec<&str> = ended.lines().collect();
    ended.sort_unstable();
    assert_eq!(ended, expected);
}

fn ends_in_order(name: &str, order: impl FnOnce(&Machine), expected: Ending) {
    let disk = Disk::make(|_| {});
    let machine = Machine::start(Boot::of(name, KERNEL).from_disk(&disk.path()));
    until_running(&machine, "steady");
    quick_slow_and_deaf(&machine);
    order(&machine);
    assert_eq!(machine.ends(), expected, "{}", machine.console.tail());
    drop(machine);
    was_in_order(&disk, &["quick", "slow"]);
    // It comes up again from what is there.
    let machine = Machine::start(Boot::of(name, KERNEL).from_disk(&disk.path()));
    until_running(&machine, "steady");
    assert_eq!(status(&machine)["problems"], serde_json::json!([]));
}

/// Ordered by a client, it is switched off, with quick, slow and deaf units, and the disk is clean, though the programs that
/// run were replaced on it by a packet manager.
fn powers_off_in_order() {
    let order = |machine: &Machine| {
        for name in ["auraed", "auraed-core"] {
            let path = format!("/usr/sbin/{name}");
            machine.agent.copy(&path, &format!("{path}.new"));
            machine.agent.rename(&format!("{path}.new"), &path);
        }
        assert!(machine.agent.target("/proc/1/exe").ends_with(" (deleted)"));
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

/// Without a kernel that is loaded it is refused. With one units end in order, the disk is clean, and the other kernel boots,
/// with all that is enabled.
fn another_kernel_is_executed_in_order() {
    const NEXT: &str = "/boot/next";
    let disk = Disk::make(|root| {
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::copy(store::kernel(Kernel::Newest).image, root.join("boot/next")).unwrap();
        // What is of another kernel is refused by the one that runs, and left out.
        image::add_modules(root, Kernel::Newest);
    });
    let boot = Boot::of("another_kernel_is_executed_in_order", KERNEL);
    let machine = Machine::start(boot.from_disk(&disk.path()));
    until_running(&machine, "steady");
    let refused = machine.aer(&["power", "kexec"]);
    assert!(refused.err().contains("no kernel is loaded"), "{}", refused.err());
    quick_slow_and_deaf(&machine);
    let version = |machine: &Machine| machine.agent.read("/proc/sys/kernel/osrelease");
    let (before, words) = (version(&machine), machine.agent.read("/proc/cmdline"));
    machine.agent.load_kernel(NEXT, &format!("{} aurae.mask=nobody", words.trim_end()));
    let _ = machine.told(&["power", "kexec", "--message", "another kernel"]);
    machine.executes_the_loaded_kernel();
    until_running(&machine, "steady");
    assert_ne!(version(&machine), before);
    assert!(machine.agent.read("/proc/cmdline").contains("aurae.mask=nobody"));
    assert_eq!(status(&machine)["problems"], serde_json::json!([]));
    // The kernel would have said that it had to mend the disk.
    let log = machine.agent.kernel_log();
    assert!(log.contains("EXT4-fs") && !log.contains("recover"), "{log}");
    // So does the end of that one.
    quick_slow_and_deaf(&machine);
    let _ = machine.told(&["power", "off"]);
    assert_eq!(machine.ends(), Ending::Off, "{}", machine.console.tail());
    drop(machine);
    was_in_order(&disk, &["quick", "quick", "slow", "slow"]);
}

/// Halted by a signal, it stays on and does nothing.
fn halts() {
    let machine = Machine::start(Boot::of("halts", KERNEL).from_memory());
    until_running(&machine, "steady");
    machine.agent.kill(1, REAL_TIME + 3);
    machine.console.until("System halted");
    assert!(!machine.has_ended());
}

/// Where nobody wants to wait, deaf units do not matter; disks are as clean as ever.
fn forced_it_ends_at_once() {
    let disk = Disk::make(|_| {});
    let machine =
        Machine::start(Boot::of("forced_it_ends_at_once", KERNEL).from_disk(&disk.path()));
    let words =
        ["start", "--name", "deaf", "--stop-timeout", "1h", "--", PROBE, "ignore", "SIGTERM"];
    let mut words = words.to_vec();
    words.push("pause");
    let _ = machine.told(&words);
    eventually("the API answers", || status(&machine)["runs_live"].as_u64() >= Some(1));
    let _ = machine.told(&["power", "off", "--force"]);
    assert_eq!(machine.ends_within(Duration::from_secs(60)), Ending::Off);
    drop(machine);
    disk.is_clean();
}

/// Swap in a file, a filesystem in a file, and memory mounted in that: each goes before what it needs, and both filesystems are
/// clean.
fn what_is_stacked_is_taken_down_in_reverse() {
    let name = "what_is_stacked_is_taken_down_in_reverse";
    let disk = Disk::make(|root| {
        let inner = tempfile::tempdir().unwrap();
        image::filesystem(&root.join("var/inner"), 8, inner.path());
    });
    let machine = Machine::start(Boot::of(name, KERNEL).from_disk(&disk.path()));
    until_running(&machine, "steady");
    let agent = machine.agent;
    agent.swap("/var/swap");
    agent.mount_file("/var/inner", "/mnt/file");
    agent.mount_memory("/mnt/file/memory");
    agent.write("/mnt/file/kept", b"what was written last");
    assert!(agent.read("/proc/swaps").contains("/var/swap"));
    // One who has a file open there until the end.
    let words = [
        "start",
        "--name",
        "busy",
        "--working-directory",
        "/mnt/file/memory",
        "--",
        PROBE,
        "pause",
    ];
    let _ = machine.told(&words);
    until_running(&machine, "busy");
    let _ = machine.told(&["power", "off"]);
    assert_eq!(machine.ends(), Ending::Off, "{}", machine.console.tail());
    let console = machine.console.text();
    assert!(!console.contains("read-only: "), "{}", machine.console.tail());
    drop(machine);
    disk.is_clean();
    let inner = disk.path().with_file_name("inner");
    image::take(&disk.path(), "/var/inner", &inner);
    assert!(image::is_clean(&inner), "the filesystem in a file was not unmounted");
    assert_eq!(image::read(&inner, "/kept"), "what was written last");
}

/// A disk that does not answer any more holds up neither what ends units nor the first process: the machine is down within
/// the bound of docs/pid1.md.
fn a_disk_that_hangs_does_not_hold_the_end() {
    let disk = Disk::make(|root| {
        let text = "[daemon]\nstop_timeout = \"3s\"\n";
        fs::write(root.join("etc/aurae/auraed.toml"), text).unwrap();
    });
    let boot = Boot::of("a_disk_that_hangs_does_not_hold_the_end", KERNEL);
    let machine = Machine::start(boot.from_disk(&disk.path()));
    until_running(&machine, "steady");
    machine.agent.freeze("/");
    machine.agent.kill(1, REAL_TIME + 4);
    // 3 s and 5 s, 10 s for the daemon, twice 10 s and 5 s for whoever is left, 31 s for disks; twice that for the emulation.
    let bound = Duration::from_secs(2 * 74);
    assert_eq!(machine.ends_within(bound), Ending::Off, "{}", machine.console.tail());
    machine.console.until("disks are not clean within 30s");
}
