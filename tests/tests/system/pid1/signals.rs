//! What signals do to PID 1 of a machine (systemd(1)), and of a container.

use nix::sys::signal::Signal;
use tests::{
    Machine, Need,
    cradle::{Cradle, Kind, REBOOTED, SWITCHED_OFF},
    eventually, procfs,
};

use crate::{Case, cases};

const NEEDS: [Need; 1] = [Need::Namespaces];

pub(crate) fn cases() -> Vec<Case> {
    cases![NEEDS;
        each_signal_ends_a_machine_in_its_way,
        ctrl_alt_del_again_and_again_does_not_wait,
        sigterm_executes_keeper_and_daemon_again_and_nothing_ends,
        others_are_told_of_and_harm_nothing,
        a_container_ends_by_sigterm_and_its_like,
        a_container_that_is_asked_again_does_not_wait,
        whoever_is_left_is_asked_and_then_killed,
        whoever_is_left_is_killed_at_once_where_it_is_asked_for_again,
        rescue_by_signal_and_out_of_it_again,
        rescue_without_order_waits_for_nobody,
    ]
}

fn each_signal_ends_a_machine_in_its_way() {
    for (signal, end) in [(Signal::SIGINT, REBOOTED), (Signal::SIGPWR, SWITCHED_OFF)] {
        let machine = Machine::boot();
        machine.signal(signal);
        assert_eq!(machine.ends(), end, "{signal}: {}", machine.said());
    }
    let ways = [(3, SWITCHED_OFF), (4, SWITCHED_OFF), (5, REBOOTED), (6, REBOOTED)];
    // Where no kernel is loaded, another one's execution is a reboot.
    let now = [(13, SWITCHED_OFF), (14, SWITCHED_OFF), (15, REBOOTED), (16, REBOOTED)];
    for (n, end) in ways.into_iter().chain(now) {
        let machine = Machine::boot();
        machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
        machine.real_time(n);
        assert_eq!(machine.ends(), end, "SIGRTMIN+{n}: {}", machine.said());
        // Without order nobody is asked.
        assert_eq!(machine.said().contains("every run is told"), n < 13, "{}", machine.said());
    }
}

/// Starts a unit that does not heed SIGTERM, and has ten minutes for it.
fn start_deaf(machine: &Machine) {
    let words = ["start", "--name", "deaf", "--stop-timeout", "10min", "--", "/b/probe"];
    machine.does(&[&words[..], &["ignore", "SIGTERM", "line", "up", "pause"]].concat());
    eventually("it is deaf", || machine.does(&["logs", "deaf"]).contains("up"));
}

fn ctrl_alt_del_again_and_again_does_not_wait() {
    let machine = Machine::boot();
    start_deaf(&machine);
    // Each is one signal only when the one before was taken.
    let mut sent = 0;
    eventually("the machine ends", || {
        if sent < 40 && !machine.said().contains("rebooting") {
            machine.signal(Signal::SIGINT);
            sent += 1;
        }
        machine.said().contains("rebooting")
    });
    assert_eq!(machine.ends(), REBOOTED);
    assert!(machine.said().contains("asked to reboot at once"), "{}", machine.said());
    assert!(sent > 7, "{sent} were enough");
}

/// As systemd's daemon-reexec: the same process, and everything that runs as it is.
fn sigterm_executes_keeper_and_daemon_again_and_nothing_ends() {
    let machine = Machine::boot();
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    let pid = machine.does(&["exec", "--", "/usr/bin/pgrep", "-x", "probe"]);
    for round in 2..5 {
        machine.signal(Signal::SIGTERM);
        eventually("the next daemon serves", || {
            machine.aer(&["status"]).out().contains(&format!("start {round}"))
        });
    }
    assert_eq!(machine.does(&["exec", "--", "/usr/bin/pgrep", "-x", "probe"]), pid);
    // What PID 1 knows of itself is not lost: the state folder has its seed.
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    assert!(!machine.said().contains("random seed"), "{}", machine.said());
}

fn others_are_told_of_and_harm_nothing() {
    let machine = Machine::boot();
    for signal in
        [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGQUIT, Signal::SIGALRM]
    {
        machine.signal(signal);
    }
    eventually("SIGHUP and SIGUSR1 are told of", || {
        let said = machine.said();
        said.contains("the configuration is as it was") && said.contains("descriptors held")
    });
    assert!(machine.does(&["status"]).contains("healthy"));
}

