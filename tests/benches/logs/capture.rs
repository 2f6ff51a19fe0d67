//! What it costs to keep what a program prints: a GiB of lines of 100 bytes, from a process's pipe to the store, against a
//! bare loop of read and write to a file, and against s6-log.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use logs::{Attach, Cause, End, Filter, Item, LogName, LogStore, Options, Position, Retention};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use tempfile::TempDir;
use units::RunId;

use crate::printer::{self, LINE, PRINTED};

const ROUNDS: usize = 5;
/// Throughput over that of the bare loop, where programs write 4 KiB or more at a time.
const THROUGHPUT: f64 = 0.8;
/// Over that of s6-log.
const OVER_S6: f64 = 3.0;
/// Where a program writes line by line it is the limit: no slower, within what two runs of the same differ by.
const LINE_BY_LINE: f64 = 0.95;
/// And this part of the bare loop's CPU.
const CPU: f64 = 1.0 / 3.0;

/// One capture.
#[derive(Clone, Copy, Debug)]
struct Cost {
    time: Duration,
    cpu: Duration,
}

impl Cost {
    fn rate(self) -> f64 {
        PRINTED as f64 / 1e6 / self.time.as_secs_f64()
    }
}

pub(crate) fn run() -> bool {
    let mut fine = true;
    for (name, size) in [("4 KiB", 4096), ("64 KiB", 65_536), ("a line", LINE)] {
        fine &= compare(name, size);
    }
    fine
}

fn compare(name: &str, size: usize) -> bool {
    let (mut ours, mut bare, mut s6) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let folder = TempDir::new().expect("a folder");
        // In turns, and each of them first in its turn.
        if round % 2 == 0 {
            ours.push(store(&folder.path().join("logs"), size));
            bare.push(read_and_write(&folder.path().join("bare"), size));
        } else {
            bare.push(read_and_write(&folder.path().join("bare"), size));
            ours.push(store(&folder.path().join("logs"), size));
        }
        // Line by line the program is the limit, for s6-log as for all.
        if size != LINE {
            s6.extend(s6_log(&folder.path().join("s6"), size));
        }
    }
    let (ours, bare) = (median(ours), median(bare));
    let (ratio, cpu) = (ours.rate() / bare.rate(), ours.cpu.as_secs_f64() / bare.cpu.as_secs_f64());
    let bound = if size == LINE { LINE_BY_LINE } else { THROUGHPUT };
    println!(
        "logs: a GiB by {name}: {:.0} MB/s, bare loop {:.0} MB/s, ratio {ratio:.2} (bound {bound}); CPU {:?}, bare loop {:?}, ratio {cpu:.2} (bound {:.2} line by line)",
        ours.rate(),
        bare.rate(),
        ours.cpu,
        bare.cpu,
        CPU,
    );
    let mut fine = ratio >= bound && (size != LINE || cpu <= CPU);
    if s6.is_empty() {
        println!("logs: without s6-log");
    } else {
        let s6 = median(s6);
        let over = ours.rate() / s6.rate();
        println!("logs: s6-log {:.0} MB/s, ratio {over:.2} (bound {OVER_S6})", s6.rate());
        fine &= over >= OVER_S6;
    }
    fine
}

fn median(mut costs: Vec<Cost>) -> Cost {
    let middle = costs.len() / 2;
    let mut cpu: Vec<Duration> = costs.iter().map(|cost| cost.cpu).collect();
    cpu.sort_unstable();
    costs.sort_unstable_by_key(|cost| cost.time);
    Cost { time: costs[middle].time, cpu: cpu[middle] }
}

/// The CPU of this process: of all its threads, and of no program that prints.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it cannot fail");
    let time = |it: TimeVal| Duration::from_micros((it.tv_sec() * 1_000_000 + it.tv_usec()) as u64);
    time(usage.user_time()) + time(usage.system_time())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure(what: impl FnOnce()) -> Cost {
    let (begin, before) = (Instant::now(), cpu());
    what();
    Cost { time: begin.elapsed(), cpu: cpu() - before }
}

