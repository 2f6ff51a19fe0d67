//! `Runtime.Run`: the frames.

use api::{meta, runtime::exit_record::Cause};
use tests::{
    Daemon, Fifo, Frame, Options, argv,
    rpc::{self, fresh_id, identified, named},
};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        frames_in_order,
        a_byte_is_seen_at_once,
        exit_after_the_last_byte,
        a_failed_start_is_an_exit,
        joined_from_the_first_byte,
        the_start_is_told_before_any_output,
        many_at_once,
    ]
}

/// First the start, then output, last the exit, and nothing after it.
fn frames_in_order(options: Options) {
    Daemon::with(options, |daemon| {
        let id = fresh_id();
        let words = daemon.probe(&["out", "one", "err", "two", "exit", "9"]);
        let mut run = daemon.run(identified(&id, named("frames", words)));
        assert_eq!(
            (run.started.run_id.as_str(), run.started.name.as_str()),
            (id.as_str(), "frames")
        );
        let exit = run.finish();
        assert_eq!(
            (run.stdout.as_slice(), run.stderr.as_slice()),
            (b"one".as_slice(), b"two".as_slice())
        );
        assert_eq!((exit.run_id.as_str(), exit.name.as_str()), (id.as_str(), "frames"));
        assert_eq!((exit.pid, rpc::code(&exit)), (run.started.pid, Some(9)));
        assert_eq!(exit.started_by.expect("somebody did").door, "grpc");
    });
}

/// A single byte is seen while the program that printed it waits for us.
fn a_byte_is_seen_at_once(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let words =
            ["out", "x", "await", gate.path(), "err", "y", "await", gate.path(), "exit", "0"];
        let mut run = daemon.run(daemon.probe(&words));
        run.read_until("x");
        gate.release();
        while run.stderr.is_empty() {
            assert!(
                !matches!(run.next().unwrap(), None | Some(Frame::Exit(_))),
                "it ended too early"
            );
        }
        gate.release();
        assert_eq!(rpc::code(&run.finish()), Some(0));
    });
}

/// The exit never overtakes a byte, however much is in the pipe when the program ends.
fn exit_after_the_last_byte(options: Options) {
    Daemon::with(options, |daemon| {
        for size in [1_u64, 4096, 65_536, 65_537, 1 << 20, 5_000_000] {
            let mut run = daemon.run(daemon.probe(&["bytes", &size.to_string(), "exit", "1"]));
            let exit = run.finish();
            assert_eq!(run.stdout.len() as u64 + run.missing, size);
            assert_eq!((run.missing, exit.stdout_total), (0, size));
        }
        for _ in 0..50 {
            let mut run = daemon.run(argv(&["/bin/echo", "last"]));
            run.finish();
            assert_eq!(run.stdout, b"last\n");
        }
    });
}

/// A program that cannot be executed has an exit and no start; the stream itself is whole.
fn a_failed_start_is_an_exit(options: Options) {
    Daemon::with(options, |daemon| {
        let mut run = daemon.try_run(argv(&["/nonexistent/x"])).unwrap();
        let exit = run.finish();
        let Some(Cause::Failure(failure)) = exit.cause else { panic!("{exit:?}") };
        assert_eq!(failure.error_number, 2);
        assert!(failure.message.contains("/nonexistent/x"), "{}", failure.message);
        assert_eq!((run.started.pid, exit.started_at), (0, 0));
    });
}

/// Whoever joins a run late still gets it from its first byte.
fn joined_from_the_first_byte(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let id = fresh_id();
        let words = identified(
            &id,
            daemon.probe(&["out", "one", "await", gate.path(), "out", "two", "exit", "3"]),
        );
        let mut first = daemon.run(words.clone());
        first.read_until("one");
        let mut second = daemon.run(words.clone());
        second.read_until("one");
        gate.release();
        let ends = (first.finish(), second.finish());
        let third = daemon.answer(words);
        assert_eq!((rpc::code(&ends.0), rpc::code(&ends.1)), (Some(3), Some(3)));
        assert_eq!(
            (first.stdout.as_slice(), second.stdout.as_slice()),
            (b"onetwo".as_slice(), b"onetwo".as_slice())
        );
        assert_eq!((first.started.pid, third.stdout.as_str()), (second.started.pid, "onetwo"));
        assert_eq!(third.status(), meta::Status::Complete);
    });
}

/// The start is told although the program prints nothing and does not end.
fn the_start_is_told_before_any_output(options: Options) {
    Daemon::with(options.stop_timeout("2s"), |daemon| {
        let run = daemon.run(daemon.probe(&["pause"]));
        assert!(tests::procfs::alive(run.started.pid));
    });
}

/// Thirty runs at once keep their output and statuses apart.
fn many_at_once(options: Options) {
    Daemon::with(options, |daemon| {
        let begin = |n: i32| {
            let text = format!("number {n}\n");
            daemon.begin(daemon.probe(&["out", &text, "exit", &n.to_string()]))
        };
        let begun: Vec<_> = (0..30).map(begin).collect();
        for (n, begun) in begun.into_iter().enumerate() {
            let answer = daemon.wait_for(begun);
            assert_eq!((answer.exit_code, answer.stdout), (n.to_string(), format!("number {n}\n")));
        }
    });
}
