//! What is wrong with a machine does not keep it from coming up, and from saying what it is.

use std::fs;

use libtest_mimic::Trial;
use serde_json::json;
use tests::{
    eventually,
    vm::{Boot, Ending, Machine, store::Kernel},
};

use crate::{
    PROBE,
    disks::{Disk, KERNEL},
    status, trials, unit, until_running,
};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        rescue_and_masks_start_less,
        a_broken_configuration_is_told,
        a_corrupt_store_is_told,
        a_full_disk_is_told,
        a_missing_var_is_made,
        a_disk_that_cannot_be_written_is_told,
        without_a_daemon_there_is_a_shell,
        a_stopped_console_stops_nothing,
        the_newest_kernel_makes_no_difference,
    ]
}

/// Somebody has pressed Ctrl-S: nobody waits for the console, neither the first process nor who ends the machine. Its root
/// was a container's once, as the file that Docker leaves says, and it is a machine all the same.
fn a_stopped_console_stops_nothing() {
    let disk = Disk::make(|root| fs::write(root.join(".dockerenv"), "").unwrap());
    let machine = start(boot("a_stopped_console_stops_nothing", &disk));
    until_running(&machine, "steady");
    machine.types("\u{13}");
    // More than a terminal takes before it is full, by the daemon; and by the first process, who tells each that ends.
    for number in 0..3 {
        let name = format!("unit-{number}");
        let words = ["enable", "--now", "--oneshot", &name, "--", "/bin/true"];
        drop(machine.aer(&words));
        let daemon = machine.agent.processes().into_iter().find(|it| it.name == "auraed-core");
        machine.agent.kill(daemon.unwrap().pid, 9);
        eventually("the next daemon serves", || {
            status(&machine)["daemon_starts"].as_u64() >= Some(2 + number)
        });
    }
    executes(&machine);
    let _ = machine.told(&["power", "off"]);
    assert_eq!(machine.ends(), Ending::Off, "{}", machine.console.tail());
    disk.is_clean();
}

fn boot(name: &str, disk: &Disk) -> Boot {
    Boot::of(name, KERNEL).from_disk(&disk.path())
}

/// Boots, to an API that answers.
#[track_caller]
fn start(boot: Boot) -> Machine {
    let machine = Machine::start(boot);
    let _ = status(&machine);
    machine
}

/// The API answers, and one of the problems says this, as soon as it is known.
#[track_caller]
fn tells(machine: &Machine, what: &str) {
    eventually(&format!("it is told: {what}"), || {
        let status = status(machine);
        let problems = status["problems"].as_array().unwrap();
        problems.iter().filter_map(|one| one.as_str()).any(|one| one.contains(what))
    });
}

/// Programs can be executed.
#[track_caller]
fn executes(machine: &Machine) {
    let output = machine.aer(&["exec", "--", PROBE, "line", "here"]);
    assert_eq!((output.code(), output.out().as_str()), (Some(0), "here\n"), "{}", output.err());
}

/// In rescue nothing enabled is started; what is masked is not; without either it is.
fn rescue_and_masks_start_less() {
    let name = "rescue_and_masks_start_less";
    let disk = Disk::make(|_| {});
    let machine = start(boot(name, &disk).word("aurae.rescue"));
    tells(&machine, "this is rescue");
    executes(&machine);
    assert_ne!(unit(&machine, "steady")["state"], "running");
    drop(machine);
    let machine = start(boot(name, &disk).word("aurae.mask=steady,other"));
    machine.console.until("masked, so that it is not started");
    executes(&machine);
    assert_ne!(unit(&machine, "steady")["state"], "running");
    drop(machine);
    let machine = start(boot(name, &disk));
    until_running(&machine, "steady");
    assert_eq!(status(&machine)["problems"], json!([]));
}

/// A configuration that cannot be read is as if there were none, and told: by the API, and in the kernel's log.
fn a_broken_configuration_is_told() {
    let disk = Disk::make(|root| {
        fs::write(root.join("etc/aurae/auraed.toml"), "[system]\nsokcet = \"/tmp/x\"\n").unwrap();
    });
    let machine = start(boot("a_broken_configuration_is_told", &disk));
    tells(&machine, "sokcet");
    // The whole sentence, line by line: what is wrong, where, and what comes of it.
    let logged = machine.agent.kernel_log();
    let ours: Vec<&str> = logged.lines().filter(|line| line.contains("auraed-core: ")).collect();
    for what in ["auraed.toml is wrong", "line 2", "sokcet", "going on as if there were none"] {
        assert!(ours.iter().any(|line| line.contains(what)), "no {what:?}: {ours:#?}");
    }
    until_running(&machine, "steady");
    executes(&machine);
}

