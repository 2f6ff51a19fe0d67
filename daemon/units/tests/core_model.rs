//! What holds for the state machine whatever happens, and in whatever order; also where at any moment the core is lost,
//! and another one goes on with what it kept.

mod kept;
mod making;
#[cfg(test)]
mod model;

use std::time::Duration;

use making::{LIMITS, by_signal, execution, exit, name, person, run};
use model::{Judge, Leaves, Nature, Spawner, World, specs};
use proptest::{collection::vec, option, prelude::*, sample::select};
use units::{
    Account, Command, Core, Event, Execution, Limits, Name, Now, Order, Origin, RunId,
    StartFailure, StopHow, Target, Ticket, Whom,
    kept::{Fate, Listener},
};

/// One thing that somebody or something does.
#[derive(Clone, Debug)]
enum Step {
    Order { who: bool, within: Option<u64>, order: Order },
    CallerGoes(u64),
    Inherit { execution: Execution, ended: bool, lost: bool },
    Crash,
    KeeperGoes,
    Room(bool),
    NextIs(Nature),
    Report { which: usize, again: bool },
    MainEnds { which: usize, status: u8 },
    MainIsLost(usize),
    GoesWell(u8),
    Wait(u64),
    WaitForDeadline,
}

fn limits() -> impl Strategy<Value = Limits> {
    let seconds = || (1_u64..20_000).prop_map(Duration::from_millis);
    let times = (seconds(), seconds(), seconds(), seconds(), (seconds(), seconds()));
    (times, 2_usize..12).prop_map(
        |((leftover, stop, start, shut_down, (claim, prepare)), live_runs)| Limits {
            claim_timeout: claim,
            prepare_timeout: prepare,
            live_runs,
            leftover_timeout: leftover.min(stop),
            stop_timeout: stop,
            start_timeout: start,
            shut_down_timeout: shut_down,
        },
    )
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
        5 => a_name().prop_map(Target::Name),
        2 => (99_i32..108).prop_map(Target::Pid),
        1 => Just(Target::Pid(0)),
    ]
}

fn order() -> BoxedStrategy<Order> {
    let how = prop_oneof![
        6 => Just(StopHow::Usual),
        4 => select(&[15, 2, 1, 64][..]).prop_map(StopHow::Signal),
        1 => select(&[0, -1, 65, i32::MIN, i32::MAX][..]).prop_map(StopHow::Signal),
        2 => Just(StopHow::Kill),
    ];
    prop_oneof![
        25 => a_unit_order(),
        10 => an_execution().prop_map(|execution| Order::Execute(Box::new(execution))),
        3 => an_execution().prop_map(|execution| Order::Join { run: execution.run }),
        5 => (target(), how).prop_map(|(target, how)| Order::Stop { target, how }),
        2 => target().prop_map(Order::Find),
        1 => Just(Order::Count),
    ]
    .boxed()
}

fn a_name() -> impl Strategy<Value = Name> {
    (0_u8..5).prop_map(name)
}

fn a_unit_order() -> BoxedStrategy<Order> {
    let whom = select(&[Whom::Main, Whom::All][..]);
    prop_oneof![
        10 => specs::unit().prop_map(|spec| Order::Start { spec, run: None }),
        4 => specs::unit().prop_map(|spec| Order::Restart { spec }),
        8 => (2_u8..5).prop_map(name).prop_map(|name| Order::Reload { name }),
        2 => (target(), select(&[15, 1, 9, 0][..]), whom)
            .prop_map(|(target, signal, whom)| Order::Signal { target, signal, whom }),
        5 => target().prop_map(|target| Order::Wait { target }),
        1 => Just(Order::List),
        1 => a_name().prop_map(|name| Order::Inspect { name }),
        3 => option::weighted(0.8, a_name()).prop_map(|which| Order::Forget { which }),
    ]
    .boxed()
}

