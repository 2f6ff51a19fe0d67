//! The main lives of a run, told from what happens to what is done about it.
//!
//! Seconds are counted from the beginning of the story; the bounds are those of `making::LIMITS`.

mod kept;
mod making;
mod story;

use std::time::Duration;

use making::{by_signal, execution, exit, name, person, run};
use story::*;
use units::{
    Account, Action, Answer, Cause, Command, Event, Execution, Leftovers, Order, Refusal,
    StartFailure, StopHow, Target, Ticket,
};

#[test]
fn a_program_runs_and_exits() {
    let mut story = Story::new();
    let spawn = Action::Spawn { execution: Box::new(execution(1, 1, 0)), origin: person("she") };
    assert_eq!(story.order(HER, execute(1, 1)), [spawn]);
    assert_eq!(story.next_deadline(), Some(15), "a start has a bound");
    assert_eq!(story.tell(Event::Spawned { run: run(1), pid: 100 }), [started(HER)]);
    assert_eq!(story.next_deadline(), None, "and a program that runs has none");
    story.seconds = 60;
    assert!(is_settle(&story.main_exits(Cause::Exited(3), true)));
    let (record, told) = story.over();
    assert_eq!((&record.cause, record.started_at, record.ended_at), (&Cause::Exited(3), 0, 60));
    assert_eq!((record.leftovers, &record.stopped_by), (Leftovers::None, &None));
    assert_eq!(told, [HER]);
}

#[test]
fn an_exit_that_overtakes_the_spawner_waits_for_its_word() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    assert_eq!(story.main_exits(Cause::Exited(0), true), []);
    let actions = story.tell(Event::Spawned { run: run(1), pid: 100 });
    assert!(matches!(actions.as_slice(), [first, Action::Settle { .. }] if *first == started(HER)));
    assert_eq!(story.over().0.pid, 100);
}

#[test]
fn what_a_main_process_leaves_behind_is_asked_and_then_killed() {
    let mut story = Story::with_a_run();
    assert_eq!(story.main_exits(Cause::Exited(0), false), [await_empty(), signal(SIGTERM)]);
    assert_eq!(story.tick_at(1), []);
    assert_eq!(story.tick_at(2), [kill()], "after the time-out for leftovers");
    assert_eq!(story.tick_at(3), [kill()], "and again, until nothing is left");
    assert!(is_settle(&story.tell(Event::Emptied { run: run(1) })));
    let (record, _) = story.over();
    assert_eq!((&record.cause, record.leftovers), (&Cause::Exited(0), Leftovers::Killed));
    assert_eq!(record.stopped_by, None, "it ended by itself");
}

#[test]
fn what_another_signal_left_behind_gets_sigterm_and_no_longer_time() {
    let mut story = Story::with_a_run();
    assert_eq!(
        story.order(HIM, stop(StopHow::Signal(SIGINT))),
        [signal(SIGINT), stopping(HIM)],
        "as it was ordered"
    );
    story.seconds = 9;
    let exits = story.main_exits(by_signal(SIGINT), false);
    assert_eq!(exits, [await_empty(), signal(SIGTERM)]);
    assert_eq!(story.tick_at(10), [kill()], "ten seconds after the order");
    assert!(is_settle(&story.tell(Event::Emptied { run: run(1) })));
    assert_eq!(story.over().0.leftovers, Leftovers::Killed);
}

#[test]
fn leftovers_that_heed_sigterm_are_not_killed() {
    let mut story = Story::with_a_run();
    story.main_exits(Cause::Exited(0), false);
    assert!(is_settle(&story.tell(Event::Emptied { run: run(1) })));
    assert_eq!(story.over().0.leftovers, Leftovers::Terminated);
    assert_eq!(story.tick_at(100), []);
}

#[test]
fn a_program_that_does_not_heed_its_stop_is_killed() {
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, stop(StopHow::Signal(SIGINT))), [signal(SIGINT), stopping(HIM)]);
    story.seconds = 9;
    let again = story.order(Ticket(3), stop(StopHow::Signal(SIGTERM)));
    assert_eq!(again, [signal(SIGTERM), stopping(Ticket(3))]);
    assert_eq!(story.next_deadline(), Some(10), "asking again does not put the end off");
    assert_eq!(story.tick_at(10), [kill()]);
    story.main_exits(by_signal(SIGKILL), true);
    let (record, _) = story.over();
    assert_eq!(record.cause, by_signal(SIGKILL));
    assert_eq!(record.stopped_by, Some(person("he")), "the first to order it");
}

