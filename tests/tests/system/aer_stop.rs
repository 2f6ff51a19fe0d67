//! `aer` and Ctrl-C.

use nix::sys::signal::Signal;
use tests::{Daemon, Options, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; once_stops, once_ends_a_usual_program, twice_kills, output_comes_as_it_is_printed, following_ends_with_ctrl_c]
}

/// Ctrl-C stops the run with that very signal; what it still prints is shown, and its own status is aer's.
fn once_stops() {
    Daemon::with(Options::default(), |daemon| {
        let script =
            "trap 'echo cleaned; exit 9' INT; echo up; while :; do sleep 1000 & wait; done";
        let client = daemon.start_aer(&["exec", "--", "/bin/sh", "-c", script]);
        client.wait_for_output("up\n");
        client.signal(Signal::SIGINT);
        let output = client.finish();
        assert_eq!((output.out().as_str(), output.code()), ("up\ncleaned\n", Some(9)));
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// A program that does nothing about it is ended by it: 128 + 2.
fn once_ends_a_usual_program() {
    Daemon::with(Options::default(), |daemon| {
        let probe = daemon.binary("probe");
        let client = daemon.start_aer(&["exec", "--", &probe, "out", "up", "pause"]);
        client.wait_for_output("up");
        client.signal(Signal::SIGINT);
        assert_eq!(client.finish().code(), Some(130));
    });
}

/// A second Ctrl-C kills what the first did not end.
fn twice_kills() {
    Daemon::with(Options::default(), |daemon| {
        let script = "trap 'echo deaf' INT; echo up; while :; do sleep 1000 & wait; done";
        let client = daemon.start_aer(&["exec", "--", "/bin/sh", "-c", script]);
        client.wait_for_output("up\n");
        client.signal(Signal::SIGINT);
        client.wait_for_output("deaf\n");
        client.signal(Signal::SIGINT);
        assert_eq!(client.finish().code(), Some(137));
        eventually("nothing lives", || daemon.status().runs_live == 0);
    });
}

/// Output is shown while the program runs, without a newline as well.
fn output_comes_as_it_is_printed() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = tests::Fifo::make(daemon.path(), "gate");
        let probe = daemon.binary("probe");
        let client = daemon.start_aer(&["exec", "--", &probe, "out", "now", "await", gate.path()]);
        client.wait_for_output("now");
        gate.release();
        assert_eq!(client.finish().code(), Some(0));
    });
}

/// Following a log stops nothing when it is interrupted; by SIGTERM here, since a suite that a script started
/// in the background has SIGINT ignored, and so has what it starts.
fn following_ends_with_ctrl_c() {
    Daemon::with(Options::default(), |daemon| {
        let mut run = daemon.run(daemon.probe(&["out", "up", "pause"]));
        run.read_until("up");
        let follower = daemon.start_aer(&["logs", &run.started.run_id, "-f"]);
        follower.wait_for_output("up");
        follower.signal(Signal::SIGTERM);
        let _ = follower.finish();
        assert!(tests::procfs::alive(run.started.pid), "reading stops nothing");
    });
}
