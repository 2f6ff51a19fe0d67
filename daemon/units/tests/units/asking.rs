//! What can be asked about units: signals, names, views, changes.

use std::time::Duration;

use units::{
    Action, Answer, Cause, ChangeCause, Command, Core, Event, Limits, Name, Now, Order, Origin,
    Refusal, RestartWhen, Role, RunId, Status, StopHow, Target, Ticket, UnitDetail, UnitState,
    Wanted, Whom,
};

use crate::{
    making::{LIMITS, by_signal, execution, name, person, run},
    town::{Town, service, start, stop, wait, web},
};

fn signal(target: Target, signal: i32, whom: Whom) -> Order {
    Order::Signal { target, signal, whom }
}

#[test]
fn a_signal_is_sent_and_nothing_follows_from_it() {
    let mut town = Town::new();
    town.order(start(&service(|_| {})));
    let by_name = |number, whom| signal(Target::Name(web()), number, whom);
    let id = town.id(Role::Main);
    assert_eq!(town.refused(by_name(10, Whom::Main)), Refusal::NoMainProcess(id));
    let pid = town.executes(Role::Main);
    town.done();
    for (target, number, whom, done) in [
        (Target::Name(web()), 10, Whom::Main, "deliver 10 Main Main"),
        (Target::Run(id), 1, Whom::All, "deliver 1 All Main"),
        (Target::Pid(pid), 9, Whom::Main, "deliver 9 Main Main"),
        (Target::Name(web()), 9, Whom::All, "kill Main"),
    ] {
        assert_eq!(town.ask(signal(target, number, whom)), Answer::Signalled { run: id });
        assert_eq!(town.done(), [done]);
    }
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Running, None));
    assert_eq!(town.refused(by_name(0, Whom::Main)), Refusal::NoSuchSignal(0));
    town.ends_leaving(Role::Main, by_signal(9), false);
    assert_eq!(town.refused(by_name(10, Whom::Main)), Refusal::NoMainProcess(id));
    assert_eq!(town.ask(by_name(10, Whom::All)), Answer::Signalled { run: id });
    town.empties(Role::Main);
    let refusal = Refusal::NotRunning { name: web(), state: UnitState::Failed };
    assert_eq!(town.refused(by_name(10, Whom::All)), refusal);
}

#[test]
fn a_name_is_a_units_until_it_is_forgotten_and_a_runs_until_that_is_over() {
    let mut town = Town::new();
    let spec = service(|it| it.name = name(1));
    let execute = |number| Order::Execute(Box::new(execution(number, 1, 0)));
    town.order(execute(1));
    assert_eq!(town.refused(start(&spec)), Refusal::NameTaken { name: name(1), holder: run(1) });
    town.tell(Event::Spawned { run: run(1), pid: 7 });
    town.tell(Event::MainExited {
        run: run(1),
        exit: crate::making::exit(Cause::Exited(0), 0),
        empty: true,
    });
    town.order(start(&spec));
    assert_eq!(town.refused(execute(2)), Refusal::NameOfUnit(name(1)));
    town.does(Role::Main, 0);
    assert_eq!(town.refused(execute(2)), Refusal::NameOfUnit(name(1)), "it is loaded still");
    let forget = Order::Forget { which: Some(name(1)) };
    assert_eq!(town.ask(forget.clone()), Answer::Forgotten(vec![name(1)]));
    assert_eq!(town.refused(forget), Refusal::NoSuchUnit(name(1)));
    let he = town.order(execute(2));
    assert_eq!(town.answer(he), None);
}

#[test]
fn only_what_is_dead_is_forgotten() {
    let mut town = Town::new();
    for unit in ["live", "dead", "failed"] {
        town.order(start(&service(|it| it.name = unit.parse().unwrap())));
        let cause = if unit == "dead" { Cause::Exited(0) } else { Cause::Exited(1) };
        if unit != "live" {
            town.executes_last();
            town.ends_last(cause);
        }
    }
    let live: Name = "live".parse().unwrap();
    let refusal = Refusal::NotDead { name: live.clone(), state: UnitState::Starting };
    assert_eq!(town.refused(Order::Forget { which: Some(live.clone()) }), refusal);
    let dead = ["dead", "failed"].map(|name| name.parse().unwrap()).to_vec();
    assert_eq!(town.ask(Order::Forget { which: None }), Answer::Forgotten(dead));
    let Answer::Units(units) = town.ask(Order::List) else { panic!() };
    let names: Vec<&Name> = units.iter().map(|unit| &unit.name).collect();
    assert_eq!(names, [&live]);
}

#[test]
fn a_wait_for_a_run_is_answered_by_its_end_and_is_nothing_to_it() {
    let mut town = Town::with_up(&service(|it| it.restart.when = RestartWhen::Always));
    let target = Target::Run(town.id(Role::Main));
    let (she, he) = (
        town.order(Order::Wait { target: target.clone() }),
        town.order(Order::Wait { target: target.clone() }),
    );
    town.done();
    town.tell(Event::CallerGone(he));
    assert_eq!(town.done(), [""; 0], "who watches is no caller");
    town.ends(Role::Main, Cause::Exited(4));
    let Some(Answer::Ended(record)) = town.answer(she) else { panic!() };
    assert_eq!(record.cause, Cause::Exited(4));
    assert_eq!(town.answer(he), None);
    let late = town.ask(Order::Wait { target });
    assert!(matches!(late, Answer::Ended(record) if record.cause == Cause::Exited(4)));
}

