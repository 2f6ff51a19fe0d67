//! Indexes that are torn, cut short or have flipped bits: no byte is ever given to the wrong run.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};

use logs::{Filter, GapReason, Item, LogName, Options, Position, Stream};
use units::RunId;

use crate::fixture::{Store, follow, output, rest, run};

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
        let end = length as u64;
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
        store.reopen(Options::default());
    }
}
