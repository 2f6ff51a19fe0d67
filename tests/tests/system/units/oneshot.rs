//! Units that do one thing and end, and the commands before and after.

use std::fs;

use api::{
    meta::Status,
    runtime::{Executable, StopPolicy, UnitKind, UnitResult, UnitState, WaitRequest},
};
use tests::{
    Daemon, Fifo, Options, argv, eventually, procfs,
    rpc::{self, named},
    units::{meta, of, step, step_line},
};
use tonic::Code;

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        its_start_is_over_when_it_has_ended,
        a_failing_oneshot_is_a_failed_start,
        one_that_remains_is_up_until_it_is_stopped,
        a_oneshot_has_its_start_timeout,
        commands_before_and_after_in_order,
        a_command_before_that_fails,
        a_command_after_that_fails,
        a_failure_that_is_ignored,
        a_command_of_the_start_that_hangs,
        the_run_limit,
    ]
}

fn oneshot(remain_after_exit: bool, executable: Executable) -> Executable {
    Executable { kind: UnitKind::Oneshot.into(), remain_after_exit, ..executable }
}

/// Start of a oneshot answers when it has ended with success; it is INACTIVE then, and can be started again.
fn its_start_is_over_when_it_has_ended(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut up = Fifo::make(daemon.path(), "up");
        let words =
            ["say", up.path(), "up", "await", gate.path(), "append", &daemon.work("job"), "x"];
        let job = oneshot(false, named("job", daemon.probe(&words)));
        for round in 1..=2 {
            let begun = daemon.begin_start(of(job.clone()));
            assert_eq!(up.line(), "up");
            assert_eq!(daemon.unit("job").state(), UnitState::Starting);
            assert!(!begun.is_finished());
            gate.release();
            let answer = daemon.answered(begun).unwrap();
            assert_eq!(daemon.began("job"), round);
            let unit = daemon.unit("job");
            assert_eq!((unit.state(), unit.result()), (UnitState::Inactive, UnitResult::Success));
            assert_eq!((unit.kind(), unit.pid), (UnitKind::Oneshot, 0));
            assert_eq!(unit.last_exit.unwrap().run_id, answer.run_id);
        }
    });
}

/// One that fails, by a status or a signal that a service may die of, is a start that failed.
fn a_failing_oneshot_is_a_failed_start(options: Options) {
    Daemon::with(options, |daemon| {
        let table: [(&str, &[&str], UnitResult); 2] = [
            ("status", &["exit", "3"], UnitResult::ExitCode),
            ("signal", &["raise", "SIGTERM"], UnitResult::Signal),
        ];
        for (name, words, result) in table {
            let refused =
                daemon.try_up(oneshot(false, named(name, daemon.probe(words)))).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains(name), "{refused}");
            let unit = daemon.unit(name);
            assert_eq!((unit.state(), unit.result()), (UnitState::Failed, result));
        }
    });
}

/// One that remains counts as up: EXITED, not started again by Start, until it is stopped, which executes what is on
/// stop.
fn one_that_remains_is_up_until_it_is_stopped(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let job = oneshot(true, named("job", daemon.probe(&["append", &daemon.work("job"), "x"])));
        let tell = r#"echo "stop $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS$MAINPID" >> "$0""#;
        let job = Executable { on_stop: vec![step(&["/bin/sh", "-c", tell, &said])], ..job };
        let first = daemon.up(job.clone());
        let unit = daemon.unit("job");
        assert_eq!((unit.state(), unit.status()), (UnitState::Exited, Status::Complete));
        let waited = daemon.wait_down("job");
        assert_eq!(waited.state(), UnitState::Exited);
        assert_eq!(daemon.up(job.clone()).run_id, first.run_id);
        assert_eq!(daemon.began("job"), 1);
        assert!(fs::metadata(&said).is_err());
        daemon.down("job");
        assert_eq!(fs::read_to_string(&said).unwrap(), "stop success exited 0\n");
        assert_eq!(daemon.unit("job").state(), UnitState::Inactive);
        daemon.up(job);
        assert_eq!(daemon.began("job"), 2);
    });
}

/// A oneshot that does not end is stopped when its start takes too long.
fn a_oneshot_has_its_start_timeout(options: Options) {
    Daemon::with(options, |daemon| {
        let job = oneshot(false, named("job", daemon.probe(&["pause"])));
        let refused = daemon.try_up(Executable { start_timeout_ms: Some(400), ..job }).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("400ms"), "{refused}");
        let unit = daemon.unit("job");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// Commands before it, it, and commands after it: one after the other, and Start answers when the last is over.
fn commands_before_and_after_in_order(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let probe = daemon.binary("probe");
        let say = |word: &str| step(&[probe.as_str(), "append", &said, word]);
        let mut after = vec![say("after-1"), step_line(&format!("{probe} append {said} $MAINPID"))];
        let web = Executable {
            before: vec![say("before-1"), say("before-2")],
            after: after.clone(),
            ..named("web", daemon.probe(&["append", &said, "main", "pause"]))
        };
        let up = daemon.up(web);
        // The program runs beside what is after it, and may come later.
        eventually("all have said something", || {
            fs::read_to_string(&said).is_ok_and(|text| text.lines().count() == 5)
        });
        let text = fs::read_to_string(&said).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let main = lines.iter().position(|line| *line == "main").unwrap();
        assert!(main >= 2);
        lines.remove(main);
        let pid = up.pid.to_string();
        assert_eq!(lines, ["before-1", "before-2", "after-1", pid.as_str()]);

        after.truncate(1);
        fs::remove_file(&said).unwrap();
        let job = oneshot(false, named("job", daemon.probe(&["append", &said, "main"])));
        daemon.up(Executable { before: vec![say("before")], after, ..job });
        assert_eq!(fs::read_to_string(&said).unwrap(), "before\nmain\nafter-1\n");
    });
}

