//! What is started again by itself: after which ends, when, how often; and `Runtime.Restart`.

use api::runtime::{
    ChangeCause, Executable, ForgetRequest, RestartPolicy, RestartWhen, UnitChange, UnitResult,
    UnitState, exit_record::Cause, restart_request::What,
};
use tests::{
    Daemon, Options, argv, eventually, procfs,
    rpc::{self, named},
    units::{again, by_name, meta, much_later},
};
use tonic::{Code, Request};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        the_table,
        statuses_of_its_own,
        restart_by_order,
        a_restart_that_fails_is_told,
        a_restart_may_bring_another_definition,
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        the_delay_grows,
        beyond_the_limit_it_fails,
        the_limit_counts_orders_and_ends_with_its_window,
        to_forget_is_to_forget_the_limit,
        a_stable_run_makes_the_delay_begin_anew,
        the_count_is_of_all_restarts,
    ]
}

/// Each end: what the program does, and whether it is started again under always, on-success, on-failure, on-abnormal
/// and on-abort (service-semantics: systemd.service(5), "Restart=").
const ENDS: [(&str, &[&str], UnitResult, [bool; 5]); 7] = [
    ("clean", &["exit", "0"], UnitResult::Success, [true, true, false, false, false]),
    ("clean-signal", &["raise", "SIGTERM"], UnitResult::Success, [true, true, false, false, false]),
    ("code", &["exit", "7"], UnitResult::ExitCode, [true, false, true, false, false]),
    ("signal", &["raise", "SIGKILL"], UnitResult::Signal, [true, false, true, true, true]),
    ("usr1", &["raise", "SIGUSR1"], UnitResult::Signal, [true, false, true, true, true]),
    ("timeout", &["pause"], UnitResult::Timeout, [true, false, true, true, false]),
    ("missing", &[], UnitResult::ExitCode, [true, false, true, false, false]),
];

const RULES: [RestartWhen; 5] = [
    RestartWhen::Always,
    RestartWhen::OnSuccess,
    RestartWhen::OnFailure,
    RestartWhen::OnAbnormal,
    RestartWhen::OnAbort,
];

/// After each kind of end, under each rule: it waits for its restart, or it is down for good.
fn the_table(options: Options) {
    Daemon::with(options, |daemon| {
        let mut wanted = Vec::new();
        let mut begun = Vec::new();
        for (end, words, result, again) in ENDS {
            let rules = RULES.into_iter().zip(again).chain([(RestartWhen::No, false)]);
            for (when, again) in rules {
                let name = format!("{end}.{}", when.as_str_name().to_lowercase());
                let program =
                    if end == "missing" { argv(&["/nonexistent"]) } else { daemon.probe(words) };
                let unit = Executable {
                    restart: Some(much_later(when)),
                    run_limit_ms: if end == "timeout" { 50 } else { 0 },
                    ..named(&name, program)
                };
                begun.push(daemon.begin_start(tests::units::of(unit)));
                wanted.push((name, result, again));
            }
        }
        // Whether a start fails that ends at once is chance; what comes of it is not.
        begun.into_iter().for_each(|begun| drop(daemon.answered(begun)));
        for (name, result, again) in wanted {
            let unit = daemon.until(&name, "it has ended", |unit| {
                use UnitState::{Failed, Inactive, Waiting};
                matches!(unit.state(), Inactive | Failed | Waiting)
            });
            let down = match result {
                UnitResult::Success => UnitState::Inactive,
                _ => UnitState::Failed,
            };
            let state = if again { UnitState::Waiting } else { down };
            assert_eq!((unit.state(), unit.result()), (state, result), "{name}: {unit:?}");
            assert_eq!(unit.wanted_up, again, "{name}");
        }
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// What a unit calls success, what prevents its restart and what forces it: prevent before force before the rule.
fn statuses_of_its_own(options: Options) {
    use RestartWhen::{Always, No, OnFailure, OnSuccess};
    use UnitState::{Failed, Inactive, Running, Starting, Stopping, Waiting};
    // Its success, what prevents its restart, and what forces it.
    let table = [
        ("success-status", ["exit", "3"], OnFailure, ["3", "", ""], Inactive),
        ("success-signal", ["raise", "SIGUSR1"], OnFailure, ["USR1", "", ""], Inactive),
        ("success-again", ["exit", "3"], OnSuccess, ["3", "", ""], Waiting),
        ("prevented", ["exit", "4"], Always, ["", "4", ""], Failed),
        ("prevented-signal", ["raise", "SIGKILL"], Always, ["", "SIGKILL", ""], Failed),
        ("forced", ["exit", "0"], No, ["", "", "0"], Waiting),
        ("forced-signal", ["raise", "SIGTERM"], No, ["", "", "TERM"], Waiting),
        ("both", ["exit", "5"], Always, ["", "5", "5"], Failed),
    ];
    Daemon::with(options, |daemon| {
        for (name, program, when, words, state) in table {
            let [success, prevent, force] =
                words.map(|word| Vec::from_iter((!word.is_empty()).then(|| word.to_owned())));
            let restart = Some(RestartPolicy { prevent, force, ..much_later(when) });
            let unit = named(name, daemon.probe(&program));
            drop(daemon.try_up(Executable { restart, success, ..unit }));
            let unit = daemon.until(name, "it has ended", |unit| {
                !matches!(unit.state(), Starting | Running | Stopping)
            });
            assert_eq!(unit.state(), state, "{name}: {unit:?}");
        }
    });
}

/// Restart ends what runs and answers with another run; what is down it starts.
fn restart_by_order(options: Options) {
    Daemon::with(options, |daemon| {
        let first = daemon.up(named("web", daemon.probe(&["pause"])));
        let second = daemon.start_anew("web").unwrap();
        assert!(!procfs::alive(first.pid) && procfs::alive(second.pid));
        assert_ne!(first.run_id, second.run_id);
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.restarts), (UnitState::Running, 0));
        assert_eq!(unit.last_exit.unwrap().run_id, first.run_id);
        daemon.down("web");
        let third = daemon.start_anew("web").unwrap();
        assert!(procfs::alive(third.pid));
        assert_eq!(daemon.start_anew("nobody").unwrap_err().code(), Code::NotFound);
    });
}

/// A restart whose start fails says so as a start does; the old run is gone.
fn a_restart_that_fails_is_told(options: Options) {
    Daemon::with(options, |daemon| {
        let up = daemon.up(named("web", daemon.probe(&["pause"])));
        let what = What::Executable(named("web", argv(&["/nonexistent/x"])));
        let refused = daemon.order_restart(what).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("/nonexistent/x"), "{refused}");
        assert!(!procfs::alive(up.pid));
        assert_eq!(daemon.unit("web").state(), UnitState::Failed);
    });
}

