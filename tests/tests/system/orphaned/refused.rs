//! What a daemon without a keeper does not do, and what it does as ever.

use api::{
    observe::StatusResponse,
    runtime::{
        ChangeCause, Executable, ForgetRequest, RestartWhen, SignalWhom, UnitState, UnitView,
        WatchRequest,
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Need, Options, argv, binaries, eventually, procfs,
    rpc::named,
    storm::Faults,
    units::{again, by_name, step},
};
use tonic::{Code, Request, Status};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![starts_are_refused_and_the_rest_goes_on, a_restart_waits_for_the_next_keeper]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        an_order_that_was_put_off_is_still_an_order,
        a_start_that_was_under_way,
        nobody_can_follow,
        it_is_told,
    ]
    .into_iter()
    .chain(cases![[Need::Faults]; a_daemon_on_trial_that_loses_its_keeper_stays])
    .collect()
}

/// Refused, with a sentence that says why and what to do.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let why = answer.expect_err("it is refused");
    assert_eq!(why.code(), Code::FailedPrecondition, "{why}");
    let said = why.message();
    assert!(
        said.contains("the keeper (auraed) was killed") && said.contains("auraed again"),
        "{said}"
    );
}

/// Everything that needs a new process is refused by name; what needs none is done.
fn starts_are_refused_and_the_rest_goes_on(options: Options) {
    let mut daemon = Daemon::start(options);
    let serving = |name: &str| named(name, daemon.probe(&["line", "up", "pause"]));
    let reloading = Executable { on_reload: vec![step(&["/bin/true"])], ..serving("reloading") };
    let web = daemon.up(serving("web"));
    daemon.up(reloading);
    daemon.up(serving("doomed"));
    daemon.up(named("dead", argv(&["/bin/true"])));
    daemon.wait_down("dead");
    let fresh = serving("fresh");
    daemon.lose_keeper();

    refused(daemon.exec(argv(&["/bin/true"])));
    refused(daemon.try_up(fresh));
    refused(daemon.order_start(Request::new(by_name("dead"))));
    refused(daemon.start_anew("web"));
    refused(daemon.reload("reloading"));
    // What is up is up.
    let again = daemon.order_start(Request::new(by_name("web"))).unwrap();
    assert_eq!((&again.run_id, again.pid), (&web.run_id, web.pid));

    let names: Vec<String> = daemon
        .units(false)
        .iter()
        .map(|unit| tests::units::name_in(unit.meta.as_ref()).to_owned())
        .collect();
    assert_eq!(names, ["dead", "doomed", "reloading", "web"]);
    daemon.until_logged("web", "up\n");
    daemon.signal_unit("doomed", 9, SignalWhom::Main).unwrap();
    let doomed = daemon.wait_down("doomed");
    assert_eq!(tests::rpc::signal(&doomed.exit.unwrap()), Some(9));
    let mut watch = daemon.watch(WatchRequest::default()).unwrap();
    let down = daemon.down("web");
    assert_eq!(tests::rpc::signal(&down.exit.unwrap()), Some(15));
    watch.until_state("web", UnitState::Inactive);
    drop(watch);
    let forget = ForgetRequest { meta: tests::units::meta("doomed"), ..ForgetRequest::default() };
    assert_eq!(daemon.forget(forget).unwrap(), ["doomed"]);
    daemon.enable(named("later", daemon.probe(&["pause"])));
    assert_eq!(daemon.status().runs_live, 1);

    daemon.start_again();
    assert!(daemon.status().healthy, "{:?}", daemon.status());
    assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    daemon.reload("reloading").unwrap();
    daemon.until_state("later", UnitState::Running);
    assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
    daemon.stop();
}

/// The unit, when its restart waits for a keeper.
fn until_put_off(daemon: &Daemon, name: &str) -> UnitView {
    let due = "is due, and there is no keeper; start auraed again";
    let waits = |unit: &UnitView| {
        let why = daemon.changes(name).pop().map(|change| change.message);
        unit.state() == UnitState::Waiting && why.is_some_and(|why| why.ends_with(due))
    };
    daemon.until(name, "its restart waits for a keeper", waits)
}

/// A service that dies meanwhile stands as it is: its restart is due, and is made by the next keeper's daemon, once.
fn a_restart_waits_for_the_next_keeper(options: Options) {
    let mut daemon = Daemon::start(options);
    let words = ["append", &daemon.work("web"), "x", "pause"];
    let first = daemon.up(Executable {
        restart: Some(again(RestartWhen::Always)),
        ..named("web", daemon.probe(&words))
    });
    eventually("it has begun", || daemon.began("web") == 1);
    daemon.lose_keeper();
    kill(Pid::from_raw(first.pid), Signal::SIGKILL).unwrap();
    let waits = until_put_off(&daemon, "web");
    assert!(waits.wanted_up, "{waits:?}");
    assert_eq!(tests::rpc::signal(&waits.last_exit.unwrap()), Some(9));
    daemon.start_again();
    let next = daemon.until_state("web", UnitState::Running);
    assert_eq!((next.restarts, next.wanted_up), (1, true));
    eventually("it has begun again", || daemon.began("web") == 2);
    daemon.stop();
}

