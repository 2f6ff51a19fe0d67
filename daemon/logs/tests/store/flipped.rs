//! Bits that are flipped in the segment that is being written, while the daemon lives and when it was killed.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use logs::{Filter, GapReason, Item, LogName, LogStore, Options, Position, Retention, Stream};
use tempfile::TempDir;

use crate::fixture::{Store, exited, gaps, holds, output, rest, run};

const LOG: LogName = LogName::Commands;
const BLOCK: usize = 64 << 10;

/// A store that makes checksums a moment after something was written.
fn store() -> Store {
    let folder = TempDir::new().unwrap();
    let (_, finished) = std::sync::mpsc::sync_channel(1);
    let logs = open(&folder.path().join("logs"));
    Store { folder, logs, finished }
}

fn open(root: &Path) -> LogStore {
    let retention = Retention { sync_interval: Duration::from_millis(1), ..Retention::default() };
    let options = Options { segment_bytes: 400_000, ..Options::default() };
    LogStore::open_bounded(root, root, (options, retention), Box::new(|_| {})).unwrap()
}

fn text(from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|place| (place / 100 * 7 + place % 100).to_le_bytes()[0]).collect()
}

fn file(root: &Path, ending: &str) -> PathBuf {
    root.join(format!("commands/0000000000000000.{ending}"))
}

/// Waits until there are checksums of so many bytes of the first segment.
fn summed(root: &Path, bytes: usize) {
    let blocks = bytes.div_ceil(BLOCK);
    let is_summed = || {
        let Ok(running) = fs::read(file(root, "crc")) else { return false };
        let last = running.get(blocks * 16..blocks * 16 + 8);
        last.is_some_and(|last| last == (bytes as u64).to_le_bytes())
    };
    holds("there are checksums of all that was written", is_summed);
}

/// The last of it may be in the pipe while the segment before is sealed already.
fn all_is_kept(logs: &LogStore, bytes: usize) {
    holds("all of it is kept", || logs.end(&LOG).unwrap() == Position(bytes as u64));
}

fn flip(root: &Path, place: u64) {
    let data = File::options().read(true).write(true).open(file(root, "log")).unwrap();
    let mut byte = [0];
    data.read_exact_at(&mut byte, place).unwrap();
    data.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
}

fn sealed(root: &Path) -> bool {
    file(root, "sum").exists() && !file(root, "crc").exists()
}

/// All is given but one block, which is a gap.
fn one_block_is_missing(logs: &LogStore, block: usize, length: usize) {
    let items = rest(&mut logs.reader(LOG, Position(0), Filter::default()));
    let whole = text(0, length);
    let altered = block * BLOCK..((block + 1) * BLOCK).min(length);
    let expected = [&whole[..altered.start], &whole[altered.end..]].concat();
    assert!(output(&items, run(1), Stream::Stdout) == expected, "all else is as it was printed");
    // Two pieces of output in one block are two gaps.
    let mut missing = 0;
    for gap in gaps(&items) {
        let Item::Gap { run: Some(whose), bytes, entries: 0, reason: GapReason::Altered } = gap
        else {
            panic!("{gap:?}");
        };
        assert_eq!(*whose, run(1));
        missing += bytes;
    }
    assert_eq!(missing, altered.len() as u64);
    println!("{} of {length} bytes given, {missing} told as altered", expected.len());
}

/// In a full block, and in one that is still being filled when its bit flips; while it is written on, and over a restart.
#[test]
fn a_bit_that_flips_in_an_open_segment_is_found_when_it_is_sealed() {
    for (place, restart) in [(100_000, false), (290_000, false), (290_000, true)] {
        let mut store = store();
        let root = &store.root();
        let mut program = store.start(run(1), &LOG);
        program.stdout.write_all(&text(0, 300_000)).unwrap();
        summed(root, 300_000);
        flip(root, place as u64);
        if restart {
            // It has checksums of what was there, and makes those of the rest.
            drop(program);
            store.logs.finish(run(1), exited(0)).unwrap();
            store.logs.await_written(run(1));
            store.logs.close();
            store.logs = open(root);
            holds("the segment is closed and sealed", || sealed(root));
            one_block_is_missing(&store.logs, place / BLOCK, 300_000);
            let told = store.logs.problems();
            assert!(told.iter().any(|told| told.text.contains("not what was written")), "{told:?}");
            continue;
        }
        program.stdout.write_all(&text(300_000, 500_000)).unwrap();
        all_is_kept(&store.logs, 500_000);
        holds("the segment is closed and sealed", || sealed(root));
        one_block_is_missing(&store.logs, place / BLOCK, 500_000);
    }
}

/// What nobody has altered is as it was, in however many steps the checksums were made.
#[test]
fn what_nobody_altered_is_given_whole() {
    let store = store();
    let root = &store.root();
    let mut program = store.start(run(1), &LOG);
    let mut length = 0;
    for step in [1, 7, 65_000, 528, 65_536, 100_000, 99_999, 60_000, 30_000] {
        program.stdout.write_all(&text(length, length + step)).unwrap();
        length += step;
        if length < 400_000 {
            summed(root, length);
        }
    }
    all_is_kept(&store.logs, length);
    holds("the segment is closed and sealed", || sealed(root));
    let items = store.items(&LOG, Filter::default());
    assert!(output(&items, run(1), Stream::Stdout) == text(0, length));
    assert_eq!(gaps(&items).len(), 0);
}
