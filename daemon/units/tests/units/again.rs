//! When a unit is started again: section 1 of the table, row by row.

use std::{sync::Arc, time::Duration};

use units::{
    Account, Answer, Cause, ChangeCause, ExitSet, KillMode, Kind, Readiness, Refusal, RestartWhen,
    Role, StopHow, UnitResult, UnitSpec, UnitState,
};

use crate::{
    making::by_signal,
    town::{Town, line, milliseconds, service, start, stop, wait, words},
};

/// How it comes to its end.
#[derive(Clone, Copy, Debug)]
enum Way {
    Exit(i32),
    Signal(i32),
    Core(i32),
    OutOfMemory,
    NeverExecuted,
    NeverReady,
    EndsUnready,
    RunsTooLong,
    CommandBefore,
}

const RULES: [RestartWhen; 6] = [
    RestartWhen::No,
    RestartWhen::Always,
    RestartWhen::OnSuccess,
    RestartWhen::OnFailure,
    RestartWhen::OnAbnormal,
    RestartWhen::OnAbort,
];

const CLEAN: [bool; 6] = [false, true, true, false, false, false];
const UNCLEAN_CODE: [bool; 6] = [false, true, false, true, false, false];
const ABNORMAL: [bool; 6] = [false, true, false, true, true, false];
const ABORT: [bool; 6] = [false, true, false, true, true, true];

/// Way, result, and under which of the [`RULES`] it is started again.
const TABLE: [(Way, UnitResult, [bool; 6]); 16] = [
    (Way::Exit(0), UnitResult::Success, CLEAN),
    (Way::Signal(1), UnitResult::Success, CLEAN),
    (Way::Signal(2), UnitResult::Success, CLEAN),
    (Way::Signal(13), UnitResult::Success, CLEAN),
    (Way::Signal(15), UnitResult::Success, CLEAN),
    (Way::Exit(1), UnitResult::ExitCode, UNCLEAN_CODE),
    (Way::Exit(255), UnitResult::ExitCode, UNCLEAN_CODE),
    (Way::NeverExecuted, UnitResult::ExitCode, UNCLEAN_CODE),
    (Way::CommandBefore, UnitResult::ExitCode, UNCLEAN_CODE),
    (Way::Signal(9), UnitResult::Signal, ABORT),
    (Way::Signal(11), UnitResult::Signal, ABORT),
    (Way::Core(6), UnitResult::CoreDump, ABORT),
    (Way::OutOfMemory, UnitResult::OutOfMemory, ABNORMAL),
    (Way::NeverReady, UnitResult::Timeout, ABNORMAL),
    (Way::RunsTooLong, UnitResult::Timeout, ABNORMAL),
    (Way::EndsUnready, UnitResult::Protocol, ABNORMAL),
];

/// A service to which all of this can happen.
fn mortal(when: RestartWhen, way: Way) -> Arc<UnitSpec> {
    service(|it| {
        it.restart.when = when;
        match way {
            Way::NeverReady | Way::EndsUnready => it.readiness = Readiness::Notify,
            Way::RunsTooLong => it.run_limit = Some(milliseconds(1_000)),
            Way::CommandBefore => it.before = vec![words("/bin/before")],
            Way::Exit(_) | Way::Signal(_) | Way::Core(_) => {}
            Way::OutOfMemory | Way::NeverExecuted => {}
        }
    })
}

/// Ends it in this way.
fn meet_its_end(town: &mut Town, way: Way) {
    if !matches!(way, Way::NeverExecuted | Way::CommandBefore) {
        town.executes(Role::Main);
    }
    match way {
        Way::NeverExecuted => town.fails(Role::Main, 203),
        Way::CommandBefore => town.does(Role::Before(0), 1),
        Way::Exit(status) => town.ends(Role::Main, Cause::Exited(status)),
        Way::EndsUnready => town.ends(Role::Main, Cause::Exited(0)),
        Way::Signal(signal) => town.ends(Role::Main, by_signal(signal)),
        Way::Core(signal) => {
            town.ends(Role::Main, Cause::Signalled { signal, core_dumped: true });
        }
        Way::OutOfMemory => {
            town.account = Account { out_of_memory: Some(true), ..Account::default() };
            town.ends(Role::Main, by_signal(9));
        }
        Way::NeverReady | Way::RunsTooLong => {
            town.pass_to_deadline();
            town.ends(Role::Main, by_signal(15));
        }
    }
}