#[test]
fn a_kill_is_at_once_and_repeated_more_and_more_slowly() {
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, stop(StopHow::Kill)), [kill(), stopping(HIM)]);
    let pauses = story.pauses_between_kills(9);
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn a_stop_during_the_start_is_carried_out_when_there_is_a_program() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    assert_eq!(story.order(HIM, stop(StopHow::Signal(SIGINT))), [stopping(HIM)]);
    story.seconds = 4;
    let spawned = story.tell(Event::Spawned { run: run(1), pid: 100 });
    assert_eq!(spawned, [started(HER), signal(SIGINT)]);
    assert_eq!(story.next_deadline(), Some(10), "counted from the order");
}

#[test]
fn a_stop_after_the_exit_has_not_caused_it() {
    let mut story = Story::with_a_run();
    story.main_exits(Cause::Exited(0), true);
    assert_eq!(story.order(HIM, stop(StopHow::Kill)), [stopping(HIM)]);
    assert_eq!(story.over().0.stopped_by, None);
}

#[test]
fn a_start_that_fails_says_why() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    let failure = StartFailure { stage: 203, errno: 2, message: "no such file".to_owned() };
    story.seconds = 1;
    let failed = Event::SpawnFailed { run: run(1), failure: failure.clone() };
    assert!(is_settle(&story.tell(failed)));
    let (record, told) = story.over();
    assert_eq!(record.cause, Cause::Failed(failure));
    assert_eq!((record.pid, record.started_at, record.ended_at), (0, 0, 1));
    assert_eq!(told, [HER]);
}

#[test]
fn a_start_that_hangs_is_killed_at_its_deadline() {
    let mut story = Story::new();
    story.order(HER, execute(1, 1));
    assert_eq!(story.tick_at(14), []);
    assert_eq!(story.tick_at(15), [kill()]);
    let failure = StartFailure { stage: 303, errno: 0, message: "it was killed".to_owned() };
    assert!(is_settle(&story.tell(Event::SpawnFailed { run: run(1), failure })));
    let (record, _) = story.over();
    assert!(matches!(&record.cause, Cause::Failed(failure) if failure.stage == 302), "{record:?}");
    assert_eq!(record.stopped_by, None, "nobody ordered that");
}

#[test]
fn a_second_request_with_the_same_id_joins_and_never_executes_twice() {
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, execute(1, 1)), [started(HIM)]);
    story.main_exits(Cause::Exited(0), true);
    let (record, told) = story.over();
    assert_eq!(told, [HER, HIM]);
    let late = Ticket(3);
    let ended = Action::Reply(late, Answer::Ended(record));
    assert_eq!(story.order(late, execute(1, 1)), [started(late), ended]);
}

#[test]
fn made_up_names_do_not_tell_one_request_from_another() {
    let anonymous =
        |end| Order::Execute(Box::new(Execution { anonymous: true, ..execution(1, end, 0) }));
    let mut story = Story::new();
    assert!(matches!(story.order(HER, anonymous(1)).as_slice(), [Action::Spawn { .. }]));
    assert_eq!(story.order(HIM, anonymous(2)), []);
    let spawned = story.tell(Event::Spawned { run: run(1), pid: 100 });
    assert_eq!(spawned, [started(HER), started(HIM)]);
}

#[test]
fn a_run_id_is_one_command_for_ever() {
    let other = || Order::Execute(Box::new(execution(1, 1, 7)));
    let taken = || refused(HIM, Refusal::RunTaken { run: run(1) });
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, other()), taken());
    assert_eq!(story.order(HIM, execute(1, 2)), taken(), "a name is part of it");
    story.main_exits(Cause::Exited(0), true);
    story.over();
    assert_eq!(story.order(HIM, other()), taken());
}

#[test]
fn a_name_is_taken_until_its_run_is_over() {
    let taken = || refused(HIM, Refusal::NameTaken { name: name(1), holder: run(1) });
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, execute(2, 1)), taken());
    story.main_exits(Cause::Exited(0), true);
    assert_eq!(story.order(HIM, execute(2, 1)), taken(), "its output is not in the log yet");
    story.over();
    assert!(matches!(story.order(HIM, execute(2, 1)).as_slice(), [Action::Spawn { .. }]));
}

