//! Runs that somebody called.

use api::runtime::StopRequest;
use tests::{
    Daemon, Fifo, Need, Options, Tracking, argv, eventually, procfs,
    rpc::{code, fresh_id, identified, named, signal},
    storm::Faults,
};
use tonic::{Code, Request};

use super::meanwhile;
use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        a_run_goes_on_and_who_names_it_has_it_again,
        a_run_that_prints_no_more_goes_on,
        an_end_while_there_was_no_daemon_is_exact,
        a_stop_that_was_acknowledged_is_carried_out,
        what_is_left_behind_is_ended_all_the_same,
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[]; what_nobody_names_is_stopped, an_end_is_told_by_the_next_daemon_too];
    all.extend(cases![[Need::Faults];
        an_end_of_which_no_daemon_knew_the_process_is_exact,
        an_end_of_which_no_daemon_knew_the_process_is_exact_best_effort,
    ]);
    all
}

fn stop(run_id: &str) -> Request<StopRequest> {
    Request::new(StopRequest { run_id: run_id.to_owned(), ..StopRequest::default() })
}

/// The same process prints on; who calls again with the run's id gets all that it printed, once, and its exit.
fn a_run_goes_on_and_who_names_it_has_it_again(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let words = [
            "mark",
            &daemon.work("web"),
            "line",
            "one",
            "await",
            go.path(),
            "line",
            "two",
            "exit",
            "7",
        ];
        let id = fresh_id();
        let executable = identified(&id, named("web", daemon.probe(&words)));
        let pid = {
            let mut run = daemon.run(executable.clone());
            run.read_until("one\n");
            daemon.replace();
            run.started.pid
        };
        assert!(procfs::alive(pid) && procfs::parent(pid) == Some(daemon.keeper()));
        assert_eq!(daemon.status().runs_live, 1);
        let refused = daemon.exec(named("web", argv(&["/bin/true"]))).unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "its name is its own: {refused}");
        let mut run = daemon.run(executable);
        assert_eq!((run.started.pid, &run.started.run_id), (pid, &id));
        go.release();
        let exit = run.finish();
        assert_eq!((code(&exit), exit.stopped_by), (Some(7), None));
        assert_eq!(run.stdout, b"one\ntwo\n");
        assert_eq!(daemon.began("web"), 1);
        assert_eq!(exit.started_by.unwrap().door, "grpc");
    });
}

/// A program that has closed its outputs is there all the same: its next daemon finds pipes at their end, and a process.
fn a_run_that_prints_no_more_goes_on(options: Options) {
    Daemon::with(options, |daemon| {
        let (mut go, mark) = (Fifo::make(daemon.path(), "go"), daemon.work("closed"));
        let words = ["line", "one", "close", "1", "close", "2", "append", &mark, "x"];
        let words = [&words[..], &["await", go.path(), "exit", "7"]].concat();
        let id = fresh_id();
        let executable = identified(&id, named("web", daemon.probe(&words)));
        let pid = {
            let run = daemon.run(executable.clone());
            eventually("its outputs are closed", || std::path::Path::new(&mark).exists());
            daemon.replace();
            run.started.pid
        };
        assert!(procfs::alive(pid));
        assert_eq!(daemon.status().runs_live, 1);
        let mut run = daemon.run(executable);
        assert_eq!((run.started.pid, &run.started.run_id), (pid, &id));
        go.release();
        let exit = run.finish();
        assert_eq!((code(&exit), exit.stopped_by), (Some(7), None));
        assert_eq!(run.stdout, b"one\n");
    });
}

/// A program that ends while there is no daemon has its exit status, its output and its time.
fn an_end_while_there_was_no_daemon_is_exact(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let words = ["line", "one", "await", go.path(), "line", "two", "exit", "9"];
        let id = fresh_id();
        let executable = identified(&id, daemon.probe(&words));
        let pid = {
            let mut run = daemon.run(executable.clone());
            run.read_until("one\n");
            let pid = run.started.pid;
            // The call is gone with the daemon, and not before.
            meanwhile(daemon, || {
                go.release();
                eventually("it ends", || procfs::gone(pid));
            });
            pid
        };
        let logged = daemon.logs_of(&id);
        assert_eq!(logged.stdout, b"one\ntwo\n");
        let exit = logged.exit.expect("its end is recorded");
        assert_eq!((code(&exit), exit.pid), (Some(9), pid));
        let mut again = daemon.run(executable);
        assert_eq!(code(&again.finish()), Some(9));
        assert_eq!(again.stdout, b"one\ntwo\n");
    });
}