/// One before that fails: the program is not executed, and Start says which command it was.
fn a_command_before_that_fails(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let table = [
            ("status", step(&["/bin/sh", "-c", "exit 8"]), "8"),
            ("missing", step(&["/nonexistent/before"]), "/nonexistent/before"),
        ];
        for (name, failing, word) in table {
            let web = Executable {
                before: vec![step(&["/bin/true"]), failing, step(&["/bin/true"])],
                ..named(name, daemon.probe(&["append", &said, "main"]))
            };
            let refused = daemon.try_up(web).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains("command 2 before"), "{refused}");
            assert!(refused.message().contains(word), "{refused}");
            let unit = daemon.unit(name);
            assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::ExitCode));
        }
        assert!(fs::metadata(&said).is_err(), "the program was executed");
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// One after that fails: the unit is stopped, and Start says which command it was.
fn a_command_after_that_fails(options: Options) {
    Daemon::with(options, |daemon| {
        let pid = daemon.work("pid");
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["mark", &pid, "say", up.path(), "up", "pause"];
        // It fails when the program is there to be stopped.
        let mut gate = Fifo::make(daemon.path(), "gate");
        let web = Executable {
            after: vec![step(&["/bin/sh", "-c", "read x < \"$0\"; exit 5", gate.path()])],
            ..named("web", daemon.probe(&words))
        };
        let begun = daemon.begin_start(of(web));
        assert_eq!(up.line(), "up");
        gate.release();
        let refused = daemon.answered(begun).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("command 1 after"), "{refused}");
        let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert!(!procfs::alive(pid));
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::ExitCode));
    });
}

/// With the prefix "-" a command may fail, or even be missing, and so may the program.
fn a_failure_that_is_ignored(options: Options) {
    Daemon::with(options, |daemon| {
        let web = Executable {
            before: vec![step_line("-/bin/false"), step_line("-/nonexistent/before")],
            after: vec![step_line("-/bin/false")],
            ..named("web", daemon.probe(&["pause"]))
        };
        daemon.up(web);
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
        let line = format!("-{} exit 3", daemon.binary("probe"));
        daemon.up(oneshot(false, named("job", tests::command(&line))));
        let unit = daemon.unit("job");
        assert_eq!((unit.state(), unit.result()), (UnitState::Inactive, UnitResult::Success));
        assert_eq!(rpc::code(&unit.last_exit.unwrap()), Some(3));
    });
}

/// Each command of a start has the start's time.
fn a_command_of_the_start_that_hangs(options: Options) {
    Daemon::with(options, |daemon| {
        let hanging = || vec![step(&[&daemon.binary("probe"), "pause"])];
        let unit = |name| Executable {
            start_timeout_ms: Some(400),
            ..named(name, daemon.probe(&["pause"]))
        };
        for web in [
            Executable { before: hanging(), ..unit("before") },
            Executable { after: hanging(), ..unit("after") },
        ] {
            let refused = daemon.try_up(web).unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains("400ms"), "{refused}");
        }
        for name in ["before", "after"] {
            let unit = daemon.unit(name);
            assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        }
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// A service that has run for its limit is stopped, with its commands on stop, and has failed by a time-out.
fn the_run_limit(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let web = Executable {
            run_limit_ms: 300,
            stop: Some(StopPolicy { signal: 10, ..StopPolicy::default() }),
            on_stop: vec![step(&[&daemon.binary("probe"), "append", &said, "stop"])],
            ..named("web", daemon.probe(&["pause"]))
        };
        daemon.up(web);
        let request = WaitRequest { meta: meta("web"), ..WaitRequest::default() };
        let waited = daemon.wait(request).unwrap();
        assert_eq!(waited.state(), UnitState::Failed);
        let exit = waited.exit.unwrap();
        assert_eq!(rpc::signal(&exit), Some(10));
        assert!(exit.ended_at - exit.started_at >= 290_000_000, "{exit:?}");
        assert_eq!(daemon.unit("web").result(), UnitResult::Timeout);
        assert_eq!(fs::read_to_string(&said).unwrap(), "stop\n");
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    });
}
