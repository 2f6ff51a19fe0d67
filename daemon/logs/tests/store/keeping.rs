//! What is printed is kept.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, sync::mpsc::sync_channel, thread};

use logs::{
    Attach, AttachError, Cause, End, Filter, GapReason, Item, LogName, LogStore, NotAttached,
    Options, Position, Stream,
};

use crate::fixture::{
    PATIENCE, Store, exited, finish, follow, gaps, of, open, output, pipe, rest, run, unit,
};

#[test]
fn a_run_is_told_from_its_start_to_its_end() {
    let store = Store::new();
    let mut program = store.start(run(1), &LogName::Commands);
    program.stdout.write_all(b"out\n").unwrap();
    program.stderr.write_all(b"err\n").unwrap();
    let finished = store.end(program);

    assert_eq!((finished.stdout_total, finished.stderr_total), (4, 4));
    assert_eq!((finished.first, finished.end), (Position(0), Position(8)));
    assert_eq!((finished.log, finished.problem), (LogName::Commands, None));
    assert!(finished.last_line.is_some_and(|line| line == b"out" || line == b"err"));
    let items = store.items(&LogName::Commands, Filter::default());
    assert_eq!(output(&items, run(1), Stream::Stdout), b"out\n");
    assert_eq!(output(&items, run(1), Stream::Stderr), b"err\n");
    let start = Item::Start { run: run(1), pid: 42, time: 1_000_000 };
    assert_eq!(items.iter().filter(|item| **item == start).count(), 1);
    assert_eq!(items.last(), Some(&Item::End { run: run(1), end: exited(0) }));
}

#[test]
fn a_silent_run_costs_two_entries_and_not_a_byte() {
    let store = Store::new();
    let program = store.start(run(1), &LogName::Commands);
    let finished = store.end(program);
    assert_eq!((finished.first, finished.end), (Position(0), Position(0)));
    assert_eq!(finished.last_line, None);
    let folder = store.root().join("commands");
    assert_eq!(fs::metadata(folder.join("0000000000000000.idx")).unwrap().len(), 128);
    assert_eq!(fs::metadata(folder.join("0000000000000000.log")).unwrap().len(), 0);
}

