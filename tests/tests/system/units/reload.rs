//! `Runtime.Reload` and `Runtime.Signal`.

use std::fs;

use api::runtime::{Executable, SignalRequest, SignalWhom, StopPolicy, UnitState};
use tests::{
    Daemon, Fifo, Options, argv, procfs,
    rpc::{self, named},
    units::{step, step_line},
};
use tonic::Code;

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        a_reload_reaches_the_program,
        a_reload_that_fails_harms_nothing,
        a_reload_that_hangs_is_ended,
        a_reload_that_is_deaf_is_killed,
        what_cannot_be_reloaded,
        a_signal_to_the_main_process,
        a_signal_to_all,
        nobody_to_signal,
    ]
}

/// Reload answers when its commands have succeeded; they are told the main process. The run goes on.
fn a_reload_reaches_the_program(options: Options) {
    Daemon::with(options, |daemon| {
        let mut heard = Fifo::make(daemon.path(), "heard");
        let said = daemon.work("said");
        let words = [
            "ignore",
            "SIGHUP",
            "say",
            heard.path(),
            "up",
            "hear",
            "SIGHUP",
            "say",
            heard.path(),
            "reloaded",
            "pause",
        ];
        let on_reload = vec![
            step_line("/bin/kill -HUP $MAINPID"),
            step(&[&daemon.binary("probe"), "append", &said, "second"]),
        ];
        let up = daemon.up(Executable { on_reload, ..named("web", daemon.probe(&words)) });
        assert_eq!(heard.line(), "up");
        daemon.reload("web").unwrap();
        assert_eq!(heard.line(), "reloaded");
        assert_eq!(fs::read_to_string(&said).unwrap(), "second\n");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.run_id), (UnitState::Running, up.run_id));
        let states: Vec<UnitState> =
            daemon.changes("web").iter().map(api::runtime::UnitChange::to).collect();
        let last = states.len() - 2;
        assert_eq!(states[last..], [UnitState::Reloading, UnitState::Running]);
    });
}

/// A command that fails is an error that names it; the next is not executed, and the unit goes on.
fn a_reload_that_fails_harms_nothing(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let on_reload = vec![
            step_line("-/bin/false"),
            step(&["/bin/sh", "-c", "exit 6"]),
            step(&[&daemon.binary("probe"), "append", &said, "third"]),
        ];
        let up = daemon.up(Executable { on_reload, ..named("web", daemon.probe(&["pause"])) });
        let refused = daemon.reload("web").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        for word in ["web", "command 2", "6"] {
            assert!(refused.message().contains(word), "{word}: {refused}");
        }
        assert!(fs::metadata(&said).is_err(), "the third was executed");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, up.pid));
        assert_eq!(unit.result(), api::runtime::UnitResult::Success);
    });
}

/// A command that takes too long is ended, and the reload has failed by that.
fn a_reload_that_hangs_is_ended(options: Options) {
    Daemon::with(options, |daemon| {
        let on_reload = vec![step(&[&daemon.binary("probe"), "pause"])];
        let web = named("web", daemon.probe(&["pause"]));
        let up = daemon.up(Executable { on_reload, start_timeout_ms: Some(500), ..web });
        let refused = daemon.reload("web").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("too long"), "{refused}");
        assert_eq!(daemon.unit("web").pid, up.pid);
        assert_eq!(daemon.status().runs_live, 1);
    });
}

/// One that does not hear that it is to end is killed when the unit's time for that is over; the unit goes on.
fn a_reload_that_is_deaf_is_killed(options: Options) {
    Daemon::with(options, |daemon| {
        let on_reload = vec![step(&[&daemon.binary("probe"), "ignore", "SIGTERM", "pause"])];
        let stop = Some(StopPolicy { timeout_ms: Some(300), ..StopPolicy::default() });
        let web = named("web", daemon.probe(&["pause"]));
        let web = Executable { on_reload, stop, start_timeout_ms: Some(300), ..web };
        let up = daemon.up(web);
        let refused = daemon.reload("web").unwrap_err();
        assert!(refused.message().contains("too long"), "{refused}");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, up.pid));
        assert_eq!(daemon.status().runs_live, 1);
    });
}

