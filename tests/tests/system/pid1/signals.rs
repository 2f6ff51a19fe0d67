//! What signals do to PID 1 of a machine (systemd(1)), and of a container.

use nix::sys::signal::Signal;
use tests::{
    Machine, Need,
    cradle::{Cradle, Kind, REBOOTED, SWITCHED_OFF},
    eventually,
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
        rescue_by_signal_and_out_of_it_again,
    ]
}

fn each_signal_ends_a_machine_in_its_way() {
    for (signal, end) in [(Signal::SIGINT, REBOOTED), (Signal::SIGPWR, SWITCHED_OFF)] {
        let machine = Machine::boot();
        machine.signal(signal);
        assert_eq!(machine.ends(), end, "{signal}: {}", machine.said());
    }
    let ways = [(3, SWITCHED_OFF), (4, SWITCHED_OFF), (5, REBOOTED), (6, REBOOTED)];
    for (n, end) in ways.into_iter().chain([(13, SWITCHED_OFF), (14, SWITCHED_OFF), (15, REBOOTED)])
    {
        let machine = Machine::boot();
        machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
        machine.real_time(n);
        assert_eq!(machine.ends(), end, "SIGRTMIN+{n}: {}", machine.said());
        // Without order nobody is asked.
        assert_eq!(machine.said().contains("every run is told"), n < 13, "{}", machine.said());
    }
}

fn ctrl_alt_del_again_and_again_does_not_wait() {
    let machine = Machine::boot();
    let deaf = "trap '' TERM; echo up; while :; do /bin/sleep 1; done";
    machine.does(&[
        "start",
        "--name",
        "deaf",
        "--stop-timeout",
        "10min",
        "--",
        "/bin/sh",
        "-c",
        deaf,
    ]);
    eventually("it is deaf", || machine.does(&["logs", "deaf"]).contains("up"));
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

fn rescue_by_signal_and_out_of_it_again() {
    let cradle = Cradle::new(Kind::Machine);
    // The shell reads what a test writes, and ends with it.
    cradle.furnish("work/shell", "#!/bin/sh\necho in rescue >> /work/told\nuntil [ -e /work/enough ]; do /bin/sleep 0.05; done\n");
    let shell = cradle.root().join("work/shell");
    std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    cradle.furnish("cmdline", "quiet aurae.shell=/work/shell\n");
    let machine = cradle.boot(&[]);
    machine.does(&["enable", "--now", "web", "--", "/b/probe", "pause"]);
    machine.real_time(1);
    eventually("the shell runs", || machine.left("work/told").is_some());
    eventually("it is rescue", || machine.aer(&["status"]).out().contains("this is rescue"));
    assert!(!machine.does(&["list", "--running"]).contains("web"));
    std::fs::write(machine.inside("/work/enough"), "").unwrap();
    eventually("the boot goes on", || machine.aer(&["list", "--running"]).out().contains("web"));
    assert!(machine.does(&["status"]).contains("healthy"));
}
