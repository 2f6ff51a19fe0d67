//! `auraed init -- COMMAND`, as tini and dumb-init are: in a container, without privileges, and below another init.

use std::{collections::BTreeSet, process::Command};

use nix::sys::signal::Signal;
use tests::{
    Machine, Need, Process, binaries,
    cradle::{Cradle, Kind},
    eventually, procfs,
};

use crate::{Case, cases};

const NEEDS: [Need; 1] = [Need::Namespaces];
const FAULTS: [Need; 2] = [Need::Namespaces, Need::Faults];
const NOBODY: u32 = 65534;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![NEEDS;
        its_exit_status_is_the_commands,
        every_signal_that_can_be_is_handed_on,
        the_api_is_served_beside_the_command,
        the_end_of_the_container_is_told_to_the_command,
        without_any_privilege_it_does_what_it_can,
        in_a_container_of_dockers_it_does_what_it_can,
        in_a_container_without_cgroups_it_does_what_it_can,
        orphans_are_reaped,
    ];
    all.extend(cases![FAULTS; a_keeper_that_panics_leaves_the_command_alone]);
    all.extend(
        cases![[]; below_another_init_it_is_the_same, without_a_command_it_says_what_to_write],
    );
    all
}

fn init(kind: Kind, words: &[&str]) -> Machine {
    let all: Vec<&str> = ["/b/auraed", "init", "--"].iter().chain(words).copied().collect();
    Cradle::new(kind).launch(&all)
}

fn its_exit_status_is_the_commands() {
    for kind in [Kind::Container(0), Kind::Container(NOBODY)] {
        for (words, status) in [
            (vec!["/bin/true"], 0),
            (vec!["/b/probe", "exit", "42"], 42),
            (vec!["/bin/sh", "-c", "kill -TERM $$"], 128 + 15),
            (vec!["/bin/sh", "-c", "kill -KILL $$"], 128 + 9),
            (vec!["/no/such/program"], 127),
            (vec!["/etc"], 126),
        ] {
            let machine = init(kind, &words);
            assert_eq!(machine.ends(), status, "{kind:?} {words:?}: {}", machine.said());
        }
        let machine = init(kind, &["/bin/echo", "what it prints"]);
        assert_eq!(machine.ends(), 0);
        assert_eq!(machine.out(), "what it prints\n");
    }
}

fn every_signal_that_can_be_is_handed_on() {
    let names = ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "WINCH", "URG"];
    // No shell: one that is told just before it begins to wait waits all the same.
    let signals = names.map(|name| format!("SIG{name}"));
    let mut words = vec!["/b/probe"];
    words.extend(signals.iter().flat_map(|signal| ["ignore", signal]));
    words.extend(["line", "up"]);
    words.extend(signals.iter().zip(names).flat_map(|(it, name)| ["hear", it, "line", name]));
    words.push("pause");
    let machine = init(Kind::Container(0), &words);
    eventually("it listens", || machine.out().contains("up"));
    let hears = |name: &str, signal: &str| {
        machine.signal(signal.parse::<Signal>().unwrap());
        eventually("it has heard it", || machine.out().lines().any(|line| line == name));
    };
    let mut all = names.into_iter().zip(&signals);
    all.by_ref().take(names.len() - 1).for_each(|(name, signal)| hears(name, signal));
    // Also by a keeper that has taken the place of that one.
    machine.does(&["daemon", "upgrade", "/b/auraed-core"]);
    eventually("both are followed", || machine.aer(&["status"]).out().contains("start 2"));
    all.for_each(|(name, signal)| hears(name, signal));
    machine.real_time(3);
    assert_eq!(machine.ends(), 128 + 34 + 3, "{}", machine.said());
}

fn the_api_is_served_beside_the_command() {
    let machine = init(Kind::Container(0), &["/b/probe", "pause"]);
    machine.serves();
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
    // Signals are the command's; with its end everything ends in order.
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ends(), 128 + 15, "{}", machine.said());
}

/// By the API, too: the command is told, and then not waited for for ever.
fn the_end_of_the_container_is_told_to_the_command() {
    let heeds = ["ignore", "SIGTERM", "line", "up", "hear", "SIGTERM", "exit", "9"];
    let deaf = ["ignore", "SIGTERM", "line", "up", "pause"];
    for (words, status) in [(&heeds[..], 9), (&deaf, 128 + 9)] {
        let machine = init(Kind::Container(0), &[&["/b/probe"], words].concat());
        machine.serves();
        eventually("it listens", || machine.out().contains("up"));
        machine.does(&["power", "off"]);
        assert_eq!(machine.ends(), status, "{}", machine.said());
    }
}

/// One user, no capability, cgroups that cannot be written, and no place for state: the command runs all the same, and it
/// is said what is missing.
fn without_any_privilege_it_does_what_it_can() {
    let machine = init(Kind::Container(NOBODY), &["/bin/sh", "-c", "echo up; exec /b/probe pause"]);
    eventually("it runs", || machine.out().contains("up"));
    eventually("it is said", || machine.said().contains("the API is not served"));
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ends(), 128 + 15);
    // With a place for its state and its socket it serves, and says that it tracks as well as it goes.
    let cradle = Cradle::new(Kind::Container(NOBODY)).environment("HOME", "/work");
    let words = ["/b/auraed", "init", "--runtime-dir", "/work/run", "--", "/b/probe", "pause"];
    let machine = cradle.launch(&words);
    let aer = |words: &[&str]| {
        let mut command = Command::new(binaries::path("aer"));
        command.arg("--socket").arg(machine.inside("/work/run/aurae.sock")).args(words);
        Process::start(command, || {}).finish()
    };
    eventually("the API answers", || aer(&["status"]).out().contains("best effort"));
    assert_eq!(aer(&["exec", "--", "/usr/bin/id", "-u"]).out(), format!("{NOBODY}\n"));
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ends(), 128 + 15, "{}", machine.said());
}

