//! A daemon that is killed, again and again, while a program prints.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::{Child, Command},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use logs::{
    Attach, Filter, Finished, GapReason, Item, LogName, LogStore, Options, Position, Retention,
    Stream,
};
use nix::fcntl::{SpliceFFlags, splice};
use tempfile::TempDir;

use crate::fixture::{exited, finish, gaps, holds, output, pipe, rest, run};

const ROOT: &str = "LOGS_TEST_ROOT";
const PIPES: &str = "LOGS_TEST_PIPES";
const SEGMENT: u64 = 1_000_000;

/// How many bytes are kept of the log, where that is bounded.
const BOUND: &str = "LOGS_TEST_BOUND";

fn options() -> Options {
    Options { segment_bytes: SEGMENT, ..Options::default() }
}

/// The store, with what was kept while there was no daemon.
fn reopen(root: &Path, bound: Option<u64>) -> (LogStore, Receiver<Finished>) {
    let (send, finished) = sync_channel(1);
    let on_finished = Box::new(move |told| send.send(told).unwrap());
    let overflow = root.with_file_name("overflow");
    let mut retention = Retention::default();
    retention.each.bytes = bound;
    let kept = (options(), retention);
    let logs = LogStore::open_bounded(root, &overflow, kept, on_finished).unwrap();
    (logs, finished)
}

/// Not a test: what the daemon does that is killed.
#[test]
fn daemon_to_be_killed() {
    let (Ok(root), Ok(pipes)) = (std::env::var(ROOT), std::env::var(PIPES)) else { return };
    let mut pipes = pipes.split(',').map(|path| OwnedFd::from(File::open(path).unwrap()));
    let (stdout, stderr) = (pipes.next().unwrap(), pipes.next().unwrap());
    let bound = std::env::var(BOUND).ok().map(|bound| bound.parse().unwrap());
    let logs = reopen(root.as_ref(), bound).0;
    let (run, log) = (run(1), LogName::Commands);
    logs.attach(Attach { run, log, stdout, stderr, resumed: true }).unwrap();
    logs.started(run, 42, 1).unwrap();
    loop {
        thread::park();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test kills it")]
fn daemon(root: &Path, pipes: &[&OwnedFd], bound: Option<u64>) -> Child {
    let path = |pipe: &&OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), pipe.as_raw_fd());
    let pipes: Vec<_> = pipes.iter().map(path).collect();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::daemon_to_be_killed", "--nocapture"])
        .env(ROOT, root)
        .env(PIPES, pipes.join(","))
        .envs(bound.map(|bound| (BOUND, bound.to_string())))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Numbered lines until it is told to stop; gives what it printed.
fn print(mut file: File, stop: &AtomicBool, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let from = all.len();
        // Some lines one by one, some many at once.
        for _ in 0..=number % 40 {
            writeln!(all, "{name} {number}").unwrap();
            number += 1;
        }
        file.write_all(&all[from..]).unwrap();
    }
    all
}

/// Where the log ends: the newest segment says.
fn end(root: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(root.join("commands")) else { return 0 };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let Some(newest) = names.filter(|name| name.ends_with(".log")).max() else { return 0 };
    let base = u64::from_str_radix(newest.trim_end_matches(".log"), 16).unwrap();
    // Where this thread was kept waiting it may be gone already; a panic here would let the programs print for ever.
    base + std::fs::metadata(root.join("commands").join(newest)).map_or(0, |file| file.len())
}

/// What the keeper does while there is no daemon, as far as the store sees it: moves at most so many bytes of a pipe to
/// its file, which it makes where it is not there.
fn overflow(root: &Path, stream: &str, pipe: &OwnedFd, most: u64, number: u64) {
    let folder = root.with_file_name("overflow");
    std::fs::create_dir_all(&folder).unwrap();
    let prefix = format!("{}.{stream}.", run(1).to_string().replace('-', ""));
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names = names.map(|name| name.into_string().unwrap());
    let name = names.find(|name| name.starts_with(&prefix));
    let path = folder.join(name.unwrap_or_else(|| format!("{prefix}{number}")));
    let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
    let begin = file.metadata().unwrap().len();
    let (mut offset, end) = (i64::try_from(begin).unwrap(), i64::try_from(begin + most).unwrap());
    while offset < end {
        // The program prints for ever, so that there is always more.
        let left = usize::try_from(end - offset).unwrap();
        splice(pipe, None, &file, Some(&mut offset), left, SpliceFFlags::empty()).unwrap();
    }
}

