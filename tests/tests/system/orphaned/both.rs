//! Keeper and daemon are killed together: what lives is found by its files, what ended is unknown, nothing is made twice.

use api::runtime::{Executable, RestartWhen, UnitState, exit_record::Cause};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, eventually, procfs,
    rpc::{code, fresh_id, identified, named, signal},
    units::{again, by_name, much_later},
};
use tonic::Request;

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![what_lives_goes_on, what_ended_unseen_is_unknown_and_follows_its_rules]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; more_than_a_channel_holds_go_on, who_prints_gets_a_signal, a_foreign_process_is_not_taken_for_it, what_was_damaged_is_ended]
}

/// The same processes, of units and of calls; they end exactly, can be stopped, and are not started again by the boot.
fn what_lives_goes_on(options: Options) {
    let mut daemon = Daemon::start(options);
    let mut go = Fifo::make(daemon.path(), "go");
    let words = ["append", &daemon.work("web"), "x", "await", go.path(), "exit", "4"];
    let unit = Executable {
        restart: Some(again(RestartWhen::OnFailure)),
        ..named("web", daemon.probe(&words))
    };
    daemon.enable(unit);
    let web = daemon.order_start(Request::new(by_name("web"))).unwrap();
    let quiet = daemon.up(named("quiet", daemon.probe(&["pause"])));
    let id = fresh_id();
    let call = identified(&id, daemon.probe(&["line", "one", "pause"]));
    eventually("it has begun", || daemon.began("web") == 1);
    let pid = {
        let mut run = daemon.run(call.clone());
        run.read_until("one\n");
        // The call is gone with the daemon, and not before.
        daemon.lose_both();
        run.started.pid
    };
    daemon.start_again();
    let now = daemon.unit("web");
    assert_eq!((now.pid, &now.run_id, now.state()), (web.pid, &web.run_id, UnitState::Running));
    assert_eq!(daemon.unit("quiet").pid, quiet.pid);
    // A daemon that dies then changes nothing of that.
    daemon.replace();
    go.release();
    let next = daemon.until("web", "it is up again", |unit| {
        unit.restarts == 1 && unit.state() == UnitState::Running
    });
    assert_eq!(code(&next.last_exit.unwrap()), Some(4));
    eventually("it has begun again", || daemon.began("web") == 2);
    assert_eq!(signal(&daemon.down("quiet").exit.unwrap()), Some(15));
    let mut run = daemon.run(call);
    assert_eq!(run.started.pid, pid);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let exit = run.finish();
    assert_eq!((signal(&exit), run.stdout.as_slice()), (Some(9), &b"one\n"[..]));
    drop(run);
    daemon.stop();
}

/// Many more than there is room for in the channel on which the keeper is told of them.
fn more_than_a_channel_holds_go_on() {
    const MANY: usize = 200;
    let mut daemon = Daemon::start(Options::default());
    let pids: Vec<i32> = (0..MANY)
        .map(|number| daemon.up(named(&format!("u{number}"), daemon.probe(&["pause"]))).pid)
        .collect();
    daemon.lose_both();
    daemon.start_again();
    let status = daemon.status();
    assert_eq!(
        (status.runs_live, status.daemon_starts),
        (200, 1),
        "the first daemon came to serve"
    );
    for (number, pid) in pids.into_iter().enumerate() {
        assert_eq!(daemon.unit(&format!("u{number}")).pid, pid);
    }
    daemon.stop();
}

