//! Output, and circumstances, that are out of the ordinary: what was printed is what is kept.

use std::{io::Write, thread};

use logs::{Filter, Item, LogName, Options, Position, Stream};
use units::RunId;

use crate::fixture::{Program, Store, gaps, of, output, rest, run, unit};

/// Lines of 10 MiB, NULs, bytes of every value, and no newline at the end; by splice, and by copying.
#[test]
fn any_bytes_are_kept_as_they_are() {
    for copy in [false, true] {
        let options = Options { copy, segment_bytes: 7_000_000, ..Options::default() };
        let store = Store::with(options);
        let mut program = store.start(run(1), &LogName::Commands);
        let mut text = vec![b'l'; 10 << 20];
        text.extend(b"\n\0\0\0\n\n");
        text.extend(
            (0..300_000_u32)
                .flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()),
        );
        text.extend(vec![0; 10 << 20]);
        text.extend(b"\nno newline at the end");
        program.stdout.write_all(&text).unwrap();
        let finished = store.end(program);
        assert_eq!(finished.stdout_total, text.len() as u64);
        let items = store.items(&LogName::Commands, of(run(1)));
        assert!(output(&items, run(1), Stream::Stdout) == text);
        assert_eq!(gaps(&items), Vec::<&Item>::new());
        let copies = store.logs.problems().iter().any(|problem| problem.text.contains("splice"));
        assert_eq!(copies, copy, "it is told where output is copied");
    }
}

/// Order is that of places: whatever the clock says, what was written first is read first, and a reader goes on anywhere.
#[test]
fn a_clock_that_steps_back_changes_no_order() {
    let store = Store::with(Options { segment_bytes: 500, ..Options::default() });
    let hour = 3_600_000_000_000;
    let times = (0..100_u64).map(|number| 10_000 * hour - (number % 7) * hour + number);
    let mut written = Vec::new();
    for (number, time) in times.enumerate() {
        let line = format!("line {number}");
        store.logs.append(&LogName::Daemon, run(1), line.as_bytes(), time);
        written.extend(line.bytes().chain([b'\n']));
    }
    store.logs.close();
    let mut reader = store.logs.reader(LogName::Daemon, Position(0), Filter::default());
    let items = rest(&mut reader);
    assert_eq!(output(&items, run(1), Stream::Stdout), written);
    assert_eq!(gaps(&items), Vec::<&Item>::new());
    for from in [1, 250, written.len() as u64 - 3] {
        let items =
            rest(&mut store.logs.reader(LogName::Daemon, Position(from), Filter::default()));
        let from = usize::try_from(from).unwrap();
        assert_eq!(output(&items, run(1), Stream::Stdout), written[from..]);
    }
}

/// A thousand units print at once, each into its own log, with segments being closed and sealed under way.
#[test]
fn a_thousand_units_log_at_once_and_every_line_is_there() {
    const UNITS: u64 = 1000;
    const LINES: u64 = 60;
    // Small segments, so that each is closed several times.
    let store = Store::with(Options { segment_bytes: 1500, ..Options::default() });
    let name = |number: u64| unit(&format!("unit-{number}"));
    let mut programs: Vec<_> =
        (0..UNITS).map(|number| Some((number, store.start(run(number), &name(number))))).collect();
    let line = |unit: u64, line: u64| format!("unit {unit} line {line} {:0100}\n", unit * line);
    let print = |part: &mut [Option<(u64, Program)>], number| {
        for (unit, program) in part.iter_mut().flatten() {
            program.stdout.write_all(line(*unit, number).as_bytes()).unwrap();
        }
    };
    thread::scope(|scope| {
        for part in programs.chunks_mut(250) {
            scope.spawn(move || (0..LINES).for_each(|number| print(part, number)));
        }
    });
    let mut kept = 0;
    for (number, program) in (0..UNITS).zip(&mut programs) {
        let finished = store.end(program.take().unwrap().1);
        let items = store.items(&name(number), Filter::default());
        let id: RunId = finished.run;
        let expected: String = (0..LINES).map(|at| line(number, at)).collect();
        assert_eq!(String::from_utf8(output(&items, id, Stream::Stdout)).unwrap(), expected);
        assert_eq!(gaps(&items), Vec::<&Item>::new());
        kept += expected.lines().count() as u64;
    }
    assert_eq!(kept, UNITS * LINES);
}
