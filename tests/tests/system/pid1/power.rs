//! How a machine ends: in order, within a bound, and only where it is asked for by somebody who may.

use std::path::Path;

use nix::sys::signal::Signal;
use tests::{
    Daemon, Machine, Need, Options,
    cradle::{Cradle, Kind, REBOOTED, SWITCHED_OFF},
    eventually,
};

use crate::{Case, cases};

const NEEDS: [Need; 1] = [Need::Namespaces];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![NEEDS;
        off_reboot_and_halt_are_what_the_kernel_is_asked_for,
        units_end_the_last_to_start_first,
        a_deaf_unit_is_told_of_and_killed_in_its_time,
        asked_once_more_it_does_not_wait,
        by_force_nobody_is_waited_for,
        what_is_planned_outlives_the_daemon_and_can_be_taken_back,
        the_seed_is_loaded_replaced_and_saved,
        disks_are_unmounted,
        without_a_loaded_kernel_kexec_is_refused,
    ];
    all.extend(cases![[]; where_another_is_pid_1_it_is_refused]);
    all
}

fn off_reboot_and_halt_are_what_the_kernel_is_asked_for() {
    for (verb, end) in [("off", SWITCHED_OFF), ("reboot", REBOOTED), ("halt", SWITCHED_OFF)] {
        let machine = Machine::boot();
        machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
        let said = machine.does(&["--reason", "a test", "power", verb, "--message", "good night"]);
        assert!(said.contains("begins"), "{said}");
        assert_eq!(machine.ends(), end, "{verb}: {}", machine.said());
        let said = machine.said();
        assert!(said.contains("good night") && said.contains("a test"), "{said}");
    }
}

/// Each writes its name when it is told to end.
fn units_end_the_last_to_start_first() {
    let machine = Machine::boot();
    for name in ["one", "two", "three"] {
        let script = format!(
            "trap 'echo {name} >> /work/ended; exit' TERM; echo up; while :; do /bin/sleep 60 & wait; done"
        );
        machine.does(&["start", "--name", name, "--", "/bin/sh", "-c", &script]);
        eventually("it has its trap", || machine.does(&["logs", name]).contains("up"));
    }
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    let ended = machine.left("work/ended").unwrap();
    let mut names: Vec<&str> = ended.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "three", "two"], "each was told to end, and had its time");
    let log = machine.said();
    let at = |name: &str| log.find(&format!("name={name} from=running to=stopping")).unwrap();
    assert!(at("three") < at("two") && at("two") < at("one"), "{log}");
}

const DEAF: [&str; 4] =
    ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do /bin/sleep 1; done", "deaf"];

fn start_deaf(machine: &Machine, bound: &str) {
    let mut words = vec!["start", "--name", "deaf", "--stop-timeout", bound, "--"];
    words.extend(DEAF);
    machine.does(&words);
    eventually("it is deaf", || machine.does(&["logs", "deaf"]).contains("up"));
}

fn a_deaf_unit_is_told_of_and_killed_in_its_time() {
    let machine = Machine::boot();
    start_deaf(&machine, "4s");
    machine.does(&["power", "off"]);
    assert!(!machine.aer(&["start", "--name", "late", "--", "/bin/true"]).status.success());
    assert_eq!(machine.ends(), SWITCHED_OFF);
    let said = machine.said();
    assert!(said.contains("stopping deaf, 3 s of 4 s"), "{said}");
    assert!(said.contains("name=deaf from=stopping to=failed"), "{said}");
}

fn asked_once_more_it_does_not_wait() {
    let machine = Machine::boot();
    start_deaf(&machine, "10min");
    machine.does(&["power", "reboot"]);
    eventually("it has begun", || machine.said().contains("every run is told to end"));
    machine.does(&["power", "reboot"]);
    assert_eq!(machine.ends(), REBOOTED);
    assert!(machine.said().contains("asked to reboot at once"), "{}", machine.said());
}

