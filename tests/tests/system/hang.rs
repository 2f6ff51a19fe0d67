//! A hang is a death: a daemon that owes an answer is ended and replaced, with the reason told; one that owes nothing, or
//! is only slow, lives on.

use std::time::Duration;

use api::observe::StatusResponse;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Need, Options, argv, eventually,
    storm::{Faults, limit_memory},
    wait::{holds_within, wall_clock},
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[Need::Faults];
        a_daemon_that_spins_on_an_exit_is_replaced,
        a_daemon_that_spins_on_a_call_is_replaced,
        doors_that_spin_are_replaced,
        a_log_writer_that_spins_is_replaced,
        a_thread_that_panics_takes_the_daemon_along,
        a_daemon_that_leaks_until_it_has_no_memory_is_replaced,
        a_slow_daemon_is_not_ended,
        faults_at_random,
        a_start_that_hangs_is_not_given_longer_for_others_that_died,
    ];
    all.extend(cases![[];
        a_stopped_daemon_is_replaced_when_a_run_ends,
        a_stopped_daemon_is_replaced_when_somebody_connects,
        an_idle_daemon_is_never_ended,
        a_keeper_that_was_stopped_itself_gives_the_time_again,
    ]);
    all
}

/// The bound in these tests, and the same for the configuration.
const BOUND: (Duration, &str) = (Duration::from_secs(2), "answer_timeout = \"2s\"");

fn options(faults: &Faults) -> Options {
    faults.options(bounded(BOUND.1))
}

fn bounded(line: &str) -> Options {
    Options::default().restart_delay("100ms").config("daemon", line)
}

/// Waits for the daemon after that one; what it says.
fn next(daemon: &Daemon, before: &StatusResponse) -> StatusResponse {
    let mut found = None;
    eventually("the keeper starts another daemon", || {
        found = daemon.status_if_there();
        found.as_ref().is_some_and(|status| status.daemon_pid != before.daemon_pid)
    });
    found.unwrap()
}

/// It was replaced for that reason, the log says so, and the next one works.
fn replaced_because(daemon: &Daemon, before: &StatusResponse, why: &str) {
    let after = next(daemon, before);
    assert!(after.previous_daemon.contains(why), "not {why:?}: {}", after.previous_daemon);
    assert_eq!(
        (after.keeper_pid, after.daemon_starts),
        (before.keeper_pid, before.daemon_starts + 1)
    );
    let log = daemon.aer(&["logs", "--daemon"]);
    assert!(log.out().contains(why), "its log does not say {why:?}:\n{}", log.out());
    assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
}

/// A supervisor that spins when it is told of an exit is ended within the bound.
fn a_daemon_that_spins_on_an_exit_is_replaced() {
    let faults = Faults::new();
    // Before the first connection: it may be that one for which the keeper asks, and not the exit.
    let begun = wall_clock();
    Daemon::with(options(&faults), |daemon| {
        let run = daemon.run(daemon.probe(&["pause"]));
        let before = daemon.status();
        faults.ask_for("supervisor", "spin");
        kill(Pid::from_raw(run.started.pid), Signal::SIGKILL).unwrap();
        replaced_because(daemon, &before, "it hangs");
        let took = wall_clock() - begun;
        assert!(u128::try_from(took).unwrap() >= BOUND.0.as_nanos(), "it had {took} ns");
    });
}

/// A supervisor that spins over a call, with nothing that the keeper could have told it.
fn a_daemon_that_spins_on_a_call_is_replaced() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        faults.ask_for("supervisor", "spin");
        let call = daemon.start_aer(&["list"]);
        // The doors find out, or the keeper by the connection, whoever is first.
        replaced_because(daemon, &before, "hangs");
        drop(call);
    });
}

/// Doors that spin accept nobody: whoever connects makes the keeper find out.
fn doors_that_spin_are_replaced() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        faults.ask_for("doors", "spin");
        let first = daemon.start_aer(&["list"]);
        eventually("the doors spin", || !faults.waits("doors"));
        let second = daemon.start_aer(&["status"]);
        replaced_because(daemon, &before, "the answer of its doors to a probe");
        drop((first, second));
    });
}

