//! Indexes that are torn, cut short or have flipped bits: no byte is ever given to the wrong run.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use logs::{Filter, GapReason, Item, LogName, Options, Position, Stream};
use units::RunId;

use crate::fixture::{Store, follow, gaps, holds, of, output, rest, run, unit};

/// Whose each byte is.
type Truth = BTreeMap<u64, (RunId, Stream, u8)>;

/// A log in which three runs have printed by turns, closed; its index, and the truth about it.
fn printed() -> (Store, PathBuf, Vec<u8>, Truth) {
    let mut store = Store::new();
    let mut programs: Vec<_> =
        (0..3).map(|number| store.start(run(number), &LogName::Commands)).collect();
    let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    for number in 0..4 {
        for program in &mut programs {
            let file = if number % 2 == 0 { &mut program.stdout } else { &mut program.stderr };
            writeln!(file, "line {number}").unwrap();
            while !matches!(follow(&mut reader), Item::Chunk { .. }) {}
        }
    }
    for program in programs {
        store.end(program);
    }
    store.reopen(Options::default());
    let mut truth = Truth::new();
    check(&store, &mut |position, whose| assert_eq!(truth.insert(position, whose), None));
    assert_eq!(truth.len(), 84);
    let index = store.root().join("commands/0000000000000000.idx");
    let bytes = fs::read(&index).unwrap();
    (store, index, bytes, truth)
}

/// Reads all, giving each byte with its place; checks that what was not given was told as a gap.
fn check(store: &Store, given: &mut dyn FnMut(u64, (RunId, Stream, u8))) -> Vec<Item> {
    let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    let items = rest(&mut reader);
    let (mut chunks, mut gaps) = (0, 0);
    for item in &items {
        match item {
            Item::Chunk { run, stream, bytes, position_after, .. } => {
                let from = position_after.0 - bytes.len() as u64;
                chunks += bytes.len() as u64;
                (from..).zip(bytes).for_each(|(at, byte)| given(at, (*run, *stream, *byte)));
            }
            Item::Gap { bytes, .. } => gaps += bytes,
            Item::Start { .. } | Item::End { .. } => {}
        }
    }
    assert_eq!(chunks + gaps, reader.position().0);
    items
}

fn check_against(store: &Store, truth: &Truth) -> Vec<Item> {
    check(store, &mut |position, whose| assert_eq!(truth.get(&position), Some(&whose)))
}

/// A further run prints to the log; it must be found whole, and the old bytes be as they were.
fn go_on(store: &mut Store, mut truth: Truth) {
    let end = store.logs.end(&LogName::Commands).unwrap();
    let mut program = store.start(run(9), &LogName::Commands);
    program.stdout.write_all(b"further\n").unwrap();
    let finished = store.end(program);
    assert_eq!((finished.first, finished.end), (end, Position(end.0 + 8)));
    for (position, byte) in (end.0..).zip(*b"further\n") {
        truth.insert(position, (run(9), Stream::Stdout, byte));
    }
    let items = check_against(store, &truth);
    assert_eq!(output(&items, run(9), Stream::Stdout), b"further\n");
}

#[test]
fn a_flipped_bit_misleads_nobody() {
    let (mut store, index, bytes, truth) = printed();
    for place in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[place] ^= 1 << (place % 8);
        fs::write(&index, &bad).unwrap();
        let items = check_against(&store, &truth);
        let told =
            |item: &Item| matches!(item, Item::Gap { entries: 1, reason: GapReason::Damaged, .. });
        assert!(items.iter().any(told), "byte {place}");
        // A writer takes over: once for each entry.
        if place % 64 == 7 {
            go_on(&mut store, truth.clone());
            let end = truth.len() as u64;
            store.reopen(Options::default());
            let data = index.with_extension("log");
            fs::File::options().write(true).open(data).unwrap().set_len(end).unwrap();
        }
    }
}