#[test]
fn nobody_else_can_read_it() {
    let store = Store::new();
    let program = store.start(run(1), &unit("web"));
    store.end(program);
    let mode =
        |path: &str| fs::metadata(store.root().join(path)).unwrap().permissions().mode() & 0o7777;
    for folder in ["", "units", "units/web"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["units/web/0000000000000000.idx", "units/web/0000000000000000.log"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn every_byte_of_both_outputs_is_there_in_order() {
    everything_is_there(Options::default());
    everything_is_there(Options { segment_bytes: 100_001, ..Options::default() });
    everything_is_there(Options { copy: true, segment_bytes: 1 << 20, ..Options::default() });
}

fn everything_is_there(options: Options) {
    let store = Store::with(options);
    let program = store.start(run(1), &LogName::Commands);
    let numbers = |mut file: fs::File, step: usize| {
        thread::spawn(move || {
            let mut all = Vec::new();
            for number in (0..300_000).step_by(step) {
                writeln!(all, "{number}").unwrap();
            }
            // Odd sizes, so that lines and moves do not coincide.
            all.chunks(7_001).for_each(|part| file.write_all(part).unwrap());
            all
        })
    };
    let stdout = numbers(program.stdout, 1);
    let stderr = numbers(program.stderr, 3);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let finished = store.finish(run(1));
    assert_eq!(finished.stdout_total, stdout.len() as u64);
    assert_eq!(finished.stderr_total, stderr.len() as u64);
    let items = store.items(&LogName::Commands, Filter::default());
    assert!(output(&items, run(1), Stream::Stdout) == stdout);
    assert!(output(&items, run(1), Stream::Stderr) == stderr);
    assert_eq!(gaps(&items), Vec::<&Item>::new());
    let only = Filter { run: Some(run(1)), stream: Some(Stream::Stderr) };
    let items = store.items(&LogName::Commands, only);
    assert!(output(&items, run(1), Stream::Stderr) == stderr);
    assert_eq!(output(&items, run(1), Stream::Stdout), b"");
    let copies = store.logs.problems().iter().any(|problem| problem.text.contains("splice"));
    assert_eq!(copies, options.copy);
}

#[test]
fn a_thousand_runs_share_a_log() {
    let store =
        Store::with(Options { segment_bytes: 5_000, segment_entries: 100, ..Options::default() });
    for group in 0..10 {
        let mut programs: Vec<_> =
            (0..100).map(|n| store.start(run(group * 100 + n), &LogName::Commands)).collect();
        for program in &mut programs {
            writeln!(program.stdout, "this is {}", program.run).unwrap();
        }
        for program in &mut programs {
            writeln!(program.stderr, "that was {}", program.run).unwrap();
        }
        for program in programs {
            let text = format!("this is {}\n", program.run);
            assert_eq!(store.end(program).stdout_total, text.len() as u64);
        }
    }
    let all = store.items(&LogName::Commands, Filter::default());
    assert_eq!(gaps(&all), Vec::<&Item>::new());
    for number in (0..1_000).step_by(7) {
        let (run, one) = (run(number), store.items(&LogName::Commands, of(run(number))));
        for items in [&all, &one] {
            assert_eq!(output(items, run, Stream::Stdout), format!("this is {run}\n").as_bytes());
            assert_eq!(output(items, run, Stream::Stderr), format!("that was {run}\n").as_bytes());
        }
        let marks = one.iter().filter(|item| !matches!(item, Item::Chunk { .. })).count();
        assert_eq!(marks, 2);
    }
}

/// An index that silent runs alone fill is continued in a segment whose base is one further.
#[test]
fn silent_runs_do_not_fill_one_index_for_ever() {
    let mut store = Store::with(Options { segment_entries: 4, ..Options::default() });
    for number in 0..20 {
        let program = store.start(run(number), &LogName::Commands);
        store.end(program);
    }
    store.reopen(Options { segment_entries: 4, ..Options::default() });
    let program = store.start(run(20), &LogName::Commands);
    store.end(program);
    let items = store.items(&LogName::Commands, Filter::default());
    assert_eq!(gaps(&items), Vec::<&Item>::new());
    assert_eq!(items.len(), 42);
    let files = fs::read_dir(store.root().join("commands")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".log")).count(), 11);
}

/// Somebody outside the run's cgroup holds the pipe and prints for ever.
#[test]
fn a_stranger_who_holds_the_pipe_does_not_hold_up_the_end() {
    let store = Store::new();
    let mut program = store.start(run(1), &LogName::Commands);
    program.stdout.write_all(b"mine\n").unwrap();
    let mut stranger = program.stdout.try_clone().unwrap();
    let stranger = thread::spawn(move || while stranger.write_all(&[b'x'; 1_000]).is_ok() {});
    let finished = store.end(program);
    assert!(finished.stdout_total >= 5);
    assert_eq!(finished.problem, None);
    stranger.join().unwrap();
}

#[test]
fn a_stranger_who_is_silent_does_not_either() {
    let store = Store::new();
    let mut program = store.start(run(1), &LogName::Commands);
    let _stranger = program.stdout.try_clone().unwrap();
    program.stdout.write_all(b"mine").unwrap();
    let finished = store.end(program);
    assert_eq!((finished.stdout_total, finished.last_line), (4, Some(b"mine".to_vec())));
}

#[test]
fn a_run_that_failed_to_start_has_an_end_only() {
    let store = Store::new();
    let program = store.attach(run(1), &LogName::Commands);
    drop(program);
    let end = End { cause: Cause::Failed, value: 203, time: 7 };
    let finished = finish(&store.logs, &store.finished, run(1), end);
    assert_eq!(finished.end, Position(0));
    let items = store.items(&LogName::Commands, Filter::default());
    assert_eq!(items, [Item::End { run: run(1), end }]);
}

#[test]
fn what_is_said_out_of_turn_is_refused() {
    let store = Store::with(Options { runs: 2, ..Options::default() });
    let unknown = Err(NotAttached { run: run(1) });
    assert_eq!(store.logs.started(run(1), 1, 1), unknown);
    assert_eq!(store.logs.finish(run(1), exited(0)).map(drop), unknown);
    let first = store.start(run(1), &LogName::Commands);
    assert_eq!(store.logs.started(run(1), 1, 1), unknown);
    let attach = |number| {
        // Held open: of a run whose outputs have ended, nothing would be told by the writer.
        let ((stdout, _held), (stderr, _held_too)) = (pipe(), pipe());
        let log = LogName::Commands;
        store.logs.attach(Attach { run: run(number), log, stdout, stderr, resumed: false })
    };
    assert!(matches!(attach(1), Err(AttachError::Already { .. })));
    let _second = store.start(run(2), &LogName::Commands);
    assert!(matches!(attach(3), Err(AttachError::Busy { runs: 2 })));
    store.end(first);
    assert_eq!(store.logs.finish(run(1), exited(0)).map(drop), unknown);
    attach(3).unwrap();
}

#[test]
fn the_daemons_lines_are_appended() {
    let mut store = Store::new();
    for number in 0..100 {
        store.logs.append(&LogName::Daemon, run(1), format!("line {number}").as_bytes(), number);
    }
    store.reopen(Options::default());
    let items = store.items(&LogName::Daemon, Filter::default());
    let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
    assert_eq!(output(&items, run(1), Stream::Stdout), expected.as_bytes());
}

#[test]
fn lines_that_find_no_room_are_told_as_a_gap() {
    // The writer stands still while it tells that a run is finished.
    let (at, halted) = sync_channel(1);
    let (go, resumed) = sync_channel::<()>(1);
    let folder = tempfile::TempDir::new().unwrap();
    let options = Options { lines: 4, line_bytes: 1_000, ..Options::default() };
    let halt = move |_| {
        at.send(()).unwrap();
        resumed.recv().unwrap();
    };
    let logs = LogStore::open_with(folder.path(), options, Box::new(halt)).unwrap();
    // Held open: of a run whose outputs have ended and were silent the writer would not have to tell.
    let ((stdout, _held), (stderr, _)) = (pipe(), pipe());
    let log = LogName::Commands;
    logs.attach(Attach { run: run(9), log, stdout, stderr, resumed: false }).unwrap();
    logs.finish(run(9), exited(0)).unwrap();
    halted.recv().unwrap();
    for _ in 0..100 {
        logs.append(&LogName::Daemon, run(1), b"ten bytes\n", 5);
    }
    go.send(()).unwrap();
    logs.close();
    let items = rest(&mut logs.reader(LogName::Daemon, Position(0), Filter::default()));
    assert_eq!(output(&items, run(1), Stream::Stdout), b"ten bytes\n".repeat(4));
    let reason = GapReason::Dropped;
    let gap = Item::Gap { run: Some(run(1)), bytes: 960, entries: 96, reason };
    assert_eq!(items.last(), Some(&gap));
    assert_eq!(gaps(&items).len(), 1);
}

/// Of a silent run the end is known at once, whether the writer has looked at its pipes or not; one that has printed
/// is never taken for one.
#[test]
fn silence_is_known_at_once_and_output_never_taken_for_it() {
    let store = Store::new();
    for number in 1..=200 {
        let ((stdout, mut printer), (stderr, other)) = (pipe(), pipe());
        let attach = Attach { run: run(number), log: unit("web"), stdout, stderr, resumed: false };
        store.logs.attach(attach).unwrap();
        let prints = number % 2 == 0;
        if prints {
            printer.write_all(b"here\n").unwrap();
        }
        drop((printer, other));
        let told = store.logs.finish(run(number), exited(0)).unwrap();
        assert!(prints || told.is_some(), "it was silent, and that was not seen");
        let told = told.unwrap_or_else(|| store.finished.recv_timeout(PATIENCE).unwrap());
        assert_eq!((told.run, told.stdout_total), (run(number), if prints { 5 } else { 0 }));
    }
}

/// A predecessor's pipes: what it wrote counts, and the start is not told twice.
#[test]
fn a_run_is_resumed_by_the_next_daemon() {
    let mut store = Store::new();
    let (out_read, mut stdout) = pipe();
    let (err_read, mut stderr) = pipe();
    let attach = |resumed| {
        let (stdout, stderr) = (out_read.try_clone().unwrap(), err_read.try_clone().unwrap());
        Attach { run: run(1), log: unit("web"), stdout, stderr, resumed }
    };
    store.logs.attach(attach(false)).unwrap();
    store.logs.started(run(1), 42, 1).unwrap();
    stdout.write_all(b"before\n").unwrap();
    let mut reader = store.logs.reader(unit("web"), Position(0), of(run(1)));
    while !matches!(follow(&mut reader), Item::Chunk { .. }) {}
    store.logs.close();
    stdout.write_all(b"between\n").unwrap();
    store.reopen(Options::default());
    store.logs.attach(attach(true)).unwrap();
    store.logs.started(run(1), 42, 1).unwrap();
    stderr.write_all(b"after\n").unwrap();
    drop((stdout, stderr));
    let finished = store.finish(run(1));
    assert_eq!((finished.stdout_total, finished.stderr_total), (15, 6));
    assert_eq!((finished.first, finished.end), (Position(0), Position(21)));
    let items = store.items(&unit("web"), Filter::default());
    assert_eq!(output(&items, run(1), Stream::Stdout), b"before\nbetween\n");
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Start { .. })).count(), 1);

    // The next one dies after the end was written, and nobody else had heard of it.
    store.reopen(Options::default());
    store.logs.attach(attach(true)).unwrap();
    let again = store.finish(run(1));
    assert_eq!((again.stdout_total, again.stderr_total, again.end), (15, 6, Position(21)));
    assert_eq!(store.items(&unit("web"), Filter::default()), items);
}

