//! How a unit comes down: section 2 of the table, for each kill mode.

use std::{sync::Arc, time::Duration};

use units::{
    Answer, Cause, KillMode, Leftovers, Order, Refusal, Role, StopHow, Target, UnitResult,
    UnitSpec, UnitState,
};

use crate::{
    making::{by_signal, person},
    town::{SIGKILL, SIGTERM, Town, milliseconds, service, start, stop, web, words},
};

const TIMEOUT: Duration = Duration::from_secs(3);

fn with(kill_mode: KillMode, final_kill: bool) -> Arc<UnitSpec> {
    service(|it| {
        (it.stop.kill_mode, it.stop.final_kill, it.stop.timeout) = (kill_mode, final_kill, TIMEOUT);
    })
}

/// The end of its program's run, once that is over.
fn left(town: &Town) -> (Leftovers, bool) {
    let record = town.records.last().unwrap();
    (record.leftovers, matches!(record.cause, Cause::Lost(_)))
}

#[test]
fn the_signal_and_the_kill_reach_whom_the_mode_says() {
    for (mode, signal, kill) in [
        (KillMode::ControlGroup, "signal 15 all of Main", "kill Main"),
        (KillMode::Mixed, "signal 15 Main", "kill Main"),
        (KillMode::Process, "signal 15 Main", "signal 9 Main"),
    ] {
        let mut town = Town::with_up(&with(mode, true));
        town.done();
        let she = town.order(stop(StopHow::Usual));
        assert_eq!(town.done(), [signal], "{mode:?}");
        assert_eq!(town.pass_to_deadline(), TIMEOUT);
        assert_eq!(town.done(), [kill], "{mode:?}");
        // What does not die is killed again.
        assert_eq!(town.pass_to_deadline(), milliseconds(50));
        assert_eq!(town.done(), [kill], "{mode:?}");
        town.ends(Role::Main, by_signal(SIGKILL));
        let Some(Answer::Down { state, record: Some(record), .. }) = town.answer(she) else {
            panic!()
        };
        assert_eq!((*state, &record.cause), (UnitState::Failed, &by_signal(SIGKILL)));
        assert_eq!(record.stopped_by, Some(person("she")));
        assert_eq!(town.detail().view.result, UnitResult::Timeout, "the first thing that failed");
        assert_eq!(town.next_deadline(), None);
    }
}

#[test]
fn what_the_program_leaves_is_ended_as_the_mode_says() {
    for (mode, final_kill, done) in [
        (KillMode::ControlGroup, true, &["await Main", "signal 15 all of Main"][..]),
        (KillMode::Mixed, true, &["await Main", "kill Main"]),
        (KillMode::Mixed, false, &[]),
        (KillMode::Process, true, &[]),
        (KillMode::None, true, &[]),
    ] {
        let mut town = Town::with_up(&with(mode, final_kill));
        town.done();
        town.ends_leaving(Role::Main, Cause::Exited(0), false);
        assert_eq!(town.done(), done, "{mode:?}");
        if done.is_empty() {
            assert_eq!(left(&town), (Leftovers::Left, false), "{mode:?}");
        } else {
            assert_eq!(town.state(), UnitState::Stopping);
            town.empties(Role::Main);
        }
        assert_eq!(town.state(), UnitState::Inactive, "{mode:?}");
    }
}

#[test]
fn leftovers_that_heed_no_signal_are_killed_and_change_no_result() {
    let mut town = Town::with_up(&with(KillMode::ControlGroup, true));
    town.ends_leaving(Role::Main, Cause::Exited(5), false);
    town.done();
    assert_eq!(town.pass_to_deadline(), TIMEOUT);
    assert_eq!(town.done(), ["kill Main"]);
    town.empties(Role::Main);
    assert_eq!(town.detail().view.result, UnitResult::ExitCode);
    assert_eq!(left(&town), (Leftovers::Killed, false));
}