/// Whole entries that are missing cannot be missed; but part of an entry tells that something is.
#[test]
fn an_index_may_be_cut_anywhere() {
    let (mut store, index, bytes, truth) = printed();
    let data = index.with_extension("log");
    for length in 0..bytes.len() {
        fs::write(&index, &bytes[..length]).unwrap();
        if length % 64 == 0 {
            check(&store, &mut |_, _| {});
        } else {
            check_against(&store, &truth);
        }
        if length % 64 == 1 {
            go_on(&mut store, truth.clone());
            store.reopen(Options::default());
            let file = fs::File::options().write(true).open(&data).unwrap();
            file.set_len(truth.len() as u64).unwrap();
        }
    }
}

#[test]
fn without_its_index_a_segments_bytes_are_nobodys() {
    for empty in [false, true] {
        let (mut store, index, _, truth) = printed();
        if empty {
            fs::write(&index, b"").unwrap();
        } else {
            fs::remove_file(&index).unwrap();
        }
        let reason = GapReason::Damaged;
        let gap = Item::Gap { run: None, bytes: truth.len() as u64, entries: 0, reason };
        let mut early = store.logs.reader(LogName::Commands, Position(0), Filter::default());
        assert_eq!(rest(&mut early), [gap]);
        go_on(&mut store, truth);
        // A reader that was there before the writer made the index anew.
        assert_eq!(output(&rest(&mut early), run(9), Stream::Stdout), b"further\n");
    }
}

/// After a power cut the index may know more than the segment.
#[test]
fn a_segment_may_be_cut_anywhere() {
    let (mut store, index, bytes, truth) = printed();
    let data = index.with_extension("log");
    let whole = fs::read(&data).unwrap();
    for length in 0..whole.len() {
        fs::write(&index, &bytes).unwrap();
        fs::write(&data, &whole[..length]).unwrap();
        let mut truth = truth.clone();
        truth.retain(|&position, _| position < length as u64);
        check_against(&store, &truth);
        // The index knows of all of it, so that no position is given twice.
        let end = whole.len() as u64;
        let mut program = store.start(run(9), &LogName::Commands);
        program.stdout.write_all(b"further\n").unwrap();
        assert_eq!(store.end(program).end, Position(end + 8));
        for (position, byte) in (end..).zip(*b"further\n") {
            truth.insert(position, (run(9), Stream::Stdout, byte));
        }
        let mut given = 0;
        let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
        for item in rest(&mut reader) {
            if let Item::Chunk { run, stream, bytes, position_after, .. } = item {
                let from = position_after.0 - bytes.len() as u64;
                for (at, byte) in (from..).zip(bytes) {
                    assert_eq!(truth.get(&at), Some(&(run, stream, byte)));
                    given += 1;
                }
            }
        }
        assert!(given >= 8);
        store.logs.close();
        for kind in ["log", "idx", "sum"] {
            fs::remove_file(data.with_file_name(format!("{end:016x}.{kind}"))).ok();
        }
        fs::remove_file(data.with_extension("sum")).ok();
        store.reopen(Options::default());
    }
}

/// The file whose name says in which boot the store was looked through.
fn mark(store: &Store) -> PathBuf {
    let entries = fs::read_dir(store.root()).unwrap().map(|entry| entry.unwrap().path());
    let mut marks = entries.filter(|path| path.to_str().unwrap().contains("/boot-"));
    let mark = marks.next().unwrap();
    assert_eq!(marks.next(), None);
    mark
}

