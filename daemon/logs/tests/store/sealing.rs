//! Closed segments whose bytes are not what they were: no wrong byte is ever given as right, what is wrong is told
//! exactly, and everything else is given all the same.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use logs::{Filter, GapReason, Item, LogName, Options, Position, Stream};
use proptest::prelude::*;
use tempfile::TempDir;
use units::RunId;

use crate::fixture::{Store, follow, holds, open, output, run, unit};

const BLOCK: usize = 64 << 10;
const SEGMENT: u64 = 200_000;

fn options() -> Options {
    Options { segment_bytes: SEGMENT, ..Options::default() }
}

/// A log, and the truth about it.
struct Written {
    folder: TempDir,
    /// Whose each byte is, and the byte.
    truth: Vec<(RunId, u8)>,
    /// Where its segments begin.
    bases: Vec<u64>,
}

fn files(root: &Path, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root.join("commands")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == ending)).collect();
    files.sort_unstable();
    files
}

fn base(path: &Path) -> u64 {
    u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap()
}

/// Two runs print by turns into three segments and a bit; the first three are closed and sealed.
fn written() -> &'static Written {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let store = Store::with(options());
        let mut programs = [1, 2].map(|number| store.start(run(number), &LogName::Commands));
        let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
        let mut truth = Vec::new();
        for number in 0..80_u32 {
            let program = &mut programs[number as usize % 2];
            let from = truth.len();
            let text: Vec<u8> = (0..8000_u32)
                .map(|place| place.wrapping_mul(number * 2 + 1).to_le_bytes()[1])
                .collect();
            program.stdout.write_all(&text).unwrap();
            while truth.len() < from + text.len() {
                if let Item::Chunk { run, bytes, .. } = follow(&mut reader) {
                    truth.extend(bytes.into_iter().map(|byte| (run, byte)));
                }
            }
        }
        for program in programs {
            store.end(program);
        }
        let root = store.root();
        holds("all closed segments are sealed", || files(&root, "sum").len() == 3);
        store.logs.close();
        let bases = files(&root, "log").iter().map(|path| base(path)).collect();
        Written { folder: store.folder, truth, bases }
    })
}

/// A copy of it that may be damaged.
fn copy(written: &Written) -> TempDir {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("logs/commands");
    fs::create_dir_all(&log).unwrap();
    for file in fs::read_dir(written.folder.path().join("logs/commands")).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, log.join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Reads all: the places that are not given. Each that is given must be right, and what is not given be told.
fn missing(written: &Written, items: &[Item], end: u64) -> Vec<usize> {
    let mut given = vec![false; written.truth.len()];
    let (mut chunks, mut gaps) = (0, 0);
    for item in items {
        match item {
            Item::Chunk { run, bytes, position_after, .. } => {
                let from = usize::try_from(position_after.0).unwrap() - bytes.len();
                chunks += bytes.len();
                for (place, byte) in (from..).zip(bytes) {
                    assert_eq!(written.truth[place], (*run, *byte), "at {place}");
                    assert!(!std::mem::replace(&mut given[place], true), "{place} came twice");
                }
            }
            Item::Gap { bytes, reason, .. } => {
                let told = [GapReason::Damaged, GapReason::Altered, GapReason::Vanished];
                assert!(told.contains(reason), "{item:?}");
                gaps += usize::try_from(*bytes).unwrap();
            }
            Item::Start { .. } | Item::End { .. } => {}
        }
    }
    assert_eq!((end, chunks + gaps), (written.truth.len() as u64, written.truth.len()));
    let missing = given.iter().enumerate().filter(|(_, given)| !**given);
    missing.map(|(place, _)| place).collect()
}

/// What is missing after `damage` was done to a file of that ending, of the segment with that number.
fn damaged(number: usize, ending: &str, damage: impl FnOnce(&File, u64)) -> Vec<usize> {
    let written = written();
    let folder = copy(written);
    let root = folder.path().join("logs");
    let path = root.join(format!("commands/{:016x}.{ending}", written.bases[number]));
    let file = File::options().read(true).write(true).open(path).unwrap();
    damage(&file, file.metadata().unwrap().len());
    let (logs, _finished) = open(&root, options());
    let mut reader = logs.reader(LogName::Commands, Position(0), Filter::default());
    let items: Vec<Item> = std::iter::from_fn(|| reader.next(50_000).unwrap()).collect();
    missing(written, &items, reader.position().0)
}

fn flip(file: &File, place: u64, bit: u32) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], place).unwrap();
}

/// A place in a file of that length.
fn at(place: prop::sample::Index, length: u64) -> u64 {
    place.index(usize::try_from(length).unwrap()) as u64
}

