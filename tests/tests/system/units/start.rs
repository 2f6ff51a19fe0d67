//! `Runtime.Start`: when it answers, and what.

use std::{fs, os::unix::fs::PermissionsExt};

use api::runtime::{
    Executable, Readiness, RestartWhen, StartResponse, StartStage, UnitResult, UnitState,
    exit_record::Cause,
};
use tests::{
    Daemon, Fifo, Leased, Options, argv, eventually, procfs,
    rpc::named,
    units::{again, by_name, failure, much_later, name_in},
};
use tonic::{Code, Request};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        it_answers_when_the_program_was_executed,
        what_cannot_be_executed_is_told,
        what_is_up_is_answered_at_once,
        a_start_is_joined,
        what_waits_is_started_now,
        what_failed_is_started_anew,
        a_stop_overtakes_a_start,
        who_hangs_up_changes_nothing,
        a_name_is_made_up,
        nobody_to_start,
        starts_that_hang_hold_up_nobody_else,
        ends_beside_a_start_that_hangs_are_told,
    ]
}

/// When Start answers, the process is there, and it is the program, not what was to become it.
fn it_answers_when_the_program_was_executed(options: Options) {
    Daemon::with(options, |daemon| {
        // Ten starts are more than the usual limit.
        let restart = Some(again(RestartWhen::No));
        let web = Executable { restart, ..named("web", daemon.probe(&["pause"])) };
        for _ in 0..10 {
            let up = daemon.up(web.clone());
            assert_eq!(procfs::command(up.pid), "probe");
            let unit = daemon.unit("web");
            assert_eq!((unit.state(), unit.pid), (UnitState::Running, up.pid));
            assert_eq!((unit.run_id, unit.wanted_up), (up.run_id, true));
            assert_eq!(name_in(up.meta.as_ref()), "web");
            daemon.down("web");
        }
    });
}

/// A missing program, a folder and a file that is no program are errors of Start, which name the program and the
/// reason; the unit has FAILED, and says the same.
fn what_cannot_be_executed_is_told(options: Options) {
    Daemon::with(options, |daemon| {
        let plain = daemon.work("plain");
        fs::write(&plain, "no program").unwrap();
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
        let table = [
            ("missing", "/nonexistent/program", 2, "does not exist"),
            ("folder", "/etc", 13, "is a folder"),
            ("plain", plain.as_str(), 13, "is not executable"),
        ];
        for (name, program, errno, words) in table {
            let refused = daemon.try_up(named(name, argv(&[program]))).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            for word in [name, program] {
                assert!(refused.message().contains(word), "{word}: {refused}");
            }
            let unit = daemon.unit(name);
            assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::ExitCode));
            assert_eq!((unit.pid, unit.wanted_up), (0, false));
            let failure = failure(&unit.last_exit.unwrap()).expect("it never ran");
            assert_eq!((failure.stage(), failure.error_number), (StartStage::Exec, errno));
            assert!(refused.message().contains(&failure.message), "{refused} {failure:?}");
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// Start of what is up answers at once, and starts nothing.
fn what_is_up_is_answered_at_once(options: Options) {
    Daemon::with(options, |daemon| {
        let web = named("web", daemon.probe(&["append", &daemon.work("web"), "x", "pause"]));
        let first = daemon.up(web.clone());
        let up = StartResponse { was_up: true, ..first };
        assert_eq!(daemon.up(web), up);
        assert_eq!(daemon.order_start(Request::new(by_name("web"))).unwrap(), up);
        assert_eq!(daemon.status().runs_total, 1);
    });
}

/// Who starts what is starting waits for the same run.
fn a_start_is_joined(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = ["await", gate.path(), "notify", "READY=1", "pause"];
        let web = Executable {
            readiness: Readiness::Notify.into(),
            ..named("web", daemon.probe(&words))
        };
        let first = daemon.begin_start(tests::units::of(web.clone()));
        eventually("it is starting", || {
            daemon.inspect("web").is_ok_and(|it| it.unit.unwrap().pid > 0)
        });
        let second = daemon.begin_start(by_name("web"));
        let third = daemon.begin_start(tests::units::of(web));
        assert_eq!(daemon.unit("web").state(), UnitState::Starting);
        gate.release();
        let first = daemon.answered(first).unwrap();
        assert_eq!(daemon.answered(second).unwrap(), first);
        assert_eq!(daemon.answered(third).unwrap(), first);
        assert_eq!(daemon.status().runs_total, 1);
    });
}

/// A unit that waits for its restart is started at once when somebody says so, and its restarts are counted anew.
fn what_waits_is_started_now(options: Options) {
    Daemon::with(options, |daemon| {
        let words = ["first", &daemon.work("first"), "{", "exit", "1", "}", "pause"];
        let web = named("web", daemon.probe(&words));
        daemon.up(Executable { restart: Some(much_later(RestartWhen::OnFailure)), ..web });
        let waiting = daemon.until_state("web", UnitState::Waiting);
        assert!(waiting.wanted_up, "{waiting:?}");
        assert!(waiting.next_start_at > waiting.since, "{waiting:?}");
        let up = daemon.order_start(Request::new(by_name("web"))).unwrap();
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.restarts, unit.next_start_at), (UnitState::Running, 0, 0));
        assert_eq!(unit.pid, up.pid);
    });
}

