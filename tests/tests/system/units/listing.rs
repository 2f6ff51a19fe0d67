//! `Runtime.List`, `Inspect` and `Forget`.

use api::{
    meta::Status,
    runtime::{Executable, ForgetRequest, KillMode, RestartWhen, StopPolicy, UnitKind, UnitState},
};
use tests::{
    Daemon, Options, argv, command,
    rpc::named,
    units::{by_name, meta, much_later, name_in, step_line},
};
use tonic::{Code, Request};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        units_are_listed_in_the_order_of_their_names,
        each_state_has_its_status,
        inspect_tells_what_it_was_started_as,
        what_is_down_is_forgotten,
        what_is_up_is_not_forgotten,
    ]
}

/// All units in the order of their names, those that are down too; no run of Exec, and nothing that is registered
/// alone.
fn units_are_listed_in_the_order_of_their_names() {
    Daemon::with(Options::default(), |daemon| {
        let run = daemon.run(named("b-run", daemon.probe(&["pause"])));
        daemon.enable(named("registered", argv(&["/bin/true"])));
        for name in ["z", "b", "a-1", "c", "a"] {
            daemon.up(named(name, daemon.probe(&["pause"])));
        }
        daemon.down("b");
        let names: Vec<String> =
            daemon.units(false).iter().map(|view| name_in(view.meta.as_ref()).to_owned()).collect();
        assert_eq!(names, ["a", "a-1", "b", "c", "z"]);
        for view in daemon.units(true) {
            let name = name_in(view.meta.as_ref()).to_owned();
            let told = daemon.unit(&name);
            assert_eq!((view.state(), view.pid), (told.state(), told.pid), "{name}");
            assert_eq!((view.run_id, view.since), (told.run_id, told.since), "{name}");
        }
        drop(run);
    });
}

/// Each state in detail has one in short.
fn each_state_has_its_status() {
    Daemon::with(Options::default(), |daemon| {
        daemon.up(named("running", daemon.probe(&["pause"])));
        daemon.up(named("inactive", daemon.probe(&["pause"])));
        daemon.down("inactive");
        drop(daemon.try_up(named("failed", argv(&["/bin/false"]))));
        let waiting = named("waiting", argv(&["/bin/false"]));
        drop(
            daemon.try_up(Executable { restart: Some(much_later(RestartWhen::Always)), ..waiting }),
        );
        daemon.up(Executable {
            kind: UnitKind::Oneshot.into(),
            remain_after_exit: true,
            ..named("exited", argv(&["/bin/true"]))
        });
        for (name, state, status) in [
            ("running", UnitState::Running, Status::Active),
            ("inactive", UnitState::Inactive, Status::Standby),
            ("failed", UnitState::Failed, Status::Error),
            ("waiting", UnitState::Waiting, Status::Standby),
            ("exited", UnitState::Exited, Status::Complete),
        ] {
            assert_eq!(daemon.until_state(name, state).status(), status, "{name}");
        }
    });
}

/// Inspect tells the definition as it was given, with both command and words.
fn inspect_tells_what_it_was_started_as() {
    Daemon::with(Options::default(), |daemon| {
        let given = Executable {
            comment: "pages".to_owned(),
            environment: vec!["A=1".to_owned()],
            before: vec![step_line("-/bin/true")],
            stop: Some(StopPolicy { kill_mode: KillMode::Mixed.into(), ..StopPolicy::default() }),
            restart: Some(much_later(RestartWhen::OnFailure)),
            success: vec!["3".to_owned()],
            ..named("web", daemon.probe(&["pause"]))
        };
        daemon.up(given.clone());
        let told = daemon.inspect("web").unwrap();
        let executable = told.executable.unwrap();
        assert!(executable.command.contains("pause"), "{}", executable.command);
        assert_eq!(Executable { command: String::new(), ..executable }, given);
        assert_eq!(told.unit.unwrap().comment, "pages");
        let line = named("line", command("/bin/sleep ${X}1000"));
        daemon.up(line.clone());
        let executable = daemon.inspect("line").unwrap().executable.unwrap();
        assert_eq!((executable.command, executable.meta), (line.command, line.meta));
        let refused = daemon.inspect("nobody").unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert!(refused.message().contains("nobody"), "{refused}");
    });
}

/// What is down is forgotten, by its name or with all that are; nothing is known of it any more, and what is
/// registered can be started again.
fn what_is_down_is_forgotten() {
    Daemon::with(Options::default(), |daemon| {
        for name in ["c", "a", "b"] {
            drop(daemon.try_up(named(name, argv(&["/bin/false"]))));
            daemon.until_state(name, UnitState::Failed);
        }
        daemon.enable(named("registered", daemon.probe(&["pause"])));
        daemon.order_start(Request::new(by_name("registered"))).unwrap();
        daemon.up(named("up", daemon.probe(&["pause"])));
        let one = ForgetRequest { meta: meta("b"), all: false };
        assert_eq!(daemon.forget(one.clone()).unwrap(), ["b"]);
        assert_eq!(daemon.inspect("b").unwrap_err().code(), Code::NotFound);
        assert_eq!(daemon.forget(one).unwrap_err().code(), Code::NotFound);
        daemon.down("registered");
        let all = ForgetRequest { meta: None, all: true };
        assert_eq!(daemon.forget(all.clone()).unwrap(), ["a", "c", "registered"]);
        assert_eq!(daemon.forget(all).unwrap(), Vec::<String>::new());
        assert_eq!(daemon.units(false).len(), 1);
        assert_eq!(daemon.registered().len(), 1);
        daemon.order_start(Request::new(by_name("registered"))).unwrap();
    });
}

/// What is up, or waits, cannot be forgotten; nor can nothing, or a name and all.
fn what_is_up_is_not_forgotten() {
    Daemon::with(Options::default(), |daemon| {
        daemon.up(named("up", daemon.probe(&["pause"])));
        let waiting = named("waiting", argv(&["/bin/false"]));
        drop(
            daemon.try_up(Executable { restart: Some(much_later(RestartWhen::Always)), ..waiting }),
        );
        daemon.until_state("waiting", UnitState::Waiting);
        for (name, state) in [("up", "running"), ("waiting", "waiting")] {
            let refused =
                daemon.forget(ForgetRequest { meta: meta(name), all: false }).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains(state), "{refused}");
        }
        let all = ForgetRequest { meta: None, all: true };
        assert_eq!(daemon.forget(all).unwrap(), Vec::<String>::new());
        for (request, field) in [
            (ForgetRequest::default(), "meta.name"),
            (ForgetRequest { meta: meta("up"), all: true }, "all"),
        ] {
            let refused = daemon.forget(request).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with(field), "{refused}");
        }
        assert_eq!(daemon.units(false).len(), 2);
    });
}
