//! A store that another process has locked.

use std::fs::File;

use api::schedule::ShowEnabledRequest;
use tests::{
    Daemon, Options, argv, eventually, rpc::named, schedule::appending, wait::holds_within,
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; locked_for_a_moment, locked_for_long, free_again_for_a_reader]
}

/// A daemon that is down, with one enabled unit, and the lock in our hands.
fn locked() -> (Daemon, File) {
    let mut daemon = Daemon::start(Options::default());
    daemon.enable(appending(&daemon, "web"));
    daemon.shut_down();
    let lock = File::open(daemon.state_dir().join("schedule.lock")).unwrap();
    lock.lock().unwrap();
    (daemon, lock)
}

/// Locked for a moment, as by a child that has not executed its program yet: the daemon serves, waits, opens it, and
/// starts what is enabled; what is enabled meanwhile waits for the next boot.
fn locked_for_a_moment() {
    let (mut daemon, lock) = locked();
    daemon.start_again();
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0", "it serves");
    assert_eq!(daemon.health("schedule.Schedule"), "NOT_SERVING");
    let mut show = daemon.schedule_client();
    let asked = daemon
        .runtime()
        .spawn(async move { show.show_enabled(ShowEnabledRequest::default()).await });
    let (mut change, later) = (daemon.change_client(), appending(&daemon, "later"));
    let enabled = daemon.runtime().spawn(async move { change.enable(later).await });
    lock.unlock().unwrap();
    let answer = daemon.block(asked).unwrap().unwrap().into_inner();
    assert!(answer.executables.len() <= 2 && !answer.executables.is_empty(), "{answer:?}");
    daemon.block(enabled).unwrap().unwrap();
    eventually("it is started", || daemon.began("web") == 1);
    eventually("the boot is over", || daemon.status().runs_live == 0);
    assert_eq!(daemon.began("later"), 0, "enabled after the boot, and started by it");
    assert!(daemon.status().healthy, "{:?}", daemon.status().problems);
    assert_eq!(daemon.health("schedule.Schedule"), "SERVING");
    daemon.stop();
}

/// Waits until the daemon waits for the lock no longer, and sees that it says whose it is.
fn given_up(daemon: &Daemon) {
    let refused = daemon.enabled().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let holder = format!("process {}", std::process::id());
    assert!(refused.message().contains(&holder), "{holder:?} is not in {refused}");
    let status = daemon.status();
    assert!(!status.healthy);
    assert!(status.problems.iter().any(|it| it.contains(&holder)), "{:?}", status.problems);
    assert_eq!(daemon.health("schedule.Schedule"), "NOT_SERVING");
    assert_eq!(daemon.health(""), "SERVING");
}

/// Locked for long: the daemon serves, says who holds it, and takes changes by itself as soon as it is free.
fn locked_for_long() {
    let (mut daemon, lock) = locked();
    daemon.start_again();
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0", "it serves");
    given_up(&daemon);
    let refused = daemon.try_enable(named("new", argv(&["/bin/true"]))).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    lock.unlock().unwrap();
    daemon.enable(named("new", argv(&["/bin/true"])));
    assert_eq!(daemon.registered().len(), 2);
    assert!(daemon.status().healthy, "{:?}", daemon.status().problems);
    eventually("it serves again", || daemon.health("schedule.Schedule") == "SERVING");
    daemon.stop();
}

/// Also who only reads gets an answer as soon as the lock is free: the message says to try again.
fn free_again_for_a_reader() {
    let (mut daemon, lock) = locked();
    daemon.start_again();
    given_up(&daemon);
    lock.unlock().unwrap();
    let read = holds_within(std::time::Duration::from_secs(5), || daemon.enabled().is_ok());
    assert!(read, "it is free, and still refused: {}", daemon.enabled().unwrap_err());
    assert_eq!(daemon.registered().len(), 1);
    daemon.stop();
}