/// `docker run` without options: everything but cgroups, which are told to be missing, and the status is the command's.
fn in_a_container_of_dockers_it_does_what_it_can() {
    let machine = init(Kind::Docker, &["/bin/sh", "-c", "echo up; exec /b/probe pause"]);
    machine.serves();
    assert!(machine.aer(&["status"]).out().contains("best effort"), "{}", machine.said());
    assert_eq!(machine.does(&["exec", "--", "/bin/echo", "inside"]), "inside\n");
    machine.does(&["start", "--name", "web", "--restart", "always", "--", "/b/probe", "pause"]);
    assert!(machine.does(&["list", "--running"]).contains("web"));
    let limited =
        machine.aer(&["start", "--name", "large", "--memory-max", "64M", "--", "/bin/true"]);
    assert!(!limited.status.success() && limited.err().contains("memory"), "{}", limited.err());
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ends(), 128 + 15, "{}", machine.said());
}

/// Not even mounted: it says so, and runs, lists, stops and ends as well as it goes; both as PID 1 alone, and with a command.
fn in_a_container_without_cgroups_it_does_what_it_can() {
    let alone = Cradle::new(Kind::WithoutCgroups).boot(&[]);
    let beside = init(Kind::WithoutCgroups, &["/b/probe", "pause"]);
    for (machine, status) in [(alone, 0), (beside, 128 + 15)] {
        machine.serves();
        assert!(!machine.inside("/sys/fs/cgroup/cgroup.procs").exists());
        let told = machine.aer(&["status"]).out();
        assert!(told.contains("best effort"), "{told}");
        assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
        machine.does(&[
            "start", "--name", "web", "--", "/b/probe", "start", "{", "pause", "}", "pause",
        ]);
        eventually("it runs", || machine.does(&["list", "--running"]).contains("web"));
        machine.does(&["stop", "web"]);
        assert!(!machine.does(&["list", "--running"]).contains("web"));
        machine.signal(Signal::SIGTERM);
        assert_eq!(machine.ends(), status, "{}", machine.said());
    }
}

/// A fault of our own is no end of the container: the command and what the daemon runs go on, signals are handed on, and the
/// status is the command's, also where it ended just then.
fn a_keeper_that_panics_leaves_the_command_alone() {
    let mut words = vec!["/b/auraed", "init", "--", "/b/probe", "ignore", "SIGUSR1", "line", "up"];
    words.extend(["hear", "SIGUSR1", "line", "one", "hear", "SIGUSR1", "line", "two"]);
    words.extend(["hear", "SIGUSR1", "exit", "9"]);
    let cradle = Cradle::new(Kind::Container(0)).environment("AURAED_FAULTS_KEEPER", "1");
    let machine = cradle.launch(&words);
    machine.serves();
    eventually("it listens", || machine.out().contains("up"));
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    let probes = || -> BTreeSet<i32> {
        machine.processes().into_iter().filter(|&pid| procfs::command(pid) == "probe").collect()
    };
    let before = probes();
    assert_eq!(before.len(), 2, "the command, and web");
    let panic = || {
        std::fs::write(machine.inside("/run/aurae/panic"), "").unwrap();
        machine.signal(Signal::SIGUSR1);
    };
    for (round, heard) in [(1, "one"), (2, "two")] {
        panic();
        eventually("it begins anew", || machine.said().matches("it begins anew").count() == round);
        eventually("it was handed on", || machine.out().lines().any(|line| line == heard));
        eventually("it serves", || machine.aer(&["status"]).status.success());
        assert_eq!(probes(), before);
        assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
    }
    panic();
    assert_eq!(machine.ends(), 9, "{}", machine.said());
}

fn orphans_are_reaped() {
    let storm = "i=0; while [ $i -lt 500 ]; do (/bin/true &) ; i=$((i+1)); done; echo done; exec /b/probe pause";
    let machine = init(Kind::Container(0), &["/bin/sh", "-c", storm]);
    eventually("the storm is over", || machine.out().contains("done"));
    eventually("no zombie is left", || {
        procfs::descendants(machine.pid()).into_iter().all(|pid| procfs::state(pid) != Some('Z'))
    });
}

/// `docker run --init`, or a shell: not PID 1, and the same to its command.
fn below_another_init_it_is_the_same() {
    for (script, status) in [("exit 5", 5), ("kill -USR1 $$", 128 + 10)] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(binaries::path("auraed"));
        command.arg("init").arg("--runtime-dir").arg(folder.path().join("run"));
        command.arg("--state-dir").arg(folder.path().join("state"));
        command.args(["--", "/bin/sh", "-c", script]);
        let output = Process::start(command, || {}).finish();
        assert_eq!(output.code(), Some(status), "{}", output.err());
    }
}

fn without_a_command_it_says_what_to_write() {
    for words in [vec!["init"], vec!["init", "--"]] {
        let mut command = Command::new(binaries::path("auraed"));
        command.args(words);
        let output = Process::start(command, || {}).finish();
        assert_eq!(output.code(), Some(1));
        assert!(output.err().contains("auraed init -- COMMAND"), "{}", output.err());
    }
}