/// A daemon that dies when it has made a process, and has told nobody which that is: what the process says itself is
/// enough, also where it has ended by then.
fn unknown_end(options: Options) {
    let faults = Faults::new();
    Daemon::with(faults.options(options.restart_delay("300ms")), |daemon| {
        for status in [5, 6] {
            faults.ask_for("midwife", "panic");
            let words = ["line", "one", "exit", &status.to_string()];
            let id = fresh_id();
            let executable = identified(&id, daemon.probe(&words));
            assert!(daemon.exec(executable.clone()).is_err(), "its daemon dies");
            let again = daemon.answer(executable);
            let exit = again.exit.expect("it has ended");
            assert_eq!((code(&exit), &*again.stdout), (Some(status), "one\n"), "{exit:?}");
            assert!(exit.pid > 0, "{exit:?}");
        }
    });
}

fn an_end_of_which_no_daemon_knew_the_process_is_exact() {
    unknown_end(Options::default());
}

fn an_end_of_which_no_daemon_knew_the_process_is_exact_best_effort() {
    unknown_end(Options::default().tracking(Tracking::BestEffort));
}

/// An acknowledged stop outlives the daemon: what does not heed the signal is killed in time.
fn a_stop_that_was_acknowledged_is_carried_out(options: Options) {
    Daemon::with(options.stop_timeout("1s"), |daemon| {
        let words = ["ignore", "SIGTERM", "line", "up", "pause"];
        let (id, pid) = {
            let mut run = daemon.run(daemon.probe(&words));
            run.read_until("up\n");
            let id = run.started.run_id.clone();
            daemon.order_stop(stop(&id)).unwrap();
            daemon.replace();
            (id, run.started.pid)
        };
        eventually("it is killed", || !procfs::alive(pid));
        let exit = daemon.logs_of(&id).exit.expect("its end is recorded");
        assert_eq!(signal(&exit), Some(9), "{exit:?}");
        assert!(exit.stopped_by.expect("somebody stopped it").identity.starts_with("uid:"));
    });
}

/// What a program that has ended left behind is ended by the next daemon, and the program's own end stays as it was.
fn what_is_left_behind_is_ended_all_the_same(options: Options) {
    Daemon::with(options, |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let child = ["start", "{", "ignore", "SIGTERM", "line", "child", "pause", "}"];
        let words = [&child[..], &["await", go.path(), "exit", "3"]].concat();
        let id = {
            let mut run = daemon.run(daemon.probe(&words));
            run.read_until("child\n");
            go.release();
            eventually("its program ends", || procfs::gone(run.started.pid));
            daemon.replace();
            run.started.run_id.clone()
        };
        eventually("nothing is left", || procfs::carriers(&id).is_empty());
        let exit = daemon.logs_of(&id).exit.expect("its end is recorded");
        assert_eq!(code(&exit), Some(3), "{exit:?}");
    });
}

/// A run whose caller died with the daemon, or does not come back, is stopped after half a minute, and its record says
/// why.
fn what_nobody_names_is_stopped() {
    Daemon::with(Options::default(), |daemon| {
        let (id, pid) = {
            let mut run = daemon.run(daemon.probe(&["line", "up", "pause"]));
            run.read_until("up\n");
            daemon.replace();
            (run.started.run_id.clone(), run.started.pid)
        };
        // A second death does not put it off.
        daemon.replace();
        assert!(procfs::alive(pid));
        let ended = || !procfs::alive(pid);
        assert!(tests::wait::holds_within(std::time::Duration::from_secs(60), ended));
        let exit = daemon.logs_of(&id).exit.expect("its end is recorded");
        assert_eq!(signal(&exit), Some(15), "{exit:?}");
        let by = exit.stopped_by.expect("the daemon stopped it");
        assert_eq!(by.reason, "its daemon died, and nobody reclaimed it within 30s");
    });
}

/// Who calls again with the id of a run that has ended is told how, by any daemon; it is not executed again.
fn an_end_is_told_by_the_next_daemon_too() {
    Daemon::with(Options::default(), |daemon| {
        let id = fresh_id();
        let words = ["append", &daemon.work("job"), "x", "line", "done", "exit", "5"];
        let executable = identified(&id, daemon.probe(&words));
        assert_eq!(daemon.answer(executable.clone()).exit_code, "5");
        for _ in 0..2 {
            daemon.replace();
            let answer = daemon.answer(executable.clone());
            assert_eq!((answer.exit_code.as_str(), answer.stdout.as_str()), ("5", "done\n"));
        }
        assert_eq!(daemon.began("job"), 1);
    });
}
