//! `Runtime.Exec`: the answer.

use api::{meta, runtime::ExecutableStatus};
use tests::{
    Daemon, Fifo, Options, argv, eventually,
    rpc::{self, fresh_id, identified, named},
    wait::wall_clock,
};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        exact_exit_status,
        exact_signal,
        outputs_apart_and_exact,
        not_utf8,
        nuls_and_no_newline,
        pid_is_real,
        times_are_nanoseconds,
        usage_is_the_programs,
        name_is_taken_and_freed,
        name_is_generated,
        one_run_for_two_requests,
        one_run_for_a_late_request,
        same_id_other_words,
    ]
}

fn complete(answer: &ExecutableStatus) -> bool {
    answer.status() == meta::Status::Complete
}

/// The exit status is the program's own, in bare decimals, and COMPLETE whatever it is.
fn exact_exit_status(options: Options) {
    Daemon::with(options, |daemon| {
        for status in [0, 1, 7, 126, 127, 128, 255] {
            let answer = daemon.answer(daemon.probe(&["exit", &status.to_string()]));
            assert!(complete(&answer), "{answer:?}");
            assert_eq!(answer.exit_code, status.to_string());
            assert_eq!(rpc::code(&answer.exit.unwrap()), Some(status));
        }
    });
}

/// A program that a signal ended is 128 + signal in exit_code, and that signal in the record.
fn exact_signal(options: Options) {
    Daemon::with(options, |daemon| {
        for (name, number) in [("SIGKILL", 9), ("SIGTERM", 15), ("SIGHUP", 1), ("SIGUSR1", 10)] {
            let answer = daemon.answer(daemon.probe(&["raise", name]));
            assert!(complete(&answer), "{answer:?}");
            assert_eq!(answer.exit_code, (128 + number).to_string());
            let exit = answer.exit.unwrap();
            assert_eq!((rpc::signal(&exit), rpc::code(&exit)), (Some(number), None));
            assert!(exit.stopped_by.is_none(), "nobody stopped it: {exit:?}");
        }
    });
}

/// Both outputs arrive apart and whole, and are counted.
fn outputs_apart_and_exact(options: Options) {
    Daemon::with(options, |daemon| {
        let answer =
            daemon.answer(daemon.probe(&["out", "one\n", "err", "two\n", "out", "three\n"]));
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("one\nthree\n", "two\n"));
        assert_eq!((answer.stdout_omitted, answer.stderr_omitted), (0, 0));
        assert!(answer.stdout_bytes.is_empty() && answer.stderr_bytes.is_empty());
        let exit = answer.exit.unwrap();
        assert_eq!((exit.stdout_total, exit.stderr_total), (10, 4));
    });
}

/// Bytes that are not UTF-8 are replaced in the string and carried unchanged beside it.
fn not_utf8(options: Options) {
    Daemon::with(options, |daemon| {
        let answer = daemon.answer(daemon.probe(&["broken"]));
        assert_eq!(answer.stdout_bytes, b"a\xff\xfe\x80b\n");
        assert_eq!(answer.stdout, String::from_utf8_lossy(b"a\xff\xfe\x80b\n"));
        assert_eq!(answer.exit_code, "0");
    });
}

/// NULs and a last line without a newline pass unchanged.
fn nuls_and_no_newline(options: Options) {
    Daemon::with(options, |daemon| {
        let answer = daemon.answer(daemon.probe(&["nuls", "3", "out", "end"]));
        assert_eq!(answer.stdout, "\0\0\0end");
        assert!(answer.stdout_bytes.is_empty());
    });
}

/// The pid is the main process's own, and the keeper is its parent.
fn pid_is_real(options: Options) {
    Daemon::with(options, |daemon| {
        let answer = daemon.answer(argv(&["/bin/sh", "-c", "echo $$ $PPID"]));
        let pid = answer.proc.unwrap().pid;
        assert!(pid > 1);
        assert_eq!(answer.stdout.trim(), format!("{pid} {}", daemon.keeper()));
        assert_eq!(answer.exit.unwrap().pid, pid);
    });
}

/// Start and end are nanoseconds since 1970, in order, and lie within the call.
fn times_are_nanoseconds(options: Options) {
    Daemon::with(options, |daemon| {
        let before = wall_clock();
        let exit = daemon.answer(argv(&["/bin/true"])).exit.unwrap();
        let after = wall_clock();
        assert!(before <= exit.started_at, "{before} {exit:?}");
        assert!(exit.started_at <= exit.ended_at, "{exit:?}");
        assert!(exit.ended_at <= after, "{exit:?} {after}");
    });
}