/// Of a segment: from where to where.
fn segment(number: usize) -> std::ops::Range<usize> {
    let Written { bases, truth, .. } = written();
    let begin = usize::try_from(bases[number]).unwrap();
    let end = bases.get(number + 1).map_or(truth.len(), |&end| usize::try_from(end).unwrap());
    begin..end
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_of_output_costs_exactly_its_block(number in 0..3_usize, place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let segment = segment(number);
        let place = place.index(segment.len());
        let missing = damaged(number, "log", |file, _| flip(file, place as u64, bit));
        let begin = segment.start + place / BLOCK * BLOCK;
        let block: Vec<usize> = (begin..(begin + BLOCK).min(segment.end)).collect();
        prop_assert_eq!(missing, block);
    }

    #[test]
    fn a_segment_cut_anywhere_is_given_up_to_there(number in 0..3_usize, place in any::<prop::sample::Index>()) {
        let segment = segment(number);
        let length = place.index(segment.len());
        let missing = damaged(number, "log", |file, _| file.set_len(length as u64).unwrap());
        let whole = segment.start + length / BLOCK * BLOCK;
        prop_assert_eq!(missing, (whole..segment.end).collect::<Vec<_>>());
    }

    /// Whose bytes those are before and behind it is not known: as far as the entries next to it.
    #[test]
    fn a_flipped_bit_of_an_index_costs_what_it_describes(number in 0..3_usize, place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let segment = segment(number);
        let missing = damaged(number, "idx", |file, length| flip(file, at(place, length), bit));
        prop_assert!(missing.iter().all(|place| segment.contains(place)));
        prop_assert!(missing.len() <= 4 * 8000, "{}", missing.len());
    }

    #[test]
    fn an_index_cut_anywhere_costs_what_it_described(number in 0..3_usize, place in any::<prop::sample::Index>()) {
        let segment = segment(number);
        let missing = damaged(number, "idx", |file, length| file.set_len(at(place, length)).unwrap());
        prop_assert!(missing.iter().all(|place| segment.contains(place)));
        // One part, up to the end.
        prop_assert!(missing.last().is_none_or(|&last| last + 1 == segment.end));
        prop_assert!(missing.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }

    /// The sums are made again: nothing is lost.
    #[test]
    fn damaged_sums_cost_nothing(number in 0..3_usize, place in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>()) {
        let missing = damaged(number, "sum", |file, length| {
            let place = at(place, length);
            if cut { file.set_len(place).unwrap() } else { flip(file, place, bit) }
        });
        prop_assert_eq!(missing, Vec::<usize>::new());
    }
}

/// A daemon died before it had sealed them, or the machine lost power before the sums were on the disk.
#[test]
fn what_is_not_sealed_is_sealed_when_the_store_is_opened() {
    let folder = copy(written());
    let root = folder.path().join("logs");
    let sums = files(&root, "sum");
    let right: Vec<_> = sums.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::remove_file(&sums[0]).unwrap();
    fs::write(&sums[1], b"").unwrap();
    let (logs, _finished) = open(&root, options());
    let now = || sums.iter().map(|path| fs::read(path).unwrap_or_default()).collect::<Vec<_>>();
    holds("all closed segments are sealed, as they were", || now() == right);
    drop(logs);
}

/// After a power cut: the file is as long as it was, and a part of it was never written. A program's zeros are none.
#[test]
fn bytes_that_never_reached_the_disk_are_told_and_not_given_as_zeros() {
    let mut store = Store::new();
    let log = unit("web");
    let mut program = store.start(run(1), &log);
    let text = [vec![b'x'; BLOCK], vec![0; BLOCK], vec![b'y'; BLOCK]].concat();
    program.stdout.write_all(&text).unwrap();
    store.end(program);
    let data = store.root().join("units/web/0000000000000000.log");
    store.logs.close();
    // Its last block is lost, and only that: what reads as zeros in the middle was printed.
    let file = File::options().write(true).open(&data).unwrap();
    file.set_len(2 * BLOCK as u64).unwrap();
    file.set_len(3 * BLOCK as u64).unwrap();
    store.reopen(Options::default());
    let mut program = store.start(run(2), &log);
    program.stdout.write_all(b"goes on\n").unwrap();
    let finished = store.end(program);
    assert_eq!(finished.end, Position(text.len() as u64 + 8));
    holds("it is sealed", || data.with_extension("sum").exists());
    let items = store.items(&log, Filter::default());
    assert_eq!(output(&items, run(1), Stream::Stdout), text[..2 * BLOCK]);
    assert_eq!(output(&items, run(2), Stream::Stdout), b"goes on\n");
    let reason = GapReason::Altered;
    let gap = Item::Gap { run: Some(run(1)), bytes: BLOCK as u64, entries: 0, reason };
    assert_eq!(items.iter().filter(|&item| *item == gap).count(), 1, "{items:?}");
}

/// After a power cut the newest segment may be gone, and the one before it, which has checksums, is written on.
#[test]
fn a_segment_that_is_written_on_is_read_to_its_end() {
    let written = written();
    let folder = copy(written);
    let root = folder.path().join("logs");
    let last = files(&root, "log").pop().unwrap();
    fs::remove_file(last.with_extension("idx")).unwrap();
    fs::remove_file(&last).unwrap();
    let (logs, finished) = open(&root, options());
    let mut reader = logs.reader(LogName::Commands, Position(0), Filter::default());
    let kept = usize::try_from(base(&last)).unwrap();
    let mut given = 0;
    while let Some(item) = reader.next(1 << 20).unwrap() {
        given += if let Item::Chunk { bytes, .. } = item { bytes.len() } else { 0 };
    }
    assert_eq!(given, kept);
    let store = Store { folder, logs, finished };
    let mut program = store.start(run(3), &LogName::Commands);
    let text = vec![b'x'; 500_000];
    program.stdout.write_all(&text).unwrap();
    store.end(program);
    for mut reader in [reader, store.logs.reader(LogName::Commands, Position(0), Filter::default())]
    {
        let items: Vec<Item> = std::iter::from_fn(|| reader.next(1 << 20).unwrap()).collect();
        assert!(output(&items, run(3), Stream::Stdout) == text);
    }
}
