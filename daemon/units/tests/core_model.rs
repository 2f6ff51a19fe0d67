//! What holds for the state machine whatever happens, and in whatever order.

mod making;
mod model;

use std::time::Duration;

use making::{LIMITS, by_signal, execution, exit, name, run};
use model::{Judge, Leaves, Nature, Spawner, World};
use proptest::{collection::vec, option, prelude::*, sample::select};
use units::{
    Account, Command, Core, Event, Execution, Limits, Now, Order, Origin, StartFailure, StopHow,
    Target, Ticket,
};

/// One thing that somebody or something does.
#[derive(Clone, Debug)]
enum Step {
    Order { who: bool, within: Option<u64>, order: Order },
    CallerGoes(u64),
    Inherit { execution: Execution, pid_known: bool, ended: bool },
    NextIs(Nature),
    Report { which: usize, again: bool },
    MainEnds { which: usize, status: u8 },
    Wait(u64),
    WaitForDeadline,
}

fn limits() -> impl Strategy<Value = Limits> {
    let seconds = || (1_u64..20_000).prop_map(Duration::from_millis);
    (seconds(), seconds(), seconds(), seconds()).prop_map(|(leftover, stop, start, shut_down)| {
        Limits {
            leftover_timeout: leftover.min(stop),
            stop_timeout: stop,
            start_timeout: start,
            shut_down_timeout: shut_down,
            ..LIMITS
        }
    })
}

fn an_execution() -> impl Strategy<Value = Execution> {
    (0_u8..8, 0_u8..4, 0_u8..8, any::<bool>()).prop_map(|(number, end, words, anonymous)| {
        // Mostly the same words, so that most of the second requests join.
        Execution { anonymous, ..execution(number, end, words / 7) }
    })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        3 => (0_u8..8).prop_map(|number| Target::Run(run(number))),
        2 => (0_u8..4).prop_map(|end| Target::Name(name(end))),
        2 => (99_i32..108).prop_map(Target::Pid),
        1 => Just(Target::Pid(0)),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let how = prop_oneof![
        4 => select(&[15, 2, 1, 64][..]).prop_map(StopHow::Signal),
        1 => select(&[0, -1, 65, i32::MIN, i32::MAX][..]).prop_map(StopHow::Signal),
        2 => Just(StopHow::Kill),
    ];
    prop_oneof![
        10 => an_execution().prop_map(|execution| Order::Execute(Box::new(execution))),
        5 => (target(), how).prop_map(|(target, how)| Order::Stop { target, how }),
        2 => target().prop_map(Order::Find),
        1 => Just(Order::Count),
    ]
}

fn nature() -> impl Strategy<Value = Nature> {
    use Leaves::{Meek, Nothing, Stubborn};
    use Spawner::{Executes, Fails, Hangs, Mute};
    let spawner = select(&[Executes, Executes, Executes, Executes, Fails, Hangs, Mute][..]);
    let leaves = select(&[Nothing, Nothing, Meek, Stubborn][..]);
    (spawner, any::<bool>(), leaves, 1_u8..12).prop_map(
        |(spawner, heeds_signals, leaves, kills)| Nature { spawner, heeds_signals, leaves, kills },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let within = option::weighted(0.3, 0_u64..30_000);
    prop_oneof![
        20 => (any::<bool>(), within, order())
            .prop_map(|(who, within, order)| Step::Order { who, within, order }),
        3 => any::<u64>().prop_map(Step::CallerGoes),
        2 => (200_u8..204, any::<bool>(), any::<bool>()).prop_map(|(number, pid_known, ended)| {
            // Names of their own, as they had under their own daemon.
            Step::Inherit { execution: execution(number, number, 0), pid_known, ended }
        }),
        6 => nature().prop_map(Step::NextIs),
        20 => (any::<usize>(), prop::bool::weighted(0.2))
            .prop_map(|(which, again)| Step::Report { which, again }),
        8 => (any::<usize>(), any::<u8>())
            .prop_map(|(which, status)| Step::MainEnds { which, status }),
        6 => (0_u64..12_000).prop_map(Step::Wait),
        6 => Just(Step::WaitForDeadline),
        1 => Just(Step::Order { who: true, within: None, order: Order::ShutDown }),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Order { who, within, order } => {
            let who = if who { "she" } else { "he" };
            world.order(who, within.map(Duration::from_millis), order);
        }
        Step::CallerGoes(which) => world.caller_goes(which),
        Step::Inherit { execution, pid_known, ended } => {
            world.inherit(execution, pid_known, ended);
        }
        Step::NextIs(nature) => world.next_is(nature),
        Step::Report { which, again } => world.report(which, again),
        Step::MainEnds { which, status } => world.main_ends(which, status),
        Step::Wait(milliseconds) => world.wait(Duration::from_millis(milliseconds)),
        Step::WaitForDeadline => {
            world.wait_for_deadline();
        }
    }
}

/// Anything at all, true or not.
fn any_event() -> impl Strategy<Value = Event> {
    let id = || prop_oneof![(0_u8..4).prop_map(run), (200_u8..204).prop_map(run)];
    let ended = || (1..4).prop_map(|signal| exit(by_signal(signal), i64::MAX));
    let failure = || StartFailure { stage: 203, errno: 2, message: String::new() };
    prop_oneof![
        3 => any::<u64>().prop_map(|ticket| Event::CallerGone(Ticket(ticket % 64))),
        4 => (id(), 1_i32..5).prop_map(|(run, pid)| Event::Spawned { run, pid }),
        2 => id().prop_map(move |run| Event::SpawnFailed { run, failure: failure() }),
        4 => (id(), ended(), any::<bool>())
            .prop_map(|(run, exit, empty)| Event::MainExited { run, exit, empty }),
        4 => id().prop_map(|run| Event::Emptied { run }),
        4 => id().prop_map(|run| Event::Settled { run, account: Account::default() }),
        3 => (200_u8..204, 0_i32..5, option::of(ended()), any::<(bool, bool)>()).prop_map(
            move |(number, pid, exit, (empty, made))| Event::Inherited {
                execution: Box::new(execution(number, number % 2, 0)),
                started_by: Origin::daemon("before"),
                started_at: 0,
                pid,
                exit,
                failure: (!made).then(failure),
                empty,
            }
        ),
        8 => Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn every_life_comes_to_its_end(
        limits in limits(),
        nature in nature(),
        steps in vec(step(), 0..120),
        by_themselves: bool,
    ) {
        let mut world = World::new(limits, nature);
        steps.into_iter().for_each(|step| take(&mut world, step));
        world.finish(by_themselves);
    }

    #[test]
    fn no_event_does_harm(
        steps in vec((0_u64..9_000, prop_oneof![
            1 => order().prop_map(Err), 2 => any_event().prop_map(Ok)
        ]), 0..80),
    ) {
        let (mut core, mut judge) = (Core::new(LIMITS), Judge::new(LIMITS));
        let mut monotonic = Duration::ZERO;
        for (number, (milliseconds, step)) in (0..).zip(steps) {
            monotonic += Duration::from_millis(milliseconds);
            let origin = Origin::daemon("test");
            let event = step.unwrap_or_else(|order| {
                Event::Command(Ticket(number), Command { origin, deadline: None, order })
            });
            let now = Now { monotonic, wall: 5 };
            judge.step(&mut core, now, event);
        }
    }
}