/// After a power cut a file may be longer than what was written of it: in the next boot its zeros are cut off and told, once;
/// within a boot they are a program's.
#[test]
fn zeros_that_a_power_cut_left_are_cut_off_and_told() {
    // In the last block, and a hole after it.
    for zeros in [1, 4000, 10_000] {
        let (mut store, index, _, truth) = printed();
        let data = index.with_extension("log");
        let whole = truth.len() as u64;
        fs::File::options().write(true).open(&data).unwrap().set_len(whole + zeros).unwrap();
        store.reopen(Options::default());
        assert_eq!(fs::metadata(&data).unwrap().len(), whole + zeros, "it was the same boot");
        store.logs.close();
        fs::rename(mark(&store), store.root().join("boot-before")).unwrap();
        store.reopen(Options::default());
        let reason = GapReason::Damaged;
        let gap = Item::Gap { run: None, bytes: zeros, entries: 0, reason };
        let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
        let items = rest(&mut reader);
        assert_eq!(items.last(), Some(&gap));
        assert_eq!(items.iter().filter(|item| matches!(item, Item::Gap { .. })).count(), 1);
        assert_eq!(reader.position(), Position(whole + zeros), "no position is given twice");
        for number in 0..3 {
            assert_eq!(output(&items, run(number), Stream::Stdout), b"line 0\nline 2\n");
        }
        assert_ne!(mark(&store), store.root().join("boot-before"));
        // Now they are a program's.
        let mut program = store.start(run(9), &LogName::Commands);
        program.stdout.write_all(&[0; 9]).unwrap();
        assert_eq!(store.end(program).end, Position(whole + zeros + 9));
        store.reopen(Options::default());
        let items = store.items(&LogName::Commands, Filter::default());
        assert_eq!(output(&items, run(9), Stream::Stdout), [0; 9]);
        assert_eq!(gaps(&items), [&gap], "it is told once, also by a closed segment");
        // A reader that had come into the zeros is told of the rest of them.
        let from = Position(whole + 1);
        let mut reader = store.logs.reader(LogName::Commands, from, Filter::default());
        let bytes = zeros - 1;
        let rest_of = Item::Gap { run: None, bytes, entries: 0, reason };
        assert_eq!(gaps(&rest(&mut reader)).contains(&&rest_of), bytes > 0);
    }
}

/// As a daemon that died over the first look in this boot leaves it.
fn is_looked_through_again(store: &mut Store) {
    store.logs.close();
    let mark = mark(store);
    let now = fs::metadata(&mark).unwrap().modified().unwrap();
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_nanos();
    fs::write(mark, now.to_string()).unwrap();
    store.reopen(Options::default());
}

/// The ends of runs, and how many bytes are missing.
fn ends_and_missing(store: &Store) -> (usize, u64) {
    let items = store.items(&LogName::Commands, Filter::default());
    let ends = items.iter().filter(|item| matches!(item, Item::End { .. })).count();
    let missing = gaps(&items).into_iter().map(|gap| {
        let Item::Gap { bytes, reason: GapReason::Damaged, .. } = gap else {
            panic!("{gap:?}");
        };
        *bytes
    });
    (ends, missing.sum())
}

/// A daemon that dies over that leaves it to the next one, whichever of its steps came to the disk: it finds the same, and what
/// is written then has positions of its own.
#[test]
fn zeros_are_cut_off_to_the_end_by_whoever_comes() {
    // Whether whole pages of zeros were written, so that the next one finds more to cut.
    for zeros in [5, 3 * 4096] {
        let (mut store, index, _, truth) = printed();
        let data = index.with_extension("log");
        let whole = truth.len() as u64;
        store.logs.close();
        let file = fs::File::options().write(true).open(&data).unwrap();
        file.write_all_at(&vec![0; usize::try_from(zeros).unwrap()], whole).unwrap();
        store.reopen(Options::default());
        is_looked_through_again(&mut store);
        for _ in 0..3 {
            // What is not cut yet belongs to nobody, since it stands behind the last end.
            assert_eq!(ends_and_missing(&store), (3, zeros));
            is_looked_through_again(&mut store);
        }
        // The index came to the disk, and the new length of the data did not.
        file.set_len(whole + zeros).unwrap();
        is_looked_through_again(&mut store);
        assert_eq!(ends_and_missing(&store), (3, zeros));
        let mut program = store.start(run(9), &LogName::Commands);
        program.stdout.write_all(b"on\n").unwrap();
        assert_eq!(store.end(program).end, Position(whole + zeros + 3));
    }
}