fn nature() -> impl Strategy<Value = Nature> {
    use Leaves::{Meek, Nothing, Stubborn};
    use Spawner::{Executes, Fails, Hangs, Mute};
    let spawner =
        prop_oneof![12 => Just(Executes), 2 => Just(Fails), 1 => Just(Hangs), 1 => Just(Mute)];
    let leaves = select(&[Nothing, Nothing, Meek, Stubborn][..]);
    let listens = prop::bool::weighted(0.3);
    let habits = (any::<bool>(), prop::bool::weighted(0.7), prop::bool::weighted(0.1), listens);
    (spawner, habits, leaves, 1_u8..12).prop_map(
        |(spawner, (heeds_signals, says_ready, out_of_memory, listens), leaves, kills)| Nature {
            spawner,
            heeds_signals,
            leaves,
            says_ready,
            listens,
            out_of_memory,
            kills,
        },
    )
}

fn step() -> BoxedStrategy<Step> {
    let within = option::weighted(0.3, 0_u64..30_000);
    prop_oneof![
        30 => (any::<bool>(), within, order())
            .prop_map(|(who, within, order)| Step::Order { who, within, order }),
        3 => any::<u64>().prop_map(Step::CallerGoes),
        2 => (200_u8..204, any::<bool>(), any::<bool>()).prop_map(|(number, ended, lost)| {
            // Names of their own, as they had under their own daemon.
            Step::Inherit { execution: execution(number, number, 0), ended, lost }
        }),
        4 => Just(Step::Crash),
        1 => Just(Step::KeeperGoes),
        2 => any::<bool>().prop_map(Step::Room),
        1 => any::<usize>().prop_map(Step::MainIsLost),
        6 => nature().prop_map(Step::NextIs),
        20 => (any::<usize>(), prop::bool::weighted(0.2))
            .prop_map(|(which, again)| Step::Report { which, again }),
        8 => (any::<usize>(), prop_oneof![Just(0_u8), any::<u8>()])
            .prop_map(|(which, status)| Step::MainEnds { which, status }),
        20 => (0_u8..16).prop_map(Step::GoesWell),
        6 => (0_u64..300).prop_map(Step::Wait),
        3 => (0_u64..12_000).prop_map(Step::Wait),
        6 => Just(Step::WaitForDeadline),
        1 => Just(Step::Order { who: true, within: None, order: Order::ShutDown }),
    ]
    .boxed()
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Order { who, within, order } => {
            let who = if who { "she" } else { "he" };
            world.order(who, within.map(Duration::from_millis), order);
        }
        Step::CallerGoes(which) => world.caller_goes(which),
        Step::Inherit { execution, ended, lost } => world.inherit(execution, ended, lost),
        Step::Crash => world.crash(),
        Step::KeeperGoes => world.tell(Event::KeeperLost),
        Step::Room(there) => world.tell(Event::Room { there }),
        Step::MainIsLost(which) => world.main_is_lost(which),
        Step::NextIs(nature) => world.next_is(nature),
        Step::Report { which, again } => world.report(which, again),
        Step::MainEnds { which, status } => world.main_ends(which, status),
        Step::GoesWell(times) => (0..times).for_each(|_| world.goes_well()),
        Step::Wait(milliseconds) => world.wait(Duration::from_millis(milliseconds)),
        Step::WaitForDeadline => {
            world.wait_for_deadline();
        }
    }
}

/// What may be found of a run.
fn fate() -> impl Strategy<Value = Fate> {
    let ended = || (1..4).prop_map(|signal| exit(by_signal(signal), i64::MAX));
    prop_oneof![
        1 => Just(Fate::Unmade),
        3 => (1_i32..5, option::of(ended()), any::<bool>())
            .prop_map(|(pid, exit, empty)| Fate::Executed { pid, at: 0, exit, empty }),
        1 => any::<bool>().prop_map(|empty| Fate::Lost { why: "who knows".to_owned(), empty }),
    ]
}

