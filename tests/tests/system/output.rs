//! Much output, and those who read it slowly, late or never.

use std::{fs, time::Duration};

use api::observe::GetAuraeDaemonLogStreamRequest;
use tests::{Daemon, Options, PATIENCE, argv, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; a_gibibyte_read, a_gibibyte_never_read, a_slow_reader_slows_nobody, exec_keeps_the_first_half_mebibyte, a_daemon_log_nobody_reads]
}

const GIBIBYTE: u64 = 1 << 30;

/// Moving a gibibyte through an unoptimised client on a loaded machine: a bound, not a measure.
const LONG: Duration = PATIENCE.saturating_mul(10);

/// 1 GiB reaches a client that reads it, to the last byte.
fn a_gibibyte_read() {
    Daemon::with(Options::default(), |daemon| {
        let mut run = daemon.run(daemon.probe(&["bytes", &GIBIBYTE.to_string(), "exit", "3"]));
        let count = run.count();
        assert_eq!(count + run.missing, GIBIBYTE);
        assert_eq!(run.missing, 0, "nothing was overtaken");
        assert_eq!(run.exit.unwrap().stdout_total, GIBIBYTE);
    });
}

/// 1 GiB does not stop a program whose client never reads, nor anybody else; an Exec takes what it answers
/// with, and no more.
fn a_gibibyte_never_read() {
    Daemon::with(Options::default(), |daemon| {
        let done = daemon.work("done");
        let words = ["bytes", &GIBIBYTE.to_string(), "append", &done, "x", "exit", "0"];
        let run = daemon.run(daemon.probe(&words));
        assert!(
            tests::wait::holds_within(LONG, || fs::exists(&done).unwrap()),
            "the program waits for a reader"
        );
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        let much = GIBIBYTE / 8;
        let mut client = daemon.runtime_client();
        let exec = client.exec(daemon.probe(&["bytes", &much.to_string()]));
        let answer = daemon.block_for(LONG, exec).unwrap().into_inner();
        assert_eq!(answer.stdout_omitted, much - (512 << 10));
        drop(run);
    });
}

/// A reader that stops reading does not slow the program, and gets everything when it goes on.
fn a_slow_reader_slows_nobody() {
    Daemon::with(Options::default(), |daemon| {
        let size: u64 = 64 << 20;
        let done = daemon.work("done");
        let words = ["bytes", &size.to_string(), "append", &done, "x", "exit", "0"];
        let mut run = daemon.run(daemon.probe(&words));
        eventually("the program ends though nobody reads", || fs::exists(&done).unwrap());
        let count = run.count();
        assert_eq!(count + run.missing, size, "a gap is told, never silent");
    });
}

/// Exec answers with the first 512 KiB of each stream and the count of the rest, which is in the log.
fn exec_keeps_the_first_half_mebibyte() {
    Daemon::with(Options::default(), |daemon| {
        let answer =
            daemon.answer(daemon.probe(&["out", "first", "bytes", "2000000", "out", "last"]));
        assert_eq!(answer.stdout.len(), 512 << 10);
        assert!(answer.stdout.starts_with("firstx"));
        assert_eq!(answer.stdout_omitted, 2_000_009 - (512 << 10));
        assert_eq!(answer.stderr_omitted, 0);
        let logged = daemon.logs_of(&answer.run_id);
        assert_eq!((logged.stdout.len(), logged.gaps), (2_000_009, 0));
        assert!(logged.stdout.ends_with(b"xlast"));
    });
}

/// A daemon log stream that nobody reads blocks nothing, however much is logged.
fn a_daemon_log_nobody_reads() {
    Daemon::with(Options::default().config("daemon", "log = \"trace\""), |daemon| {
        let mut client = daemon.observe_client();
        let request = GetAuraeDaemonLogStreamRequest::default();
        let stream = daemon.block(client.get_aurae_daemon_log_stream(request)).unwrap();
        for _ in 0..200 {
            assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        }
        drop(stream);
    });
}
