//! How a unit comes up: each row of the way up, and who is told what.

use std::time::Duration;

use crate::making::{LIMITS, by_signal, person};
use crate::town::{Town, line, restart, service, start, stop, wait, web, words};
use units::{
    Answer, Cause, ChangeCause, Kind, Limits, Order, Readiness, Refusal, Role, StopHow, Target,
    UnitResult, UnitState, Wanted,
};

#[test]
fn a_start_is_over_when_the_program_is_executed() {
    let mut town = Town::new();
    let she = town.order(start(&service(|_| {})));
    assert_eq!(town.done(), ["spawn Main"]);
    assert_eq!(town.answer(she), None);
    let pid = town.executes(Role::Main);
    let run = town.id(Role::Main);
    assert_eq!(town.answer(she), Some(&Answer::Up { name: web(), run, pid, was_up: false }));
    assert_eq!(town.path(), [UnitState::Starting, UnitState::Running]);
    assert_eq!(town.next_deadline(), None);
    let view = town.detail().view;
    assert_eq!((view.run, view.pid, view.restarts), (Some(run), pid, 0));
    assert_eq!((view.desired.wanted, view.desired.by), (Wanted::Up, person("she")));
}

#[test]
fn a_program_that_is_missing_is_an_error_of_the_start() {
    let mut town = Town::new();
    let she = town.order(start(&service(|_| {})));
    town.fails(Role::Main, 203);
    let refusal = town.refusal(she);
    let Refusal::StartFailed { name, result, why, record } = refusal else { panic!("{refusal}") };
    assert_eq!((name, result), (web(), UnitResult::ExitCode));
    assert_eq!(why, "never ran: no such file");
    assert!(matches!(&record.unwrap().cause, Cause::Failed(failure) if failure.stage == 203));
    assert_eq!(town.path(), [UnitState::Starting, UnitState::Failed]);
    assert_eq!(town.detail().view.desired.wanted, Wanted::Down);
}

#[test]
fn with_notify_a_start_is_over_when_the_program_says_so() {
    for said_first in [false, true] {
        let mut town = Town::new();
        let she = town.order(start(&service(|it| it.readiness = Readiness::Notify)));
        if said_first {
            town.says_ready();
        } else {
            town.executes(Role::Main);
        }
        assert_eq!((town.state(), town.answer(she)), (UnitState::Starting, None));
        if said_first {
            town.executes(Role::Main);
        } else {
            town.says_ready();
        }
        assert!(matches!(town.answer(she), Some(Answer::Up { .. })));
        let change = town.changes.last().unwrap();
        assert_eq!((change.to, &change.cause), (UnitState::Running, &ChangeCause::Readiness));
    }
}

#[test]
fn who_is_to_say_so_one_way_is_not_heard_in_another() {
    for drpc in [false, true] {
        let mut town = Town::new();
        let readiness = if drpc { Readiness::Drpc } else { Readiness::Notify };
        let she = town.order(start(&service(|it| it.readiness = readiness)));
        town.executes(Role::Main);
        if drpc {
            town.says_ready()
        } else {
            town.serves()
        }
        assert_eq!((town.state(), town.answer(she)), (UnitState::Starting, None));
        if drpc {
            town.serves()
        } else {
            town.says_ready()
        }
        assert!(matches!(town.answer(she), Some(Answer::Up { .. })));
    }
}

#[test]
fn a_program_that_ends_before_it_is_ready_breaks_the_protocol() {
    let mut town = Town::new();
    let she = town.order(start(&service(|it| it.readiness = Readiness::Notify)));
    town.does(Role::Main, 0);
    let refusal = town.refusal(she);
    assert!(
        matches!(refusal, Refusal::StartFailed { result: UnitResult::Protocol, .. }),
        "{refusal}"
    );
    assert_eq!(town.state(), UnitState::Failed);
}

#[test]
fn a_program_that_fails_before_it_is_ready_has_failed() {
    let mut town = Town::new();
    let she = town.order(start(&service(|it| it.readiness = Readiness::Notify)));
    town.does(Role::Main, 3);
    let refusal = town.refusal(she);
    assert!(matches!(refusal, Refusal::StartFailed { result: UnitResult::ExitCode, .. }));
}