/// Where the index had come to the disk further than the data, nothing that it knows of is given again.
#[test]
fn zeros_are_cut_off_of_what_was_longer() {
    let (mut store, index, _, truth) = printed();
    let data = index.with_extension("log");
    let whole = truth.len() as u64;
    store.reopen(Options::default());
    store.logs.close();
    // The last ten bytes are gone, and three of what is left were never written.
    let file = fs::File::options().write(true).open(&data).unwrap();
    file.set_len(whole - 10).unwrap();
    file.write_all_at(&[0; 3], whole - 13).unwrap();
    is_looked_through_again(&mut store);
    assert_eq!(fs::metadata(&data).unwrap().len(), whole - 13);
    assert_eq!(ends_and_missing(&store), (3, 13));
    let mut program = store.start(run(9), &LogName::Commands);
    program.stdout.write_all(b"on\n").unwrap();
    assert_eq!(store.end(program).end, Position(whole + 3));
}

/// Where the index alone had come to the disk, one gap says how much is missing, however many pieces it was; once, in whichever
/// boot; and those who look after the machine are not sent to look for who did it.
#[test]
fn what_the_index_alone_knows_of_is_one_gap() {
    let (mut store, index, _, truth) = printed();
    let data = index.with_extension("log");
    let whole = truth.len() as u64;
    store.logs.close();
    let file = fs::File::options().write(true).open(&data).unwrap();
    // In the first line of the first run, before most entries.
    file.set_len(3).unwrap();
    for boot in 0..3 {
        is_looked_through_again(&mut store);
        assert_eq!(ends_and_missing(&store), (3, whole - 3), "boot {boot}");
        let items = store.items(&LogName::Commands, Filter::default());
        assert_eq!(gaps(&items).len(), 1, "{items:?}");
        assert_eq!(store.logs.problems(), []);
    }
    // Who has read further before, and goes on there, misses no end.
    let mut reader = store.logs.reader(LogName::Commands, Position(whole - 2), Filter::default());
    let ends = rest(&mut reader).into_iter().filter(|item| matches!(item, Item::End { .. }));
    assert_eq!(ends.count(), 3);
    let mut program = store.start(run(9), &LogName::Commands);
    program.stdout.write_all(b"on\n").unwrap();
    assert_eq!(store.end(program).end, Position(whole + 3));
    assert_eq!(ends_and_missing(&store), (4, whole - 3));
}

/// A store that is closed, with `0123456789`, `abcdefghij` and `.` of a unit, and what it is to be opened with.
fn in_three_segments() -> (Store, Options) {
    let options = Options { segment_bytes: 10, ..Options::default() };
    let store = Store::with(options);
    let mut program = store.start(run(1), &unit("web"));
    program.stdout.write_all(b"0123456789abcdefghij.").unwrap();
    let _ = store.end(program);
    store.logs.close();
    (store, options)
}

/// Zeros may be at the end of a segment that was closed when the next one was begun, too, or its end be missing.
#[test]
fn a_segment_that_was_just_closed_is_looked_through_too() {
    type Cut = fn(&fs::File);
    let zeros: Cut = |file| file.write_all_at(&[0; 4], 6).unwrap();
    let short: Cut = |file| file.set_len(6).unwrap();
    for cut in [zeros, short] {
        let (mut store, options) = in_three_segments();
        for base in [0, 10] {
            let segment = store.root().join(format!("units/web/{base:016x}.log"));
            cut(&fs::File::options().write(true).open(&segment).unwrap());
            fs::remove_file(segment.with_extension("sum")).ok();
        }
        fs::remove_file(mark(&store)).unwrap();
        store.reopen(options);
        for _ in 0..2 {
            let items = store.items(&unit("web"), Filter::default());
            let reason = GapReason::Damaged;
            let gap = Item::Gap { run: None, bytes: 4, entries: 0, reason };
            assert_eq!(gaps(&items), [&gap, &gap]);
            assert_eq!(output(&items, run(1), Stream::Stdout), b"012345abcdef.");
            assert_eq!(store.logs.problems(), []);
            store.reopen(options);
        }
    }
}

