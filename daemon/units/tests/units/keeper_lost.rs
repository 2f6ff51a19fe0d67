//! The keeper is lost: nothing begins, what runs goes on, and what is due waits for the next core.

use units::{Cause, Event, KillMode, Order, Refusal, RestartWhen, Role, StopHow, UnitState};

use crate::{
    making::by_signal,
    town::{SIGKILL, Town, reload, restart, service, start, stop, words},
};

#[test]
fn what_is_up_is_up_and_nothing_else_begins() {
    let spec = service(|it| it.on_reload = vec![words("/bin/again")]);
    let mut town = Town::with_up(&spec);
    town.done();
    town.tell(Event::KeeperLost);
    assert!(matches!(town.ask(start(&spec)), units::Answer::Up { .. }));
    assert_eq!(town.refused(restart(&spec)), Refusal::KeeperLost);
    assert_eq!(town.refused(reload()), Refusal::KeeperLost);
    assert_eq!((town.state(), town.done().len()), (UnitState::Running, 0));
    let down = town.order(stop(StopHow::Usual));
    town.ends(Role::Main, by_signal(15));
    assert!(town.answer(down).is_some());
    assert_eq!(town.refused(start(&spec)), Refusal::KeeperLost);
    let other = service(|it| it.name = "other".parse().unwrap());
    assert_eq!(town.refused(start(&other)), Refusal::KeeperLost);
    let detail = town.ask(Order::List);
    let units::Answer::Units(units) = detail else { panic!("{detail:?}") };
    assert_eq!(units.len(), 1, "what was refused is not loaded");
}

#[test]
fn a_restart_is_put_off_without_a_deadline() {
    let spec = service(|it| it.restart.when = RestartWhen::Always);
    let mut town = Town::with_up(&spec);
    town.tell(Event::KeeperLost);
    town.ends(Role::Main, Cause::Exited(1));
    assert_eq!(town.state(), UnitState::Waiting);
    town.pass_to_deadline();
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Waiting, None));
    let cause = town.changes.last().unwrap().cause.to_string();
    assert!(cause.contains("is due, and there is no keeper"), "{cause}");
    assert_eq!(town.refused(start(&spec)), Refusal::KeeperLost);
    town.ask(stop(StopHow::Usual));
    assert_eq!(town.state(), UnitState::Inactive);
}

#[test]
fn the_second_half_of_a_restart_waits() {
    let spec = service(|_| {});
    let mut town = Town::with_up(&spec);
    let caller = town.order(restart(&spec));
    assert_eq!(town.state(), UnitState::Stopping);
    town.tell(Event::KeeperLost);
    town.ends(Role::Main, by_signal(15));
    assert_eq!(town.refusal(caller), Refusal::KeeperLost);
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Waiting, None));
    assert_eq!(town.detail().view.desired.wanted, units::Wanted::Up);
}

#[test]
fn an_end_that_nobody_can_know_is_a_failure() {
    let spec = service(|it| it.restart.when = RestartWhen::OnFailure);
    let mut town = Town::with_up(&spec);
    let (run, why) = (town.id(Role::Main), "status unknown".to_owned());
    town.tell(Event::KeeperLost);
    town.tell(Event::MainLost { run, why: why.clone(), empty: true });
    town.tell(Event::MainLost { run, why: "again".to_owned(), empty: true });
    town.tell(Event::MainExited {
        run,
        exit: crate::making::exit(by_signal(SIGKILL), 0),
        empty: true,
    });
    assert_eq!(town.state(), UnitState::Waiting);
    let record = town.detail().view.last.unwrap();
    assert_eq!(record.cause, Cause::Lost(why));
}

/// What its main process has left behind has no main process any more to be spared for, whatever the kill mode says.
#[test]
fn what_a_lost_main_process_left_ends_with_the_unit() {
    for mode in [KillMode::Process, KillMode::Mixed, KillMode::ControlGroup] {
        let spec = service(|it| it.stop.kill_mode = mode);
        let mut town = Town::with_up(&spec);
        let run = town.id(Role::Main);
        town.tell(Event::KeeperLost);
        town.tell(Event::MainLost { run, why: "status unknown".to_owned(), empty: false });
        town.done();
        for _ in 0..3 {
            town.pass_to_deadline();
        }
        let done = town.done();
        assert!(done.iter().any(|deed| deed == "kill Main"), "{mode:?}: {done:?}");
    }
}
