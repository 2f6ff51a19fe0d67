//! What `aer` says where it could leave somebody puzzled.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use tests::{Daemon, Options, Output, PATIENCE, Process, argv, eventually, rpc::named};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        what_is_up_is_said_to_be_up,
        what_is_registered_and_never_ran_is_no_riddle,
        a_list_tells_what_runs,
        a_watch_of_an_unknown_name_says_so,
        an_editor_that_is_missing_is_named,
        a_killed_keeper_is_not_shown_as_alive,
    ]
}

#[track_caller]
fn fails_with(output: &Output, words: &[&str]) {
    let said = output.err();
    assert!(!output.status.success() && said.trim_end().lines().count() == 1, "{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in {said}"));
}

/// A second start starts nothing, and says so.
fn what_is_up_is_said_to_be_up() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["start", "--name", "web", "--", "/bin/sleep", "1000"];
        let first = daemon.aer(&words).out();
        let pid = daemon.unit("web").pid;
        assert_eq!(first, format!("started web (pid {pid})\n"));
        assert_eq!(daemon.aer(&["start", "web"]).out(), format!("already up: web (pid {pid})\n"));
        let json = daemon.aer(&["-o", "json", "start", "web"]).out();
        assert!(json.contains("\"was_up\":true"), "{json}");
        assert!(daemon.aer(&["restart", "web"]).out().starts_with("restarted web"));
    });
}

/// `inspect` and `forget` say that it is registered, and which verbs are about that.
fn what_is_registered_and_never_ran_is_no_riddle() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(named("web", argv(&["/bin/true"])));
        for verb in ["inspect", "forget"] {
            let said = daemon.aer(&[verb, "web"]);
            fails_with(&said, &["web is registered", "aer show web", "aer start web"]);
            assert!(!said.err().contains("aer list"), "{}", said.err());
            fails_with(&daemon.aer(&[verb, "nope"]), &["no unit nope is known"]);
        }
    });
}

/// The command of what was started and is not registered stands in the list, written as `inspect` writes it.
fn a_list_tells_what_runs() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["/bin/sh", "-c", "exec sleep 1000 # $x 'y'"];
        daemon.up(named("web", argv(&words)));
        let inspected = daemon.aer(&["inspect", "web"]).out();
        let command = inspected.lines().find_map(|line| line.strip_prefix("command"));
        let command = command.expect("it has one").trim();
        let listed = daemon.aer(&["list"]).out();
        assert!(listed.contains(command), "{command} is not in {listed}");
        daemon.down("web");
        daemon.enable(named("web", argv(&words)));
        let listed = daemon.aer(&["list"]).out();
        assert!(listed.contains(command), "{command} is not in {listed}");
    });
}

/// It is said that there is nothing of that name yet; and when there is, it is told.
fn a_watch_of_an_unknown_name_says_so() {
    Daemon::with(Options::default(), |daemon| {
        let watch = daemon.start_aer(&["watch", "nope"]);
        eventually("it is said", || watch.log().contains("no unit nope has been started yet"));
        daemon.up(named("nope", argv(&["/bin/sleep", "1000"])));
        watch.wait_for_output("nope");
        watch.signal(Signal::SIGINT);
        let status = watch.end_within(PATIENCE).expect("it ends");
        assert!(status.signal() == Some(2) || status.code().is_some(), "{status}");
    });
}

/// One line that names the editor, and says how to name another.
fn an_editor_that_is_missing_is_named() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(named("web", argv(&["/bin/true"])));
        let mut command = daemon.command("aer");
        command.arg("--socket").arg(daemon.socket()).args(["edit", "web"]);
        command.env_remove("VISUAL").env("EDITOR", "no-such-editor --wait");
        let output = Process::start(command, || {}).finish();
        fails_with(&output, &["there is no editor no-such-editor", "VISUAL or EDITOR"]);
    });
}

/// Neither the table nor the problem says that it lives.
fn a_killed_keeper_is_not_shown_as_alive() {
    let mut daemon = Daemon::start(Options::default());
    let keeper = daemon.keeper();
    daemon.lose_keeper();
    let said = daemon.aer(&["status"]).out();
    assert!(said.contains(&format!("pid {keeper}, killed")), "{said}");
    daemon.start_again();
    let said = daemon.aer(&["status"]).out();
    assert!(said.contains(&format!("pid {}\n", daemon.keeper())), "{said}");
    daemon.stop();
}
