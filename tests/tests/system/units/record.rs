//! What is told of an end, the same everywhere; and who changed what, and why.

use api::runtime::{
    ChangeCause, Executable, RestartWhen, SignalWhom, UnitChange, UnitState, WaitRequest,
    WatchRequest,
};
use tests::{
    Daemon, Fifo, Options, argv, eventually,
    rpc::{self, named},
    units::{again, because, by_name, meta, much_later, of, stopping},
};
use tonic::Code;

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![one_record_everywhere, wait_for_a_unit_and_for_a_run, who_and_why]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; the_last_sixty_four_changes, restarts_are_counted, a_wait_outlives_restarts]
}

/// Wait for the unit, Wait for the run, Inspect, Watch and the log tell the same record of one end.
fn one_record_everywhere(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut watch = daemon.watch(WatchRequest::default()).unwrap();
        let words = ["line", "first", "out", "last words", "await", gate.path(), "exit", "3"];
        let up = daemon
            .up(Executable { comment: "a test".to_owned(), ..named("web", daemon.probe(&words)) });
        let before = tests::wait::wall_clock();
        gate.release();
        let exit = daemon.wait_down("web").exit.unwrap();
        assert_eq!((rpc::code(&exit), exit.pid), (Some(3), up.pid));
        assert_eq!((exit.run_id.as_str(), exit.name.as_str()), (up.run_id.as_str(), "web"));
        assert_eq!(String::from_utf8_lossy(&exit.last_line), "last words");
        assert_eq!((exit.stdout_total, exit.stderr_total), (16, 0));
        assert_eq!((exit.comment.as_str(), exit.restarts), ("a test", 0));
        assert!(exit.started_at < exit.ended_at && exit.ended_at > before, "{exit:?}");
        assert_eq!(exit.started_by.as_ref().unwrap().door, "grpc");
        assert_eq!(exit.stopped_by, None);

        let by_run = WaitRequest { run_id: up.run_id.clone(), ..WaitRequest::default() };
        assert_eq!(daemon.wait(by_run).unwrap().exit.as_ref(), Some(&exit));
        assert_eq!(daemon.unit("web").last_exit.as_ref(), Some(&exit));
        let last = watch.until_state("web", UnitState::Failed).pop().unwrap();
        assert_eq!(last.exit.as_ref(), Some(&exit));
        assert_eq!(last.run_id, up.run_id);
        assert_eq!(daemon.changes("web").pop().unwrap(), last);
        let logged = daemon.logs_of(&up.run_id);
        assert_eq!(String::from_utf8_lossy(&logged.stdout), "first\nlast words");
        assert_eq!(rpc::code(&logged.exit.unwrap()), Some(3));
    });
}

/// Wait answers when a unit is down, or a run has ended, and at once where it is so; who is unknown is NOT_FOUND.
fn wait_for_a_unit_and_for_a_run(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let up = daemon.up(named("web", daemon.probe(&["await", gate.path(), "exit", "2"])));
        let begin = |request: WaitRequest| {
            let mut client = daemon.runtime_client();
            daemon.runtime().spawn(async move { Ok(client.wait(request).await?.into_inner()) })
        };
        let unit = begin(WaitRequest { meta: meta("web"), ..WaitRequest::default() });
        let run = begin(WaitRequest { run_id: up.run_id.clone(), ..WaitRequest::default() });
        let job = daemon.run(named("job", daemon.probe(&["pause"])));
        let plain = begin(WaitRequest { meta: meta("job"), ..WaitRequest::default() });
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        assert!(!unit.is_finished() && !run.is_finished() && !plain.is_finished());
        gate.release();
        let unit = daemon.answered(unit).unwrap();
        assert_eq!(unit.state(), UnitState::Failed);
        let run = daemon.answered(run).unwrap();
        assert_eq!(rpc::code(run.exit.as_ref().unwrap()), Some(2));
        assert_eq!((unit.exit, run.state()), (run.exit, UnitState::Unknown));
        assert!(!plain.is_finished());
        drop(job);
        let plain = daemon.answered(plain).unwrap();
        assert_eq!(rpc::signal(plain.exit.as_ref().unwrap()), Some(15));
        let again = daemon.wait_down("web");
        assert_eq!(again.state(), UnitState::Failed);

        let table = [
            (WaitRequest { meta: meta("nobody"), ..WaitRequest::default() }, Code::NotFound),
            (WaitRequest { run_id: rpc::fresh_id(), ..WaitRequest::default() }, Code::NotFound),
            (WaitRequest::default(), Code::InvalidArgument),
            (WaitRequest { meta: meta("web"), run_id: up.run_id }, Code::InvalidArgument),
        ];
        for (request, code) in table {
            assert_eq!(daemon.wait(request).unwrap_err().code(), code);
        }
    });
}