/// What is told of a program's usage is its own: never the memory of the daemon that it was born sharing.
fn usage_is_the_programs(options: Options) {
    let ballast: u64 = 64 << 20;
    let options = options.environment("AURAED_BALLAST_MIB", "64");
    Daemon::with(options, |daemon| {
        let usage = daemon.answer(argv(&["/bin/true"])).exit.unwrap().usage.unwrap();
        assert!(usage.user_time_ns.is_some() && usage.system_time_ns.is_some(), "{usage:?}");
        assert!(usage.largest_resident_bytes.is_none_or(|bytes| bytes < ballast), "{usage:?}");
    });
}

/// A name is ALREADY_EXISTS while its run lives, and free once that has ended.
fn name_is_taken_and_freed(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut run = daemon.run(named("web", daemon.probe(&["await", gate.path()])));
        let refused = daemon.exec(named("web", argv(&["/bin/true"]))).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains("web"), "{refused}");
        gate.release();
        run.finish();
        for _ in 0..3 {
            let answer = daemon.answer(named("web", argv(&["/bin/true"])));
            assert_eq!(answer.meta.unwrap().name, "web");
        }
    });
}

/// An empty name is generated, another for each run.
fn name_is_generated(options: Options) {
    Daemon::with(options, |daemon| {
        let one = daemon.answer(argv(&["/bin/true"])).meta.unwrap().name;
        let two = daemon.answer(named("", argv(&["/bin/true"]))).meta.unwrap().name;
        assert!(!one.is_empty() && !two.is_empty() && one != two, "{one:?} {two:?}");
    });
}

fn lines(path: &str) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Two requests with one run id execute once, and both get the answer.
fn one_run_for_two_requests(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let done = daemon.work("done");
        let id = fresh_id();
        let words = daemon.probe(&[
            "append",
            &done,
            "x",
            "out",
            "hello",
            "await",
            gate.path(),
            "exit",
            "5",
        ]);
        let first = daemon.begin(identified(&id, words.clone()));
        eventually("the program runs", || lines(&done) == 1);
        let second = daemon.begin(identified(&id, words));
        // A third one, streaming, proves that joining works before the end: it sees the first's output.
        let mut third = daemon.run(identified(
            &id,
            daemon.probe(&[
                "append",
                &done,
                "x",
                "out",
                "hello",
                "await",
                gate.path(),
                "exit",
                "5",
            ]),
        ));
        third.read_until("hello");
        gate.release();
        let (first, second) = (daemon.wait_for(first), daemon.wait_for(second));
        assert_eq!(rpc::code(&third.finish()), Some(5));
        assert_eq!((first.run_id.as_str(), second.run_id.as_str()), (id.as_str(), id.as_str()));
        assert_eq!((first.proc, first.stdout.as_str()), (second.proc, second.stdout.as_str()));
        assert_eq!((first.exit_code.as_str(), second.exit_code.as_str()), ("5", "5"));
        assert_eq!(lines(&done), 1, "it was executed more than once");
    });
}

/// A request repeated after the end gets the first run's answer and executes nothing.
fn one_run_for_a_late_request(options: Options) {
    Daemon::with(options, |daemon| {
        let done = daemon.work("done");
        let id = fresh_id();
        let words = daemon.probe(&["append", &done, "x", "out", "hello", "exit", "5"]);
        let first = daemon.answer(identified(&id, words.clone()));
        let again = daemon.answer(identified(&id, words));
        assert_eq!(first, again);
        assert_eq!(lines(&done), 1, "it was executed more than once");
    });
}

/// A known run id with other words is refused: it is somebody's mistake, and joins nothing.
fn same_id_other_words(options: Options) {
    Daemon::with(options, |daemon| {
        let id = fresh_id();
        daemon.answer(identified(&id, argv(&["/bin/true"])));
        let refused = daemon.exec(identified(&id, argv(&["/bin/false"]))).unwrap_err();
        assert!(
            matches!(refused.code(), tonic::Code::AlreadyExists | tonic::Code::InvalidArgument),
            "{refused}"
        );
        assert!(
            refused.message().contains("run_id") || refused.message().contains(&id),
            "{refused}"
        );
    });
}
