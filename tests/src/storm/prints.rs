//! Programs that print numbered lines through the storm, one of which somebody follows.

use std::{collections::BTreeMap, fs, time::Duration};

use client::{Client, LogSource, LogsQuery};
use uuid::Uuid;

use super::{Counts, Task, client_at, line::Lines};
use crate::{
    Daemon, Fifo,
    rpc::{code, named},
    wait::eventually,
};
use api::runtime::{ExitRecord, WaitRequest};

/// How many programs.
const PROGRAMS: i32 = 3;
/// What they print together in a second, as far as the machine allows.
const RATE: u64 = 50_000_000;

/// One program.
#[derive(Debug)]
struct Printer {
    name: String,
    run: Uuid,
    /// Where it says in the end what it has printed.
    told: String,
    orders: Fifo,
}

/// The programs, and who follows the first.
#[derive(Debug)]
pub(super) struct Printers {
    all: Vec<Printer>,
    follower: Task<Read>,
}

/// What was read of a log, by one who goes on by cursor.
#[derive(Debug, Default)]
struct Read {
    lines: Lines,
    exit: Option<ExitRecord>,
    trouble: Vec<String>,
}

impl Printers {
    /// Starts all of them; each prints so many bytes at a time.
    pub(super) fn begin(daemon: &Daemon, burst: u64) -> Self {
        let count = u64::from(PROGRAMS.unsigned_abs());
        let (rate, burst) = ((RATE / count).to_string(), (burst / count).to_string());
        let begin = |number: i32| {
            let name = format!("printer-{number}");
            let told = daemon.work(&name);
            let orders = Fifo::make(daemon.path(), &name);
            // Its exit status is its number.
            let number = number.to_string();
            let words = ["bursts", orders.path(), &told, &rate, &burst, "exit", &number];
            let run = daemon.up(named(&name, daemon.probe(&words))).run_id;
            Printer { name, run: Uuid::parse_str(&run).expect("a run's id"), told, orders }
        };
        let all: Vec<Printer> = (1..=PROGRAMS).map(begin).collect();
        let query = LogsQuery { follow: true, ..LogsQuery::all(LogSource::Run(all[0].run)) };
        let follower = begin_read(daemon, query);
        Self { all, follower }
    }

    /// Has each print once more.
    pub(super) fn print(&mut self) {
        self.all.iter_mut().for_each(|printer| printer.orders.release());
    }

    /// Lets all of them end, and looks whether every line is there.
    pub(super) fn end(mut self, daemon: &Daemon, counts: &mut Counts) {
        self.all.iter_mut().for_each(|printer| printer.orders.send(b'.'));
        let mut written = BTreeMap::new();
        for (number, printer) in (1..).zip(&self.all) {
            eventually("a printer comes to its end", || {
                fs::exists(&printer.told).is_ok_and(|there| there)
            });
            let wait = WaitRequest { run_id: printer.run.to_string(), ..WaitRequest::default() };
            let exit = daemon.wait(wait).ok().and_then(|answer| answer.exit);
            let exit = exit.as_ref().and_then(code);
            if exit == Some(number) {
                counts.exits += 1;
            } else {
                counts.exits_wrong += 1;
                counts.complain(format!(
                    "{} ended with {number}, and Wait tells {exit:?}",
                    printer.name
                ));
            }
            let told = fs::read_to_string(&printer.told).expect("it is there");
            let numbers: Vec<u64> =
                told.split(' ').map(|text| text.parse().expect("a number")).collect();
            let [lines, bytes, took] = numbers[..] else { panic!("three numbers: {told:?}") };
            counts.lines_written += lines;
            counts.bytes_written += bytes;
            counts.printing = counts.printing.max(Duration::from_nanos(took));
            written.insert(number, lines);
        }
        for (number, printer) in (1..).zip(&self.all) {
            let query = LogsQuery { follow: true, ..LogsQuery::all(LogSource::Run(printer.run)) };
            let read = begin_read(daemon, query).end();
            counts.add_lines(
                &format!("the log of {}", printer.name),
                read,
                written[&number],
                number,
            );
        }
        let followed = self.follower.end();
        counts.lines_followed += followed.lines.found;
        counts.add_lines("the follower of printer-1", followed, written[&1], 1);
    }
}

impl Counts {
    fn add_lines(&mut self, who: &str, read: Read, written: u64, status: i32) {
        let Read { mut lines, exit, trouble } = read;
        lines.end(written);
        if !lines.are_whole() {
            self.complain(format!("{who}: of {written} lines {lines}"));
        }
        trouble.into_iter().for_each(|trouble| self.complain(format!("{who}: {trouble}")));
        let exit = exit.as_ref().and_then(code);
        if exit == Some(status) {
            self.exits += 1;
        } else {
            self.exits_wrong += 1;
            self.complain(format!("{who}: it ended with {status}, and the log tells {exit:?}"));
        }
        self.lines_found += lines.found;
        self.lines_lost += lines.lost;
        self.lines_repeated += lines.repeated + lines.torn;
    }
}

fn begin_read(daemon: &Daemon, query: LogsQuery) -> Task<Read> {
    let socket = daemon.socket();
    Task::begin(async move || read(client_at(socket).await, query).await)
}

async fn read(client: Client, query: LogsQuery) -> Read {
    let mut read = Read::default();
    let mut stream = match client.logs(query).await {
        Ok(stream) => stream,
        Err(why) => {
            read.trouble.push(why.to_string());
            return read;
        }
    };
    loop {
        match stream.next().await {
            Ok(Some(batch)) => {
                batch.chunks.iter().for_each(|chunk| read.lines.add(&chunk.data));
                read.trouble.extend(batch.gap.map(|gap| format!("a gap: {gap:?}")));
                read.exit = batch.exit.or(read.exit);
            }
            Ok(None) => return read,
            Err(why) => {
                read.trouble.push(why.to_string());
                return read;
            }
        }
    }
}
