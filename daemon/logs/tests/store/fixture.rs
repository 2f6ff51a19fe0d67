//! A store of its own for each test.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use logs::{
    Attach, Cause, End, Filter, Finished, Item, LogName, LogStore, Options, Position, Reader,
    Stream,
};
use tempfile::TempDir;
use units::RunId;

/// Far longer than anything takes; reached only where something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Store {
    pub(crate) folder: TempDir,
    pub(crate) logs: LogStore,
    pub(crate) finished: Receiver<Finished>,
}

/// The write ends of a run's pipes.
pub(crate) struct Program {
    pub(crate) run: RunId,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

pub(crate) fn run(number: u64) -> RunId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[15] = 1;
    RunId::from_bytes(bytes)
}

pub(crate) fn unit(name: &str) -> LogName {
    LogName::Unit(name.parse().unwrap())
}

pub(crate) fn exited(code: i32) -> End {
    End { cause: Cause::Exited, value: code, time: 2_000_000 }
}

pub(crate) fn pipe() -> (OwnedFd, File) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into(), OwnedFd::from(write).into())
}

pub(crate) fn open(root: &Path, options: Options) -> (LogStore, Receiver<Finished>) {
    let (send, finished) = sync_channel(10_000);
    let logs =
        LogStore::open_with(root, options, Box::new(move |f| send.try_send(f).unwrap())).unwrap();
    (logs, finished)
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let (logs, finished) = open(&folder.path().join("logs"), options);
        Self { folder, logs, finished }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// The same files, as the next daemon finds them.
    pub(crate) fn reopen(&mut self, options: Options) {
        self.logs.close();
        (self.logs, self.finished) = open(&self.root(), options);
    }

    pub(crate) fn attach(&self, run: RunId, log: &LogName) -> Program {
        let (out_read, stdout) = pipe();
        let (err_read, stderr) = pipe();
        let log = log.clone();
        let attach = Attach { run, log, stdout: out_read, stderr: err_read, resumed: false };
        self.logs.attach(attach).unwrap();
        Program { run, stdout, stderr }
    }

    pub(crate) fn start(&self, run: RunId, log: &LogName) -> Program {
        let program = self.attach(run, log);
        self.logs.started(run, 42, 1_000_000).unwrap();
        program
    }

    /// The program ends; gives what the store says then.
    pub(crate) fn end(&self, program: Program) -> Finished {
        let run = program.run;
        drop(program);
        self.finish(run)
    }

    pub(crate) fn finish(&self, run: RunId) -> Finished {
        finish(&self.logs, &self.finished, run, exited(0))
    }

    pub(crate) fn items(&self, log: &LogName, filter: Filter) -> Vec<Item> {
        rest(&mut self.logs.reader(log.clone(), Position(0), filter))
    }
}

/// Finishes a run, and waits until its end is written; gives what the store says, at once or then.
pub(crate) fn finish(
    logs: &LogStore,
    finished: &Receiver<Finished>,
    run: RunId,
    end: End,
) -> Finished {
    let told = logs.finish(run, end).unwrap();
    let told = told.unwrap_or_else(|| finished.recv_timeout(PATIENCE).unwrap());
    logs.await_written(run);
    assert_eq!(told.run, run);
    told
}

/// All that there is for now.
pub(crate) fn rest(reader: &mut Reader) -> Vec<Item> {
    std::iter::from_fn(|| reader.next(64 * 1024).unwrap()).collect()
}

/// Waits for the next item.
pub(crate) fn follow(reader: &mut Reader) -> Item {
    loop {
        if let Some(item) = reader.next(64 * 1024).unwrap() {
            return item;
        }
        wait(reader).unwrap();
    }
}

pub(crate) fn wait(reader: &mut Reader) -> Result<(), logs::StoreClosed> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reader.changed())
}

pub(crate) fn of(run: RunId) -> Filter {
    Filter { run: Some(run), stream: None }
}

/// The bytes of one output of a run, from all that was read.
pub(crate) fn output(items: &[Item], whose: RunId, which: Stream) -> Vec<u8> {
    let mut output = Vec::new();
    for item in items {
        if let Item::Chunk { run, stream, bytes, .. } = item
            && (*run, *stream) == (whose, which)
        {
            output.extend_from_slice(bytes);
        }
    }
    output
}

pub(crate) fn gaps(items: &[Item]) -> Vec<&Item> {
    items.iter().filter(|item| matches!(item, Item::Gap { .. })).collect()
}

/// Waits until it holds.
pub(crate) fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    // Nobody tells of files: look again and again, a little later each time, without a sleep.
    let (_never, silent) = sync_channel::<()>(0);
    let (mut waited, mut next) = (Duration::ZERO, Duration::from_micros(100));
    while !condition() {
        assert!(waited < PATIENCE, "it never came true that {what}");
        let _timeout = silent.recv_timeout(next);
        waited += next;
        next = (next * 2).min(Duration::from_millis(20));
    }
}