#[test]
fn who_waits_no_more_is_not_answered_and_changes_nothing() {
    let mut town = Town::new();
    let she = town.order(start(&service(|_| {})));
    let he = town.order(wait());
    town.tell(Event::CallerGone(she));
    town.tell(Event::CallerGone(he));
    town.executes(Role::Main);
    assert_eq!(town.state(), UnitState::Running);
    town.ends(Role::Main, Cause::Exited(0));
    assert_eq!((town.answer(she), town.answer(he)), (None, None));
}

#[test]
fn a_deadline_ends_the_call_and_not_the_start() {
    let mut town = Town::new();
    let (ticket, order) = (Ticket(900), start(&service(|_| {})));
    let deadline = Some(town.now + Duration::from_secs(2));
    let command = Command { origin: person("she"), deadline, order };
    town.tell(Event::Command(ticket, command));
    town.pass(Duration::from_secs(2));
    assert_eq!(town.refusal(ticket), Refusal::DeadlinePassed);
    assert_eq!(town.state(), UnitState::Starting);
    town.executes(Role::Main);
    assert_eq!(town.state(), UnitState::Running);
}

#[test]
fn every_change_says_who_and_why_and_none_is_missing() {
    let spec = service(|it| it.restart.when = RestartWhen::Always);
    let mut town = Town::with_up(&spec);
    town.ends(Role::Main, by_signal(9));
    town.pass_to_deadline();
    town.executes(Role::Main);
    town.order_by(person("he"), stop(StopHow::Usual));
    town.ends(Role::Main, by_signal(15));
    let told: Vec<(u64, UnitState, String)> = town
        .changes
        .iter()
        .map(|change| (change.sequence, change.to, change.cause.to_string()))
        .collect();
    let she = format!("order of {}", person("she"));
    let he = format!("order of {}", person("he"));
    let expected = [
        (UnitState::Starting, she.as_str()),
        (UnitState::Running, "ready"),
        (UnitState::Stopping, "signal 9"),
        (UnitState::Waiting, "restart 1 in 100ms after signal"),
        (UnitState::Starting, "restart 1 after signal"),
        (UnitState::Running, "ready"),
        (UnitState::Stopping, &he),
        (UnitState::Inactive, &he),
    ];
    let expected: Vec<(u64, UnitState, String)> =
        (1..).zip(expected).map(|(number, (state, why))| (number, state, why.to_owned())).collect();
    assert_eq!(told, expected);
    assert_eq!(town.detail().changes, town.changes);
    let desired = town.detail().view.desired;
    assert_eq!((desired.wanted, desired.by), (Wanted::Down, person("he")));
}

#[test]
fn the_last_changes_are_kept() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.restart.delay = Duration::ZERO;
    });
    let mut town = Town::with_up(&spec);
    for _ in 0..50 {
        town.ends(Role::Main, Cause::Exited(1));
        town.executes(Role::Main);
    }
    let kept = town.detail().changes;
    assert_eq!(kept.len(), UnitDetail::CHANGES);
    assert_eq!(kept, town.changes[town.changes.len() - UnitDetail::CHANGES..]);
    assert!(matches!(
        kept[0].cause,
        ChangeCause::Policy(_) | ChangeCause::Exit(_) | ChangeCause::Readiness
    ));
}

#[test]
fn what_a_program_says_about_itself_is_shown_and_cut() {
    let mut town = Town::with_up(&service(|_| {}));
    let run = town.id(Role::Main);
    town.tell(Event::Notified { run, status: "ä".repeat(5_000) });
    let text = town.detail().view.status_text.unwrap();
    assert_eq!(text, "ä".repeat(1_024));
}

#[test]
fn the_public_status_follows_from_the_state() {
    for (state, status) in [
        (UnitState::Inactive, Status::Standby),
        (UnitState::Before(1), Status::Active),
        (UnitState::Starting, Status::Active),
        (UnitState::After(0), Status::Active),
        (UnitState::Running, Status::Active),
        (UnitState::Reloading, Status::Active),
        (UnitState::Exited, Status::Complete),
        (UnitState::Stopping, Status::Passive),
        (UnitState::Waiting, Status::Standby),
        (UnitState::Failed, Status::Error),
    ] {
        assert_eq!(state.status(), status, "{state}");
    }
}

/// The ids of the first runs of a core with this seed.
fn first_ids(seed: u8) -> Vec<RunId> {
    let mut core = Core::new(Limits { live_runs: 32, ..LIMITS }).with_seed([seed; 16]);
    let mut actions = Vec::new();
    for unit in 0_u8..20 {
        let order = start(&service(|it| it.name = name(unit)));
        let command = Command { origin: Origin::daemon("test"), deadline: None, order };
        let now = Now { monotonic: Duration::ZERO, wall: 0 };
        core.step(now, Event::Command(Ticket(unit.into()), command), &mut actions);
    }
    let made = |action| if let Action::SpawnUnit { run, .. } = action { Some(run) } else { None };
    actions.into_iter().filter_map(made).collect()
}

#[test]
fn the_ids_of_runs_follow_from_the_seed_and_differ() {
    let (one, other) = (first_ids(1), first_ids(2));
    assert_eq!(one, first_ids(1));
    let mut all: Vec<RunId> = one.iter().chain(&other).copied().collect();
    assert!(all.iter().all(|run| run.to_string().as_bytes()[14] == b'4'), "{all:?}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 40);
}