/// A log writer that spins keeps the end of a run from being told; what the next daemon tells of it is all that there was.
fn a_log_writer_that_spins_is_replaced() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        faults.ask_for("log-writer", "spin");
        // It takes a run that ends before its output is moved.
        let mut found = None;
        eventually("the log writer spins", || {
            let run = daemon.run(argv(&["/usr/bin/head", "-c", "3000000", "/dev/zero"]));
            let id = run.started.run_id.clone();
            eventually("it has ended, or the writer spins", || {
                daemon.status().runs_live == 0 || !faults.waits("log-writer")
            });
            found = (!faults.waits("log-writer")).then_some((run, id));
            found.is_some()
        });
        replaced_because(daemon, &before, "the log writer hangs");
        let (run, id) = found.unwrap();
        assert_eq!(daemon.logs_of(&id).stdout.len(), 3_000_000);
        drop(run);
    });
}

/// No thread dies unnoticed: whichever panics, the daemon ends and says which it was, and the next one comes.
fn a_thread_that_panics_takes_the_daemon_along() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        for (thread, wakes_it) in [
            ("supervisor", &["list"][..]),
            ("spawner", &["exec", "--", "/bin/true"]),
            // It takes a run that ends before its output is moved, which is most that print much.
            ("log-writer", &["exec", "--", "/usr/bin/head", "-c", "3000000", "/dev/zero"]),
            ("schedule", &["schedule", "export"]),
        ] {
            let before = daemon.status();
            faults.ask_for(thread, "panic");
            eventually("the thread comes by", || {
                let call = daemon.start_aer(wakes_it);
                let ended = || call.end_within(Duration::ZERO).is_some();
                eventually("the call ends, or the thread", || ended() || !faults.waits(thread));
                !faults.waits(thread)
            });
            replaced_because(daemon, &before, &format!("the thread {thread} panicked"));
        }
    });
}

/// A daemon that cannot get memory any more aborts, and the next one has its own.
fn a_daemon_that_leaks_until_it_has_no_memory_is_replaced() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        limit_memory(before.daemon_pid);
        faults.ask_for("supervisor", "leak");
        let call = daemon.start_aer(&["list"]);
        // Signal 6, or 9 where it takes so long to get there that it hangs, unless its doors see that first.
        replaced_because(daemon, &before, "process ");
        drop(call);
    });
}

/// A daemon whose every turn takes a fifth of the bound is slow, and lives: it gets on.
fn a_slow_daemon_is_not_ended() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        faults.ask_for("supervisor", "slow 1/1");
        let begun = wall_clock();
        for _ in 0..3 {
            assert_eq!(daemon.answer(argv(&["/bin/echo", "slowly"])).stdout, "slowly\n");
        }
        let took = wall_clock() - begun;
        faults.take_back("supervisor");
        assert!(u128::try_from(took).unwrap() > BOUND.0.as_nanos(), "it was not slow: {took} ns");
        assert_eq!(daemon.status().daemon_pid, before.daemon_pid);
    });
}