/// A restart with a definition: from then on the unit is that. A start with one is joined by what is up.
fn a_restart_may_bring_another_definition(options: Options) {
    Daemon::with(options, |daemon| {
        daemon.up(named("web", daemon.probe(&["line", "old", "pause"])));
        let other = named("web", daemon.probe(&["line", "new", "pause"]));
        daemon.until_logged("web", "old\n");
        daemon.up(other.clone());
        let told = daemon.inspect("web").unwrap().executable.unwrap();
        assert!(told.argv.contains(&"old".to_owned()), "what is up stays what it is: {told:?}");
        daemon.order_restart(What::Executable(other)).unwrap();
        let told = daemon.inspect("web").unwrap().executable.unwrap();
        assert!(told.argv.contains(&"new".to_owned()), "{told:?}");
        daemon.until_logged("web", "old\nnew\n");
        daemon.start_anew("web").unwrap();
        daemon.until_logged("web", "old\nnew\nnew\n");
    });
}

/// The pauses of a unit so far, in milliseconds: from each WAITING to the next start.
fn pauses(changes: &[UnitChange]) -> Vec<i64> {
    let pairs = changes.windows(2).filter(|pair| pair[0].to() == UnitState::Waiting);
    pairs.map(|pair| (pair[1].changed_at - pair[0].changed_at) / 1_000_000).collect()
}

/// The delay grows by equal factors, in as many steps as were said, up to the longest; what is told is what is kept.
fn the_delay_grows() {
    Daemon::with(Options::default(), |daemon| {
        let restart = RestartPolicy {
            delay_ms: Some(30),
            max_delay_ms: Some(240),
            steps: 3,
            ..again(RestartWhen::OnFailure)
        };
        let unit = named("web", argv(&["/bin/false"]));
        drop(daemon.try_up(Executable { restart: Some(restart), ..unit }));
        daemon.until("web", "five restarts", |unit| unit.restarts >= 5);
        let changes = daemon.changes("web");
        let pauses = pauses(&changes);
        for (pause, wanted) in pauses.iter().zip([30, 60, 120, 240, 240]) {
            assert!(*pause >= wanted, "{pauses:?}");
            // The machine may be late, by less than the next step if it can help it.
            assert!(*pause < wanted + 1000, "{pauses:?}");
        }
        let told: Vec<&UnitChange> =
            changes.iter().filter(|change| change.to() == UnitState::Waiting).collect();
        for (number, (change, span)) in
            told.iter().zip(["30ms", "60ms", "120ms", "240ms", "240ms"]).enumerate()
        {
            assert!(change.message.contains(span), "{number}: {}", change.message);
            assert_eq!(change.cause(), ChangeCause::Policy);
        }
    });
}

fn limited(name: &str, daemon: &Daemon, interval_ms: u64) -> Executable {
    let restart = RestartPolicy {
        start_limit: Some(3),
        start_interval_ms: Some(interval_ms),
        ..again(RestartWhen::Always)
    };
    let words = ["append", &daemon.work(name), "x", "exit", "1"];
    Executable { restart: Some(restart), ..named(name, daemon.probe(&words)) }
}