#[test]
fn a_run_that_nobody_waits_for_is_stopped() {
    let mut story = Story::with_a_run();
    story.order(HIM, execute(1, 1));
    assert_eq!(story.tell(Event::CallerGone(HER)), [], "he still waits");
    assert_eq!(story.tell(Event::CallerGone(HIM)), [signal(SIGTERM)]);
    assert_eq!(story.tick_at(10), [kill()]);
    story.main_exits(by_signal(SIGKILL), true);
    let by = story.over().0.stopped_by.clone().unwrap();
    assert_eq!(by.reason, "the call ended before the run did");
}

#[test]
fn a_call_whose_deadline_passes_is_told_so_and_its_run_stopped() {
    let mut story = Story::new();
    let deadline = Some(Duration::from_secs(5));
    let command = Command { origin: person("she"), deadline, order: execute(1, 1) };
    story.tell(Event::Command(HER, command));
    story.tell(Event::Spawned { run: run(1), pid: 100 });
    assert_eq!(story.next_deadline(), Some(5));
    let mut expected = refused(HER, Refusal::DeadlinePassed);
    expected.push(signal(SIGTERM));
    assert_eq!(story.tick_at(5), expected);
    story.main_exits(by_signal(SIGTERM), true);
    assert_eq!(story.over().1, [], "she has had her answer");
}

#[test]
fn the_end_of_everything_has_a_bound() {
    let mut story = Story::with_a_run();
    assert_eq!(story.order(HIM, Order::ShutDown), [signal(SIGTERM)]);
    let late = Ticket(3);
    assert_eq!(story.order(late, execute(2, 2)), refused(late, Refusal::ShuttingDown));
    assert_eq!(story.next_deadline(), Some(7), "before the stop time-out");
    assert_eq!(story.tick_at(7), [kill()]);
    story.main_exits(by_signal(SIGKILL), true);
    let mut actions = story.tell(Event::Settled { run: run(1), account: Account::default() });
    assert_eq!(actions.pop(), Some(Action::Reply(HIM, Answer::AllEnded)));
    assert_eq!(story.next_deadline(), None);
}

#[test]
fn where_nothing_runs_everything_has_ended() {
    let mut story = Story::new();
    assert_eq!(story.order(HER, Order::ShutDown), [Action::Reply(HER, Answer::AllEnded)]);
}

#[test]
fn a_pid_means_the_process_that_has_it_now() {
    let mut story = Story::with_a_run();
    story.main_exits(Cause::Exited(0), false);
    // Something of run 1 is left, and its main process's pid is another's.
    story.order(HIM, execute(2, 2));
    story.tell(Event::Spawned { run: run(2), pid: 100 });
    let order = Order::Stop { target: Target::Pid(100), how: StopHow::Kill };
    let answer = Answer::Stopping { run: run(2), name: name(2) };
    let asker = Ticket(3);
    let expected = [Action::Kill { run: run(2) }, Action::Reply(asker, answer)];
    assert_eq!(story.order(asker, order), expected);
}

#[test]
fn a_pid_that_nobody_has_means_the_last_one_who_had_it() {
    let mut story = Story::new();
    for number in [1, 2, 3] {
        story.seconds += 1;
        story.order(Ticket(u64::from(number)), execute(number, number));
        story.tell(Event::Spawned { run: run(number), pid: 100 });
        let exit = exit(Cause::Exited(0), story.seconds.into());
        story.tell(Event::MainExited { run: run(number), exit, empty: number != 1 });
        story.tell(Event::Settled { run: run(number), account: Account::default() });
    }
    // Run 1 lives on by what it left behind; 2 and 3 are over.
    let actions = story.order(Ticket(4), Order::Find(Target::Pid(100)));
    assert!(
        matches!(actions.as_slice(), [Action::Reply(_, Answer::Found(it))] if it.run == run(3)),
        "{actions:?}"
    );
}

#[test]
fn a_signal_that_does_not_exist_is_refused() {
    let mut story = Story::with_a_run();
    for signal in [i32::MIN, -1, 0, 65, i32::MAX] {
        let actions = story.order(HIM, stop(StopHow::Signal(signal)));
        assert_eq!(actions, refused(HIM, Refusal::NoSuchSignal(signal)));
    }
}
