//! The lives of runs whose daemon died, and of those that nobody kept.

use units::{
    Account, Action, Answer, Cause, Event, Leftovers, Order, Origin, ProcessExit, Refusal, StopHow,
    Ticket, kept::Fate,
};

use super::{
    HER, HIM, SIGINT, SIGKILL, SIGTERM, Story, await_empty, execute, is_settle, kill, refused,
    signal, started, stop,
};
use crate::making::{by_signal, execution, exit, name, person, run};

fn executed(exit: Option<ProcessExit>, empty: bool) -> Event {
    Event::Adopted { run: run(1), fate: Fate::Executed { pid: 100, at: 0, exit, empty } }
}

#[test]
fn a_run_goes_on_and_who_names_it_has_it_again() {
    let mut story = Story::with_a_run();
    story.seconds = 5;
    story.crash();
    assert_eq!(story.next_deadline(), None);
    assert_eq!(story.tell(executed(None, false)), []);
    assert_eq!(story.next_deadline(), Some(35), "somebody is to name it");
    let other = Ticket(7);
    assert_eq!(story.order(other, execute(1, 1)), [started(other)]);
    assert_eq!(story.next_deadline(), None);
    assert!(is_settle(&story.main_exits(Cause::Exited(3), true)));
    let (record, told) = story.over();
    assert_eq!((&record.cause, record.started_at, told), (&Cause::Exited(3), 0, vec![other]));
    assert_eq!((&record.started_by, &record.stopped_by), (&person("she"), &None));
}

#[test]
fn a_run_that_nobody_names_is_stopped() {
    let mut story = Story::with_a_run();
    story.crash();
    story.tell(executed(None, false));
    story.seconds = 20;
    // The time counts from the first death on.
    story.crash();
    story.tell(executed(None, false));
    assert_eq!(story.tick_at(29), []);
    assert_eq!(story.tick_at(30), [signal(SIGTERM)]);
    assert_eq!(story.tick_at(40), [kill()]);
    story.main_exits(by_signal(SIGKILL), true);
    let (record, _) = story.over();
    let by = Origin::daemon("its daemon died, and nobody reclaimed it within 30s");
    assert_eq!((&record.cause, &record.stopped_by), (&by_signal(SIGKILL), &Some(by)));
}

#[test]
fn an_end_while_there_was_no_daemon_is_exact() {
    let mut story = Story::with_a_run();
    story.crash();
    assert!(is_settle(&story.tell(executed(Some(exit(Cause::Exited(4), 2)), true))));
    let (record, _) = story.over();
    assert_eq!((&record.cause, record.ended_at), (&Cause::Exited(4), 2));
    assert_eq!((record.pid, &record.stopped_by), (100, &None));
}

#[test]
fn what_such_a_run_left_behind_is_ended() {
    let mut story = Story::with_a_run();
    story.crash();
    let actions = story.tell(executed(Some(exit(Cause::Exited(4), 2)), false));
    assert_eq!(actions, [await_empty(), signal(SIGTERM)]);
    story.tell(Event::Emptied { run: run(1) });
    let (record, _) = story.over();
    assert_eq!((&record.cause, record.leftovers), (&Cause::Exited(4), Leftovers::Terminated));
}

#[test]
fn a_stop_goes_on_with_its_deadline() {
    let mut story = Story::with_a_run();
    story.order(HIM, stop(StopHow::Signal(SIGINT)));
    story.seconds = 4;
    story.crash();
    // It may not have been sent.
    assert_eq!(story.tell(executed(None, false)), [signal(SIGINT)]);
    assert_eq!(story.next_deadline(), Some(10));
    assert_eq!(story.tick_at(10), [kill()]);
    story.crash();
    assert_eq!(story.tell(executed(None, false)), [kill()]);
    story.main_exits(by_signal(SIGKILL), true);
    assert_eq!(story.over().0.stopped_by, Some(person("he")));
}

#[test]
fn an_end_that_was_told_is_told_to_who_asks_later() {
    let mut story = Story::with_a_run();
    story.main_exits(Cause::Exited(3), true);
    story.over();
    story.crash();
    let again = story.order(Ticket(8), execute(1, 1));
    let [first, Action::Reply(Ticket(8), Answer::Ended(record))] = again.as_slice() else {
        unreachable!("{again:?}")
    };
    assert_eq!((first, &record.cause), (&started(Ticket(8)), &Cause::Exited(3)));
    let other = Order::Execute(Box::new(execution(1, 1, 5)));
    let taken = Refusal::RunTaken { run: run(1) };
    assert_eq!(story.order(Ticket(9), other), refused(Ticket(9), taken));
}

#[test]
fn the_settling_is_done_again() {
    let mut story = Story::with_a_run();
    story.main_exits(Cause::Exited(3), true);
    story.crash();
    let fate = Fate::Lost { why: "it does not matter any more".to_owned(), empty: true };
    assert!(is_settle(&story.tell(Event::Adopted { run: run(1), fate })));
    assert_eq!(story.over().0.cause, Cause::Exited(3));
}

#[test]
fn a_run_that_was_never_made_never_was() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    story.crash();
    let unmade = Event::Adopted { run: run(1), fate: Fate::Unmade };
    assert_eq!(story.tell(unmade), [Action::Forget { run: run(1) }]);
    // Who calls again has it made, once.
    let spawn = Action::Spawn { execution: Box::new(execution(1, 1, 0)), origin: person("she") };
    assert_eq!(story.order(HER, execute(1, 1)), [spawn]);
}

#[test]
fn the_word_that_it_was_executed_may_come_from_the_keeper() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    story.crash();
    assert_eq!(story.tell(executed(None, false)), []);
    let actions = story.order(HIM, Order::Find(units::Target::Name(name(1))));
    assert!(
        matches!(actions.as_slice(), [Action::Reply(_, Answer::Found(it))] if it.pid == 100),
        "{actions:?}"
    );
}

#[test]
fn what_contradicts_is_lost_and_ended() {
    let mut story = Story::with_a_run();
    story.crash();
    let fate = Fate::Lost { why: "two truths".to_owned(), empty: false };
    let actions = story.tell(Event::Adopted { run: run(1), fate });
    assert_eq!(actions, [await_empty(), signal(SIGTERM)]);
    assert_eq!(story.tick_at(2), [kill()]);
    assert!(is_settle(&story.tell(Event::Emptied { run: run(1) })));
    let (record, _) = story.over();
    assert_eq!(record.cause, Cause::Lost("two truths".to_owned()));
    assert_eq!(record.stopped_by, None);
}

#[test]
fn a_run_of_which_nothing_was_kept_waits_for_who_names_it() {
    let mut story = Story::new();
    let started_by = person("she");
    let inherited = Event::Inherited { execution: Box::new(execution(1, 1, 0)), started_by };
    assert_eq!(story.tell(inherited), []);
    assert_eq!(story.tell(executed(None, false)), []);
    assert_eq!(story.order(HER, execute(1, 1)), [started(HER)]);
    story.main_exits(Cause::Exited(0), true);
    let mut over = story.tell(Event::Settled { run: run(1), account: Account::default() });
    assert!(matches!(over.pop(), Some(Action::Release { .. })), "{over:?}");
}