/// Beyond its start limit a unit has failed, and says by what; a start by order is RESOURCE_EXHAUSTED and says when
/// it can be.
fn beyond_the_limit_it_fails() {
    Daemon::with(Options::default(), |daemon| {
        drop(daemon.try_up(limited("web", daemon, 600_000)));
        let unit = daemon.until_state("web", UnitState::Failed);
        assert_eq!((unit.result(), unit.restarts), (UnitResult::StartLimitHit, 2));
        assert_eq!(daemon.began("web"), 3);
        assert_eq!(rpc::code(&unit.last_exit.unwrap()), Some(1));
        for refused in [
            daemon.order_start(Request::new(by_name("web"))).unwrap_err(),
            daemon.start_anew("web").unwrap_err(),
        ] {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
            assert!(refused.message().contains("3 times"), "{refused}");
            // Nearly ten minutes are left.
            let left = ["try again in 59", "try again in 600s"];
            assert!(left.iter().any(|left| refused.message().contains(left)), "{refused}");
        }
        assert_eq!(daemon.began("web"), 3);
    });
}

/// Starts by order count too, and when the window is over the unit can be started.
fn the_limit_counts_orders_and_ends_with_its_window() {
    Daemon::with(Options::default(), |daemon| {
        let restart = RestartPolicy {
            start_limit: Some(2),
            start_interval_ms: Some(3000),
            ..RestartPolicy::default()
        };
        let unit = Executable {
            restart: Some(restart),
            ..named("web", daemon.probe(&["append", &daemon.work("web"), "x", "pause"]))
        };
        let before = tests::wait::wall_clock();
        daemon.up(unit);
        daemon.start_anew("web").unwrap();
        let refused = daemon.start_anew("web");
        if tests::wait::wall_clock() - before < 3_000_000_000 {
            assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
            assert_eq!(daemon.unit("web").state(), UnitState::Running, "it was left as it was");
        }
        eventually("the window is over", || daemon.start_anew("web").is_ok());
    });
}

/// A unit that is forgotten has no start limit behind it.
fn to_forget_is_to_forget_the_limit() {
    Daemon::with(Options::default(), |daemon| {
        let unit = limited("web", daemon, 600_000);
        drop(daemon.try_up(unit.clone()));
        daemon.until_state("web", UnitState::Failed);
        let names = daemon.forget(ForgetRequest { meta: meta("web"), all: false }).unwrap();
        assert_eq!(names, ["web"]);
        drop(daemon.try_up(unit));
        daemon.until_state("web", UnitState::Failed);
        assert_eq!(daemon.began("web"), 6);
    });
}

/// A unit that fails at once three times, and then each time after 300 ms.
fn sometimes_stable(daemon: &Daemon, reset_after_ms: u64) -> Executable {
    let restart = RestartPolicy {
        delay_ms: Some(20),
        max_delay_ms: Some(320),
        steps: 4,
        reset_after_ms: Some(reset_after_ms),
        ..again(RestartWhen::OnFailure)
    };
    let [one, two, three] = ["one", "two", "three"].map(|name| daemon.work(name));
    let words = [
        "first", &one, "{", "exit", "1", "}", "first", &two, "{", "exit", "1", "}", "first",
        &three, "{", "exit", "1", "}", "nap", "300", "exit", "2",
    ];
    Executable { restart: Some(restart), ..named("web", daemon.probe(&words)) }
}

/// After a run that was stable the delay is the first again.
fn a_stable_run_makes_the_delay_begin_anew() {
    Daemon::with(Options::default(), |daemon| {
        drop(daemon.try_up(sometimes_stable(daemon, 200)));
        let ended = |change: &UnitChange| {
            change.exit.as_ref().is_some_and(|exit| exit.cause == Some(Cause::Code(2)))
                && change.to() == UnitState::Waiting
        };
        let mut first = None;
        eventually("a stable run has ended", || {
            first = daemon.changes("web").into_iter().find(&ended);
            first.is_some()
        });
        let message = first.unwrap().message;
        assert!(message.contains("in 20ms"), "{message}");
    });
}

/// The restarts that are told are counted since the last start by order, a stable run or not.
fn the_count_is_of_all_restarts() {
    Daemon::with(Options::default(), |daemon| {
        drop(daemon.try_up(sometimes_stable(daemon, 200)));
        let mut seen = Vec::new();
        eventually("two stable runs have ended", || {
            let ends = daemon.changes("web").into_iter().filter_map(|change| change.exit);
            let stable = ends.filter(|exit| exit.cause == Some(Cause::Code(2)));
            seen = stable.map(|exit| (exit.run_id, exit.restarts)).collect();
            seen.dedup();
            seen.len() >= 2
        });
        assert_eq!((seen[0].1, seen[1].1), (3, 4), "{seen:?}");
    });
}