/// One that ended while nobody was there: "status unknown", never a guess; its rules see a failure.
fn what_ended_unseen_is_unknown_and_follows_its_rules(options: Options) {
    let mut daemon = Daemon::start(options);
    let waits = |name: &str, restart| Executable {
        restart: Some(restart),
        ..named(name, daemon.probe(&["append", &daemon.work(name), "x", "pause"]))
    };
    let again = daemon.up(waits("again", again(RestartWhen::Always)));
    let later = daemon.up(waits("later", much_later(RestartWhen::OnFailure)));
    let once = daemon.up(named("once", daemon.probe(&["pause"])));
    eventually("they have begun", || daemon.began("again") + daemon.began("later") == 2);
    daemon.lose_both();
    for pid in [again.pid, later.pid, once.pid] {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        eventually("it ends", || !procfs::alive(pid));
    }
    daemon.start_again();
    for (name, before) in [("again", &again), ("later", &later), ("once", &once)] {
        let unit = daemon.until(name, "its end is known", |unit| unit.last_exit.is_some());
        let exit = unit.last_exit.unwrap();
        assert_eq!(exit.run_id, before.run_id);
        match &exit.cause {
            // Where nobody reaped it, the kernel can still be asked.
            Some(Cause::Signal(signal)) => assert_eq!(*signal, 9),
            Some(Cause::Lost(why)) => assert!(why.contains("how is unknown"), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    daemon.until_state("again", UnitState::Running);
    daemon.until_state("later", UnitState::Waiting);
    daemon.until_state("once", UnitState::Failed);
    eventually("once more", || daemon.began("again") == 2);
    daemon.stop();
}

/// The outputs are closed: a program that prints is told so by the kernel, and that is its end.
fn who_prints_gets_a_signal() {
    let mut daemon = Daemon::start(Options::default());
    let mut go = Fifo::make(daemon.path(), "go");
    daemon.up(named(
        "web",
        daemon.probe(&["line", "one", "await", go.path(), "line", "two", "pause"]),
    ));
    daemon.until_logged("web", "one\n");
    daemon.lose_both();
    daemon.start_again();
    // It is told where people look: with the unit, and in the log, where a follower finds it, too.
    let said = daemon.aer(&["inspect", "web"]).out();
    assert!(said.contains("its outputs were closed when auraed"), "{said}");
    eventually("its log has a gap", || daemon.unit_log("web").gaps == 1);
    let said = daemon.aer(&["logs", "web"]);
    let both = said.out() + &said.err();
    assert!(both.contains("its outputs were closed when auraed"), "{both}");
    daemon.replace();
    assert_eq!(daemon.unit_log("web").gaps, 1, "once");
    go.release();
    let exit = daemon.wait_down("web").exit.unwrap();
    // The probe ends so where a write fails with EPIPE.
    assert_eq!(code(&exit), Some(141), "{exit:?}");
    assert_eq!(daemon.unit_log("web").stdout, b"one\n");
    daemon.stop();
}

/// A process that has the number and not the beginning is somebody else's, and is left alone.
fn a_foreign_process_is_not_taken_for_it() {
    let mut daemon = Daemon::start(Options::default());
    let web = daemon.up(named("web", daemon.probe(&["pause"])));
    let file = daemon.runtime_dir().join("runs").join(&web.run_id);
    eventually("its beginning is noted", || std::fs::read(&file).unwrap().contains(&0x60));
    daemon.lose_both();
    // The field `began` once more, of which the last counts: tick 1.
    let mut kept = std::fs::read(&file).unwrap();
    kept.extend([0x60, 1]);
    std::fs::write(&file, kept).unwrap();
    daemon.start_again();
    let exit = daemon.wait_down("web").exit.unwrap();
    let Some(Cause::Lost(why)) = &exit.cause else { panic!("it is not lost: {exit:?}") };
    assert!(why.contains("how is unknown"), "{why}");
    daemon.stop();
}

/// What nothing is known of any more, but that it is there, is ended.
fn what_was_damaged_is_ended() {
    let mut daemon = Daemon::start(Options::default());
    let web = daemon.up(named("web", daemon.probe(&["pause"])));
    daemon.lose_both();
    std::fs::write(daemon.runtime_dir().join("ledger"), "no ledger").unwrap();
    daemon.start_again();
    assert_eq!(daemon.status().runs_live, 0);
    if daemon.status().tracking != "best effort" {
        eventually("it is ended", || procfs::gone(web.pid));
    }
    daemon.stop();
}