#[test]
fn each_rule_holds_for_each_end() {
    for (way, result, again) in TABLE {
        for (when, again) in RULES.into_iter().zip(again) {
            let mut town = Town::new();
            town.order(start(&mortal(when, way)));
            meet_its_end(&mut town, way);
            let (state, told) = (town.state(), town.detail().view.result);
            assert_eq!(told, result, "{way:?}");
            let rests =
                if result == UnitResult::Success { UnitState::Inactive } else { UnitState::Failed };
            let expected = if again { UnitState::Waiting } else { rests };
            assert_eq!(state, expected, "{way:?} under {when:?}");
            assert_eq!(town.next_deadline(), again.then(|| milliseconds(100)), "{way:?}");
        }
    }
}

#[test]
fn a_signal_with_memory_run_out_is_no_success_of_a_stop_and_a_counter_alone_is_no_verdict() {
    // Somebody's 137 is not the kernel's verdict, and a killed child is not the main process.
    for (cause, out_of_memory, result) in [
        (by_signal(9), None, UnitResult::Signal),
        (by_signal(9), Some(false), UnitResult::Signal),
        (Cause::Exited(137), Some(false), UnitResult::ExitCode),
        (Cause::Exited(0), Some(true), UnitResult::Success),
    ] {
        let mut town = Town::with_up(&service(|_| {}));
        town.account = Account { out_of_memory, ..Account::default() };
        town.ends(Role::Main, cause.clone());
        assert_eq!(town.detail().view.result, result, "{cause:?} {out_of_memory:?}");
    }
}

#[test]
fn prevent_counts_over_force_and_force_over_the_rule() {
    let set = |text: &str| text.parse::<ExitSet>().unwrap();
    for (when, prevent, force, again) in [
        (RestartWhen::Always, "3", "", false),
        (RestartWhen::Always, "3", "3", false),
        (RestartWhen::No, "", "3", true),
        (RestartWhen::No, "4", "3", true),
        (RestartWhen::OnSuccess, "", "3 4", true),
        (RestartWhen::OnFailure, "SIGTERM", "", true),
    ] {
        let spec = service(|it| {
            it.restart.when = when;
            (it.restart.prevent, it.restart.force) = (set(prevent), set(force));
        });
        let mut town = Town::with_up(&spec);
        town.ends(Role::Main, Cause::Exited(3));
        let waits = town.state() == UnitState::Waiting;
        assert_eq!(waits, again, "{when:?}, prevent {prevent:?}, force {force:?}");
    }
}

#[test]
fn what_counts_as_success_can_be_added_to() {
    let spec = service(|it| it.restart.success = "75 SIGUSR1".parse().unwrap());
    for cause in [Cause::Exited(75), by_signal(10)] {
        let mut town = Town::with_up(&spec);
        town.ends(Role::Main, cause);
        assert_eq!(town.state(), UnitState::Inactive);
    }
    let mut town = Town::new();
    town.order(start(&service(|it| it.main = line("-/bin/web"))));
    town.does(Role::Main, 3);
    assert_eq!(town.state(), UnitState::Inactive, "the prefix - ignores a failure");
}

#[test]
fn a_stop_is_never_followed_by_a_restart() {
    let always = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.force = "0 1 SIGTERM SIGKILL".parse().unwrap();
    });
    for cause in [Cause::Exited(0), Cause::Exited(1), by_signal(15), by_signal(11)] {
        let mut town = Town::with_up(&always);
        let she = town.order(stop(StopHow::Usual));
        town.ends(Role::Main, cause);
        assert!(matches!(town.answer(she), Some(Answer::Down { .. })));
        assert!(town.state().is_dead());
        assert_eq!(town.next_deadline(), None);
    }
    // Nor by one that was waited for already.
    let mut town = Town::with_up(&always);
    town.ends(Role::Main, Cause::Exited(1));
    town.order(stop(StopHow::Usual));
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Inactive, None));
}

#[test]
fn the_pause_grows_by_equal_factors_and_begins_anew_after_a_stable_run() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.delay = Duration::from_secs(1);
        it.restart.max_delay = Some(Duration::from_secs(32));
        it.restart.steps = 5;
        it.restart.reset_after = Duration::from_secs(10);
    });
    let mut town = Town::with_up(&spec);
    for (number, seconds) in (1..).zip([1, 2, 4, 8, 16, 32, 32, 32]) {
        town.pass(milliseconds(9_999));
        town.ends(Role::Main, Cause::Exited(1));
        let pause = town.pass_to_deadline();
        assert!(pause.abs_diff(Duration::from_secs(seconds)) < milliseconds(1), "{pause:?}");
        town.executes(Role::Main);
        assert_eq!(town.detail().view.restarts, number);
    }
    town.pass(Duration::from_secs(10));
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(1));
    town.executes(Role::Main);
    assert_eq!(town.detail().view.restarts, 9, "the count is of all");
    town.ends(Role::Main, Cause::Exited(0));
    assert_eq!(town.records.last().unwrap().restarts, 9);
}

