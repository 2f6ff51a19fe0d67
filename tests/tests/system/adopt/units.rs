//! Units: rules, deadlines and numbers go on.

use api::runtime::{
    Executable, Readiness, RestartPolicy, RestartWhen, StopPolicy, UnitKind, UnitResult, UnitState,
    WatchRequest,
};
use tests::{
    Daemon, Fifo, Options, eventually, procfs,
    rpc::{code, named, signal},
    units::{again, much_later, step, stopping},
};

use super::meanwhile;
use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        a_service_goes_on,
        an_end_while_there_was_no_daemon_is_followed_by_its_rules,
        a_stop_goes_on_to_its_end,
        a_oneshot_comes_to_its_end,
        a_start_goes_on,
        readiness_is_heard_by_the_next_daemon,
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_restart_comes_when_it_was_to_come,
        what_is_down_stays_down_and_what_is_forgotten_stays_forgotten,
        a_watcher_goes_on_with_the_same_numbers,
        a_start_limit_outlives_the_daemon,
        a_flapping_service_is_never_started_twice,
    ]
}

/// The same process, state and numbers; later its end is known exactly, and it is started again as its rules want.
fn a_service_goes_on(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let words = ["append", &daemon.work("web"), "x", "await", go.path(), "exit", "4"];
        daemon.up(Executable {
            restart: Some(again(RestartWhen::Always)),
            ..named("web", daemon.probe(&words))
        });
        go.release();
        let first = daemon.until("web", "it is up again", |unit| {
            unit.restarts == 1 && unit.state() == UnitState::Running
        });
        for _ in 0..3 {
            daemon.replace();
        }
        let now = daemon.unit("web");
        assert_eq!((&now.run_id, now.pid, now.since), (&first.run_id, first.pid, first.since));
        assert_eq!((now.restarts, now.wanted_up, &now.last_exit), (1, true, &first.last_exit));
        assert!(procfs::alive(now.pid));
        assert_eq!(daemon.changes("web").len(), 6);
        go.release();
        let last = daemon.until("web", "it is up again", |unit| {
            unit.restarts == 2 && unit.state() == UnitState::Running
        });
        let exit = last.last_exit.expect("it has ended before");
        assert_eq!((code(&exit), &exit.run_id, exit.pid), (Some(4), &first.run_id, first.pid));
        eventually("it has begun", || daemon.began("web") == 3);
    });
}

/// A service that ends while there is no daemon is started again, once, and the exit is the one that it had.
fn an_end_while_there_was_no_daemon_is_followed_by_its_rules(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let words = ["append", &daemon.work("web"), "x", "await", go.path(), "exit", "3"];
        let started = daemon.up(Executable {
            restart: Some(again(RestartWhen::OnFailure)),
            ..named("web", daemon.probe(&words))
        });
        meanwhile(daemon, || {
            go.release();
            eventually("it ends", || procfs::gone(started.pid));
        });
        let unit = daemon.until("web", "it is up again", |unit| {
            unit.restarts == 1 && unit.state() == UnitState::Running
        });
        assert_eq!(code(&unit.last_exit.expect("it has ended")), Some(3));
        eventually("it has begun", || daemon.began("web") == 2);
    });
}

/// A stop that was under way goes on with its deadline, to the kill.
fn a_stop_goes_on_to_its_end(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["ignore", "SIGTERM", "say", up.path(), "up", "pause"];
        let started = daemon.up(Executable {
            stop: Some(StopPolicy { timeout_ms: Some(1500), ..StopPolicy::default() }),
            restart: Some(again(RestartWhen::Always)),
            ..named("web", daemon.probe(&words))
        });
        assert_eq!(up.line(), "up");
        let stop = daemon.begin_stop(stopping("web"));
        daemon.until_state("web", UnitState::Stopping);
        daemon.replace();
        drop(stop);
        let down = daemon.wait_down("web");
        assert!(!procfs::alive(started.pid));
        let exit = down.exit.expect("it ran");
        assert_eq!((signal(&exit), &exit.run_id), (Some(9), &started.run_id));
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        assert!(!unit.wanted_up);
    });
}

