//! Lines of which not all is there any more are not shown as if they were whole.

use std::{fs::File, io::Write, os::fd::OwnedFd, path::Path};

use logs::{
    Attach, Filter, Finished, Item, Line, LineCutter, LogName, LogStore, Options, Position,
    Retention, Stream,
};
use tempfile::TempDir;

use crate::fixture::{holds, pipe, rest, run};

const LOG: LogName = LogName::Commands;

/// As doors cut them.
fn cut_lines(items: &[Item]) -> Vec<Line> {
    let (mut cutter, mut lines) = (LineCutter::default(), Vec::new());
    for item in items {
        match item {
            Item::Chunk { run, stream, time, continues, bytes, .. } => {
                if *continues {
                    cutter.continues(*run, *stream);
                }
                lines.extend(cutter.push(*run, *stream, *time, bytes));
            }
            Item::Gap { run, .. } => lines.extend(cutter.tear(*run)),
            Item::End { run, .. } => lines.extend(cutter.finish(*run)),
            Item::Start { .. } => {}
        }
    }
    lines
}

/// A program whose output is taken by one store after the other.
struct Printer {
    number: u64,
    stdout: File,
    /// The read end, as the keeper holds it; and standard error.
    held: [OwnedFd; 2],
}

impl Printer {
    fn new(number: u64) -> Self {
        let ((read, stdout), (stderr, _)) = (pipe(), pipe());
        Self { number, stdout, held: [read, stderr] }
    }

    fn attach(&self, logs: &LogStore, resumed: bool) {
        let [stdout, stderr] = self.held.each_ref().map(|end| end.try_clone().unwrap());
        logs.attach(Attach { run: run(self.number), log: LOG, stdout, stderr, resumed }).unwrap();
    }
}

/// Prints halves of lines by turns, each of which is kept before the next one comes.
struct Halves {
    printers: [Printer; 2],
    printed: u64,
}

impl Halves {
    fn print(&mut self, logs: &LogStore, numbers: std::ops::Range<u64>, halves: usize) {
        let steps = numbers.flat_map(|number| [(number, 0..37), (number, 37..100)]);
        for (number, half) in steps.take(halves) {
            for printer in &mut self.printers {
                let line = format!("{number:099}\n");
                printer.stdout.write_all(&line.as_bytes()[half.clone()]).unwrap();
                self.printed += half.len() as u64;
                holds("it is kept", || logs.end(&LOG).unwrap().0 == self.printed);
            }
        }
    }
}

fn bounded(root: &Path, retention: Retention) -> LogStore {
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let nobody = |_: Finished| {};
    LogStore::open_bounded(root, root, (options, retention), Box::new(nobody)).unwrap()
}

fn read(logs: &LogStore) -> Vec<Item> {
    rest(&mut logs.reader(LOG, Position(0), Filter::default()))
}

/// Two programs print by turns in halves of lines, over a restart too. When the oldest is gone, of each program exactly the
/// first line that is left has lost its beginning, and that is said; every other line is whole, and none is missing.
#[test]
fn the_rest_of_a_line_whose_beginning_is_gone_is_told_from_a_whole_one() {
    let folder = TempDir::new().unwrap();
    let logs = bounded(folder.path(), Retention::default());
    let mut halves = Halves { printers: [1, 2].map(Printer::new), printed: 0 };
    halves.printers.iter().for_each(|printer| printer.attach(&logs, false));
    halves.print(&logs, 0..1000, 2000);
    let lines = cut_lines(&read(&logs));
    assert_eq!((lines.len(), lines.iter().filter(|line| line.cut).count()), (2000, 0));
    // The next daemon goes on in the middle of both lines, and keeps little.
    halves.print(&logs, 1000..1001, 1);
    logs.close();
    let mut retention = Retention::default();
    retention.each.bytes = Some(256 << 10);
    let logs = bounded(folder.path(), retention);
    halves.printers.iter().for_each(|printer| printer.attach(&logs, true));
    for printer in &mut halves.printers {
        printer.stdout.write_all(&format!("{:099}\n", 1000).as_bytes()[37..]).unwrap();
        halves.printed += 63;
        holds("it is kept", || logs.end(&LOG).unwrap().0 == halves.printed);
    }
    let mut next = 1001;
    let mut seen = [0; 3];
    // Until the first segment that is left has begun in the middle of lines, and between them.
    for _ in 0..40 {
        halves.print(&logs, next..next + 50, 100);
        next += 50;
        let items = read(&logs);
        let Some(Item::Gap { bytes, .. }) = items.first() else { continue };
        let lines = cut_lines(&items);
        for number in [1, 2] {
            let of: Vec<&Line> = lines.iter().filter(|line| line.run == run(number)).collect();
            let last = (0..next).rev().zip(of.iter().rev());
            let (first, cut) = (of[0], of.iter().filter(|line| line.cut).count());
            for (expected, line) in last.clone() {
                let expected = format!("{expected:099}");
                let (text, line) = (line.bytes.as_slice(), *line);
                assert!(
                    text == expected.as_bytes()
                        || (line.cut && expected.as_bytes().ends_with(text))
                );
                assert_eq!(line.cut, text.len() < 99, "of {number}: {line:?}");
            }
            assert_eq!((cut, first.cut), (usize::from(first.cut), cut == 1));
            assert_eq!(first.stream, Stream::Stdout);
            seen[cut] += 1;
        }
        let left: usize = lines.iter().map(|line| line.bytes.len() + 1).sum();
        assert_eq!(bytes + left as u64, halves.printed, "every byte is a line's or missing");
    }
    assert!(seen[1] > 0, "no segment began within a line: {seen:?}");
    println!("lines cut, readings of one program: none {}, the first {}", seen[0], seen[1]);
}

/// Where lines are whole in each segment, as those of the daemon's own log and of a quiet program, none is called cut; one that
/// is longer than what is left of a segment is.
#[test]
fn a_line_of_the_daemon_is_cut_only_where_it_is() {
    let folder = TempDir::new().unwrap();
    let mut retention = Retention::default();
    retention.each.bytes = Some(256 << 10);
    let logs = bounded(folder.path(), retention);
    let reading = |logs: &LogStore| {
        let items = rest(&mut logs.reader(LogName::Daemon, Position(0), Filter::default()));
        cut_lines(&items)
    };
    let mut printed = 0;
    let (mut cut, mut whole) = (0, 0);
    for number in 0..60_u64 {
        let text = format!("{number:09999}\n");
        printed += text.len() as u64;
        logs.append(&LogName::Daemon, run(1), text.as_bytes(), number * 10_000_000);
        holds("it is kept", || logs.end(&LogName::Daemon).unwrap().0 == printed);
        let lines = reading(&logs);
        for (place, line) in lines.iter().enumerate() {
            assert_eq!(line.cut, line.bytes.len() < 9999, "{place}");
            assert!(!line.cut || place == 0);
        }
        let first = lines.first().is_some_and(|line| line.cut);
        (cut, whole) = (cut + usize::from(first), whole + usize::from(!first));
    }
    println!("the first line was cut in {cut} readings and whole in {whole}");
    assert!(cut > 0 && whole > 0);
}