/// Whatever of the index is damaged besides, and wherever the segment ends or becomes zeros: no byte is given to the wrong run.
#[test]
fn a_power_cut_misleads_nobody() {
    let (mut store, index, bytes, truth) = printed();
    let data = index.with_extension("log");
    let whole = fs::read(&data).unwrap();
    store.logs.close();
    for bad in (0..bytes.len()).step_by(64) {
        for length in (0..whole.len()).step_by(5) {
            let mut damaged = bytes.clone();
            damaged[bad..bad + 64].fill(0);
            for tail in [0, 5] {
                let mut cut = whole[..length].to_vec();
                cut.resize(length + tail, 0);
                fs::write(&index, &damaged).unwrap();
                fs::write(&data, &cut).unwrap();
                fs::remove_file(index.with_extension("crc")).ok();
                is_looked_through_again(&mut store);
                let mut truth = truth.clone();
                truth.retain(|&position, _| position < length as u64);
                check_against(&store, &truth);
                store.logs.close();
            }
        }
    }
}

/// A closed segment in the middle that came to the disk by its name alone: it was lost, and not removed for what it took.
#[test]
fn a_closed_segment_that_has_lost_all_was_not_removed() {
    let (mut store, options) = in_three_segments();
    let middle = store.root().join("units/web/000000000000000a.log");
    for kind in ["log", "idx"] {
        fs::write(middle.with_extension(kind), b"").unwrap();
    }
    fs::remove_file(middle.with_extension("sum")).ok();
    store.reopen(options);
    let items = store.items(&unit("web"), Filter::default());
    let gap = Item::Gap { run: None, bytes: 10, entries: 0, reason: GapReason::Vanished };
    assert_eq!(gaps(&items), [&gap]);
    assert_eq!(output(&items, run(1), Stream::Stdout), b"0123456789.");
}

/// A gap that says something else than that is told after what is missing before it, each by its own word.
#[test]
fn what_vanished_before_another_gap_is_told_apart() {
    let (store, index, _, _) = printed();
    let mut program = store.start(run(9), &LogName::Commands);
    program.stdout.write_all(b"further\n").unwrap();
    holds("it is kept", || {
        let items = store.items(&LogName::Commands, of(run(9)));
        output(&items, run(9), Stream::Stdout) == b"further\n"
    });
    store.logs.closed(run(9), 2_000_000).unwrap();
    let _ = store.end(program);
    let data = index.with_extension("log");
    let length = fs::metadata(&data).unwrap().len();
    fs::File::options().write(true).open(&data).unwrap().set_len(length - 4).unwrap();
    let items = store.items(&LogName::Commands, Filter::default());
    let reasons: Vec<_> = gaps(&items)
        .into_iter()
        .filter_map(|gap| match gap {
            Item::Gap { run, bytes, reason, .. } => Some((*run, *bytes, *reason)),
            Item::Chunk { .. } | Item::Start { .. } | Item::End { .. } => None,
        })
        .collect();
    assert_eq!(reasons, [(None, 4, GapReason::Vanished), (Some(run(9)), 0, GapReason::Closed)]);
}

/// What was written long before a log's last write anywhere is on the disk, whatever it is.
#[test]
fn zeros_that_are_on_the_disk_for_long_are_kept() {
    let mut store = Store::new();
    for (number, name) in [(1, "old"), (2, "new")] {
        let mut program = store.start(run(number), &unit(name));
        program.stdout.write_all(b"text\0\0").unwrap();
        let _ = store.end(program);
    }
    store.logs.close();
    let path = |name: &str| store.root().join(format!("units/{name}/0000000000000000.log"));
    let written = fs::metadata(path("new")).unwrap().modified().unwrap();
    let old = written.checked_sub(Duration::from_secs(3600)).unwrap();
    fs::File::options().write(true).open(path("old")).unwrap().set_modified(old).unwrap();
    fs::remove_file(mark(&store)).unwrap();
    store.reopen(Options::default());
    for (number, name, expected) in [(1, "old", &b"text\0\0"[..]), (2, "new", b"text")] {
        let items = store.items(&unit(name), Filter::default());
        assert_eq!(output(&items, run(number), Stream::Stdout), expected);
    }
}
