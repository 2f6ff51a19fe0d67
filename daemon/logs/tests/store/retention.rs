//! How much is kept, and what readers see of what is not.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use logs::{
    Bounds, Filter, Finished, GapReason, Item, LogName, LogStore, Options, Position, Retention,
    Stream,
};
use tempfile::TempDir;

use crate::fixture::{Store, gaps, holds, of, output, run, unit};

const KIB: u64 = 1 << 10;

/// A store with these bounds, in the folder of another.
fn bounded(root: &Path, options: Options, retention: Retention) -> LogStore {
    let nobody = |_: Finished| {};
    let kept = (options, retention);
    LogStore::open_bounded(root, Path::new("/nowhere"), kept, Box::new(nobody)).unwrap()
}

fn store(retention: Retention) -> Store {
    let folder = TempDir::new().unwrap();
    let (_, finished) = std::sync::mpsc::sync_channel(1);
    let logs = bounded(&folder.path().join("logs"), Options::default(), retention);
    Store { folder, logs, finished }
}

/// Bytes of all files of a log.
fn size(root: &Path, log: &LogName) -> u64 {
    let Ok(files) = fs::read_dir(root.join(log.folder())) else { return 0 };
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

fn segments(root: &Path, log: &LogName) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(root.join(log.folder())) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "log")).collect()
}

/// Numbered lines of 100 bytes, so many bytes of them.
fn lines(from: u64, bytes: u64) -> Vec<u8> {
    (from..from + bytes / 100).flat_map(|number| format!("{number:099}\n").into_bytes()).collect()
}

/// Prints and waits until it is kept.
fn print(store: &Store, log: &LogName, number: u64, text: &[u8]) {
    let end = store.logs.end(log).unwrap();
    let mut program = store.start(run(number), log);
    program.stdout.write_all(text).unwrap();
    drop(program);
    let told = store.logs.finish(run(number), crate::fixture::exited(0)).unwrap();
    drop(told);
    store.logs.await_written(run(number));
    assert!(store.logs.end(log).unwrap().0 >= end.0 + text.len() as u64);
}

#[test]
fn a_log_keeps_to_its_size_and_says_exactly_what_is_gone() {
    let mut retention = Retention::default();
    retention.each.bytes = Some(1024 * KIB);
    let store = store(retention);
    let log = unit("web");
    let text = lines(0, 10_000_000);
    let mut program = store.start(run(1), &log);
    for piece in text.chunks(100_000) {
        program.stdout.write_all(piece).unwrap();
        // A moment after a segment was closed it may be more: what goes, goes on another thread.
        holds("the log is within its bound", || size(&store.root(), &log) <= 1024 * KIB);
    }
    drop(program);
    store.logs.finish(run(1), crate::fixture::exited(0)).unwrap();
    store.logs.await_written(run(1));
    holds("the log is within its bound", || size(&store.root(), &log) <= 1024 * KIB);
    let items = store.items(&log, Filter::default());
    let kept = output(&items, run(1), Stream::Stdout);
    assert!(text.ends_with(&kept) && kept.len() as u64 > 600 * KIB, "{}", kept.len());
    let missing = text.len() as u64 - kept.len() as u64;
    let reason = GapReason::Removed;
    assert_eq!(gaps(&items), [&Item::Gap { run: None, bytes: missing, entries: 0, reason }]);
    assert!(matches!(items.last(), Some(Item::End { .. })));
}

