//! Several logs read as one, from their beginnings, from a time, from their last lines, and from any cursor.

use std::{collections::BTreeMap, io::Write};

use logs::{Item, LogName, Merge, Merged, Options, Place, Position, Stream, Wanted};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use units::RunId;

use crate::fixture::{Store, follow, rest, run, unit};

const SECOND: u64 = 1_000_000_000;

fn whole(log: &LogName, from: impl Into<Place>) -> Wanted {
    Wanted { log: log.clone(), runs: Vec::new(), from: from.into() }
}

fn drain(merge: &mut Merge) -> Vec<Merged> {
    merge.look().unwrap();
    std::iter::from_fn(|| merge.next_item().unwrap()).collect()
}

fn text(items: &[Merged]) -> String {
    let bytes = items.iter().filter_map(|merged| match &merged.item {
        Item::Chunk { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        Item::Start { .. } | Item::End { .. } | Item::Gap { .. } => None,
    });
    bytes.collect()
}

/// Lines of several logs with these times, in this order, as the daemon's own log is written.
fn written(logs: &[LogName], lines: &[(usize, u64)]) -> Store {
    let mut store = Store::with(Options { segment_bytes: 64, ..Options::default() });
    for (number, (log, time)) in lines.iter().enumerate() {
        let line = format!("{log}:{number}");
        let source = run(u64::try_from(*log).unwrap());
        store.logs.append(&logs[*log], source, line.as_bytes(), time * SECOND);
    }
    store.reopen(Options { segment_bytes: 64, ..Options::default() });
    store
}

fn units(count: usize) -> Vec<LogName> {
    (0..count).map(|number| unit(&format!("u{number}"))).collect()
}

/// However logs and times lie to each other: each line once, each log in its order, the whole in the order of time where the
/// times of each log are, and the same from every cursor on.
#[test]
fn a_merge_has_each_line_once_and_each_log_in_its_order() {
    let lines = vec((0..3_usize, 0..20_u64), 0..40);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    runner
        .run(&(lines, any::<bool>()), |(mut lines, steps)| {
            if !steps {
                lines.sort_by_key(|(_, time)| *time);
            }
            let logs = units(3);
            let store = written(&logs, &lines);
            let all = logs.iter().map(|log| whole(log, Position(0))).collect();
            let mut merge = store.logs.merge(all, None, None, false);
            let read = drain(&mut merge);
            let said = text(&read);
            let mut expected: Vec<String> = lines
                .iter()
                .enumerate()
                .map(|(number, (log, _))| format!("{log}:{number}"))
                .collect();
            if steps {
                for log in 0..3 {
                    let of = |line: &&str| line.starts_with(&format!("{log}:"));
                    let told: Vec<_> = said.lines().filter(of).collect();
                    let wanted: Vec<_> = expected.iter().map(String::as_str).filter(of).collect();
                    prop_assert_eq!(told, wanted);
                }
            } else {
                let time =
                    |line: &str| lines[line.split_once(':').unwrap().1.parse::<usize>().unwrap()].1;
                let times: Vec<u64> = said.lines().map(time).collect();
                prop_assert!(times.is_sorted(), "{said}");
                let mut told: Vec<String> = said.lines().map(str::to_owned).collect();
                told.sort();
                expected.sort();
                prop_assert_eq!(told, expected);
            }
            let all = logs.iter().map(|log| whole(log, Position(0))).collect();
            let mut merge = store.logs.merge(all, None, None, false);
            merge.look().unwrap();
            let mut before = Vec::new();
            while let Some(merged) = merge.next_item().unwrap() {
                before.push(merged);
                let on = merge.places().map(|(log, place)| {
                    let cursor = place.cursor(log);
                    whole(log, Place::parse(&cursor).unwrap().1)
                });
                let mut on = store.logs.merge(on.collect(), None, None, false);
                let joined = format!("{}{}", text(&before), text(&drain(&mut on)));
                prop_assert_eq!(&joined, &said);
            }
            Ok(())
        })
        .unwrap();
}

/// One output, and what it said: where it ended and what it was, in the order of the ends.
fn ends(items: &[Item]) -> Vec<(RunId, Stream, u64, Vec<u8>)> {
    let mut open: BTreeMap<(RunId, Stream), (u64, Vec<u8>)> = BTreeMap::new();
    let mut lines = Vec::new();
    for item in items {
        let Item::Chunk { run, stream, bytes, position_after, .. } = item else { continue };
        let begin = position_after.0 - u64::try_from(bytes.len()).unwrap();
        for (number, byte) in bytes.iter().enumerate() {
            let line = open.entry((*run, *stream)).or_default();
            line.0 = begin + u64::try_from(number).unwrap();
            line.1.push(*byte);
            if *byte == b'\n' {
                let (at, line) = open.remove(&(*run, *stream)).unwrap();
                lines.push((*run, *stream, at, line));
            }
        }
    }
    lines.extend(open.into_iter().map(|((run, stream), (at, line))| (run, stream, at, line)));
    lines.sort_by_key(|(_, _, at, _)| *at);
    lines
}

type Outputs = BTreeMap<(RunId, Stream), Vec<u8>>;

fn outputs<'a>(items: impl Iterator<Item = &'a Item>) -> Outputs {
    let mut outputs = Outputs::new();
    for item in items {
        if let Item::Chunk { run, stream, bytes, .. } = item {
            outputs.entry((*run, *stream)).or_default().extend(bytes);
        }
    }
    outputs
}

