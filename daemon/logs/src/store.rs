//! The handle to the store.

use std::{
    fs::{DirBuilder, File},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::watch;
use units::RunId;

use crate::{
    damage::Damage,
    entry::End,
    folder::{self, Folder},
    log::Sizes,
    merge::{Merge, Wanted},
    name::{LogName, Position, Stream},
    overflow::Overflows,
    place::Place,
    power,
    queue::{AppendedLine, Attach, AttachError, Bounds, NotAttached, Queue},
    reader::{Filter, ReadError, Reader},
    retention::Retention,
    shared::{Located, Problem, Shared},
    sync,
    upkeep::{Caretaker, Upkeep},
    writer::Writer,
};

/// Sizes and bounds. The defaults are right outside tests.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment is closed when it holds this many bytes.
    pub segment_bytes: u64,
    /// Or when its index holds this many entries, since silent runs add entries and no bytes.
    pub segment_entries: u64,
    /// Runs whose output is kept at a time: each has two descriptors, and room for its commands in the queue.
    pub runs: usize,
    /// Lines of the daemon's own log that may wait.
    pub lines: usize,
    /// Their bytes.
    pub line_bytes: usize,
    /// Ended runs that are remembered in memory; others are looked for on disk.
    pub remembered: usize,
    /// Nothing is done about files besides writing them until [`LogStore::resume`]: whoever opens the store has more urgent things
    /// to do first.
    pub later: bool,
    /// Copy through our memory instead of splicing, as on filesystems that cannot splice.
    pub copy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_entries: 1 << 18,
            runs: 16_384,
            lines: 4096,
            line_bytes: 1 << 20,
            remembered: 4096,
            later: false,
            copy: false,
        }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder could not be made.
    #[error("cannot make the folder of the logs, {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `/dev/null` could not be opened; output that cannot be written is moved there.
    #[error("cannot open /dev/null")]
    Null(#[source] io::Error),
    /// The kernel gave no epoll or event descriptor.
    #[error("cannot make what the log writer waits on")]
    Wait(#[source] io::Error),
    /// No thread.
    #[error("cannot start the threads of the log store")]
    Thread(#[source] io::Error),
}

/// The store is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log store is closed")]
pub struct StoreClosed;

/// A run is over: its output is in its log in full, and so is its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which.
    pub run: RunId,
    /// Its log.
    pub log: LogName,
    /// Bytes of its standard output that are kept.
    pub stdout_total: u64,
    /// Bytes of its standard error that are kept.
    pub stderr_total: u64,
    /// Nothing of it lies before this.
    pub first: Position,
    /// Where its end stands.
    pub end: Position,
    /// The last line that it printed, at most 256 bytes of it; the last piece only where two outputs were mixed.
    pub last_line: Option<Vec<u8>>,
    /// What is missing of it, and why.
    pub problem: Option<String>,
    /// How many bytes are missing.
    pub lost: u64,
}

/// The log store. Clones are the same store; when the last one is dropped, the store is closed.
#[derive(Clone, Debug)]
pub struct LogStore {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// "log-upkeep" and "log-sync".
    others: [Mutex<Option<JoinHandle<()>>>; 2],
}

impl LogStore {
    /// Opens the store below `root`, which is made if need be, and starts its writer.
    ///
    /// `on_finished` is called on the writer's thread, once for each run that was finished: it must not block.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(root: &Path, on_finished: Box<dyn Fn(Finished) + Send>) -> Result<Self, OpenError> {
        Self::open_with(root, Options::default(), on_finished)
    }

    /// The same after a time without a daemon: what resumed runs printed meanwhile, and the keeper moved to files in
    /// the folder `overflow`, is taken before what is in their pipes.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_after_absence(
        root: &Path,
        overflow: &Path,
        options: Options,
        on_finished: Box<dyn Fn(Finished) + Send>,
    ) -> Result<Self, OpenError> {
        let retention = Retention::default();
        Self::open_all(root, Overflows::find(overflow), (options, retention), on_finished)
    }

    /// The same with bounds to what is kept.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_bounded(
        root: &Path,
        overflow: &Path,
        (options, retention): (Options, Retention),
        on_finished: Box<dyn Fn(Finished) + Send>,
    ) -> Result<Self, OpenError> {
        Self::open_all(root, Overflows::find(overflow), (options, retention), on_finished)
    }

    /// The same with sizes and bounds of one's own.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(
        root: &Path,
        options: Options,
        on_finished: Box<dyn Fn(Finished) + Send>,
    ) -> Result<Self, OpenError> {
        let retention = Retention::default();
        Self::open_all(root, Overflows::default(), (options, retention), on_finished)
    }

    fn open_all(
        root: &Path,
        overflows: Overflows,
        (options, retention): (Options, Retention),
        on_finished: Box<dyn Fn(Finished) + Send>,
    ) -> Result<Self, OpenError> {
        let Options { segment_bytes, segment_entries, copy, .. } = options;
        let Options { runs, lines, line_bytes, .. } = options;
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700).create(root).map_err(|source| {
            let path = root.to_owned();
            OpenError::Folder { path, source }
        })?;
        // Below this no link is followed.
        let root = &root.canonicalize().map_err(|source| {
            let path = root.to_owned();
            OpenError::Folder { path, source }
        })?;
        let null = File::options().write(true).open("/dev/null").map_err(OpenError::Null)?;
        let queue = Queue::new(Bounds { runs, lines, line_bytes })
            .map_err(|errno| OpenError::Wait(errno.into()))?;
        let cut = power::cut_ends(root, retention.sync_interval);
        let sizes = Sizes { segment_bytes, segment_entries, copy };
        let upkeep = Upkeep::new(retention, sizes, options.later);
        cut.iter().for_each(|log| upkeep.gap(log));
        let shared = Shared::new(root.to_owned(), queue, options.remembered, upkeep);
        let shared = Arc::new(shared);
        let caretaker = Caretaker::new(Arc::clone(&shared));
        let caretaker = thread::Builder::new()
            .name("log-upkeep".to_owned())
            .spawn(|| caretaker.run())
            .map_err(OpenError::Thread)?;
        let writer = Writer::new(Arc::clone(&shared), null, overflows, on_finished);
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(OpenError::Thread)?;
        let for_sync = Arc::clone(&shared);
        let syncer = thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || sync::run(&for_sync))
            .map_err(OpenError::Thread)?;
        let others = [caretaker, syncer].map(|thread| Mutex::new(Some(thread)));
        let writer = Mutex::new(Some(writer));
        Ok(Self { handle: Arc::new(Handle { shared, writer, others }) })
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Keeps a run's output from now on. To be called before the run's first process is made; never waits.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attach(&self, attach: Attach) -> Result<(), AttachError> {
        let resumed = attach.resumed;
        self.attach_one(attach)?;
        if resumed {
            self.resume();
        }
        Ok(())
    }

    /// The same of one of many resumed runs: what there is to do about it is begun at [`Self::resume`], so that the writer
    /// does not compete with whoever attaches them. Until then what it prints stays in its pipes.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attach_one(&self, attach: Attach) -> Result<(), AttachError> {
        let resumed = attach.resumed;
        let Shared { queue, recent, .. } = self.shared();
        queue.attach(attach, |run, log| recent.attached(run, log, resumed))
    }

    /// Goes on with the runs that were attached by [`Self::attach_one`], and with what was left for later.
    pub fn resume(&self) {
        self.shared().upkeep.begin();
        self.shared().queue.ring();
    }

    /// The run's first process was made, at this time (nanoseconds since 1970). Output may have been kept before.
    /// Of a resumed run it may be told again: it is written if the index has no start of it. Never waits, and wakes
    /// nobody: it is written before the next thing that is.
    ///
    /// # Errors
    /// If the run is not attached, was started before or is finished.
    pub fn started(&self, run: RunId, pid: i32, time: u64) -> Result<(), NotAttached> {
        self.shared().queue.started(run, pid, time)?;
        self.shared().recent.started(run, pid, time);
        Ok(())
    }

    /// The outputs of a run were closed at its other end, since everybody who held them was killed; its log says so. Never
    /// waits, and wakes nobody.
    ///
    /// # Errors
    /// If the run is not attached or is finished.
    pub fn closed(&self, run: RunId, time: u64) -> Result<(), NotAttached> {
        self.shared().queue.outputs_closed(run, time)
    }

    /// The run is over and its cgroup empty. What its pipes hold is moved, the end is written, and `on_finished` is
    /// called. A run that could not be made is finished too, with [`Cause::Failed`](crate::Cause::Failed). Never waits.
    ///
    /// Where both outputs have ended before, or nothing was ever printed, all is known but the place of the end, and is
    /// answered at once instead of by `on_finished`: whoever waits for a short program need not wait for the writer's
    /// thread too. Then the end is still to be written: [`Self::await_written`]. The places of a run that printed
    /// nothing may be told as 0.
    ///
    /// # Errors
    /// If the run is not attached or was finished before; then there is no call of `on_finished`.
    pub fn finish(&self, run: RunId, end: End) -> Result<Option<Finished>, NotAttached> {
        self.shared().queue.finish(run, end)
    }

    /// Copies of the read ends of a run's outputs, for who goes on reading them after us. None where the run is not
    /// attached, or was finished.
    #[must_use]
    pub fn outputs(&self, run: RunId) -> Option<[OwnedFd; 2]> {
        self.shared().queue.outlets(run)
    }

    /// Waits until the end of a run that was finished is written, or the store is closed. May block.
    pub fn await_written(&self, run: RunId) {
        self.shared().queue.await_released(run);
    }

    /// Appends a line to a log: for the daemon's own. Never waits: a line that finds no room is counted, and
    /// the log tells of a gap.
    pub fn append(&self, log: &LogName, run: RunId, line: &[u8], time: u64) {
        let line = AppendedLine { log: log.clone(), run, time, bytes: line.to_vec() };
        self.shared().queue.append(line, true);
    }

    /// The same, and wakes nobody: it is written before the next thing that is.
    pub fn append_with_next(&self, log: &LogName, run: RunId, line: &[u8], time: u64) {
        let line = AppendedLine { log: log.clone(), run, time, bytes: line.to_vec() };
        self.shared().queue.append(line, false);
    }

    /// How much the writer has done. It grows whenever it does something, and as long as it does not, it has nothing to do, or
    /// waits for the disk, or hangs.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.shared().turns()
    }

    /// The writer's thread, once it runs (gettid(2)).
    #[must_use]
    pub fn writer_thread(&self) -> Option<i32> {
        self.shared().writer.get().map(|thread| thread.as_raw())
    }

    /// What is wrong at present: logs that cannot be written, filesystems that cannot splice.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.shared().problems()
    }

    /// What was found to be damaged, and the news of more.
    #[must_use]
    pub fn damages(&self) -> watch::Receiver<Vec<Damage>> {
        self.shared().news.damages.subscribe()
    }

    /// How many gaps were told in a log since the store was opened.
    #[must_use]
    pub fn gaps(&self, log: &LogName) -> u64 {
        self.shared().upkeep.gaps(log)
    }

    /// A cursor over a log, which need not exist yet.
    #[must_use]
    pub fn reader(&self, log: LogName, from: Position, filter: Filter) -> Reader {
        let Shared { root, news, .. } = self.shared();
        Reader::new(root, log, from, filter, news)
    }

    /// Several logs as one, with what they say from their places on and before `until` (nanoseconds since 1970); with
    /// `every`, also all other logs of programs, those to come included, from their beginnings.
    #[must_use]
    pub fn merge(
        &self,
        wanted: Vec<Wanted>,
        stream: Option<Stream>,
        until: Option<u64>,
        every: bool,
    ) -> Merge {
        let mut merge = Merge::new(Arc::clone(&self.handle.shared), stream, until, every);
        wanted.into_iter().for_each(|wanted| merge.add(wanted));
        merge
    }

    /// Where in a log the last lines begin of these runs (of all, where none is given) and this stream, or what was
    /// printed since a moment, or the fewer of both; none where neither is asked for. May block.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn place(
        &self,
        log: &LogName,
        whose: (&[RunId], Option<Stream>),
        since: Option<u64>,
        last: Option<u64>,
    ) -> Result<Option<Place>, ReadError> {
        self.shared().place(log, whose, since, last)
    }

    /// The logs of programs that there are. Reads the disk: may block.
    ///
    /// # Errors
    /// If the store's folders cannot be read.
    pub fn programs(&self) -> Result<Vec<LogName>, ReadError> {
        self.shared().programs()
    }

    /// The run before the newest of a log. May block as [`Self::locate`] may.
    ///
    /// # Errors
    /// If an index cannot be read.
    pub fn locate_previous(&self, log: &LogName) -> Result<Option<Located>, ReadError> {
        self.shared().locate_previous(log)
    }

    /// Where the log ends now. Reads the disk: may block.
    ///
    /// # Errors
    /// If the log's folder cannot be read.
    pub fn end(&self, log: &LogName) -> Result<Position, ReadError> {
        Folder::new(&self.shared().root, log).end().map(Position)
    }

    /// All logs there are. Reads the disk: may block.
    ///
    /// # Errors
    /// If the store's folders cannot be read.
    pub fn logs(&self) -> Result<Vec<LogName>, ReadError> {
        folder::logs(&self.shared().root)
    }

    /// Where a run is. Live and recent ones are known; for others all indexes are read, the newest segments first: may
    /// block, for long.
    ///
    /// # Errors
    /// If an index cannot be read.
    pub fn locate(&self, run: RunId) -> Result<Option<Located>, ReadError> {
        self.shared().locate(run)
    }

    /// Where a run is in this log, which is read if the run is not a recent one. May block.
    ///
    /// # Errors
    /// If the log's index cannot be read.
    pub fn locate_in(&self, log: &LogName, run: RunId) -> Result<Option<Located>, ReadError> {
        self.shared().locate_in(log.clone(), run)
    }

    /// The newest run whose first process had this pid. May block as [`Self::locate`] may.
    ///
    /// # Errors
    /// If an index cannot be read.
    pub fn locate_pid(&self, pid: i32) -> Result<Option<Located>, ReadError> {
        self.shared().locate_pid(pid)
    }

    /// The newest run of a log. May block as [`Self::locate`] may.
    ///
    /// # Errors
    /// If an index cannot be read.
    pub fn locate_newest(&self, log: &LogName) -> Result<Option<Located>, ReadError> {
        self.shared().locate_newest(log)
    }

    /// Writes what waits and ends the writer. What is in pipes stays there, and runs that are not finished stay
    /// without an end. Readers go on to what is there; those that wait are told. Waits for the writer, unless it is
    /// the writer that calls.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.queue.close();
        // The writer first: what it closes last is still noted, if there is time to.
        for thread in std::iter::once(&self.writer).chain(&self.others) {
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread
                && thread.thread().id() != thread::current().id()
            {
                // A panic there was told by the panic hook, and there is nothing to do about it.
                let _ended = thread.join();
            }
            self.shared.upkeep.close();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
