//! Units that say themselves when they are ready (sd_notify(3)).

use api::runtime::{Executable, Readiness, UnitResult, UnitState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, argv, eventually, procfs,
    rpc::named,
    units::{by_name, of},
};
use tonic::Code;

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        ready_when_it_says_so,
        what_is_said_to_nobody_waits_for_the_next_daemon,
        a_child_may_say_so,
        what_it_says_of_itself_is_shown,
        never_ready_is_a_time_out,
        to_die_before_is_against_the_protocol,
        to_fail_before_is_a_failure,
        others_cannot_say_so,
    ]
}

fn notifying(executable: Executable) -> Executable {
    Executable { readiness: Readiness::Notify.into(), ..executable }
}

/// Start answers when the program says that it is ready, not when it was executed.
fn ready_when_it_says_so(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["say", up.path(), "up", "await", gate.path(), "notify", "READY=1", "pause"];
        let begun = daemon.begin_start(of(notifying(named("web", daemon.probe(&words)))));
        assert_eq!(up.line(), "up");
        let unit = daemon.until("web", "it has a process", |unit| unit.pid > 0);
        assert_eq!(unit.state(), UnitState::Starting);
        assert!(!begun.is_finished(), "it was answered before it was ready");
        gate.release();
        let answer = daemon.answered(begun).unwrap();
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, answer.pid));
    });
}

/// READY=1 while there is no daemon is heard by the next one.
fn what_is_said_to_nobody_waits_for_the_next_daemon(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let said = daemon.work("web");
        let mut up = Fifo::make(daemon.path(), "up");
        let words = [
            "say",
            up.path(),
            "up",
            "await",
            gate.path(),
            "notify",
            "READY=1",
            "append",
            &said,
            "x",
            "pause",
        ];
        let begun = daemon.begin_start(of(notifying(named("web", daemon.probe(&words)))));
        assert_eq!(up.line(), "up");
        let unit = daemon.until("web", "it has a process", |unit| unit.pid > 0);
        let before = daemon.status().daemon_pid;
        // Stopped, the keeper starts no other meanwhile.
        daemon.signal(Signal::SIGSTOP);
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        eventually("the daemon is dead", || procfs::gone(before));
        gate.release();
        eventually("it has said so", || daemon.began("web") == 1);
        daemon.signal(Signal::SIGCONT);
        drop(begun);
        eventually("another daemon serves", || {
            daemon.status_if_there().is_some_and(|status| status.daemon_pid != before)
        });
        let now = daemon.until("web", "it is up", |unit| unit.state() == UnitState::Running);
        assert_eq!(now.pid, unit.pid);
    });
}

/// A child of the program may say it.
fn a_child_may_say_so(options: Options) {
    Daemon::with(options, |daemon| {
        let words = ["start", "{", "notify", "READY=1", "pause", "}", "pause"];
        daemon.up(notifying(named("web", daemon.probe(&words))));
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
    });
}

/// STATUS= is shown, the last one; a new start has none of it.
fn what_it_says_of_itself_is_shown(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = [
            "notify",
            "STATUS=warming up\nREADY=1",
            "await",
            gate.path(),
            "notify",
            "STATUS=serving 3 guests",
            "pause",
        ];
        daemon.up(notifying(named("web", daemon.probe(&words))));
        daemon.until("web", "it says something", |unit| unit.status_text == "warming up");
        gate.release();
        daemon.until("web", "it says more", |unit| unit.status_text == "serving 3 guests");
        daemon.down("web");
        let begun = daemon.order_start(tonic::Request::new(by_name("web"))).unwrap();
        assert!(begun.pid > 0);
        daemon.until("web", "it says the first thing", |unit| unit.status_text == "warming up");
    });
}

/// What is never ready is stopped when its time is over; Start says so.
fn never_ready_is_a_time_out(options: Options) {
    Daemon::with(options, |daemon| {
        let web = named("web", daemon.probe(&["mark", &daemon.work("pid"), "pause"]));
        let web = Executable { start_timeout_ms: Some(500), ..notifying(web) };
        let refused = daemon.try_up(web).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        for word in ["web", "500ms", "start_timeout", "timeout"] {
            assert!(refused.message().contains(word), "{word}: {refused}");
        }
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        if let Ok(pid) = std::fs::read_to_string(daemon.work("pid")) {
            assert!(!procfs::alive(pid.trim().parse().unwrap()));
        }
    });
}

/// What ends well before it was ready has broken the protocol.
fn to_die_before_is_against_the_protocol(options: Options) {
    Daemon::with(options, |daemon| {
        let refused = daemon.try_up(notifying(named("web", argv(&["/bin/true"])))).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("READY=1"), "{refused}");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Protocol));
    });
}

/// What fails before it was ready has failed by its own status.
fn to_fail_before_is_a_failure(options: Options) {
    Daemon::with(options, |daemon| {
        let failing = notifying(named("web", daemon.probe(&["exit", "9"])));
        let refused = daemon.try_up(failing).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains('9'), "{refused}");
        assert_eq!(daemon.unit("web").result(), UnitResult::ExitCode);
    });
}

/// Another unit's process, which knows where to say it, makes nobody ready but its own unit.
fn others_cannot_say_so(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = ["say", up.path(), "up", "await", gate.path(), "notify", "READY=1", "pause"];
        let begun = daemon.begin_start(of(notifying(named("web", daemon.probe(&words)))));
        assert_eq!(up.line(), "up");
        daemon
            .up(notifying(named("liar", daemon.probe(&["notify", "READY=1\nSTATUS=me", "pause"]))));
        daemon.until("liar", "it was heard", |unit| unit.status_text == "me");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.status_text.as_str()), (UnitState::Starting, ""));
        gate.release();
        daemon.answered(begun).unwrap();
        eventually("it is up", || daemon.unit("web").state() == UnitState::Running);
    });
}