/// A start that somebody ordered and that is put off is made by the next keeper's daemon, as that order: no restart of its
/// own is counted.
fn an_order_that_was_put_off_is_still_an_order() {
    let mut daemon = Daemon::start(Options::default());
    let mut go = tests::Fifo::make(daemon.path(), "go");
    let begun = daemon.work("web");
    let words = ["ignore", "SIGTERM", "append", &begun, "x", "await", go.path()];
    daemon.up(named("web", daemon.probe(&words)));
    eventually("it has begun", || daemon.began("web") == 1);
    let stop = daemon.begin_stop(tests::units::stopping("web"));
    daemon.until_state("web", UnitState::Stopping);
    let start = daemon.begin_start(by_name("web"));
    daemon.until("web", "somebody wants it up again", |unit| unit.wanted_up);
    daemon.lose_keeper();
    go.release();
    let why = daemon.answered(start).unwrap_err();
    assert!(why.message().contains("keeper"), "{why}");
    daemon.answered(stop).unwrap();
    until_put_off(&daemon, "web");
    daemon.start_again();
    let next = daemon.until_state("web", UnitState::Running);
    assert_eq!((next.restarts, next.wanted_up), (0, true));
    let changes = daemon.changes("web");
    let starting = changes.iter().rfind(|change| change.to() == UnitState::Starting).unwrap();
    assert_eq!(starting.cause(), ChangeCause::Order, "{starting:?}");
    eventually("it has begun again", || daemon.began("web") == 2);
    go.release();
    daemon.stop();
}

/// A start that had begun comes as far as it can, and says why it came no further; then its rules count.
fn a_start_that_was_under_way() {
    let mut daemon = Daemon::start(Options::default());
    let mut go = tests::Fifo::make(daemon.path(), "go");
    let (probe, begun) = (daemon.binary("probe"), daemon.work("begun"));
    let before = vec![step(&[&probe, "append", &begun, "x", "await", go.path()])];
    let commands = |number: usize| {
        let has_begun =
            || std::fs::read_to_string(&begun).is_ok_and(|text| text.lines().count() == number);
        eventually("the commands before have begun", has_begun);
    };
    let web = Executable {
        before: before.clone(),
        restart: Some(again(RestartWhen::OnFailure)),
        ..named("web", daemon.probe(&["pause"]))
    };
    let job = Executable { before, ..named("job", daemon.probe(&["pause"])) };
    let starts = [web, job].map(|unit| daemon.begin_start(tests::units::of(unit)));
    commands(2);
    daemon.lose_keeper();
    go.release();
    go.release();
    for start in starts {
        let why = daemon.answered(start).unwrap_err();
        assert!(why.message().contains("keeper"), "{why}");
    }
    daemon.until_state("job", UnitState::Failed);
    until_put_off(&daemon, "web");
    daemon.start_again();
    commands(3);
    go.release();
    daemon.until_state("web", UnitState::Running);
    daemon.stop();
}

/// No other daemon can follow one that has no keeper.
fn nobody_can_follow() {
    let mut daemon = Daemon::start(Options::default());
    let orphan = daemon.lose_keeper();
    for words in [&["daemon", "restart"][..], &["daemon", "upgrade"]] {
        let output = daemon.aer(words);
        assert!(!output.status.success());
        assert!(output.err().contains("the keeper (auraed) was killed"), "{}", output.err());
    }
    assert!(procfs::alive(orphan));
    daemon.start_again();
    assert!(daemon.aer(&["daemon", "restart"]).status.success());
    daemon.stop();
}

/// Nobody goes back to the program before, so that nothing waits for the end of the trial: neither is anything refused for it.
fn a_daemon_on_trial_that_loses_its_keeper_stays() {
    let faults = Faults::new();
    let mut daemon = Daemon::start(faults.options(Options::default()));
    let before = daemon.status().daemon_pid;
    let program = binaries::releases(daemon.path()).map(|path| path.to_str().unwrap().to_owned());
    // Each turn of its supervisor takes so long that the keeper's question is not answered when we come.
    faults.ask_for("supervisor", "slow 1/1");
    let order = daemon.start_aer(&["daemon", "upgrade", &program[0]]);
    eventually("the one before is gone", || procfs::gone(before));
    eventually("the new one serves", || daemon.health("schedule.Schedule") == "SERVING");
    kill(Pid::from_raw(daemon.keeper()), Signal::SIGSTOP).unwrap();
    daemon.lose_keeper();
    faults.take_back("supervisor");
    drop(order);
    daemon.enable(named("later", daemon.probe(&["pause"])));
    let why = daemon.aer(&["daemon", "restart"]).err();
    assert!(why.contains("the keeper (auraed) was killed"), "{why}");
    daemon.start_again();
    daemon.until_state("later", UnitState::Running);
    daemon.stop();
}

/// Status, its own log and grpc.health.v1 tell that the keeper is gone; then they tell that one is there again.
fn it_is_told() {
    let mut daemon = Daemon::start(Options::default());
    let keeper = daemon.keeper();
    daemon.lose_keeper();
    let StatusResponse { healthy, problems, keeper_pid, .. } = daemon.status();
    assert_eq!((healthy, keeper_pid), (false, keeper));
    let wanted = format!("the keeper (auraed, process {keeper}) was killed");
    assert!(problems[0].starts_with(&wanted), "{problems:?}");
    eventually("it is in the log", || daemon.own_log().contains("the keeper was killed"));
    let health = |daemon: &Daemon| {
        ["runtime.Runtime", "daemon.Daemon", "observe.Observe", "schedule.Schedule"]
            .map(|service| daemon.health(service))
    };
    eventually("it is in the health", || {
        health(&daemon) == ["NOT_SERVING", "NOT_SERVING", "SERVING", "SERVING"]
    });
    let output = daemon.aer(&["status"]);
    assert!(!output.status.success() && output.out().contains(&wanted), "{}", output.out());
    daemon.start_again();
    let status = daemon.status();
    assert_eq!((status.healthy, status.keeper_pid), (true, daemon.keeper()));
    assert!(status.previous_daemon.contains("another has taken over"), "{status:?}");
    assert_eq!(health(&daemon), ["SERVING"; 4]);
    daemon.stop();
}