#[test]
fn a_stable_run_that_is_left_alive_makes_up_for_the_failures_before_it_too() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.delay = Duration::from_secs(1);
        it.restart.max_delay = Some(Duration::from_secs(32));
        it.restart.steps = 5;
        it.restart.reset_after = Duration::from_secs(10);
        it.run_limit = Some(Duration::from_secs(20));
        it.stop.kill_mode = KillMode::None;
    });
    let mut town = Town::with_up(&spec);
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(1));
    town.executes(Role::Main);
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(20));
    assert_eq!(town.state(), UnitState::Waiting, "its time was over, and it was left alive");
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(1));
}

#[test]
fn without_a_pause_it_begins_again_at_once() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.delay = Duration::ZERO;
    });
    let mut town = Town::with_up(&spec);
    town.path();
    town.ends(Role::Main, Cause::Exited(1));
    assert!(town.lives(Role::Main));
    let path = [UnitState::Stopping, UnitState::Waiting, UnitState::Starting];
    assert_eq!(town.path(), path);
}

#[test]
fn a_start_does_not_wait_for_the_pause_and_counts_anew() {
    let spec = service(|it| it.restart.when = RestartWhen::Always);
    let mut town = Town::with_up(&spec);
    town.ends(Role::Main, Cause::Exited(1));
    town.pass_to_deadline();
    town.executes(Role::Main);
    town.ends(Role::Main, Cause::Exited(1));
    let view = town.detail().view;
    assert_eq!((view.state, view.restarts), (UnitState::Waiting, 1));
    let she = town.order(start(&spec));
    town.executes(Role::Main);
    assert!(matches!(town.answer(she), Some(Answer::Up { .. })));
    assert_eq!((town.detail().view.restarts, town.next_deadline()), (0, None));
}

#[test]
fn who_waits_for_the_start_is_told_of_its_failure_although_it_is_tried_again() {
    let spec = service(|it| it.restart.when = RestartWhen::OnFailure);
    let mut town = Town::new();
    let she = town.order(start(&spec));
    town.fails(Role::Main, 203);
    let refusal = town.refusal(she);
    assert!(matches!(refusal, Refusal::StartFailed { result: UnitResult::ExitCode, .. }));
    assert_eq!(town.state(), UnitState::Waiting);
    let change = town.changes.last().unwrap();
    let ChangeCause::Policy(why) = &change.cause else { panic!("{change:?}") };
    assert_eq!(why, "restart 1 in 100ms after exit-code");
}

#[test]
fn a_wait_outlasts_restarts() {
    let spec = service(|it| it.restart.when = RestartWhen::OnFailure);
    let mut town = Town::with_up(&spec);
    let she = town.order(wait());
    town.ends(Role::Main, Cause::Exited(1));
    town.pass_to_deadline();
    town.executes(Role::Main);
    assert_eq!(town.answer(she), None);
    town.ends(Role::Main, Cause::Exited(0));
    let Some(Answer::Down { state, record: Some(record), .. }) = town.answer(she) else { panic!() };
    assert_eq!(
        (*state, &record.cause, record.restarts),
        (UnitState::Inactive, &Cause::Exited(0), 1)
    );
}

#[test]
fn a_oneshot_that_failed_is_tried_again_until_it_ends_well() {
    let mut town = Town::new();
    town.order(start(&service(|it| {
        it.kind = Kind::Oneshot { remain_after_exit: true };
        it.restart.when = RestartWhen::OnFailure;
    })));
    town.does(Role::Main, 1);
    assert_eq!(town.state(), UnitState::Waiting);
    town.pass_to_deadline();
    town.does(Role::Main, 0);
    assert_eq!(town.state(), UnitState::Exited);
}

#[test]
fn a_crash_by_the_signal_that_would_stop_it_is_a_crash() {
    let spec = service(|it| it.stop.signal = 6);
    let mut town = Town::with_up(&spec);
    town.ends(Role::Main, by_signal(6));
    assert_eq!(town.detail().view.result, UnitResult::Signal);
    let mut town = Town::with_up(&spec);
    town.order(stop(StopHow::Usual));
    town.ends(Role::Main, by_signal(6));
    assert_eq!(town.detail().view.result, UnitResult::Success, "it heeded its stop");
}
