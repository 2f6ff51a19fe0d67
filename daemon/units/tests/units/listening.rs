//! Programs that listen to us are told before they are asked to end.

use std::{sync::Arc, time::Duration};

use units::{Answer, Event, KillMode, Role, StopHow, UnitSpec, UnitState};

use crate::{
    making::by_signal,
    town::{SIGKILL, SIGTERM, Town, service, start, stop},
};

const TIMEOUT: Duration = Duration::from_secs(3);

fn with(kill_mode: KillMode) -> Arc<UnitSpec> {
    service(|it| (it.stop.kill_mode, it.stop.timeout) = (kill_mode, TIMEOUT))
}

/// A unit that is up and listens.
fn listening(kill_mode: KillMode) -> Town {
    let mut town = Town::with_up(&with(kill_mode));
    town.done();
    town.listens("/run/engine");
    assert_eq!(town.done(), ["probe Main at /run/engine"]);
    // To say it again is no news; to listen elsewhere is.
    town.listens("/run/engine");
    assert_eq!(town.done(), [""; 0]);
    town
}

#[test]
fn who_listens_is_told_and_then_gets_the_signal() {
    let mut town = listening(KillMode::ControlGroup);
    town.listens("/run/other");
    assert_eq!(town.done(), ["probe Main at /run/other"]);
    let she = town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), ["prepare Main at /run/other"]);
    // Asked again it waits all the same.
    town.order(stop(StopHow::Usual));
    assert_eq!((town.done(), town.state()), (Vec::new(), UnitState::Stopping));
    town.tell(Event::Prepared { run: town.id(Role::Main) });
    assert_eq!(town.done(), ["signal 15 all of Main"]);
    assert_eq!(town.pass_to_deadline(), TIMEOUT, "the signal has all of its time");
    town.done();
    town.ends(Role::Main, by_signal(SIGKILL));
    assert!(matches!(town.answer(she), Some(Answer::Down { .. })));
}

#[test]
fn who_does_not_answer_gets_the_signal_a_little_later() {
    let mut town = listening(KillMode::Mixed);
    town.order(stop(StopHow::Usual));
    town.done();
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(5));
    assert_eq!(town.done(), ["signal 15 Main"]);
    // An answer that comes now changes nothing.
    town.tell(Event::Prepared { run: town.id(Role::Main) });
    assert_eq!(town.done(), [""; 0]);
    assert_eq!(town.pass_to_deadline(), TIMEOUT);
    assert_eq!(town.done(), ["kill Main"]);
}

#[test]
fn who_ends_meanwhile_is_over() {
    let mut town = listening(KillMode::Mixed);
    let she = town.order(stop(StopHow::Usual));
    town.ends(Role::Main, by_signal(SIGTERM));
    assert!(matches!(town.answer(she), Some(Answer::Down { state: UnitState::Inactive, .. })));
    assert_eq!(town.next_deadline(), None);
}

#[test]
fn a_kill_and_who_is_to_be_spared_are_not_told() {
    let mut town = listening(KillMode::ControlGroup);
    town.order(stop(StopHow::Kill));
    assert_eq!(town.done(), ["kill Main"]);
    let mut town = listening(KillMode::ControlGroup);
    town.order(stop(StopHow::Usual));
    town.order(stop(StopHow::Kill));
    assert_eq!(town.done(), ["prepare Main at /run/engine", "kill Main"], "it waits for nothing");
    let mut town = listening(KillMode::None);
    town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), [""; 0]);
}

#[test]
fn who_is_to_end_is_not_looked_after_any_more() {
    let mut town = listening(KillMode::Mixed);
    town.order(stop(StopHow::Usual));
    assert_eq!(town.done(), ["prepare Main at /run/engine"]);
    town.listens("/run/other");
    assert_eq!(town.done(), [""; 0]);
}

/// What a program says may come before the word that it has been executed.
#[test]
fn what_is_said_before_it_is_known_to_run_counts() {
    let mut town = Town::new();
    town.order(start(&with(KillMode::Mixed)));
    town.done();
    town.listens("/run/engine");
    assert_eq!(town.done(), [""; 0], "it is no run yet that can be looked after");
    town.executes(Role::Main);
    assert!(town.done().contains(&"probe Main at /run/engine".to_owned()));
    // Also where it was to end before that.
    let mut town = Town::new();
    town.order(start(&with(KillMode::Mixed)));
    town.listens("/run/engine");
    town.order(stop(StopHow::Usual));
    town.done();
    town.executes(Role::Main);
    assert!(town.done().contains(&"prepare Main at /run/engine".to_owned()));
    town.tell(Event::Prepared { run: town.id(Role::Main) });
    assert_eq!(town.done(), ["signal 15 Main"]);
    town.ends(Role::Main, by_signal(SIGTERM));
    assert_eq!((town.state(), town.next_deadline()), (UnitState::Inactive, None));
}
