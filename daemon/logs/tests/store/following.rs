//! Readers beside a writer.

use std::{io::Write, thread};

use logs::{Filter, GapReason, Item, LogName, Options, Position, Reader, Stream};

use crate::fixture::{Program, Store, exited, follow, gaps, of, output, rest, run, unit, wait};

#[test]
fn a_follower_sees_each_line_and_then_the_end() {
    let store = Store::new();
    // Before there is anything at all.
    let mut reader = store.logs.reader(unit("web"), Position(0), of(run(1)));
    assert_eq!(reader.next(100).unwrap(), None);
    let mut program = store.start(run(1), &unit("web"));
    for number in 0..200 {
        program.stdout.write_all(format!("{number}\n").as_bytes()).unwrap();
        // A start is written with what comes next, so that a silent one wakes nobody.
        if number == 0 {
            assert!(matches!(follow(&mut reader), Item::Start { .. }));
        }
        let Item::Chunk { bytes, position_after, .. } = follow(&mut reader) else { panic!() };
        assert_eq!(bytes, format!("{number}\n").as_bytes());
        assert_eq!(position_after, reader.position());
    }
    store.end(program);
    assert!(matches!(follow(&mut reader), Item::End { .. }));
    assert_eq!(reader.next(100).unwrap(), None);
}

#[test]
fn a_follower_is_told_when_the_store_closes() {
    let store = Store::new();
    let mut reader = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    let waiting = thread::spawn(move || {
        while wait(&mut reader).is_ok() {
            assert_eq!(reader.next(100).unwrap(), None);
        }
    });
    store.logs.close();
    waiting.join().unwrap();
    let mut late = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    assert!(wait(&mut late).is_err());
}

const LINES: usize = 3_000;

/// What a run prints, line by line; every third line to its standard error.
fn lines(number: u64) -> impl Iterator<Item = (Stream, Vec<u8>)> {
    (0..LINES).map(move |line| {
        let stream = if line % 3 == 0 { Stream::Stderr } else { Stream::Stdout };
        (stream, format!("run {number} line {line}\n").into_bytes())
    })
}

fn print(mut program: Program, number: u64) {
    for (stream, line) in lines(number) {
        match stream {
            Stream::Stdout => program.stdout.write_all(&line).unwrap(),
            Stream::Stderr => program.stderr.write_all(&line).unwrap(),
        }
    }
}

fn follow_to_the_end(mut reader: Reader, number: u64) {
    let mut items = Vec::new();
    while !matches!(items.last(), Some(Item::End { .. })) {
        items.push(follow(&mut reader));
    }
    assert_eq!(gaps(&items), Vec::<&Item>::new());
    for which in Stream::BOTH {
        let own = lines(number).filter(|(stream, _)| *stream == which);
        let own: Vec<u8> = own.flat_map(|(_, line)| line).collect();
        assert!(output(&items, run(number), which) == own);
    }
}

/// Many runs print at once into small segments, and each has a follower.
#[test]
fn followers_of_busy_logs_get_exactly_their_own() {
    let options = Options { segment_bytes: 10_000, segment_entries: 50, ..Options::default() };
    let store = Store::with(options);
    thread::scope(|scope| {
        for number in 0..6 {
            let program = store.start(run(number), &LogName::Commands);
            let reader = store.logs.reader(LogName::Commands, Position(0), of(run(number)));
            let logs = &store.logs;
            scope.spawn(move || {
                print(program, number);
                logs.finish(run(number), exited(0)).unwrap();
            });
            scope.spawn(move || follow_to_the_end(reader, number));
        }
    });
}

/// From every position there is, in whatever steps: no byte twice, none missing, and always the end.
#[test]
fn reading_goes_on_at_any_position() {
    let store = Store::with(Options { segment_bytes: 37, ..Options::default() });
    let mut first = store.start(run(1), &LogName::Commands);
    let mut second = store.start(run(2), &LogName::Commands);
    let mut seen = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    for number in 0..10 {
        for (program, text) in [(&mut first, "first"), (&mut second, "second")] {
            program.stdout.write_all(format!("{text} {number}\n").as_bytes()).unwrap();
            // Each by itself, so that the outputs alternate.
            while !matches!(follow(&mut seen), Item::Chunk { .. }) {}
        }
    }
    let finished = [store.end(first), store.end(second)];
    let whole = output(&store.items(&LogName::Commands, of(run(2))), run(2), Stream::Stdout);
    assert_eq!(whole.len(), 90);
    for position in 0..=finished[1].end.0 {
        for most in [1, 7, 1_000] {
            let mut read = Vec::new();
            let mut ended = false;
            let mut at = Position(position);
            // A new reader for each item.
            loop {
                let mut reader = store.logs.reader(LogName::Commands, at, of(run(2)));
                let next = std::iter::from_fn(|| reader.next(most).unwrap())
                    .find(|item| !matches!(item, Item::Start { .. }));
                match next {
                    Some(Item::Chunk { bytes, .. }) => read.extend(bytes),
                    Some(Item::End { .. }) => ended = true,
                    other => panic!("{other:?}"),
                }
                if ended {
                    break;
                }
                at = reader.position();
            }
            assert!(whole.ends_with(&read), "from {position} by {most}");
            let before = count_before(&store, position);
            assert_eq!(read.len(), whole.len() - before, "from {position} by {most}");
        }
    }
}

/// How many bytes of run 2 lie before a position.
fn count_before(store: &Store, position: u64) -> usize {
    let mut count = 0;
    for item in store.items(&LogName::Commands, of(run(2))) {
        if let Item::Chunk { bytes, position_after, .. } = item {
            let from = position_after.0 - bytes.len() as u64;
            count += usize::try_from(position.saturating_sub(from)).unwrap().min(bytes.len());
        }
    }
    count
}

#[test]
fn a_position_beyond_the_end_is_told_and_reading_goes_on_at_the_end() {
    let store = Store::new();
    let mut program = store.start(run(1), &LogName::Commands);
    program.stdout.write_all(b"text\n").unwrap();
    store.end(program);
    let mut reader = store.logs.reader(LogName::Commands, Position(99), Filter::default());
    let items = rest(&mut reader);
    let reason = GapReason::BeyondEnd;
    assert_eq!(items.first(), Some(&Item::Gap { run: None, bytes: 0, entries: 0, reason }));
    assert_eq!(reader.position(), Position(5));
}

/// Retention takes segments away, before a reader and under one.
#[test]
fn removed_segments_are_a_gap() {
    let store = Store::with(Options { segment_bytes: 100, ..Options::default() });
    let mut program = store.start(run(1), &LogName::Commands);
    program.stdout.write_all(&vec![b'x'; 1_000]).unwrap();
    store.end(program);
    let mut under_way = store.logs.reader(LogName::Commands, Position(0), Filter::default());
    while under_way.position() < Position(50) {
        under_way.next(50).unwrap();
    }
    for base in [0_u64, 100, 200] {
        for kind in ["idx", "log"] {
            let name = format!("{base:016x}.{kind}");
            std::fs::remove_file(store.root().join("commands").join(name)).unwrap();
        }
    }
    let reason = GapReason::Removed;
    let items = rest(&mut under_way);
    assert_eq!(gaps(&items), [&Item::Gap { run: None, bytes: 200, entries: 0, reason }]);
    assert_eq!(output(&items, run(1), Stream::Stdout).len(), 750);
    let items = store.items(&LogName::Commands, Filter::default());
    assert_eq!(items.first(), Some(&Item::Gap { run: None, bytes: 300, entries: 0, reason }));
    assert_eq!(output(&items, run(1), Stream::Stdout).len(), 700);
}
