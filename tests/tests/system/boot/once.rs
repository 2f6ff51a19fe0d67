//! Boot is once for each keeper: whatever becomes of the daemon, nothing is started twice, and nothing is forgotten.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, eventually, procfs,
    rpc::named,
    schedule::appending,
    storm::{Random, seed},
};
use tonic::Request;

use api::{meta::AuraeMeta, runtime::StopRequest};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_boot_that_dies_again_and_again,
        what_was_stopped_stays_stopped,
        what_is_enabled_later_waits_for_the_next_boot,
        a_new_keeper_starts_everything_again,
    ]
}

const UNITS: usize = 200;

/// The daemon dies again and again while it starts two hundred units: in the end each has run once, and none twice.
///
/// In every other round the keeper is held up until those that were started have ended: then nobody but the next daemon
/// can find out what became of them.
fn a_boot_that_dies_again_and_again() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut daemon = Daemon::start(Options::default().restart_delay("20ms"));
    let names: Vec<String> = (0..UNITS).map(|number| format!("unit-{number:03}")).collect();
    for name in &names {
        daemon.enable(appending(&daemon, name));
    }
    daemon.shut_down();
    daemon.start_again();
    let begun = |daemon: &Daemon| names.iter().filter(|name| daemon.began(name) > 0).count();
    for round in 0..8 {
        // At another moment of the boot in each round, by what has begun: right after the start, too.
        let until = round * UNITS / 10 + usize::try_from(random.below(10)).unwrap();
        eventually(&format!("the boot goes on, AURAE_SEED={seed}"), || begun(&daemon) >= until);
        let before = child(&daemon);
        let held_up = round % 2 == 0;
        if held_up {
            daemon.signal(Signal::SIGSTOP);
        }
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        if held_up {
            eventually("what was started ends", || procfs::descendants(daemon.keeper()).is_empty());
            daemon.signal(Signal::SIGCONT);
        }
        eventually("the keeper starts another daemon", || {
            daemon.status_if_there().is_some_and(|status| status.daemon_pid != before)
        });
    }
    let all_begun = tests::wait::holds_within(tests::PATIENCE, || begun(&daemon) == UNITS);
    eventually("all have ended", || daemon.status().runs_live == 0);
    let odd: Vec<_> = names
        .iter()
        .map(|name| (name, daemon.began(name)))
        .filter(|(_, count)| *count != 1)
        .collect();
    assert!(all_begun && odd.is_empty(), "AURAE_SEED={seed}: not started once: {odd:?}");
    assert_eq!(daemon.status().daemon_starts, 9);
    daemon.stop();
}

/// The daemon's process, which may not answer yet.
fn child(daemon: &Daemon) -> i32 {
    let mut found = None;
    eventually("there is a daemon", || {
        found = procfs::descendants(daemon.keeper()).into_iter().find(|&pid| {
            procfs::command(pid) == "auraed-core" && procfs::parent(pid) == Some(daemon.keeper())
        });
        found.is_some()
    });
    found.expect("it is there")
}

/// What an operator stopped after the boot is not started by the next daemon of the same keeper.
fn what_was_stopped_stays_stopped() {
    let mut daemon = Daemon::start(Options::default());
    let mut up = Fifo::make(daemon.path(), "up");
    let words = ["append", &daemon.work("web"), "web", "say", up.path(), "up", "pause"];
    daemon.enable(named("web", daemon.probe(&words)));
    daemon.restart();
    assert_eq!(up.line(), "up");
    let meta = Some(AuraeMeta { name: "web".to_owned(), ..AuraeMeta::default() });
    daemon.order_stop(Request::new(StopRequest { meta, ..StopRequest::default() })).unwrap();
    eventually("it has ended", || daemon.status().runs_live == 0);
    for _ in 0..3 {
        daemon.replace();
        boot_is_over(&daemon);
        assert_eq!(daemon.began("web"), 1, "it was started again");
    }
    daemon.stop();
}

/// What was enabled after the boot is not started by the next daemon of the same keeper, but by the next keeper; what
/// was disabled or destroyed meanwhile is not.
fn what_is_enabled_later_waits_for_the_next_boot() {
    let mut daemon = Daemon::start(Options::default());
    for name in ["always", "disabled", "destroyed"] {
        daemon.enable(appending(&daemon, name));
    }
    daemon.restart();
    let all = |daemon: &Daemon, names: &[&str], count: usize| {
        names.iter().all(|name| daemon.began(name) == count)
    };
    eventually("the boot is over", || all(&daemon, &["always", "disabled", "destroyed"], 1));
    daemon.enable(appending(&daemon, "later"));
    daemon.enable(appending(&daemon, "always"));
    daemon.disable("disabled").unwrap();
    daemon.destroy("destroyed").unwrap();
    for _ in 0..2 {
        daemon.replace();
        boot_is_over(&daemon);
        assert!(all(&daemon, &["always", "disabled", "destroyed"], 1), "started by a restart");
        assert_eq!(daemon.began("later"), 0, "started by a restart");
    }
    daemon.restart();
    eventually("the next boot", || daemon.began("always") == 2 && daemon.began("later") == 1);
    boot_is_over(&daemon);
    assert!(all(&daemon, &["disabled", "destroyed"], 1));
    daemon.stop();
}

/// Waits until whatever a boot might have started has been: the schedule is open, and a command that was handed in
/// behind it has ended.
fn boot_is_over(daemon: &Daemon) {
    daemon.enabled().expect("the schedule can be read");
    assert_eq!(daemon.answer(tests::argv(&["/bin/true"])).exit_code, "0");
    eventually("nothing is under way", || daemon.status().runs_live == 0);
}

/// Each new keeper is a boot, also one that gets the process id and the folders of one that was killed.
fn a_new_keeper_starts_everything_again() {
    let mut daemon = Daemon::start(Options::default());
    for name in ["a", "b", "c"] {
        daemon.enable(appending(&daemon, name));
    }
    for boot in 1..=4 {
        if boot % 2 == 0 {
            daemon.restart();
        } else {
            daemon.crash();
            daemon.start_again();
        }
        eventually("everything starts once more", || {
            ["a", "b", "c"].iter().all(|name| daemon.began(name) == boot)
        });
    }
    daemon.stop();
}