/// A unit that has failed is started by its name as it was, and what went wrong before is over.
fn what_failed_is_started_anew(options: Options) {
    Daemon::with(options, |daemon| {
        let words = ["first", &daemon.work("first"), "{", "exit", "4", "}", "pause"];
        daemon.up(named("web", daemon.probe(&words)));
        let failed = daemon.until_state("web", UnitState::Failed);
        assert_eq!(failed.result(), UnitResult::ExitCode);
        daemon.order_start(Request::new(by_name("web"))).unwrap();
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Running, UnitResult::Success));
    });
}

/// A start that somebody stops is ABORTED, and says who did and why.
fn a_stop_overtakes_a_start(options: Options) {
    Daemon::with(options, |daemon| {
        let words = Executable { readiness: Readiness::Notify.into(), ..daemon.probe(&["pause"]) };
        let begun = daemon.begin_start(tests::units::of(named("web", words)));
        eventually("it is starting", || daemon.inspect("web").is_ok());
        let order = tests::units::because("not today", tests::units::stopping("web"));
        daemon.order_stop(order).unwrap();
        let aborted = daemon.answered(begun).unwrap_err();
        assert_eq!(aborted.code(), Code::Aborted, "{aborted}");
        assert!(aborted.message().contains("not today"), "{aborted}");
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
    });
}

/// The end of a call, by its client or by its deadline, changes nothing: the start goes on.
fn who_hangs_up_changes_nothing(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words = ["await", gate.path(), "notify", "READY=1", "pause"];
        let web = Executable {
            readiness: Readiness::Notify.into(),
            ..named("web", daemon.probe(&words))
        };
        let begun = daemon.begin_start(tests::units::of(web));
        eventually("it is starting", || daemon.inspect("web").is_ok());
        begun.abort();
        let mut late = Request::new(by_name("web"));
        late.set_timeout(std::time::Duration::from_millis(50));
        let late = daemon.order_start(late).unwrap_err();
        assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
        assert_eq!(daemon.unit("web").state(), UnitState::Starting);
        gate.release();
        daemon.until_state("web", UnitState::Running);
        assert_eq!(daemon.status().runs_total, 1);
    });
}

/// Without a name one is made up, by which the unit is known.
fn a_name_is_made_up(options: Options) {
    Daemon::with(options, |daemon| {
        let up = daemon.up(daemon.probe(&["pause"]));
        let name = name_in(up.meta.as_ref());
        assert!(!name.is_empty());
        assert_eq!(daemon.unit(name).pid, up.pid);
    });
}

/// A name that nothing is known of is NOT_FOUND, one that is none INVALID_ARGUMENT; so is nothing at all.
fn nobody_to_start(options: Options) {
    Daemon::with(options, |daemon| {
        let table = [
            (by_name("nobody"), Code::NotFound, "nobody"),
            (by_name("no/body"), Code::InvalidArgument, "name"),
            (by_name(""), Code::InvalidArgument, "name"),
            (api::runtime::StartRequest::default(), Code::InvalidArgument, "what"),
        ];
        for (request, code, word) in table {
            let refused = daemon.order_start(Request::new(request)).unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(word), "{refused}");
        }
        assert_eq!(daemon.units(false), []);
    });
}

/// More starts hang than there are threads that make processes, as on a filesystem that does not answer: others are made
/// all the same, and what hung is up as soon as it can be.
fn starts_that_hang_hold_up_nobody_else(options: Options) {
    Daemon::with(options, |daemon| {
        let leased = Leased::make("/bin/sleep", daemon.path());
        let sleeper = |name: &str| named(name, argv(&[leased.path(), "infinity"]));
        let names = ["one", "two", "three", "four", "five"];
        let begun = names.map(|name| daemon.begin_start(tests::units::of(sleeper(name))));
        let state = |name| daemon.inspect(name).map(|it| it.unit.unwrap().state());
        eventually("all are starting", || names.iter().all(|name| state(name).is_ok()));
        assert_eq!(daemon.exec(argv(&["/bin/echo", "on"])).unwrap().stdout, "on\n");
        for name in names {
            assert_eq!(state(name).unwrap(), UnitState::Starting, "{name}");
        }
        drop(leased);
        for begun in begun {
            daemon.answered(begun).unwrap();
        }
    });
}

/// As long as a program is on its way nobody can say of an orphan that it is not that: it stays a zombie. The ends of others are
/// told all the same.
fn ends_beside_a_start_that_hangs_are_told(options: Options) {
    Daemon::with(options, |daemon| {
        let leased = Leased::make("/bin/sleep", daemon.path());
        let hangs = named("hangs", argv(&[leased.path(), "infinity"]));
        let begun = daemon.begin_start(tests::units::of(hangs));
        eventually("it is starting", || daemon.inspect("hangs").is_ok());
        // Each leaves an orphan, which ends before it.
        let script = "(/bin/true &); sleep 0.1; exit 7";
        for number in 0..3 {
            let name = format!("leaves-{number}");
            daemon.up(named(&name, argv(&["/bin/sh", "-c", script])));
            let view = daemon.until_state(&name, UnitState::Failed);
            assert_eq!(view.last_exit.unwrap().cause, Some(Cause::Code(7)), "{name}");
        }
        drop(leased);
        daemon.answered(begun).unwrap();
    });
}