/// Every change says what made it so: who ordered it, through which door and why, or what else; in Inspect, in Watch
/// and, in words, in the daemon's log.
fn who_and_why(options: Options) {
    use ChangeCause::{Exit, Order, Policy, Readiness};
    use UnitState::{Inactive, Running, Starting, Stopping, Waiting};
    Daemon::with(options, |daemon| {
        let mut watch = daemon.watch(WatchRequest::default()).unwrap();
        let web = Executable {
            restart: Some(much_later(RestartWhen::OnFailure)),
            ..named("web", daemon.probe(&["pause"]))
        };
        daemon.order_start(because("ticket 1", of(web))).unwrap();
        daemon.signal_unit("web", 9, SignalWhom::Main).unwrap();
        daemon.until_state("web", Waiting);
        daemon.order_start(because("ticket 2", by_name("web"))).unwrap();
        daemon.order_stop(because("ticket 3", stopping("web"))).unwrap();
        let changes = daemon.changes("web");
        let seen = watch.until_state("web", Inactive);
        assert_eq!(changes, seen);
        let told: Vec<(UnitState, UnitState, ChangeCause)> =
            changes.iter().map(|it| (it.from(), it.to(), it.cause())).collect();
        assert_eq!(
            told,
            [
                (Inactive, Starting, Order),
                (Starting, Running, Readiness),
                (Running, Stopping, Exit),
                (Stopping, Waiting, Policy),
                (Waiting, Starting, Order),
                (Starting, Running, Readiness),
                (Running, Stopping, Order),
                (Stopping, Inactive, Order),
            ]
        );
        let reasons: Vec<&str> = changes
            .iter()
            .filter_map(|change| change.origin.as_ref())
            .inspect(|origin| {
                assert_eq!(origin.door, "grpc");
                assert!(origin.identity.starts_with("uid:"), "{origin:?}");
            })
            .map(|origin| origin.reason.as_str())
            .collect();
        assert_eq!(reasons, ["ticket 1", "ticket 2", "ticket 3", "ticket 3"]);
        assert!(changes.iter().all(|change| !change.message.is_empty()), "{changes:?}");
        assert!(changes[2].message.contains("signal 9"), "{}", changes[2].message);
        let numbers: Vec<u64> = changes.iter().map(|change| change.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        eventually("the daemon's log has them", || {
            let log = daemon.own_log();
            ["ticket 1", "ticket 2", "ticket 3", "waiting"]
                .iter()
                .all(|word| log.lines().any(|line| line.contains("web") && line.contains(word)))
        });
    });
}

/// Inspect has the last 64 changes of a unit, however many there were.
fn the_last_sixty_four_changes() {
    Daemon::with(Options::default(), |daemon| {
        let flapping = Executable {
            restart: Some(again(RestartWhen::Always)),
            ..named("web", argv(&["/bin/true"]))
        };
        drop(daemon.try_up(flapping));
        daemon.until("web", "it has flapped a hundred times", |unit| unit.restarts >= 100);
        daemon.order_stop(because("enough", stopping("web"))).unwrap();
        let changes = daemon.changes("web");
        assert_eq!(changes.len(), 64);
        let numbers: Vec<u64> = changes.iter().map(|change| change.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no other unit changed");
        assert!(numbers[63] > 300, "{numbers:?}");
        assert!(changes.windows(2).all(|pair| pair[0].to == pair[1].from), "{changes:?}");
        assert!(changes.windows(2).all(|pair| pair[0].changed_at <= pair[1].changed_at));
        let last: &UnitChange = changes.last().unwrap();
        assert_eq!(last.to(), UnitState::Inactive);
        assert_eq!(last.origin.as_ref().unwrap().reason, "enough");
    });
}

/// Each record says how often its unit had been started again by itself; a start by order counts anew.
fn restarts_are_counted() {
    Daemon::with(Options::default(), |daemon| {
        let [one, two] = ["one", "two"].map(|name| daemon.work(name));
        let words =
            ["first", &one, "{", "exit", "1", "}", "first", &two, "{", "exit", "1", "}", "pause"];
        let unit = Executable {
            restart: Some(again(RestartWhen::OnFailure)),
            ..named("web", daemon.probe(&words))
        };
        drop(daemon.try_up(unit));
        daemon.until("web", "it stays", |unit| {
            unit.restarts == 2 && unit.state() == UnitState::Running
        });
        let exits: Vec<u32> = daemon
            .changes("web")
            .iter()
            .filter(|change| change.to() == UnitState::Waiting)
            .map(|change| change.exit.as_ref().unwrap().restarts)
            .collect();
        assert_eq!(exits, [0, 1]);
        assert_eq!(daemon.down("web").exit.unwrap().restarts, 2);
        daemon.order_start(tonic::Request::new(by_name("web"))).unwrap();
        assert_eq!(daemon.unit("web").restarts, 0);
        assert_eq!(daemon.down("web").exit.unwrap().restarts, 0);
    });
}

/// Wait for a unit goes on over its restarts, until it is down for good.
fn a_wait_outlives_restarts() {
    Daemon::with(Options::default(), |daemon| {
        let first = daemon.work("first");
        let words = ["first", &first, "{", "exit", "1", "}", "nap", "50", "exit", "0"];
        let unit = Executable {
            restart: Some(again(RestartWhen::OnFailure)),
            ..named("web", daemon.probe(&words))
        };
        let mut watch = daemon.watch(WatchRequest::default()).unwrap();
        drop(daemon.try_up(unit));
        let waited = daemon.wait_down("web");
        assert_eq!(waited.state(), UnitState::Inactive);
        assert_eq!(rpc::code(&waited.exit.unwrap()), Some(0));
        let seen = watch.until_state("web", UnitState::Inactive);
        assert!(seen.iter().any(|change| change.to() == UnitState::Waiting), "{seen:?}");
    });
}