fn by_force_nobody_is_waited_for() {
    let machine = Machine::boot();
    start_deaf(&machine, "10min");
    machine.does(&["power", "off", "--force"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    assert!(!machine.said().contains("every run is told to end"), "{}", machine.said());
}

fn what_is_planned_outlives_the_daemon_and_can_be_taken_back() {
    let machine = Machine::boot();
    let said = machine.does(&["power", "reboot", "--delay", "1h", "--message", "a new kernel"]);
    assert!(said.contains("planned"), "{said}");
    let before = daemon(&machine);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), Signal::SIGKILL).unwrap();
    eventually("the next daemon serves", || {
        machine.aer(&["status"]).status.success() && daemon(&machine) != before
    });
    let said = machine.does(&["power", "cancel"]);
    assert!(said.contains("reboot is not planned any more"), "{said}");
    let none = machine.aer(&["power", "cancel"]);
    assert!(!none.status.success() && none.err().contains("nothing is planned"), "{}", none.err());
    machine.does(&["power", "off", "--delay", "10ms"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
}

/// The daemon of PID 1, as it is called outside.
fn daemon(machine: &Machine) -> i32 {
    let all = machine.processes();
    all.into_iter().find(|&pid| tests::procfs::command(pid) == "auraed-core").unwrap_or(0)
}

fn the_seed_is_loaded_replaced_and_saved() {
    const SEED: &str = "var/lib/aurae/random-seed";
    let seed = |path: &Path| std::fs::read(path).unwrap();
    let machine = Machine::boot();
    let first = seed(&machine.inside(&format!("/{SEED}")));
    assert_eq!(first.len(), 512, "the first boot has made one");
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    let saved = seed(&machine.root(SEED));
    assert_eq!(saved.len(), 512);
    assert_ne!(saved, first, "the end has saved another");
    assert!(!machine.said().contains("random seed"), "{}", machine.said());
    // What is found is given to the kernel, and never again; what no end of ours has saved does not count.
    for (found, complaint) in [(&saved[..], None), (b"abc", Some("has 3 bytes, and not 512"))] {
        let cradle = Cradle::new(Kind::Machine);
        cradle.furnish(SEED, "");
        std::fs::write(cradle.root().join(SEED), found).unwrap();
        let machine = cradle.boot(&[]);
        let replaced = seed(&machine.inside(&format!("/{SEED}")));
        assert_eq!(replaced.len(), 512, "{}", machine.said());
        assert_ne!(replaced, found);
        let said = machine.said();
        match complaint {
            Some(words) => assert!(said.contains(words), "{said}"),
            None => assert!(!said.contains("random seed"), "{said}"),
        }
    }
}

fn disks_are_unmounted() {
    let machine = Machine::boot();
    let mount = "mkdir -p /var/disk && mount -t tmpfs disk /var/disk && echo kept > /var/disk/file";
    machine.does(&["exec", "--", "/bin/sh", "-c", mount]);
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    assert!(!machine.said().contains("/var/disk"), "{}", machine.said());
}

fn without_a_loaded_kernel_kexec_is_refused() {
    let machine = Machine::boot();
    let refused = machine.aer(&["power", "kexec"]);
    assert!(
        !refused.status.success() && refused.err().contains("no kernel is loaded"),
        "{}",
        refused.err()
    );
    let container = Cradle::new(Kind::Container(0)).boot(&[]);
    let refused = container.aer(&["power", "kexec"]);
    assert!(refused.err().contains("no kernel of its own"), "{}", refused.err());
    container.does(&["power", "off"]);
    assert_eq!(container.ends(), 0, "the end of a container is that of its PID 1");
}

fn where_another_is_pid_1_it_is_refused() {
    Daemon::with(Options::default(), |daemon| {
        for verb in ["off", "reboot", "halt", "kexec"] {
            for delay in ["0", "1h"] {
                let refused = daemon.aer(&["power", verb, "--delay", delay]);
                assert_eq!(refused.code(), Some(1));
                assert!(refused.err().contains("not PID 1"), "{}", refused.err());
            }
        }
        assert!(daemon.aer(&["status"]).status.success());
    });
}
