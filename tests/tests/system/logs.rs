//! Reading what programs and the daemon have printed.

mod aer;
mod damaged;
mod following;

use std::{fs, path::Path};

use api::observe::{
    GetAuraeDaemonLogStreamRequest, GetSubProcessStreamRequest, LogChannelType, LogsRequest,
    logs_request::Source,
};
use tests::{
    Daemon, Fifo, Options, argv,
    rpc::{self, named},
    wait::wall_clock,
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        lines_of_a_process,
        lines_are_followed,
        odd_lines,
        unknown_sources,
        daemon_log_as_it_happens,
        logs_by_name_run_pid_and_daemon,
        a_cursor_goes_on,
        logs_are_kept_in_segments,
    ];
    all.extend(following::cases());
    all.extend(aer::cases());
    all.extend(damaged::cases());
    all
}

/// A process's lines carry their channel, and times in nanoseconds; each output is its own stream.
fn lines_of_a_process() {
    Daemon::with(Options::default(), |daemon| {
        let before = wall_clock();
        let words = daemon.probe(&["line", "one", "err", "oops\n", "line", "two", "out", "rest"]);
        let answer = daemon.answer(named("job", words));
        let pid = answer.proc.unwrap().pid;
        let items = daemon.lines(pid, LogChannelType::ChannelStdout).unwrap();
        let lines: Vec<_> = items.iter().map(|item| item.line.as_str()).collect();
        assert_eq!(lines, ["one", "two", "rest"]);
        for item in &items {
            assert_eq!(item.channel, "job.stdout");
            assert!((before..=wall_clock()).contains(&item.timestamp), "{item:?}");
        }
        let errors = daemon.lines(pid, LogChannelType::ChannelStderr).unwrap();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].channel.as_str(), errors[0].line.as_str()), ("job.stderr", "oops"));
    });
}

/// A living process's lines come from the first one, as they are printed, and end with the process.
fn lines_are_followed() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut run =
            daemon.run(daemon.probe(&["line", "one", "await", gate.path(), "line", "two"]));
        run.read_until("one\n");
        let mut client = daemon.observe_client();
        let request = GetSubProcessStreamRequest {
            channel_type: LogChannelType::ChannelStdout.into(),
            process_id: run.started.pid.into(),
        };
        let mut stream = daemon.block(client.get_sub_process_stream(request)).unwrap().into_inner();
        let mut next = || daemon.block(stream.message()).unwrap().map(|item| item.line);
        assert_eq!(next().as_deref(), Some("one"));
        gate.release();
        assert_eq!((next().as_deref(), next()), (Some("two"), None));
        run.finish();
    });
}

/// Bytes that are not UTF-8 come unchanged beside the line; a line without end comes in parts.
fn odd_lines() {
    Daemon::with(Options::default(), |daemon| {
        let answer =
            daemon.answer(daemon.probe(&["broken", "nuls", "2", "line", "", "bytes", "200000"]));
        let items = daemon.lines(answer.proc.unwrap().pid, LogChannelType::ChannelStdout).unwrap();
        assert_eq!(items[0].line_bytes, b"a\xff\xfe\x80b");
        assert_eq!(items[0].line, String::from_utf8_lossy(b"a\xff\xfe\x80b"));
        assert_eq!((items[1].line.as_str(), items[1].line_bytes.is_empty()), ("\0\0", true));
        let long = &items[2..];
        assert_eq!(long.iter().map(|item| item.line.len()).sum::<usize>(), 200_000);
        assert!(long.iter().all(|item| item.line.len() <= 64 << 10));
        let (last, parts) = long.split_last().unwrap();
        assert!(parts.iter().all(|item| item.continued) && !last.continued);
    });
}

/// What the daemon never ran is NOT_FOUND; what is no id is INVALID_ARGUMENT.
fn unknown_sources() {
    Daemon::with(Options::default(), |daemon| {
        for pid in [1, 0, -1, i32::MAX] {
            let refused = daemon.lines(pid, LogChannelType::ChannelStdout).unwrap_err();
            assert!(
                matches!(refused.code(), Code::NotFound | Code::InvalidArgument),
                "{pid}: {refused}"
            );
        }
        let ask = |source, cursor: &str| {
            let request =
                LogsRequest { source, cursor: cursor.to_owned(), ..LogsRequest::default() };
            daemon.logs(request).unwrap_err().code()
        };
        assert_eq!(ask(Some(Source::RunId(rpc::fresh_id())), ""), Code::NotFound);
        assert_eq!(ask(Some(Source::RunId("x".into())), ""), Code::InvalidArgument);
        assert_eq!(ask(Some(Source::Name("never-ran".into())), ""), Code::NotFound);
        assert_eq!(ask(Some(Source::Name("../../etc".into())), ""), Code::InvalidArgument);
        assert_eq!(ask(None, ""), Code::InvalidArgument);
        assert_eq!(ask(Some(Source::Daemon(true)), "nonsense"), Code::InvalidArgument);
    });
}