#[test]
fn many_logs_are_written_in_turn() {
    let store = Store::new();
    for round in 0..2 {
        for number in 0..200 {
            let mut program =
                store.start(run(round * 1_000 + number), &unit(&format!("u{number}")));
            writeln!(program.stdout, "round {round}").unwrap();
            store.end(program);
        }
    }
    // Those of this store: other tests have theirs.
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
    let descriptors = links.filter(|file| file.starts_with(store.root())).count();
    assert!(descriptors <= 2 * 64, "idle logs are closed: {descriptors} descriptors");
    let items = store.items(&unit("u7"), of(run(1_007)));
    assert_eq!(output(&items, run(1_007), Stream::Stdout), b"round 1\n");
    assert_eq!(store.logs.logs().unwrap().len(), 200);
}

#[test]
fn a_store_that_cannot_be_opened_says_why() {
    let error = LogStore::open("/proc/nowhere/logs".as_ref(), Box::new(|_| {})).unwrap_err();
    assert_eq!(error.to_string(), "cannot make the folder of the logs, /proc/nowhere/logs");
}

#[test]
fn a_log_that_cannot_be_written_does_not_stop_its_run() {
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("commands"), "a file where the folder should be").unwrap();
    let (logs, finished) = open(folder.path(), Options::default());
    let (out_read, mut stdout) = pipe();
    let (err_read, _) = pipe();
    let (run, log) = (run(1), LogName::Commands);
    logs.attach(Attach { run, log, stdout: out_read, stderr: err_read, resumed: false }).unwrap();
    logs.started(run, 1, 1).unwrap();
    // More than the pipe holds: it would block if nobody emptied it.
    stdout.write_all(&vec![b'x'; 3 << 20]).unwrap();
    drop(stdout);
    let finished = finish(&logs, &finished, run, exited(0));
    let problem = finished.problem.unwrap();
    assert!(problem.starts_with("3145728 bytes of output are lost: cannot write "), "{problem}");
    assert_eq!(finished.stdout_total, 0);
}