/// A pipe: the read end, and the write end for a program.
fn pipe() -> (OwnedFd, Stdio) {
    let (read, write) = std::io::pipe().expect("a pipe");
    (read.into(), Stdio::from(write))
}

fn store(root: &Path, size: usize) -> Cost {
    let (send, finished) = sync_channel(1);
    let on_finished = Box::new(move |it| send.send(it).expect("it is waited for"));
    std::fs::create_dir_all(root).expect("a folder");
    // As the daemon has it; but a GiB is to be there at the end.
    let mut retention = Retention::for_filesystem(root).expect("a filesystem");
    retention.bound_all(8 << 30);
    let kept = (Options::default(), retention);
    let logs = LogStore::open_bounded(root, root, kept, on_finished).expect("a store");
    let run = RunId::from_bytes([7; 16]);
    let (stdout, printer_stdout) = pipe();
    let (stderr, printer_stderr) = pipe();
    drop(printer_stderr);
    let cost = measure(|| {
        let log = LogName::Commands;
        logs.attach(Attach { run, log, stdout, stderr, resumed: false }).expect("attached");
        let mut printer = printer::start(size, printer_stdout);
        logs.started(run, 1, 1).expect("attached");
        assert!(printer.wait().expect("our child").success());
        let end = End { cause: Cause::Exited, value: 0, time: 1 };
        if logs.finish(run, end).expect("attached").is_none() {
            finished.recv().expect("the writer lives");
        }
        logs.await_written(run);
    });
    count(&logs);
    logs.close();
    cost
}

/// Every line is there, and as it was.
fn count(logs: &LogStore) {
    let mut reader = logs.reader(LogName::Commands, Position(0), Filter::default());
    let text = printer::period();
    let mut read = 0;
    while let Some(item) = reader.next(64 << 10).expect("it can be read") {
        match item {
            Item::Chunk { bytes, .. } => {
                let mut bytes = bytes.as_slice();
                while !bytes.is_empty() {
                    let expected = &text[read % text.len()..];
                    let length = bytes.len().min(expected.len());
                    assert!(bytes[..length] == expected[..length], "around byte {read}");
                    read += length;
                    bytes = &bytes[length..];
                }
            }
            Item::Start { .. } | Item::End { .. } => {}
            Item::Gap { .. } => panic!("{item:?}"),
        }
    }
    assert_eq!((read / LINE, read), (PRINTED / LINE, PRINTED));
}

fn read_and_write(path: &Path, size: usize) -> Cost {
    let (stdout, printer_stdout) = pipe();
    let cost = measure(|| {
        let mut file = File::create(path).expect("a file");
        let mut printer = printer::start(size, printer_stdout);
        let mut stdout = File::from(stdout);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stdout.read(&mut buffer).expect("a pipe can be read") {
                0 => break,
                count => file.write_all(&buffer[..count]).expect("there is room"),
            }
        }
        assert!(printer.wait().expect("our child").success());
    });
    let length = std::fs::metadata(path).expect("it is there").len();
    assert_eq!(usize::try_from(length).expect("a GiB"), PRINTED);
    std::fs::remove_file(path).expect("it is ours");
    cost
}

/// Debian's: `s6-log n10 s64000000 DIR`.
#[expect(clippy::disallowed_methods, reason = "what we are compared with")]
fn s6_log(folder: &Path, size: usize) -> Option<Cost> {
    let found =
        ["/usr/bin/s6-log", "/bin/s6-log"].into_iter().find(|path| Path::new(path).exists())?;
    let (stdout, printer_stdout) = pipe();
    let mut command = Command::new(found);
    command.args(["n10", "s64000000"]).arg(folder).stdin(Stdio::from(stdout));
    Some(measure(|| {
        let mut logger = command.spawn().expect("s6-log");
        // It holds the read end, which must end with the logger's.
        drop(command);
        let mut printer = printer::start(size, printer_stdout);
        assert!(printer.wait().expect("our child").success());
        assert!(logger.wait().expect("our child").success());
    }))
}