/// The daemon's log streams as it is written.
fn daemon_log_as_it_happens() {
    Daemon::with(Options::default().config("daemon", "log = \"trace\""), |daemon| {
        let mut client = daemon.observe_client();
        let request = GetAuraeDaemonLogStreamRequest::default();
        let stream = daemon.block(client.get_aurae_daemon_log_stream(request)).unwrap();
        let mut stream = stream.into_inner();
        let before = wall_clock();
        daemon.answer(named("mentioned", argv(&["/bin/true"])));
        loop {
            let item =
                daemon.block(stream.message()).unwrap().expect("the daemon's log has no end");
            assert_eq!(item.channel, "daemon");
            if item.line.contains("mentioned") {
                assert!(item.timestamp >= before, "{item:?}");
                break;
            }
        }
    });
}

/// One log, found in each of the ways that there are to name it.
fn logs_by_name_run_pid_and_daemon() {
    Daemon::with(Options::default(), |daemon| {
        let mut runs = Vec::new();
        for text in ["one\n", "two\n"] {
            runs.push(daemon.answer(named("job", daemon.probe(&["out", text, "err", "e"]))));
        }
        let read = |source| {
            let request = LogsRequest { source: Some(source), ..LogsRequest::default() };
            daemon.logs(request).unwrap()
        };
        assert_eq!(read(Source::Name("job".into())).stdout, b"one\ntwo\n");
        let by_run = read(Source::RunId(runs[1].run_id.clone()));
        assert_eq!(
            (by_run.stdout.as_slice(), by_run.stderr.as_slice()),
            (b"two\n".as_slice(), b"e".as_slice())
        );
        assert_eq!(rpc::code(&by_run.exit.expect("of one run, the exit is told")), Some(0));
        let pid = runs[0].proc.unwrap().pid;
        assert_eq!(read(Source::ProcessId(pid.into())).stdout, b"one\n");
        assert!(!read(Source::Daemon(true)).stdout.is_empty(), "the daemon has logged its start");
        let source = Some(Source::RunId(runs[0].run_id.clone()));
        let channels = vec![LogChannelType::ChannelStderr.into()];
        let only = daemon.logs(LogsRequest { source, channels, ..LogsRequest::default() }).unwrap();
        assert_eq!((only.stdout.len(), only.stderr.as_slice()), (0, b"e".as_slice()));
    });
}

/// A read that goes on from a cursor repeats nothing and misses nothing.
fn a_cursor_goes_on() {
    Daemon::with(Options::default(), |daemon| {
        let read = |cursor: &str| {
            let source = Some(Source::Name("job".into()));
            let request =
                LogsRequest { source, cursor: cursor.to_owned(), ..LogsRequest::default() };
            daemon.logs(request).unwrap()
        };
        daemon.answer(named("job", daemon.probe(&["out", "one"])));
        let first = read("");
        assert_eq!(first.stdout, b"one");
        assert!(!first.cursor.is_empty());
        assert_eq!(read(&first.cursor).stdout, b"");
        daemon.answer(named("job", daemon.probe(&["out", "two"])));
        let second = read(&first.cursor);
        assert_eq!((second.stdout.as_slice(), second.gaps), (b"two".as_slice(), 0));
    });
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

/// What was printed lies unchanged in segments below the state folder, each with its index.
fn logs_are_kept_in_segments() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(daemon.probe(&["out", "a needle in the store"]));
        let mut found = Vec::new();
        files(&daemon.state_dir().join("logs"), &mut found);
        let with = |ending: &str| {
            let fits = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == ending);
            found.iter().filter(fits).cloned().collect::<Vec<_>>()
        };
        let (segments, indexes) = (with("log"), with("idx"));
        for segment in &segments {
            let stem = segment.file_stem().unwrap().to_str().unwrap();
            assert!(stem.len() == 16 && stem.chars().all(|c| c.is_ascii_hexdigit()), "{segment:?}");
            assert!(indexes.contains(&segment.with_extension("idx")), "{segment:?} has no index");
        }
        let holds = |path: &&std::path::PathBuf| {
            fs::read(path).unwrap().windows(8).any(|part| part == b"a needle")
        };
        assert_eq!(segments.iter().filter(holds).count(), 1, "{segments:?}");
    });
}