/// An overflow file that cannot be read is told as a gap, and what the pipe holds comes after it.
#[test]
fn what_was_kept_without_a_daemon_and_cannot_be_read_is_a_gap() {
    let folder = tempfile::TempDir::new().unwrap();
    let (root, overflow) = (folder.path().join("logs"), folder.path().join("overflow"));
    let digits = run(1).to_string().replace('-', "");
    // A folder, which root cannot read as a file either; files of other names are nobody's.
    fs::create_dir_all(overflow.join(format!("{digits}.stdout.7"))).unwrap();
    for name in ["readme", &format!("{digits}.stdin.7"), &format!("{digits}.stderr.07")] {
        fs::write(overflow.join(name), "nobody's\n").unwrap();
    }
    let (send, finished) = sync_channel(1);
    let told = Box::new(move |it| send.send(it).unwrap());
    let logs = LogStore::open_after_absence(&root, &overflow, Options::default(), told).unwrap();
    let ((out_read, mut stdout), (err_read, stderr)) = (pipe(), pipe());
    let (run, log) = (run(1), LogName::Commands);
    let attach =
        Attach { run, log: log.clone(), stdout: out_read, stderr: err_read, resumed: true };
    logs.attach(attach).unwrap();
    stdout.write_all(b"the pipe\n").unwrap();
    drop((stdout, stderr));
    let finished = finish(&logs, &finished, run, exited(0));
    assert!(finished.lost > 0, "{finished:?}");
    let items = rest(&mut logs.reader(log, Position(0), Filter::default()));
    assert_eq!(output(&items, run, Stream::Stdout), b"the pipe\n");
    assert!(matches!(&items[..], [Item::Gap { .. }, Item::Chunk { .. }, Item::End { .. }]));
    assert_eq!(fs::read_dir(&overflow).unwrap().count(), 4);
}