/// Those that print little keep it while another floods, until all together are too much; and the audit log stays.
#[test]
fn all_together_keep_to_their_size_and_the_oldest_go_first() {
    let mut retention = Retention { total: Some(2048 * KIB), ..Retention::default() };
    retention.each.bytes = Some(1024 * KIB);
    let store = store(retention);
    for line in 0..20 {
        store.logs.append(&LogName::Audit, run(7), format!("change {line}").as_bytes(), line);
    }
    print(&store, &unit("quiet"), 1, b"a word\n");
    for number in 2..12 {
        print(&store, &unit(&format!("loud{number}")), number, &lines(0, 900_000));
    }
    let all = || store.logs.logs().unwrap().iter().map(|log| size(&store.root(), log)).sum::<u64>();
    holds("all logs are within their bound", || all() <= 2048 * KIB);
    let kept = |name: &str, number| {
        output(&store.items(&unit(name), of(run(number))), run(number), Stream::Stdout)
    };
    assert_eq!(kept("quiet", 1), b"a word\n");
    assert!(kept("loud11", 11).len() > 500_000, "the newest are there");
    assert!(kept("loud2", 2).len() < 200_000, "the oldest are gone");
    let audit = output(&store.items(&LogName::Audit, Filter::default()), run(7), Stream::Stdout);
    assert_eq!(audit.iter().filter(|&&byte| byte == b'\n').count(), 20);
}

#[test]
fn what_is_too_old_goes_by_itself_and_the_folder_of_what_is_over_with_it() {
    let mut retention = Retention::default();
    retention.each.age = Some(Duration::from_millis(800));
    retention.sync_interval = Duration::from_millis(1);
    let store = store(retention);
    print(&store, &unit("gone"), 1, b"old\n");
    let mut stays = store.start(run(2), &unit("stays"));
    stays.stdout.write_all(b"old\n").unwrap();
    holds("an old unit's folder is gone", || !store.root().join("units/gone").exists());
    let empty = || size(&store.root(), &unit("stays")) == 0;
    holds("what a living one has printed is gone", empty);
    // It goes on where it was.
    stays.stdout.write_all(b"new\n").unwrap();
    let end = || store.logs.end(&unit("stays")).unwrap() == Position(8);
    holds("what it prints now is kept", end);
    drop(stays);
    // The name comes again: from the beginning.
    print(&store, &unit("gone"), 3, b"again\n");
    let items = store.items(&unit("gone"), Filter::default());
    assert_eq!(output(&items, run(3), Stream::Stdout), b"again\n");
}

/// It stands in the middle of what goes, with a file open, and has to be told exactly how much it has missed.
#[test]
fn retention_overtakes_a_paused_reader() {
    let mut retention = Retention::default();
    retention.each.bytes = Some(512 * KIB);
    let store = store(retention);
    let log = LogName::Commands;
    let mut program = store.start(run(1), &log);
    let text = lines(0, 5_000_000);
    let (first, later) = text.split_at(100_000);
    program.stdout.write_all(first).unwrap();
    let mut reader = store.logs.reader(log.clone(), Position(0), of(run(1)));
    let (mut given, mut missing) = (Vec::new(), 0);
    let mut take = |item: Item, given: &mut Vec<u8>| match item {
        Item::Chunk { bytes, .. } => given.extend_from_slice(&bytes),
        Item::Gap { run: None, bytes, reason: GapReason::Removed, .. } => {
            assert!(text[given.len() + missing..].len() as u64 >= bytes);
            missing += usize::try_from(bytes).unwrap();
        }
        Item::Start { .. } => {}
        Item::End { .. } | Item::Gap { .. } => panic!("{item:?}"),
    };
    while given.is_empty() {
        if let Some(item) = reader.next(10).unwrap() {
            take(item, &mut given);
        }
    }
    program.stdout.write_all(later).unwrap();
    let at_end = || store.logs.end(&log).unwrap().0 == text.len() as u64;
    holds("all is written", at_end);
    let first = store.root().join("commands/0000000000000000.log");
    let gone = || !first.exists() && size(&store.root(), &log) <= 512 * KIB;
    holds("the segment that is being read is gone, and all that is too much", gone);
    while let Some(item) = reader.next(64 << 10).unwrap() {
        take(item, &mut given);
    }
    // What its open file still had, then the gap, then the rest; nothing twice, nothing out of place.
    assert!(missing > 3_000_000);
    assert_eq!(given.len() + missing, text.len());
    let gap = given.iter().zip(&text).take_while(|(a, b)| a == b).count();
    assert_eq!(given[gap..], text[gap + missing..]);
}