#[test]
fn killed_at_any_moment_no_line_is_lost_and_none_is_there_twice() {
    killed(None, |_, _, _| {});
}

/// The same with segments being closed, sealed and removed all the time: what is kept is the end of what was printed, and
/// what is not is told to the byte.
#[test]
fn killed_at_any_moment_with_segments_removed_under_way_the_rest_is_whole() {
    killed(Some(800_000), |_, _, _| {});
}

/// Between the daemons the keeper moves output to files, which the next ones take, more or less of it.
#[test]
fn what_was_kept_without_a_daemon_is_taken_first_and_once_however_often_it_is_killed() {
    let random = RandomState::new();
    killed(None, |root, round, pipes| {
        for (pipe, stream) in pipes.into_iter().zip(["stdout", "stderr"]) {
            // Nothing, a little, and more than the next daemons live to take.
            let most = random.hash_one((round, stream)) % 3 * 700_000;
            if most > 0 {
                overflow(root, stream, pipe, most + round, round + 1);
            }
        }
    });
}

/// Kills daemons, and calls `between` after each with its number.
fn killed(bound: Option<u64>, between: impl Fn(&Path, u64, [&OwnedFd; 2])) {
    let rounds: u64 = std::env::var("LOGS_TEST_KILLS").map_or(30, |rounds| rounds.parse().unwrap());
    let random = RandomState::new();
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("logs");
    let (out_read, stdout) = pipe();
    let (err_read, stderr) = pipe();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stdout = scope.spawn(|| print(stdout, &stop, "out"));
        let stderr = scope.spawn(|| print(stderr, &stop, "err"));
        for round in 0..rounds {
            let mut daemon = daemon(&root, &[&out_read, &err_read], bound);
            let target = end(&root) + random.hash_one(round) % 400_000;
            while end(&root) < target {
                thread::yield_now();
            }
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            between(&root, round, [&out_read, &err_read]);
        }
        let (logs, finished) = reopen(&root, bound);
        let (run, log) = (run(1), LogName::Commands);
        let attach = Attach { run, log, stdout: out_read, stderr: err_read, resumed: true };
        logs.attach(attach).unwrap();
        stop.store(true, Ordering::Relaxed);
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let finished = finish(&logs, &finished, run, exited(0));
        if bound.is_some() {
            return the_rest_is_whole(&logs, &stdout, &stderr);
        }
        assert_eq!(finished.stdout_total, stdout.len() as u64);
        assert_eq!(finished.stderr_total, stderr.len() as u64);
        let mut reader = logs.reader(LogName::Commands, Position(0), Filter::default());
        let items = rest(&mut reader);
        assert!(output(&items, run, Stream::Stdout) == stdout);
        assert!(output(&items, run, Stream::Stderr) == stderr);
        assert_eq!(gaps(&items), Vec::<&Item>::new());
        let starts = items.iter().filter(|item| matches!(item, Item::Start { .. })).count();
        assert!(starts <= 1);
        assert!(matches!(items.last(), Some(Item::End { .. })));
        let left = std::fs::read_dir(root.with_file_name("overflow")).into_iter().flatten();
        assert_eq!(left.count(), 0, "what is taken is removed");
    });
}

fn the_rest_is_whole(logs: &LogStore, stdout: &[u8], stderr: &[u8]) {
    // Removal may still be under way, and then the reader is told so: try until nothing goes meanwhile.
    holds("what is there is read in peace", || {
        let mut reader = logs.reader(LogName::Commands, Position(0), Filter::default());
        let items = rest(&mut reader);
        let kept = [Stream::Stdout, Stream::Stderr].map(|stream| output(&items, run(1), stream));
        let mut removed = 0;
        for gap in gaps(&items) {
            let Item::Gap { bytes, reason: GapReason::Removed, .. } = gap else {
                panic!("{gap:?}");
            };
            removed += bytes;
        }
        let printed = stdout.len() + stderr.len();
        assert_eq!(removed + (kept[0].len() + kept[1].len()) as u64, printed as u64);
        assert!(removed > 0 && matches!(items.last(), Some(Item::End { .. })));
        stdout.ends_with(&kept[0]) && stderr.ends_with(&kept[1])
    });
}