/// Pieces of output that lie between each other in one log.
fn interleaved(pieces: &[(u64, Stream, String)], segment_bytes: u64) -> (Store, Vec<Item>) {
    let options = Options { segment_bytes, ..Options::default() };
    let store = Store::with(options);
    let log = unit("u");
    let mut programs: Vec<_> = (0..2).map(|number| store.start(run(number), &log)).collect();
    let mut reader = store.logs.reader(log.clone(), Position(0), logs::Filter::default());
    for (program, stream, piece) in pieces {
        let program = &mut programs[usize::try_from(*program).unwrap()];
        let output = match stream {
            Stream::Stdout => &mut program.stdout,
            Stream::Stderr => &mut program.stderr,
        };
        output.write_all(piece.as_bytes()).unwrap();
        let mut left = piece.len();
        while left > 0 {
            if let Item::Chunk { bytes, .. } = follow(&mut reader) {
                left -= bytes.len();
            }
        }
    }
    programs.into_iter().for_each(|program| drop(store.end(program)));
    let items = store.items(&log, logs::Filter::default());
    (store, items)
}

/// The last lines, of all, of one run, of one stream: those that ended last, whole, and nothing else; whatever lies between
/// them, where segments end, and from every cursor on.
#[test]
fn the_last_lines_are_whole_and_no_others_come() {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let pieces = vec((0..2_u64, stream, "[a-z\n]{1,9}"), 1..25);
    let only = prop_oneof![Just(None), Just(Some(Stream::Stdout)), Just(Some(Stream::Stderr))];
    let wanted = (0..12_u64, proptest::option::of(0..2_u64), only);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(96));
    runner
        .run(&(pieces, wanted, 20..200_u64), |(pieces, (count, of, only), size)| {
            let (store, items) = interleaved(&pieces, size);
            let runs: Vec<RunId> = of.map(run).into_iter().collect();
            let log = unit("u");
            let place = store.logs.place(&log, (&runs, only), None, Some(count)).unwrap().unwrap();
            let ours = |run: &RunId, stream: &Stream| {
                (runs.is_empty() || runs.contains(run)) && only.is_none_or(|only| only == *stream)
            };
            let mut lines = ends(&items);
            lines.retain(|(run, stream, _, _)| ours(run, stream));
            let first = lines.len().saturating_sub(usize::try_from(count).unwrap());
            let mut expected = Outputs::new();
            for (run, stream, _, line) in &lines[first..] {
                expected.entry((*run, *stream)).or_default().extend(line);
            }
            let from = |place| Wanted { log: log.clone(), runs: runs.clone(), from: place };
            let mut merge = store.logs.merge(vec![from(place)], only, None, false);
            merge.look().unwrap();
            let (mut read, mut on) = (Vec::new(), Vec::new());
            while let Some(merged) = merge.next_item().unwrap() {
                read.push(merged.item);
                let (log, place) = merge.places().next().unwrap();
                let cursor = place.cursor(log);
                on.push((read.len(), Place::parse(&cursor).unwrap().1));
            }
            prop_assert_eq!(&outputs(read.iter()), &expected);
            for (read_before, place) in on {
                let mut merge = store.logs.merge(vec![from(place)], only, None, false);
                let later = drain(&mut merge);
                let joined = read[..read_before].iter().chain(later.iter().map(|it| &it.item));
                prop_assert_eq!(&outputs(joined), &expected);
            }
            Ok(())
        })
        .unwrap();
}