/// Where a program may say that it listens.
fn listener() -> impl Strategy<Value = Listener> {
    (0_u32..2).prop_map(|rank| Listener { socket: "/run/engine".to_owned(), rank, chunked: true })
}

/// Anything at all, true or not.
fn any_event() -> BoxedStrategy<Event> {
    let id = || {
        prop_oneof![
            (0_u8..4).prop_map(run),
            (100_u8..104).prop_map(run),
            (200_u8..204).prop_map(run)
        ]
    };
    let ended = || (1..4).prop_map(|signal| exit(by_signal(signal), i64::MAX));
    let failure = || StartFailure { stage: 203, errno: 2, message: String::new() };
    prop_oneof![
        3 => any::<u64>().prop_map(|ticket| Event::CallerGone(Ticket(ticket % 64))),
        4 => (id(), 1_i32..5).prop_map(|(run, pid)| Event::Spawned { run, pid }),
        2 => id().prop_map(move |run| Event::SpawnFailed { run, failure: failure() }),
        4 => (id(), ended(), any::<bool>())
            .prop_map(|(run, exit, empty)| Event::MainExited { run, exit, empty }),
        4 => id().prop_map(|run| Event::Emptied { run }),
        2 => id().prop_map(|run| Event::Ready { run }),
        2 => (id(), option::of(listener())).prop_map(|(run, listener)| Event::Serves { run, listener }),
        2 => id().prop_map(|run| Event::Prepared { run }),
        1 => id().prop_map(|run| Event::Notified { run, status: "well".to_owned() }),
        4 => id().prop_map(|run| Event::Settled { run, account: Account::default() }),
        3 => (200_u8..204).prop_map(|number| Event::Inherited {
            execution: Box::new(execution(number, number % 2, 0)),
            started_by: Origin::daemon("before"),
        }),
        3 => (id(), fate()).prop_map(|(run, fate)| Event::Adopted { run, fate }),
        2 => (id(), any::<bool>())
            .prop_map(|(run, empty)| Event::MainLost { run, why: "who knows".to_owned(), empty }),
        1 => id().prop_map(|run| Event::OutputsLost { run, why: "they are gone".to_owned() }),
        1 => Just(Event::KeeperLost),
        2 => any::<bool>().prop_map(|there| Event::Room { there }),
        8 => Just(Event::Tick),
    ]
    .boxed()
}

/// The runs 100 to 103 stand for those that live, whose ids nobody could guess.
fn aim(mut event: Event, judge: &Judge) -> Event {
    let aimed = |id: &mut RunId| {
        let live: Vec<&RunId> = judge.live.keys().collect();
        let index = (100_u8..104).position(|number| run(number) == *id);
        let live = index.and_then(|index| live.get(index % live.len().max(1)).copied());
        live.into_iter().for_each(|live| *id = *live);
    };
    match &mut event {
        Event::Spawned { run, .. }
        | Event::SpawnFailed { run, .. }
        | Event::MainExited { run, .. }
        | Event::MainLost { run, .. }
        | Event::OutputsLost { run, .. }
        | Event::Emptied { run }
        | Event::Settled { run, .. }
        | Event::Ready { run }
        | Event::Serves { run, .. }
        | Event::Prepared { run }
        | Event::Adopted { run, .. }
        | Event::Notified { run, .. } => aimed(run),
        Event::Command(..) | Event::CallerGone(_) | Event::Inherited { .. } => {}
        Event::KeeperLost | Event::Room { .. } | Event::Tick => {}
    }
    event
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
            let origin = person("somebody");
            let event = step.map(|event| aim(event, &judge)).unwrap_or_else(|order| {
                Event::Command(Ticket(number), Command { origin, deadline: None, order })
            });
            if judge.is_closing() && matches!(&event, Event::Inherited { .. }) {
                continue;
            }
            let now = Now { monotonic, wall: 5 };
            judge.step(&mut core, now, event);
        }
    }
}