/// A oneshot that was at work ends well under the next daemon.
fn a_oneshot_comes_to_its_end(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let words = ["append", &daemon.work("job"), "x", "await", go.path(), "line", "done"];
        let start = daemon.begin_start(tests::units::of(Executable {
            kind: UnitKind::Oneshot.into(),
            remain_after_exit: true,
            ..named("job", daemon.probe(&words))
        }));
        eventually("it works", || daemon.began("job") == 1);
        daemon.replace();
        drop(start);
        assert_eq!(daemon.unit("job").state(), UnitState::Starting);
        go.release();
        let unit = daemon.until_state("job", UnitState::Exited);
        assert_eq!(code(&unit.last_exit.expect("it has ended")), Some(0));
        assert_eq!(daemon.began("job"), 1);
        daemon.until_logged("job", "done\n");
    });
}

/// A start that was at a command before the program goes on from there; each is executed once.
fn a_start_goes_on(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let probe = daemon.binary("probe");
        let before = [&probe, "append", &daemon.work("before"), "x", "await", go.path()];
        let start = daemon.begin_start(tests::units::of(Executable {
            before: vec![step(&before)],
            ..named("web", daemon.probe(&["append", &daemon.work("web"), "x", "pause"]))
        }));
        eventually("it begins", || daemon.began("before") == 1);
        daemon.replace();
        drop(start);
        assert_eq!(daemon.unit("web").state(), UnitState::Before);
        go.release();
        daemon.until_state("web", UnitState::Running);
        eventually("it has begun", || daemon.began("web") == 1);
        assert_eq!(daemon.began("before"), 1);
    });
}

/// What a program says of itself after its daemon has died is heard by the next one.
fn readiness_is_heard_by_the_next_daemon(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let work = daemon.work("web");
        let words =
            ["append", &work, "x", "await", go.path(), "notify", "READY=1\nSTATUS=well", "pause"];
        let start = daemon.begin_start(tests::units::of(Executable {
            readiness: Readiness::Notify.into(),
            ..named("web", daemon.probe(&words))
        }));
        eventually("it has begun", || daemon.began("web") == 1);
        daemon.replace();
        drop(start);
        assert_eq!(daemon.unit("web").state(), UnitState::Starting);
        go.release();
        let unit = daemon.until_state("web", UnitState::Running);
        assert_eq!(unit.status_text, "well");
        daemon.replace();
        assert_eq!(daemon.unit("web").status_text, "well");
    });
}

/// A unit that waits for its restart waits on until the same moment, whoever is the daemon then.
fn a_restart_comes_when_it_was_to_come() {
    Daemon::with(Options::default(), |daemon| {
        let fails = |name: &str, restart: RestartPolicy| {
            let words = ["append", &daemon.work(name), "x", "exit", "1"];
            let kind = UnitKind::Oneshot.into();
            let executable = named(name, daemon.probe(&words));
            daemon.try_up(Executable { kind, restart: Some(restart), ..executable }).unwrap_err();
        };
        fails("late", much_later(RestartWhen::OnFailure));
        let soon = RestartPolicy { delay_ms: Some(2000), ..again(RestartWhen::OnFailure) };
        fails("soon", soon);
        let [late, soon] = ["late", "soon"].map(|name| daemon.unit(name));
        assert_eq!((late.state(), soon.state()), (UnitState::Waiting, UnitState::Waiting));
        daemon.replace();
        let now = daemon.unit("late");
        assert_eq!((now.state(), now.since, now.restarts), (late.state(), late.since, 0));
        // It is told by two clocks that are read one after the other.
        let moved = now.next_start_at.abs_diff(late.next_start_at);
        assert!(moved < 20_000_000, "by {moved} ns");
        let begun = daemon.until("soon", "it begins again", |unit| unit.restarts == 1);
        let change = daemon.changes("soon").into_iter().find(|it| it.from() == UnitState::Waiting);
        let at = change.expect("it waited").changed_at;
        let late_by = at - soon.next_start_at;
        assert!((-20_000_000..5_000_000_000).contains(&late_by), "{late_by} ns: {begun:?}");
        assert_eq!(daemon.began("late"), 1);
    });
}