fn a_container_ends_by_sigterm_and_its_like() {
    for send in [
        |machine: &Machine| machine.signal(Signal::SIGTERM),
        |machine: &Machine| machine.signal(Signal::SIGINT),
        |machine: &Machine| machine.real_time(3),
        |machine: &Machine| machine.real_time(4),
    ] {
        let machine = Cradle::new(Kind::Container(0)).boot(&[]);
        machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
        send(&machine);
        assert_eq!(machine.ends(), 0, "{}", machine.said());
        assert!(machine.said().contains("every run is told to end"), "{}", machine.said());
    }
    // Who made it may look for this.
    let machine = Cradle::new(Kind::Container(0)).boot(&[]);
    machine.real_time(5);
    assert_eq!(machine.ends(), REBOOTED);
}

/// `docker stop`, and somebody who does not want to wait.
fn a_container_that_is_asked_again_does_not_wait() {
    let machine = Cradle::new(Kind::Container(0)).boot(&[]);
    start_deaf(&machine);
    machine.signal(Signal::SIGTERM);
    eventually("it has begun", || machine.said().contains("every run is told to end"));
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ends(), 0, "{}", machine.said());
    let said = machine.said();
    assert!(said.contains("asked to stop again: everything is killed"), "{said}");
}

/// A machine on which there are two processes that nobody knows: one that heeds SIGTERM, and one that does not.
fn with_strays() -> Machine {
    let script = "/b/probe ignore SIGTERM hear SIGTERM append /work/ended heeded &
        /b/probe ignore SIGTERM append /work/deaf up pause & exec /b/auraed";
    let machine = Cradle::new(Kind::Machine).launch(&["/bin/sh", "-c", script]);
    machine.serves();
    eventually("both are up", || {
        let probes = machine.processes().into_iter().filter(|&pid| procfs::command(pid) == "probe");
        probes.count() == 2 && machine.left("work/deaf").is_some()
    });
    machine
}

fn whoever_is_left_is_asked_and_then_killed() {
    let machine = with_strays();
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF, "{}", machine.said());
    assert_eq!(machine.left("work/ended").as_deref(), Some("heeded\n"));
    let said = machine.said();
    assert!(said.contains("have 5s to end") && !said.contains("asked once more"), "{said}");
}

fn whoever_is_left_is_killed_at_once_where_it_is_asked_for_again() {
    let machine = with_strays();
    machine.real_time(5);
    eventually("only they are left", || machine.said().contains("have 5s to end"));
    machine.real_time(5);
    assert_eq!(machine.ends(), REBOOTED, "{}", machine.said());
    assert!(machine.said().contains("asked once more: whoever is left is killed"));
}

/// A machine whose shell reads what a test writes, and ends with it.
fn with_a_shell(configured: &str) -> Machine {
    let cradle = Cradle::new(Kind::Machine);
    cradle.furnish("work/shell", "#!/bin/sh\necho in rescue >> /work/told\nuntil [ -e /work/enough ]; do /bin/sleep 0.05; done\n");
    let shell = cradle.root().join("work/shell");
    std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    cradle.furnish("etc/aurae/auraed.toml", configured);
    cradle.boot(&[])
}

/// At once, and with the shell that the configuration names.
fn rescue_without_order_waits_for_nobody() {
    let machine = with_a_shell("[rescue]\nshell = \"/work/shell\"\n");
    start_deaf(&machine);
    machine.real_time(2);
    eventually("the shell runs", || machine.left("work/told").is_some());
    eventually("it is rescue", || machine.aer(&["status"]).out().contains("this is rescue"));
    assert!(!machine.does(&["list", "--running"]).contains("deaf"));
    assert!(!machine.said().contains("every run is told to end"), "{}", machine.said());
    assert!(machine.said().contains("asked to go into rescue at once"), "{}", machine.said());
    std::fs::write(machine.inside("/work/enough"), "").unwrap();
    eventually("the boot goes on", || machine.aer(&["status"]).out().contains("healthy"));
}

fn rescue_by_signal_and_out_of_it_again() {
    let machine = with_a_shell("[rescue]\nshell = \"/work/shell\"\n");
    machine.does(&["enable", "--now", "web", "--", "/b/probe", "pause"]);
    machine.real_time(1);
    eventually("the shell runs", || machine.left("work/told").is_some());
    eventually("it is rescue", || machine.aer(&["status"]).out().contains("this is rescue"));
    assert!(!machine.does(&["list", "--running"]).contains("web"));
    std::fs::write(machine.inside("/work/enough"), "").unwrap();
    eventually("the boot goes on", || machine.aer(&["list", "--running"]).out().contains("web"));
    assert!(machine.does(&["status"]).contains("healthy"));
}
