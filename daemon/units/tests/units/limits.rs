//! The start limit, the formula of the pause, and chance.

use std::time::Duration;

use proptest::{prelude::*, test_runner::Config};
use units::{
    Answer, Cause, Order, Refusal, Restart, RestartWhen, Role, StartLimit, StopHow, UnitResult,
    UnitState,
};

use crate::town::{Town, milliseconds, restart, service, start, stop, web};

#[test]
fn it_gives_up_after_five_starts_in_ten_seconds() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.start_limit = Some(StartLimit::default());
    });
    let mut town = Town::with_up(&spec);
    let opened = town.now;
    for _ in 1..5 {
        town.ends(Role::Main, Cause::Exited(1));
        town.pass_to_deadline();
        town.executes(Role::Main);
    }
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.state(), UnitState::Waiting);
    town.pass_to_deadline();
    let view = town.detail().view;
    assert_eq!((view.state, view.result), (UnitState::Failed, UnitResult::StartLimitHit));
    assert_eq!(town.next_deadline(), None);
    // Somebody may, when the window is over, and is told when that is.
    let again_in = opened + Duration::from_secs(10) - town.now;
    let refusal =
        Refusal::StartLimit { name: web(), starts: 5, interval: Duration::from_secs(10), again_in };
    assert_eq!(town.refused(start(&spec)), refusal);
    assert_eq!(town.refused(restart(&spec)), refusal);
    town.pass(again_in + Duration::from_nanos(1));
    town.order(start(&spec));
    assert_eq!(town.state(), UnitState::Starting);
}

#[test]
fn starts_by_hand_count_and_forgetting_makes_them_forgotten() {
    let limit = StartLimit { starts: 2, interval: Duration::from_secs(10) };
    let spec = service(|it| it.restart.start_limit = Some(limit));
    let mut town = Town::with_up(&spec);
    town.order(restart(&spec));
    town.ends(Role::Main, Cause::Exited(0));
    town.executes(Role::Main);
    // Refused before it is stopped: it goes on.
    assert!(matches!(town.refused(restart(&spec)), Refusal::StartLimit { .. }));
    assert_eq!(town.state(), UnitState::Running);
    town.order(stop(StopHow::Usual));
    town.ends(Role::Main, Cause::Exited(0));
    assert!(matches!(town.refused(start(&spec)), Refusal::StartLimit { .. }));
    assert_eq!(town.ask(Order::Forget { which: Some(web()) }), Answer::Forgotten(vec![web()]));
    town.order(start(&spec));
    assert_eq!(town.state(), UnitState::Starting);
}

#[test]
fn the_window_is_fixed_and_opens_with_the_first_start() {
    let limit = StartLimit { starts: 2, interval: Duration::from_secs(10) };
    let spec = service(|it| it.restart.start_limit = Some(limit));
    let mut town = Town::new();
    // At 0, 9, 11, 12: two in the first window, two in the one that the third opens.
    for (second, refused) in
        [(0, false), (9, false), (10, true), (11, false), (12, false), (21, true)]
    {
        town.now = Duration::from_secs(100 + second);
        let she = town.order(start(&spec));
        assert_eq!(town.answer(she).is_some(), refused, "in second {second}");
        if !refused {
            town.does(Role::Main, 0);
        }
    }
}

#[test]
fn chance_adds_at_most_what_it_may_and_differs() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.jitter = Duration::from_secs(1);
    });
    let mut town = Town::with_up(&spec);
    let mut pauses = Vec::new();
    for _ in 0..20 {
        town.ends(Role::Main, Cause::Exited(1));
        let pause = town.pass_to_deadline();
        assert!((milliseconds(100)..=milliseconds(1_100)).contains(&pause), "{pause:?}");
        pauses.push(pause);
        town.executes(Role::Main);
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert_eq!(pauses.len(), 20);
}

fn restarts() -> impl Strategy<Value = Restart> {
    let times = (1_u64..10_000, 0_u64..1_000_000);
    (times, 0_u32..20, 0_u64..5_000).prop_map(|((delay, more), steps, jitter)| Restart {
        delay: milliseconds(delay),
        max_delay: (steps > 0).then(|| milliseconds(delay + more)),
        steps,
        jitter: milliseconds(jitter),
        ..Restart::default()
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// The formula of the table: r0 at first; rn beyond n; r0 * (rn / r0) ^ ((k - 1) / n) between.
    #[test]
    fn the_pause_is_as_the_formula_has_it(restart in restarts(), number in 0_u32..40) {
        let (first, steps) = (restart.delay.as_secs_f64(), restart.steps);
        let last = restart.max_delay.map_or(first, |longest| longest.as_secs_f64());
        let formula = if number <= 1 || steps == 0 {
            first
        } else if number > steps {
            last
        } else {
            first * (last / first).powf(f64::from(number - 1) / f64::from(steps))
        };
        let pause = restart.pause(number).as_secs_f64();
        prop_assert!((pause - formula).abs() <= formula * 1e-6 + 1e-9, "{pause} and {formula}");
        prop_assert!(restart.pause(number) <= restart.pause(number + 1));
        prop_assert!(restart.pause(number) >= restart.delay);
    }

    #[test]
    fn chance_keeps_its_bound(restart in restarts(), luck: u64) {
        prop_assert!(restart.chance(luck) <= restart.jitter);
    }
}
