//! Whose a name is: a unit's until it is forgotten, a run's while it lives, a registration's until it is destroyed.

use api::runtime::{Executable, ForgetRequest, UnitState};
use tests::{
    Daemon, Options, argv,
    rpc::named,
    units::{by_name, meta},
};
use tonic::{Code, Request};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_units_name_is_taken_until_it_is_forgotten,
        a_live_runs_name_is_taken_for_a_unit,
        a_registered_name_is_started_by_its_name,
        what_is_enabled_anew_counts_at_the_next_start,
        odd_names,
    ]
}

/// Exec under a unit's name is ALREADY_EXISTS, also when the unit is down; when it is forgotten the name is free at
/// once.
fn a_units_name_is_taken_until_it_is_forgotten() {
    Daemon::with(Options::default(), |daemon| {
        daemon.up(named("web", daemon.probe(&["pause"])));
        let exec = || daemon.exec(named("web", argv(&["/bin/true"])));
        let refused = exec().unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains("web"), "{refused}");
        daemon.down("web");
        let refused = exec().unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains("aer forget"), "{refused}");
        daemon.forget(ForgetRequest { meta: meta("web"), all: false }).unwrap();
        assert_eq!(exec().unwrap().exit_code, "0");
        daemon.up(named("web", daemon.probe(&["pause"])));
    });
}

/// A unit cannot have the name of a run that lives.
fn a_live_runs_name_is_taken_for_a_unit() {
    Daemon::with(Options::default(), |daemon| {
        let mut run = daemon.run(named("web", daemon.probe(&["out", "up", "pause"])));
        run.read_until("up");
        let refused = daemon.try_up(named("web", daemon.probe(&["pause"]))).unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains(&run.started.run_id), "{refused}");
        assert_eq!(daemon.units(false), []);
        drop(run);
        tests::eventually("the run has ended", || daemon.status().runs_live == 0);
        daemon.up(named("web", daemon.probe(&["pause"])));
    });
}

/// A registered unit is started by its name, whether it is enabled or disabled; another definition under its name is
/// ALREADY_EXISTS.
fn a_registered_name_is_started_by_its_name() {
    Daemon::with(Options::default(), |daemon| {
        for name in ["on", "off"] {
            daemon.enable(named(name, daemon.probe(&["pause"])));
        }
        daemon.disable("off").unwrap();
        for name in ["on", "off"] {
            daemon.order_start(Request::new(by_name(name))).unwrap();
            assert_eq!(daemon.unit(name).state(), UnitState::Running);
            let refused = daemon.try_up(named(name, argv(&["/bin/true"]))).unwrap_err();
            assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        }
        daemon.disable("on").unwrap();
        daemon.destroy("on").unwrap();
        assert_eq!(daemon.unit("on").state(), UnitState::Running, "no call of the schedule stops");
    });
}

/// A unit that is enabled anew goes on as it is, and is the new one at its next start.
fn what_is_enabled_anew_counts_at_the_next_start() {
    Daemon::with(Options::default(), |daemon| {
        let unit = |word: &str| named("web", daemon.probe(&["line", word, "pause"]));
        daemon.enable(unit("old"));
        let first = daemon.order_start(Request::new(by_name("web"))).unwrap();
        daemon.until_logged("web", "old\n");
        daemon.enable(unit("new"));
        let again = daemon.order_start(Request::new(by_name("web"))).unwrap();
        assert_eq!((again.run_id, again.pid, again.was_up), (first.run_id, first.pid, true));
        daemon.start_anew("web").unwrap();
        daemon.until_logged("web", "old\nnew\n");
    });
}

/// Usual names of services are accepted, and what is none is refused by field.
fn odd_names() {
    Daemon::with(Options::default(), |daemon| {
        let longest = "n".repeat(200);
        for name in ["9", "_x", "a:b+c", "getty@tty1.service", longest.as_str()] {
            daemon.up(named(name, daemon.probe(&["pause"])));
            assert_eq!(daemon.unit(name).state(), UnitState::Running);
        }
        for name in ["a/b", "..", "-x", "a b", &"n".repeat(201)] {
            let refused = daemon.try_up(named(name, argv(&["/bin/true"]))).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with("meta.name"), "{refused}");
        }
        let nothing = named("web", Executable::default());
        let refused = daemon.try_up(nothing).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with("command"), "{refused}");
    });
}