/// Rescue, a broken configuration, and then a corrupt store.
fn the_newest_kernel_makes_no_difference() {
    let disk = Disk::of(Kernel::Newest, |root| {
        fs::write(root.join("etc/aurae/auraed.toml"), "[system]\nsokcet = \"/tmp/x\"\n").unwrap();
    });
    let boot = Boot::of("the_newest_kernel_makes_no_difference", Kernel::Newest);
    let boot = boot.from_disk(&disk.path());
    let machine = start(boot.clone().word("aurae.rescue"));
    tells(&machine, "this is rescue");
    tells(&machine, "sokcet");
    assert!(machine.agent.kernel_log().contains("going on as if there were none"));
    assert_ne!(unit(&machine, "steady")["state"], "running");
    executes(&machine);
    for name in ["db", "conf"] {
        machine.agent.write(&format!("/var/lib/aurae/schedule/{name}"), &[0xa5; 4096]);
    }
    machine.cut_power();
    drop(machine);
    let machine = start(boot);
    tells(&machine, "damaged");
    tells(&machine, "sokcet");
    executes(&machine);
    let _ = machine.told(&["power", "off"]);
    assert_eq!(machine.ends(), Ending::Off, "{}", machine.console.tail());
    disk.is_clean();
}

/// What cannot be read of what is enabled is told, and the API is there to mend it.
fn a_corrupt_store_is_told() {
    let disk = Disk::make(|root| {
        let store = root.join("var/lib/aurae/schedule");
        for path in tests::schedule::files(&store) {
            let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
            fs::write(&path, vec![0xa5; length]).unwrap();
        }
    });
    let machine = start(boot("a_corrupt_store_is_told", &disk));
    tells(&machine, "damaged");
    assert_eq!(status(&machine)["healthy"], false);
    executes(&machine);
    let _ = machine.told(&["schedule", "repair"]);
    let _ = machine.told(&["enable", "--now", "fresh", "--", PROBE, "pause"]);
    until_running(&machine, "fresh");
}

/// A machine whose disk is full comes up with what is enabled; what cannot be kept is refused; with room all is well.
fn a_full_disk_is_told() {
    let name = "a_full_disk_is_told";
    let disk = Disk::make(|_| {});
    let machine = start(boot(name, &disk));
    until_running(&machine, "steady");
    machine.agent.kill(1, 34 + 4);
    let _ = machine.ends();
    drop(machine);
    // Full before anything of ours has begun.
    let machine = start(boot(name, &disk).word("aurae.rescue"));
    let filled = machine.agent.fill("/filling");
    assert!(filled > 1 << 20, "{filled}");
    machine.agent.sync();
    machine.cut_power();
    drop(machine);
    let machine = start(boot(name, &disk));
    until_running(&machine, "steady");
    // It is executed, and that what it prints cannot be kept is told.
    let output = machine.aer(&["exec", "--", PROBE, "line", "here"]);
    assert_eq!(output.code(), Some(0), "{}", output.err());
    assert!(
        output.out() == "here\n" || output.err().contains("the disk was full"),
        "{}",
        output.err()
    );
    let refused = machine.aer(&["enable", "more", "--", PROBE, "pause"]);
    let listed = machine.told(&["list", "--enabled"]);
    assert_eq!(refused.status.success(), listed.contains("more"), "{}{listed}", refused.err());
    assert!(refused.status.success() || refused.err().contains("No space"), "{}", refused.err());
    machine.agent.remove("/filling");
    let _ = machine.told(&["enable", "--now", "more", "--", PROBE, "pause"]);
    until_running(&machine, "more");
}

/// Without /var it is made, and the machine is as new.
fn a_missing_var_is_made() {
    let disk = Disk::make(|root| fs::remove_dir_all(root.join("var")).unwrap());
    let machine = start(boot("a_missing_var_is_made", &disk));
    assert_eq!(status(&machine)["problems"], json!([]));
    assert!(machine.agent.is_there("/var/lib/aurae"), "state is in memory");
    executes(&machine);
    let _ = machine.told(&["enable", "--now", "fresh", "--", PROBE, "pause"]);
    until_running(&machine, "fresh");
}

/// A disk that cannot be written is told, and state is in memory.
fn a_disk_that_cannot_be_written_is_told() {
    let disk = Disk::make(|_| {});
    let machine = start(boot("a_disk_that_cannot_be_written_is_told", &disk).word("ro"));
    executes(&machine);
    tells(&machine, "until the next boot");
    let logged = machine.agent.kernel_log();
    let ours: Vec<&str> = logged.lines().filter(|line| line.contains("auraed: ")).collect();
    assert!(ours.iter().any(|line| line.contains("until the next boot")), "{ours:#?}");
    let _ = machine.told(&["start", "--name", "fresh", "--", PROBE, "pause"]);
    until_running(&machine, "fresh");
}

/// Without a daemon that could begin there is a shell on the console, where one is wanted, and it says why; with the daemon
/// back, the boot goes on.
fn without_a_daemon_there_is_a_shell() {
    let disk = Disk::make(|root| {
        fs::rename(root.join("usr/sbin/auraed-core"), root.join("usr/sbin/away")).unwrap();
    });
    let boot = boot("without_a_daemon_there_is_a_shell", &disk);
    let machine = Machine::start(boot.word("aurae.shell=/aurae-tests/shell"));
    machine.console.until("the daemon cannot begin");
    machine.console.until("here is /aurae-tests/shell");
    machine.types("line this-was-the-shell\n");
    machine.console.until("this-was-the-shell");
    machine.agent.rename("/usr/sbin/away", "/usr/sbin/auraed-core");
    machine.types("exit 0\n");
    machine.console.until("the shell has ended");
    until_running(&machine, "steady");
}