#[test]
fn a_start_that_takes_too_long_is_ended() {
    let mut town = Town::new();
    let she = town.order(start(&service(|it| {
        it.readiness = Readiness::Notify;
        it.start_timeout = Some(Duration::from_secs(5));
    })));
    town.executes(Role::Main);
    town.done();
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(5));
    assert_eq!(town.done(), ["signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(15));
    let refusal = town.refusal(she);
    assert!(matches!(refusal, Refusal::StartFailed { result: UnitResult::Timeout, .. }));
    assert_eq!(town.path(), [UnitState::Starting, UnitState::Stopping, UnitState::Failed]);
}

#[test]
fn commands_before_and_after_are_run_one_after_the_other() {
    let mut town = Town::new();
    let spec = service(|it| {
        it.before = vec![words("/bin/a"), words("/bin/b")];
        it.after = vec![words("/bin/c"), words("/bin/d")];
    });
    let she = town.order(start(&spec));
    assert_eq!(town.done(), ["spawn Before(0)"]);
    town.does(Role::Before(0), 0);
    assert_eq!(town.done(), ["spawn Before(1)"]);
    town.does(Role::Before(1), 0);
    assert_eq!(town.done(), ["spawn Main"]);
    let pid = town.executes(Role::Main);
    assert_eq!(town.done(), ["spawn After(0)"]);
    assert_eq!(town.main_pid(Role::After(0)), pid);
    town.does(Role::After(0), 0);
    assert_eq!((town.done(), town.answer(she)), (vec!["spawn After(1)".to_owned()], None));
    town.does(Role::After(1), 0);
    assert!(matches!(town.answer(she), Some(Answer::Up { .. })));
    let path = [
        UnitState::Before(0),
        UnitState::Before(1),
        UnitState::Starting,
        UnitState::After(0),
        UnitState::After(1),
        UnitState::Running,
    ];
    assert_eq!(town.path(), path);
}

#[test]
fn a_command_before_that_fails_fails_the_start_unless_that_is_ignored() {
    let spec = service(|it| it.before = vec![words("/bin/a")]);
    let mut town = Town::new();
    let she = town.order(start(&spec));
    town.does(Role::Before(0), 4);
    let refusal = town.refusal(she).to_string();
    assert!(refusal.contains("command 1 before the program: exit status 4"), "{refusal}");
    assert_eq!((town.lives(Role::Main), town.state()), (false, UnitState::Failed));

    let spec = service(|it| it.before = vec![line("-/bin/a")]);
    let mut town = Town::new();
    town.order(start(&spec));
    town.does(Role::Before(0), 4);
    assert!(town.lives(Role::Main));
}

#[test]
fn a_command_after_that_fails_stops_the_unit() {
    let spec = service(|it| {
        it.after = vec![words("/bin/a")];
        it.on_stop = vec![words("/bin/b")];
    });
    let mut town = Town::new();
    let she = town.order(start(&spec));
    town.executes(Role::Main);
    town.done();
    town.does(Role::After(0), 1);
    assert_eq!(town.done(), ["signal 15 all of Main"], "it never was up, so on_stop is not run");
    town.ends(Role::Main, by_signal(15));
    let refusal = town.refusal(she);
    assert!(matches!(refusal, Refusal::StartFailed { result: UnitResult::ExitCode, .. }));
}

#[test]
fn a_oneshot_is_up_when_it_has_ended_well() {
    for remain_after_exit in [false, true] {
        let mut town = Town::new();
        let she = town.order(start(&service(|it| it.kind = Kind::Oneshot { remain_after_exit })));
        town.executes(Role::Main);
        let run = town.id(Role::Main);
        assert_eq!((town.state(), town.answer(she)), (UnitState::Starting, None));
        town.ends(Role::Main, Cause::Exited(0));
        assert_eq!(town.answer(she), Some(&Answer::Up { name: web(), run, pid: 0, was_up: false }));
        let then = if remain_after_exit { UnitState::Exited } else { UnitState::Inactive };
        assert_eq!((town.state(), town.next_deadline()), (then, None));
        let Answer::Down { state, record, .. } = town.ask(wait()) else { panic!() };
        assert_eq!((state, &record.unwrap().cause), (then, &Cause::Exited(0)));
    }
}

#[test]
fn a_oneshot_that_fails_has_failed_to_start() {
    // A signal that is clean for a service is none for a oneshot.
    for (cause, result) in
        [(Cause::Exited(1), UnitResult::ExitCode), (by_signal(15), UnitResult::Signal)]
    {
        let mut town = Town::new();
        let kind = Kind::Oneshot { remain_after_exit: true };
        let she = town.order(start(&service(|it| it.kind = kind)));
        town.executes(Role::Main);
        town.ends(Role::Main, cause);
        let refusal = town.refusal(she);
        let Refusal::StartFailed { result: told, .. } = refusal else { panic!("{refusal}") };
        assert_eq!((told, town.state()), (result, UnitState::Failed));
    }
}

#[test]
fn who_starts_what_is_starting_or_up_is_told_of_the_same_run() {
    let spec = service(|_| {});
    let mut town = Town::new();
    let (she, he) = (town.order(start(&spec)), town.order(start(&spec)));
    town.executes(Role::Main);
    let third = town.order(start(&spec));
    assert_eq!(town.answer(she), town.answer(he));
    let Some(Answer::Up { run, pid, was_up: false, .. }) = town.answer(she) else { panic!() };
    let (name, was_up) = (web(), true);
    assert_eq!(town.answer(third), Some(&Answer::Up { name, run: *run, pid: *pid, was_up }));
    assert_eq!(town.done(), ["spawn Main"]);
}

#[test]
fn a_start_on_the_way_down_begins_again_when_it_is_down() {
    let spec = service(|_| {});
    let mut town = Town::with_up(&spec);
    let stop = town.order(stop(StopHow::Usual));
    let he = town.order(start(&service(|it| it.comment = "new".to_owned())));
    assert_eq!((town.answer(stop), town.answer(he)), (None, None));
    town.ends(Role::Main, by_signal(15));
    assert!(matches!(town.answer(stop), Some(Answer::Down { .. })));
    town.executes(Role::Main);
    assert!(matches!(town.answer(he), Some(Answer::Up { .. })));
    assert_eq!(town.detail().spec.comment, "new");
}

#[test]
fn a_restart_is_answered_once_and_takes_those_with_it_who_wait_for_a_start() {
    let spec = service(|it| it.on_stop = vec![words("/bin/bye")]);
    let mut town = Town::new();
    let she = town.order(start(&spec));
    let he = town.order(restart(&spec));
    // It was not up, so nothing is undone.
    town.executes(Role::Main);
    assert_eq!(town.done(), ["spawn Main", "signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(15));
    town.executes(Role::Main);
    assert!(matches!(town.answer(she), Some(Answer::Up { .. })));
    assert_eq!(town.answer(she), town.answer(he));
    town.done();
    let third = town.order(restart(&spec));
    assert_eq!(town.done(), ["spawn OnStop(0)"]);
    town.does(Role::OnStop(0), 0);
    assert_eq!(town.done(), ["signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(15));
    assert_eq!((town.done(), town.answer(third)), (vec!["spawn Main".to_owned()], None));
    town.executes(Role::Main);
    assert!(matches!(town.answer(third), Some(Answer::Up { .. })));
}

#[test]
fn a_stop_supersedes_a_start() {
    let spec = service(|it| it.readiness = Readiness::Notify);
    let mut town = Town::new();
    let she = town.order(start(&spec));
    town.executes(Role::Main);
    let he = town.order_by(person("he"), stop(StopHow::Usual));
    assert_eq!(town.refusal(she), Refusal::Superseded { name: web(), by: person("he") });
    town.ends(Role::Main, by_signal(15));
    let Some(Answer::Down { state, .. }) = town.answer(he) else { panic!() };
    assert_eq!(*state, UnitState::Inactive);
    assert_eq!(town.detail().view.result, UnitResult::Success);
}

#[test]
fn where_there_is_no_room_nothing_is_loaded() {
    let mut town = Town::with(Limits { live_runs: 0, ..LIMITS });
    assert_eq!(town.refused(start(&service(|_| {}))), Refusal::TooManyRuns { live: 0 });
    assert_eq!(town.refused(Order::Inspect { name: web() }), Refusal::NoSuchUnit(web()));
    assert_eq!(town.ask(Order::List), Answer::Units(vec![]));
}

#[test]
fn a_run_of_a_unit_is_found_by_id_and_pid() {
    let mut town = Town::with_up(&service(|_| {}));
    let (run, pid) = (town.id(Role::Main), 101);
    for target in [Target::Name(web()), Target::Run(run), Target::Pid(pid)] {
        let Answer::Found(found) = town.ask(Order::Find(target)) else { panic!() };
        assert_eq!((found.run, found.pid, found.ended), (run, pid, None));
    }
}
