//! The end of everything, with units.

use std::time::Duration;

use units::{Answer, Cause, KillMode, Order, Refusal, RestartWhen, Role, Ticket, UnitState};

use crate::{
    making::{LIMITS, by_signal},
    town::{SIGKILL, SIGTERM, Town, service, start, words},
};

#[test]
fn the_last_to_start_is_the_first_to_stop() {
    let mut town = Town::new();
    let names = ["b", "c", "a"];
    for name in names {
        town.order(start(&service(|it| it.name = name.parse().unwrap())));
    }
    let changes = town.changes.len();
    town.order(Order::ShutDown);
    let stopped: Vec<&str> =
        town.changes[changes..].iter().map(|change| change.name.as_str()).collect();
    assert_eq!(stopped, ["a", "c", "b"]);
}

#[test]
fn each_unit_is_stopped_as_it_says_and_nothing_begins_again() {
    let spec = service(|it| {
        it.restart.when = RestartWhen::Always;
        it.on_stop = vec![words("/bin/bye")];
        it.stop.signal = 3;
    });
    let mut town = Town::with_up(&spec);
    town.done();
    let end = town.order(Order::ShutDown);
    assert_eq!(town.done(), ["spawn OnStop(0)"]);
    assert_eq!(town.refused(start(&spec)), Refusal::ShuttingDown);
    town.does(Role::OnStop(0), 0);
    assert_eq!((town.done(), town.answer(end)), (vec!["signal 3 all of Main".to_owned()], None));
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.answer(end), Some(&Answer::AllEnded));
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Failed, None));
}

#[test]
fn a_unit_that_waits_for_its_restart_waits_no_more() {
    let spec = service(|it| it.restart.when = RestartWhen::Always);
    let mut town = Town::with_up(&spec);
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.state(), UnitState::Waiting);
    assert_eq!(town.ask(Order::ShutDown), Answer::AllEnded);
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Inactive, None));
}

#[test]
fn no_kill_mode_spares_anybody() {
    for (mode, signal) in [
        (KillMode::Process, "signal 15 Main"),
        (KillMode::None, "signal 15 all of Main"),
        (KillMode::Mixed, "signal 15 Main"),
    ] {
        let spec = service(|it| (it.stop.kill_mode, it.stop.final_kill) = (mode, false));
        let mut town = Town::with_up(&spec);
        town.done();
        let end = town.order(Order::ShutDown);
        assert_eq!(town.done(), [signal], "{mode:?}");
        // Its own 90 seconds are more than there are.
        assert_eq!(town.pass_to_deadline(), LIMITS.shut_down_timeout);
        assert_eq!(town.done(), ["kill Main"], "{mode:?}");
        town.ends_leaving(Role::Main, by_signal(SIGKILL), false);
        assert_eq!(town.answer(end), None, "something of it lives");
        town.empties(Role::Main);
        assert_eq!(town.answer(end), Some(&Answer::AllEnded));
    }
}

#[test]
fn commands_on_stop_have_no_longer_than_there_is() {
    let spec = service(|it| it.on_stop = vec![words("/bin/hangs")]);
    let mut town = Town::with_up(&spec);
    let end = town.order(Order::ShutDown);
    town.executes(Role::OnStop(0));
    town.done();
    town.pass(LIMITS.shut_down_timeout);
    assert_eq!(town.done(), ["kill OnStop(0)", "kill Main"]);
    town.ends(Role::OnStop(0), by_signal(SIGKILL));
    town.ends(Role::Main, by_signal(SIGKILL));
    assert_eq!(town.answer(end), Some(&Answer::AllEnded));
}

#[test]
fn who_waits_for_a_start_is_told_that_there_is_none() {
    let mut town = Town::new();
    let she: Ticket = town.order(start(&service(|_| {})));
    town.order(Order::ShutDown);
    assert_eq!(town.refusal(she), Refusal::ShuttingDown);
    town.executes(Role::Main);
    town.pass(Duration::from_secs(1));
    town.ends(Role::Main, by_signal(SIGTERM));
    assert_eq!(town.state(), UnitState::Inactive);
    assert!(!town.changes.iter().any(|change| change.to == UnitState::Running));
}