/// A supervisor that panics, spins or leaks at random, while commands are run one after the other: each has its answer, or
/// its call breaks; the keeper always has another daemon, and the last one is none the worse.
fn faults_at_random() {
    let faults = Faults::new();
    Daemon::with(options(&faults), |daemon| {
        let before = daemon.status();
        let fault = ["panic 1/40", "spin 1/80", "panic 1/40"];
        let mut answered = 0;
        for round in 0..60 {
            if round % 20 == 0 {
                faults.ask_for("supervisor", fault[round / 20]);
            }
            let said = round.to_string();
            let output = daemon.aer(&["exec", "--", "/bin/echo", &said]);
            match output.code() {
                Some(0) => {
                    assert_eq!(output.out(), format!("{said}\n"), "an answer is the right one");
                    answered += 1;
                }
                code => assert_eq!(code, Some(125), "{}", output.err()),
            }
        }
        faults.take_back("supervisor");
        assert!(answered > 0, "none was answered");
        eventually("the last daemon serves", || daemon.status_if_there().is_some());
        let after = daemon.status();
        assert_eq!(after.keeper_pid, before.keeper_pid);
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// However many daemons have died one after the other, the next that hangs in its start has the bound of a start, three
/// times that of an answer: only starts that hung themselves are followed by longer ones.
fn a_start_that_hangs_is_not_given_longer_for_others_that_died() {
    let faults = Faults::new();
    let options = faults.options(Options::default().restart_delay("20ms"));
    Daemon::with(options.config("daemon", "answer_timeout = \"1s\""), |daemon| {
        (0..5).for_each(|_| daemon.replace());
        let run = daemon.run(daemon.probe(&["pause"]));
        let before = daemon.status();
        let begun = wall_clock();
        let dying = Pid::from_raw(before.daemon_pid);
        // It is for the next one, which takes the run up before it serves.
        kill(dying, Signal::SIGSTOP).unwrap();
        faults.ask_for("deeds", "spin");
        kill(dying, Signal::SIGKILL).unwrap();
        eventually("it hangs", || !faults.waits("deeds"));
        let after = next(daemon, &before);
        let took = wall_clock() - begun;
        assert!(
            after.previous_daemon.contains("it has owed to serve"),
            "{}",
            after.previous_daemon
        );
        assert!(took < 20_000_000_000, "three seconds are given, it had {took} ns");
        drop(run);
    });
}

/// A stopped daemon hangs once there is an exit for it.
fn a_stopped_daemon_is_replaced_when_a_run_ends() {
    Daemon::with(bounded(BOUND.1), |daemon| {
        let run = daemon.run(daemon.probe(&["pause"]));
        let before = daemon.status();
        kill(Pid::from_raw(before.daemon_pid), Signal::SIGSTOP).unwrap();
        kill(Pid::from_raw(run.started.pid), Signal::SIGKILL).unwrap();
        replaced_because(daemon, &before, "it hangs");
    });
}

/// A stopped daemon hangs once somebody connects, and whoever did is answered by the next one: the connection waits.
fn a_stopped_daemon_is_replaced_when_somebody_connects() {
    Daemon::with(bounded(BOUND.1), |daemon| {
        let before = daemon.status();
        kill(Pid::from_raw(before.daemon_pid), Signal::SIGSTOP).unwrap();
        let waited = daemon.aer(&["status"]);
        assert!(waited.status.success(), "{}", waited.err());
        replaced_because(daemon, &before, "the answer of its doors to a probe");
    });
}

/// A daemon that owes nothing may be silent for ever: a stopped one is not even noticed.
fn an_idle_daemon_is_never_ended() {
    Daemon::with(bounded("answer_timeout = \"1s\""), |daemon| {
        let before = daemon.status();
        let stopped = Pid::from_raw(before.daemon_pid);
        // Our own connection is asked about within the bound; when that is answered, nothing is owed.
        assert!(!holds_within(Duration::from_secs(2), || kill(stopped, None).is_err()));
        kill(stopped, Signal::SIGSTOP).unwrap();
        let ended = holds_within(Duration::from_secs(4), || kill(stopped, None).is_err());
        assert!(!ended, "it was ended:\n{}", daemon.log());
        kill(stopped, Signal::SIGCONT).unwrap();
        assert_eq!(daemon.status().daemon_pid, before.daemon_pid);
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// Keeper and daemon stopped together, as by a freezer, and longer than the bound: nobody is blamed.
fn a_keeper_that_was_stopped_itself_gives_the_time_again() {
    Daemon::with(bounded("answer_timeout = \"1s\""), |daemon| {
        let mut run = daemon.run(daemon.probe(&["pause"]));
        let before = daemon.status();
        let daemons = Pid::from_raw(before.daemon_pid);
        kill(daemons, Signal::SIGSTOP).unwrap();
        // From here on an answer is owed.
        kill(Pid::from_raw(run.started.pid), Signal::SIGKILL).unwrap();
        eventually("the keeper has taken the exit", || tests::procfs::gone(run.started.pid));
        daemon.signal(Signal::SIGSTOP);
        assert!(!holds_within(Duration::from_secs(3), || kill(daemons, None).is_err()));
        kill(daemons, Signal::SIGCONT).unwrap();
        daemon.signal(Signal::SIGCONT);
        assert!(!format!("{:?}", run.finish().cause).contains("Lost"), "its end is exact");
        assert_eq!(daemon.status().daemon_pid, before.daemon_pid, "{}", daemon.log());
    });
}