#[test]
fn with_mode_none_only_the_commands_on_stop_are_run() {
    let spec = service(|it| {
        it.stop.kill_mode = KillMode::None;
        it.on_stop = vec![words("/bin/bye")];
    });
    let mut town = Town::with_up(&spec);
    town.done();
    let she = town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), ["spawn OnStop(0)"]);
    town.does(Role::OnStop(0), 0);
    assert_eq!(town.done(), [""; 0]);
    assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Inactive, .. })));
    assert_eq!(left(&town), (Leftovers::Left, true), "its end is nobody's to see");
}

#[test]
fn without_the_final_kill_what_is_left_is_left_alone() {
    for mode in [KillMode::ControlGroup, KillMode::Mixed, KillMode::Process] {
        let mut town = Town::with_up(&with(mode, false));
        let she = town.order(stop(StopHow::Usual));
        town.done();
        assert_eq!(town.pass_to_deadline(), TIMEOUT);
        assert_eq!(town.done(), [""; 0], "{mode:?}");
        assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Failed, .. })));
        assert_eq!(town.detail().view.result, UnitResult::Timeout);
        assert_eq!(left(&town), (Leftovers::Left, true));
    }
}

#[test]
fn an_ordered_kill_spares_nobody_and_runs_no_commands() {
    for mode in [KillMode::ControlGroup, KillMode::Mixed, KillMode::Process, KillMode::None] {
        let spec = service(|it| {
            (it.stop.kill_mode, it.stop.final_kill) = (mode, false);
            it.on_stop = vec![words("/bin/bye")];
        });
        let mut town = Town::with_up(&spec);
        town.done();
        let she = town.order(stop(StopHow::Kill));
        assert_eq!(town.done(), ["kill Main"], "{mode:?}");
        town.ends_leaving(Role::Main, by_signal(SIGKILL), false);
        town.empties(Role::Main);
        let down = town.answer(she);
        assert!(matches!(down, Some(Answer::Down { state: UnitState::Inactive, .. })), "{mode:?}");
    }
}

#[test]
fn commands_on_stop_are_run_first_and_each_has_the_time_out() {
    let spec = service(|it| {
        it.on_stop = vec![words("/bin/a"), words("/bin/b")];
        it.stop.timeout = TIMEOUT;
    });
    let mut town = Town::new();
    town.order(start(&spec));
    let pid = town.executes(Role::Main);
    town.order(stop(StopHow::Usual));
    assert_eq!(town.main_pid(Role::OnStop(0)), pid);
    town.pass(milliseconds(2_000));
    town.does(Role::OnStop(0), 0);
    town.executes(Role::OnStop(1));
    town.done();
    assert_eq!(town.pass_to_deadline(), TIMEOUT);
    assert_eq!(town.done(), ["signal 15 all of OnStop(1)", "signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(SIGTERM));
    assert_eq!(town.state(), UnitState::Stopping, "a command of it lives");
    assert_eq!(town.pass_to_deadline(), TIMEOUT);
    assert_eq!(town.done(), ["kill OnStop(1)"]);
    town.ends(Role::OnStop(1), by_signal(SIGKILL));
    let view = town.detail().view;
    assert_eq!((view.state, view.result), (UnitState::Failed, UnitResult::Timeout));
}

#[test]
fn a_command_on_stop_that_fails_makes_the_unit_fail_and_stops_it_all_the_same() {
    let spec = service(|it| it.on_stop = vec![words("/bin/a"), words("/bin/b")]);
    let mut town = Town::with_up(&spec);
    town.order(stop(StopHow::Usual));
    town.done();
    town.does(Role::OnStop(0), 1);
    assert_eq!(town.done(), ["signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(SIGTERM));
    let view = town.detail().view;
    assert_eq!((view.state, view.result), (UnitState::Failed, UnitResult::ExitCode));
}

#[test]
fn a_program_that_ends_while_commands_on_stop_run_ends_the_stop_when_they_are_over() {
    let spec = service(|it| it.on_stop = vec![words("/bin/a")]);
    let mut town = Town::with_up(&spec);
    let she = town.order(stop(StopHow::Usual));
    town.executes(Role::OnStop(0));
    town.ends(Role::Main, Cause::Exited(0));
    assert_eq!(town.answer(she), None);
    town.ends(Role::OnStop(0), Cause::Exited(0));
    assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Inactive, .. })));
}