/// What does not say how, what is down and what is not there: each refused with the reason.
fn what_cannot_be_reloaded(options: Options) {
    Daemon::with(options, |daemon| {
        daemon.up(named("plain", daemon.probe(&["pause"])));
        let refused = daemon.reload("plain").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("on_reload"), "{refused}");
        let on_reload = vec![step(&["/bin/true"])];
        daemon.up(Executable { on_reload, ..named("down", daemon.probe(&["pause"])) });
        daemon.down("down");
        let refused = daemon.reload("down").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("inactive"), "{refused}");
        assert_eq!(daemon.reload("nobody").unwrap_err().code(), Code::NotFound);
    });
}

/// A program with a child; each notes the first SIGUSR1 that it hears.
fn listening(daemon: &Daemon, up: &mut Fifo) -> (i32, String, String) {
    let (main, child) = (daemon.work("main"), daemon.work("child"));
    let path = up.path().to_owned();
    let words = [
        "ignore", "SIGUSR1", "start", "{", "ignore", "SIGUSR1", "say", &path, "up", "hear",
        "SIGUSR1", "append", &child, "heard", "say", &path, "child", "pause", "}", "say", &path,
        "up", "hear", "SIGUSR1", "append", &main, "heard", "say", &path, "main", "pause",
    ];
    let pid = daemon.up(named("web", daemon.probe(&words))).pid;
    assert_eq!((up.line(), up.line()), ("up".to_owned(), "up".to_owned()));
    (pid, main, child)
}

/// A signal to the main process reaches it and nobody else, and nothing is concluded from it.
fn a_signal_to_the_main_process(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let (pid, _, child) = listening(daemon, &mut up);
        daemon.signal_unit("web", 10, SignalWhom::Main).unwrap();
        assert_eq!(up.line(), "main");
        assert!(fs::metadata(&child).is_err(), "the child heard it");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, pid));
    });
}

/// A signal to all reaches everybody; SIGKILL to all ends the unit, by a signal that nobody ordered an end with.
fn a_signal_to_all(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let (pid, ..) = listening(daemon, &mut up);
        daemon.signal_unit("web", 10, SignalWhom::All).unwrap();
        let mut heard = [up.line(), up.line()];
        heard.sort();
        assert_eq!(heard, ["child", "main"]);
        daemon.signal_unit("web", 9, SignalWhom::All).unwrap();
        let unit = daemon.until_state("web", UnitState::Failed);
        assert_eq!(unit.result(), api::runtime::UnitResult::Signal);
        let exit = unit.last_exit.unwrap();
        assert_eq!((rpc::signal(&exit), exit.stopped_by), (Some(9), None));
        assert!(!procfs::alive(pid));
    });
}

/// What is down has nobody; what is no signal, and who is not there, is refused by name.
fn nobody_to_signal(options: Options) {
    Daemon::with(options, |daemon| {
        drop(daemon.try_up(named("down", argv(&["/bin/true"]))));
        daemon.wait_down("down");
        let refused = daemon.signal_unit("down", 1, SignalWhom::Main).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("inactive"), "{refused}");
        daemon.up(named("web", daemon.probe(&["pause"])));
        for signal in [0, -1, 65] {
            let refused = daemon.signal_unit("web", signal, SignalWhom::Main).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("signal"), "{refused}");
        }
        let refused = daemon.signal_unit("nobody", 1, SignalWhom::Main).unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        let mut client = daemon.runtime_client();
        let request = SignalRequest {
            meta: tests::units::meta("web"),
            signal: 1,
            whom: 7,
            ..SignalRequest::default()
        };
        let refused = daemon.block(client.signal(request)).unwrap_err();
        assert!(refused.message().contains("whom"), "{refused}");
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
    });
}