/// From a time on, up to a time: by the piece, and a line that was begun before is left out.
#[test]
fn a_span_of_time_has_what_was_printed_in_it() {
    let logs = units(2);
    let lines: Vec<(usize, u64)> =
        (1..=100).map(|time| (usize::from(time % 3 == 0), time)).collect();
    let store = written(&logs, &lines);
    for (since, until) in [(1, 101), (0, 50), (50, 51), (33, 70), (100, 200), (101, 200)] {
        let wanted = logs.iter().map(|log| {
            let place = store.logs.place(log, (&[], None), Some(since * SECOND), None).unwrap();
            whole(log, place.unwrap())
        });
        let mut merge = store.logs.merge(wanted.collect(), None, Some(until * SECOND), false);
        let said = text(&drain(&mut merge));
        let told: Vec<u64> =
            said.lines().map(|line| line[2..].parse::<u64>().unwrap() + 1).collect();
        let expected: Vec<u64> = (since.max(1)..until.min(101)).collect();
        assert_eq!(told, expected, "{since}..{until}");
        assert_eq!(merge.is_over(), until <= 99, "{since}..{until}");
    }
}

/// A line whose beginning lies before the moment is left out up to its end, also where that comes later.
#[test]
fn a_line_belongs_to_the_moment_of_its_first_byte() {
    let pieces = [(0, "half"), (1, "other "), (0, " of it\nnext\n"), (1, "line\n")];
    let pieces: Vec<_> =
        pieces.iter().map(|(run, text)| (*run, Stream::Stdout, (*text).to_owned())).collect();
    let (store, items) = interleaved(&pieces, 1 << 20);
    let times: Vec<u64> = items
        .iter()
        .filter_map(|item| if let Item::Chunk { time, .. } = item { Some(*time) } else { None })
        .collect();
    let log = unit("u");
    let place = store.logs.place(&log, (&[], None), Some(times[2]), None).unwrap().unwrap();
    let mut merge = store.logs.merge(vec![whole(&log, place)], None, None, false);
    assert_eq!(text(&drain(&mut merge)), "next\n");
}

/// A clock that steps back: the first place that is not older counts, segment by segment, and from there on all.
#[test]
fn a_clock_that_steps_back_hides_nothing_behind_the_place_of_a_time() {
    let logs = units(1);
    // Each segment has a few lines; the clock steps back from 60 to 10.
    let lines: Vec<(usize, u64)> = (1..=60).chain(10..=80).map(|time| (0, time)).collect();
    let store = written(&logs, &lines);
    let since = |time: u64| {
        let place = store.logs.place(&logs[0], (&[], None), Some(time * SECOND), None).unwrap();
        let mut merge = store.logs.merge(vec![whole(&logs[0], place.unwrap())], None, None, false);
        text(&drain(&mut merge))
            .lines()
            .map(|line| line[2..].parse().unwrap())
            .collect::<Vec<u64>>()
    };
    for time in [5, 30, 55] {
        assert_eq!(since(time), (time - 1..131).collect::<Vec<u64>>(), "{time}");
    }
    // Later than the clock was before it stepped.
    assert_eq!(since(70), (120..131).collect::<Vec<u64>>());
    assert_eq!(since(90), Vec::<u64>::new());
}

/// Who follows all that programs print is told of logs that come into being.
#[test]
fn a_log_that_comes_into_being_is_followed() {
    let store = Store::new();
    let mut merge = store.logs.merge(Vec::new(), None, None, true);
    assert_eq!(text(&drain(&mut merge)), "");
    store.logs.append(&LogName::Daemon, run(1), b"not a program", 1);
    store.logs.append(&unit("new"), run(2), b"hello", 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut said = String::new();
    while said.is_empty() {
        runtime.block_on(merge.changed()).unwrap();
        said = text(&drain(&mut merge));
    }
    assert_eq!(said, "hello\n");
    store.logs.append(&unit("new"), run(2), b"again", 1);
    while !said.ends_with("again\n") {
        runtime.block_on(merge.changed()).unwrap();
        said += &text(&drain(&mut merge));
    }
    assert_eq!(said, "hello\nagain\n");
}

/// The end of a log of any length: no more of it is read than the lines take.
#[test]
fn a_line_of_ten_mebibytes_and_none_at_its_end() {
    let store = Store::new();
    let log = unit("u");
    let mut program = store.start(run(1), &log);
    let mut long = vec![b'x'; 10 << 20];
    long.push(b'\n');
    let mut reader = store.logs.reader(log.clone(), Position(0), logs::Filter::default());
    program.stdout.write_all(b"before\n").unwrap();
    program.stdout.write_all(&long).unwrap();
    program.stdout.write_all(b"rest").unwrap();
    store.end(program);
    let all = rest(&mut reader);
    for (count, length) in [(1, 4), (2, long.len() + 4), (3, long.len() + 11)] {
        let place = store.logs.place(&log, (&[], None), None, Some(count)).unwrap().unwrap();
        let mut merge = store.logs.merge(vec![whole(&log, place)], None, None, false);
        assert_eq!(text(&drain(&mut merge)).len(), length, "{count}");
    }
    assert!(!all.is_empty());
}