#[test]
fn the_next_daemon_finds_what_is_too_much_and_what_a_kill_left() {
    let mut store = Store::with(Options { segment_bytes: 10_000, ..Options::default() });
    let log = unit("web");
    print_all(&store, &log);
    store.logs.close();
    let web = store.root().join("units/web");
    let half = web.join("0000000000002710.sum.new");
    fs::write(&half, b"half").unwrap();
    fs::remove_file(web.join("0000000000000000.log")).unwrap();
    let mut retention = Retention::default();
    retention.each.bytes = Some(1024 * KIB);
    let options = Options { segment_bytes: 10_000, ..Options::default() };
    store.logs = bounded(&store.root(), options, retention);
    holds("the log is within its bound", || size(&store.root(), &log) <= 1024 * KIB);
    let left = || half.exists() || web.join("0000000000000000.idx").exists();
    holds("what a kill left is gone", || !left());
    assert!(!segments(&store.root(), &log).is_empty());
}

fn print_all(store: &Store, log: &LogName) {
    let program = store.start(run(1), log);
    let mut stdout = &program.stdout;
    stdout.write_all(&lines(0, 3_000_000)).unwrap();
    drop(program);
    store.finish(run(1));
}

/// Only where others need the room.
#[test]
fn a_full_filesystem_drives_out_what_is_old() {
    let free = nix::sys::statvfs::statvfs("/tmp").unwrap();
    let free = free.blocks_available() * free.fragment_size();
    let mut retention = Retention { keep_free: Some(free * 2), ..Retention::default() };
    retention.each = Bounds { bytes: Some(4096 * KIB), age: None };
    let store = store(retention);
    let log = LogName::Commands;
    print(&store, &log, 1, &lines(0, 30_000_000));
    // Far more is missing than all logs are: but a little always stays.
    holds("little stays", || size(&store.root(), &log) <= 16 << 20);
    assert!(size(&store.root(), &log) > 0);
}

/// A program that says a word and then nothing: its segment is closed and sealed when it is old enough, whoever writes or syncs
/// what else, and by the next daemon too; what is in it goes when that is too old.
#[test]
fn a_word_of_a_quiet_program_is_sealed_by_its_age() {
    let aged = |age| {
        let mut retention = Retention::default();
        retention.each.age = Some(Duration::from_secs(age));
        assert!(retention.sync_interval > Duration::from_secs(60), "nothing is synced meanwhile");
        retention
    };
    // Closed when an eighth of that is over, and there for all of the test.
    let mut store = store(aged(24));
    let log = unit("quiet");
    let folder = store.root().join("units/quiet");
    let is_there = |base: u64, ending: &str| folder.join(format!("{base:016x}.{ending}")).exists();
    // Without the news of its start, whose time is long past here: the segment would be closed for that.
    let mut program = store.attach(run(1), &log);
    program.stdout.write_all(b"word\n").unwrap();
    holds("the first word is sealed", || is_there(0, "sum") && !is_there(0, "crc"));
    assert_eq!(output(&store.items(&log, of(run(1))), run(1), Stream::Stdout), b"word\n");
    program.stdout.write_all(b"more\n").unwrap();
    holds("the second is kept", || store.logs.end(&log).unwrap() == Position(10));
    store.logs.close();
    assert!(!is_there(5, "sum"));
    store.logs = bounded(&store.root(), Options::default(), aged(24));
    holds("it is sealed by the next daemon", || is_there(5, "sum"));
    store.logs.close();
    store.logs = bounded(&store.root(), Options::default(), aged(1));
    holds("what is too old is gone", || !is_there(0, "log") && !is_there(5, "log"));
    let reason = GapReason::Removed;
    let left = store.items(&log, Filter::default());
    assert!(matches!(left.as_slice(), [] | [Item::Gap { run: None, bytes: 10, .. }]), "{left:?}");
    assert!(
        gaps(&left)
            .iter()
            .all(|gap| matches!(gap, Item::Gap { reason: told, .. } if *told == reason))
    );
}