/// What is down is known, and stays down; what is forgotten is not known any more.
fn what_is_down_stays_down_and_what_is_forgotten_stays_forgotten() {
    Daemon::with(Options::default(), |daemon| {
        for name in ["kept", "forgotten"] {
            daemon.up(Executable {
                restart: Some(again(RestartWhen::Always)),
                comment: "a comment".to_owned(),
                ..named(name, daemon.probe(&["append", &daemon.work(name), "x", "pause"]))
            });
            eventually("it has begun", || daemon.began(name) == 1);
            daemon.down(name);
        }
        daemon
            .forget(api::runtime::ForgetRequest {
                meta: tests::units::meta("forgotten"),
                ..Default::default()
            })
            .unwrap();
        let before = daemon.inspect("kept").unwrap();
        daemon.replace();
        assert_eq!(daemon.units(false).len(), 1);
        assert_eq!(daemon.inspect("kept").unwrap(), before);
        assert_eq!((daemon.began("kept"), daemon.began("forgotten")), (1, 1));
        daemon.start_anew("kept").unwrap();
        eventually("it has begun", || daemon.began("kept") == 2);
    });
}

/// The numbers of changes go on, in the same series: who comes back with the last one that he saw misses nothing.
fn a_watcher_goes_on_with_the_same_numbers() {
    Daemon::with(Options::default(), |daemon| {
        let begun = |name: &str| drop(daemon.up(named(name, daemon.probe(&["pause"]))));
        begun("a");
        let mut watch =
            daemon.watch(WatchRequest { after: Some(0), ..WatchRequest::default() }).unwrap();
        let seen = watch.until_state("a", UnitState::Running);
        let (series, last) = (watch.begin.series.clone(), seen.last().unwrap().sequence);
        begun("b");
        daemon.replace();
        daemon.down("a");
        let request =
            WatchRequest { after: Some(last), series: series.clone(), ..WatchRequest::default() };
        let mut watch = daemon.watch(request).unwrap();
        assert_eq!(watch.begin.series, series);
        let rest = watch.until_state("a", UnitState::Inactive);
        let numbers: Vec<u64> = rest.iter().map(|change| change.sequence).collect();
        assert_eq!(numbers, [3, 4, 5, 6]);
        let all = WatchRequest { after: Some(0), series, ..WatchRequest::default() };
        let mut watch = daemon.watch(all).unwrap();
        assert_eq!(watch.until_state("a", UnitState::Inactive), [seen, rest].concat());
    });
}

/// Starts are counted on: a daemon's death opens no new window.
fn a_start_limit_outlives_the_daemon() {
    Daemon::with(Options::default(), |daemon| {
        let restart = RestartPolicy {
            start_limit: Some(2),
            start_interval_ms: Some(3_600_000),
            ..RestartPolicy::default()
        };
        let executable = || Executable {
            restart: Some(restart.clone()),
            ..named("web", daemon.probe(&["pause"]))
        };
        for _ in 0..2 {
            daemon.up(executable());
            daemon.down("web");
            daemon.replace();
        }
        let refused = daemon.try_up(executable()).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    });
}

/// Services that end all the time, while daemons die: there are never two of one, and each start is counted.
fn a_flapping_service_is_never_started_twice() {
    Daemon::with(Options::default().restart_delay("20ms"), |daemon| {
        let names = ["a", "b", "c", "d"];
        for name in names {
            let (lock, twice) = (daemon.work(&format!("{name}-lock")), daemon.work("twice"));
            let words =
                ["sole", &lock, &twice, "append", &daemon.work(name), "x", "nap", "5", "exit", "1"];
            daemon.up(Executable {
                restart: Some(again(RestartWhen::Always)),
                ..named(name, daemon.probe(&words))
            });
        }
        for _ in 0..12 {
            let before = daemon.began("a");
            daemon.replace();
            eventually("it goes on", || daemon.began("a") > before);
        }
        for name in names {
            daemon.down(name);
            let unit = daemon.unit(name);
            assert_eq!(daemon.began("twice"), 0, "there were two at once");
            let began = u32::try_from(daemon.began(name)).unwrap();
            // The last one may have been stopped before it came to write.
            let starts = unit.restarts + 1;
            assert!(
                began <= starts && starts <= began + 1,
                "{name}: {began} began, {starts} are counted"
            );
        }
    });
}