/// Of many that go on, what was kept without a daemon is taken when they are all attached, without a word from them.
#[test]
fn many_go_on_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let (root, overflow) = (folder.path().join("logs"), folder.path().join("overflow"));
    fs::create_dir(&overflow).unwrap();
    let told = Box::new(|_| {});
    let runs = [1, 2, 3].map(run);
    for run in runs {
        let digits = run.to_string().replace('-', "");
        fs::write(overflow.join(format!("{digits}.stdout.7")), format!("{run}\n")).unwrap();
    }
    let logs = LogStore::open_after_absence(&root, &overflow, Options::default(), told).unwrap();
    let writers = runs.map(|run| {
        let ((stdout, out), (stderr, err)) = (pipe(), pipe());
        let log = unit(&run.to_string());
        (&out).write_all(b"before\n").unwrap();
        logs.attach_one(Attach { run, log, stdout, stderr, resumed: true }).unwrap();
        (out, err)
    });
    logs.resume();
    for (run, (out, _)) in runs.into_iter().zip(&writers) {
        let mut reader = logs.reader(unit(&run.to_string()), Position(0), of(run));
        let Item::Chunk { bytes, .. } = follow(&mut reader) else { panic!() };
        assert_eq!(bytes, format!("{run}\n").as_bytes());
        let Item::Chunk { bytes, .. } = follow(&mut reader) else { panic!() };
        assert_eq!(bytes, b"before\n");
        let mut out = out;
        out.write_all(b"after\n").unwrap();
        let Item::Chunk { bytes, .. } = follow(&mut reader) else { panic!() };
        assert_eq!(bytes, b"after\n");
    }
    drop(writers);
}
