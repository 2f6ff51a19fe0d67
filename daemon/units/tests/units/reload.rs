//! Reloading what is up.

use std::time::Duration;

use units::{Answer, Cause, Kind, Refusal, Role, StopHow, UnitResult, UnitState};

use crate::{
    making::by_signal,
    town::{Town, line, reload, service, start, stop, web, words},
};

#[test]
fn the_commands_on_reload_are_run_one_after_the_other_beside_the_program() {
    let spec = service(|it| it.on_reload = vec![line("-/bin/a"), words("/bin/b")]);
    let mut town = Town::new();
    town.order(start(&spec));
    let pid = town.executes(Role::Main);
    town.path();
    let she = town.order(reload());
    assert_eq!(town.main_pid(Role::OnReload(0)), pid);
    town.does(Role::OnReload(0), 1);
    assert_eq!(town.answer(she), None, "the failure of that one is ignored");
    town.does(Role::OnReload(1), 0);
    assert_eq!(town.answer(she), Some(&Answer::Reloaded { name: web() }));
    assert_eq!(town.path(), [UnitState::Reloading, UnitState::Running]);
    assert_eq!(town.next_deadline(), None);
}

#[test]
fn a_reload_that_fails_leaves_the_unit_as_it_was() {
    let spec = service(|it| it.on_reload = vec![words("/bin/a"), words("/bin/b")]);
    let mut town = Town::with_up(&spec);
    let she = town.order(reload());
    town.does(Role::OnReload(0), 1);
    let why = "command 1 on reload: exit status 1".to_owned();
    assert_eq!(town.refusal(she), Refusal::ReloadFailed { name: web(), why });
    let view = town.detail().view;
    assert_eq!((view.state, view.result), (UnitState::Running, UnitResult::Success));
}

#[test]
fn a_reload_that_takes_too_long_is_ended_and_the_unit_goes_on() {
    let spec = service(|it| {
        it.on_reload = vec![words("/bin/a")];
        it.start_timeout = Some(Duration::from_secs(5));
    });
    let mut town = Town::with_up(&spec);
    let she = town.order(reload());
    town.executes(Role::OnReload(0));
    town.done();
    assert_eq!(town.pass_to_deadline(), Duration::from_secs(5));
    assert_eq!(town.done(), ["signal 15 all of OnReload(0)"]);
    town.ends(Role::OnReload(0), by_signal(15));
    let refusal = town.refusal(she).to_string();
    assert!(refusal.contains("it took too long, signal 15"), "{refusal}");
    assert_eq!(town.state(), UnitState::Running);
}

#[test]
fn a_reload_during_a_reload_comes_after_it_once() {
    let mut town = Town::with_up(&service(|it| it.on_reload = vec![words("/bin/a")]));
    let (she, he, third) = (town.order(reload()), town.order(reload()), town.order(reload()));
    town.does(Role::OnReload(0), 0);
    assert!(town.answer(she).is_some());
    assert_eq!((town.answer(he), town.answer(third)), (None, None));
    town.does(Role::OnReload(0), 0);
    assert_eq!(town.answer(he), Some(&Answer::Reloaded { name: web() }));
    assert_eq!(town.answer(he), town.answer(third));
    assert_eq!(town.state(), UnitState::Running);
}

#[test]
fn what_cannot_be_reloaded_says_so() {
    let mut town = Town::new();
    assert_eq!(town.refused(reload()), Refusal::NoSuchUnit(web()));
    let spec = service(|it| it.on_reload = vec![words("/bin/a")]);
    town.order(start(&spec));
    let refusal = Refusal::NotRunning { name: web(), state: UnitState::Starting };
    assert_eq!(town.refused(reload()), refusal);
    town.does(Role::Main, 0);
    let refusal = Refusal::NotRunning { name: web(), state: UnitState::Inactive };
    assert_eq!(town.refused(reload()), refusal);
    let mut town = Town::with_up(&service(|_| {}));
    assert_eq!(town.refused(reload()), Refusal::NothingToReload(web()));
}

#[test]
fn the_end_of_the_program_ends_its_reload() {
    let mut town = Town::with_up(&service(|it| it.on_reload = vec![words("/bin/a")]));
    let she = town.order(reload());
    town.executes(Role::OnReload(0));
    town.done();
    town.ends(Role::Main, Cause::Exited(1));
    assert!(matches!(town.refusal(she), Refusal::ReloadFailed { .. }));
    assert_eq!(town.done(), ["signal 15 all of OnReload(0)"]);
    assert_eq!(town.state(), UnitState::Stopping);
    town.ends(Role::OnReload(0), by_signal(15));
    assert_eq!(town.state(), UnitState::Failed);
}

#[test]
fn a_stop_ends_a_reload_and_a_run_limit_outlasts_it() {
    let spec = service(|it| {
        it.on_reload = vec![words("/bin/a")];
        it.run_limit = Some(Duration::from_secs(60));
    });
    let mut town = Town::with_up(&spec);
    town.pass(Duration::from_secs(20));
    town.order(reload());
    town.does(Role::OnReload(0), 0);
    assert_eq!(town.next_deadline(), Some(Duration::from_secs(40)));
    let she = town.order(reload());
    town.executes(Role::OnReload(0));
    town.done();
    town.order(stop(StopHow::Usual));
    assert!(matches!(town.refusal(she), Refusal::ReloadFailed { .. }));
    assert_eq!(town.done(), ["signal 15 all of OnReload(0)", "signal 15 all of Main"]);
}

#[test]
fn a_oneshot_that_remains_can_be_reloaded() {
    let mut town = Town::new();
    town.order(start(&service(|it| {
        it.kind = Kind::Oneshot { remain_after_exit: true };
        it.on_reload = vec![words("/bin/a")];
    })));
    town.does(Role::Main, 0);
    let she = town.order(reload());
    assert_eq!(town.main_pid(Role::OnReload(0)), 0);
    town.does(Role::OnReload(0), 0);
    assert_eq!(town.answer(she), Some(&Answer::Reloaded { name: web() }));
    assert_eq!(town.state(), UnitState::Exited);
}