#[test]
fn another_signal_can_be_chosen_for_good_or_for_once() {
    let spec = service(|it| it.stop.signal = 3);
    let mut town = Town::with_up(&spec);
    town.done();
    town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), ["signal 3 all of Main"]);
    town.order(stop(StopHow::Signal(10)));
    assert_eq!(town.done(), ["signal 10 all of Main"]);
    town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), [""; 0], "an end only gets harder");
    town.order(stop(StopHow::Kill));
    assert_eq!(town.done(), ["kill Main"]);
    town.ends(Role::Main, by_signal(SIGKILL));
    assert_eq!(town.state(), UnitState::Inactive);
    assert_eq!(town.refused(stop(StopHow::Signal(65))), Refusal::NoSuchSignal(65));
}

#[test]
fn a_stop_before_the_program_is_executed_is_done_when_it_is() {
    let mut town = Town::new();
    town.order(start(&service(|_| {})));
    town.done();
    let she = town.order(stop(StopHow::Usual));
    assert_eq!((town.done(), town.answer(she)), (vec![], None));
    town.executes(Role::Main);
    assert_eq!(town.done(), ["signal 15 all of Main"]);
    town.ends(Role::Main, by_signal(SIGTERM));
    assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Inactive, .. })));
}

#[test]
fn a_stop_during_a_command_before_ends_that() {
    let mut town = Town::new();
    let she = town.order(start(&service(|it| it.before = vec![words("/bin/a")])));
    town.executes(Role::Before(0));
    town.done();
    let he = town.order_by(person("he"), stop(StopHow::Usual));
    assert_eq!(town.done(), ["signal 15 all of Before(0)"]);
    assert_eq!(town.refusal(she), Refusal::Superseded { name: web(), by: person("he") });
    town.ends(Role::Before(0), by_signal(SIGTERM));
    assert!(matches!(
        town.answer(he),
        Some(Answer::Down { state: UnitState::Inactive, record: None, .. })
    ));
    assert!(!town.lives(Role::Main));
}

#[test]
fn a_stop_of_the_run_of_its_program_is_a_stop_of_the_unit() {
    let mut town = Town::new();
    town.order(start(&service(|it| it.on_stop = vec![words("/bin/a")])));
    let pid = town.executes(Role::Main);
    let run = town.id(Role::Main);
    town.done();
    for target in [Target::Run(run), Target::Pid(pid), Target::Name(web())] {
        let she = town.order(Order::Stop { target, how: StopHow::Usual });
        assert_eq!(town.answer(she), None);
    }
    assert_eq!(town.done(), ["spawn OnStop(0)"]);
    // That of a command is not.
    let target = Target::Run(town.id(Role::OnStop(0)));
    let answer = town.ask(Order::Stop { target, how: StopHow::Usual });
    assert!(matches!(answer, Answer::Stopping { .. }));
}

#[test]
fn what_is_dead_is_down_already() {
    let mut town = Town::with_up(&service(|_| {}));
    town.ends(Role::Main, Cause::Exited(0));
    for how in [StopHow::Usual, StopHow::Signal(15), StopHow::Kill] {
        let answer = town.ask(stop(how));
        assert!(matches!(answer, Answer::Down { state: UnitState::Inactive, record: Some(_), .. }));
    }
}

#[test]
fn a_oneshot_that_remains_is_undone_by_its_commands_on_stop() {
    let mut town = Town::new();
    town.order(start(&service(|it| {
        it.kind = units::Kind::Oneshot { remain_after_exit: true };
        it.on_stop = vec![words("/bin/undo")];
    })));
    town.does(Role::Main, 0);
    let she = town.order(stop(StopHow::Usual));
    assert_eq!((town.main_pid(Role::OnStop(0)), town.answer(she)), (0, None));
    town.does(Role::OnStop(0), 0);
    assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Inactive, .. })));
}
