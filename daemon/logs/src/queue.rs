//! What the writer is asked to do, and the doorbell that wakes it.
//!
//! Invariant: a command that was accepted is carried out, and accepting one never waits. So room is reserved where it can
//! still be refused, in `attach`: a run that was attached has a place for its `started` and its `finish`.
//! Lines of the daemon's own log have bounds of their own; what does not fit is counted and told as a gap.

use std::{
    collections::{HashMap, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::{EfdFlags, EventFd},
    },
};
use units::RunId;

use crate::{
    entry::End,
    name::{LogName, Position, Stream},
    pipe::Outlet,
    store::Finished,
};

/// The token of the doorbell; pipes have others.
pub(crate) const DOORBELL: u64 = 0;

/// A run whose output is to be kept.
#[derive(Debug)]
pub struct Attach {
    /// The run.
    pub run: RunId,
    /// Where its output goes.
    pub log: LogName,
    /// The read end of its standard output.
    pub stdout: OwnedFd,
    /// The read end of its standard error.
    pub stderr: OwnedFd,
    /// The pipes are those of a daemon that died: the run may have a start in the index already, and output, which
    /// then counts towards its totals.
    pub resumed: bool,
}

/// Why a run could not be attached. Its pipes are closed.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// As many runs as the store has room for.
    #[error("the output of {runs} runs is being kept already; that is the limit")]
    Busy {
        /// How many.
        runs: usize,
    },
    /// This run is attached already.
    #[error("the output of run {run} is being kept already")]
    Already {
        /// The run.
        run: RunId,
    },
    /// The kernel refused to watch a pipe.
    #[error("cannot watch the output of run {run}")]
    Watch {
        /// The run.
        run: RunId,
        /// Its reason.
        source: Errno,
    },
    /// The store is closed.
    #[error("the log store is closed")]
    Closed,
}

/// The run is not attached, or was told the same before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run {run} is not attached to the log store, or this was said of it before")]
pub struct NotAttached {
    /// The run.
    pub run: RunId,
}

/// A run's pipe on its way to the writer.
#[derive(Debug)]
pub(crate) struct NewPipe {
    pub(crate) token: u64,
    pub(crate) stream: Stream,
    pub(crate) pipe: Arc<Outlet>,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Command {
    Attach {
        run: RunId,
        log: LogName,
        pipes: [NewPipe; 2],
        resumed: bool,
    },
    Started {
        run: RunId,
        pid: i32,
        time: u64,
    },
    Closed {
        run: RunId,
        time: u64,
    },
    Finish {
        run: RunId,
        end: End,
        told: bool,
    },
    /// The segment that is being written is to be closed, so that it can go.
    Close {
        log: LogName,
    },
    /// Somebody may have taken away what is being written: it is to be looked at.
    Check {
        log: LogName,
    },
    /// Nothing is left of the log: its folder goes, unless a run has it.
    Discard {
        log: LogName,
    },
}

/// A line of the daemon's own log.
#[derive(Debug)]
pub(crate) struct AppendedLine {
    pub(crate) log: LogName,
    pub(crate) run: RunId,
    pub(crate) time: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Lines that found no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DroppedLines {
    pub(crate) log: LogName,
    pub(crate) run: RunId,
    pub(crate) time: u64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// All that was asked since the last time. The lines come before the dropped ones: those were dropped because these
/// were waiting.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) commands: VecDeque<Command>,
    pub(crate) lines: Vec<AppendedLine>,
    pub(crate) dropped: Vec<DroppedLines>,
    pub(crate) closed: bool,
}

impl Batch {
    fn drop_line(&mut self, line: &AppendedLine) {
        let bytes = u64::try_from(line.bytes.len()).unwrap_or(u64::MAX);
        // A handful: only the daemon's own log is appended to.
        let known = self.dropped.iter_mut().find(|d| d.run == line.run && d.log == line.log);
        if let Some(dropped) = known {
            dropped.lines = dropped.lines.saturating_add(1);
            dropped.bytes = dropped.bytes.saturating_add(bytes);
        } else {
            let AppendedLine { log, run, time, .. } = line;
            let dropped =
                DroppedLines { log: log.clone(), run: *run, time: *time, lines: 1, bytes };
            self.dropped.push(dropped);
        }
    }
}

#[derive(Debug)]
struct Reservation {
    log: LogName,
    started: bool,
    finished: bool,
    /// What it has printed, once both outputs have ended.
    drained: Option<Finished>,
    /// Whether a predecessor may have taken something out of its pipes.
    resumed: bool,
    /// Its pipes, until it is finished.
    outlets: Option<[Arc<Outlet>; 2]>,
}

impl Reservation {
    /// What a run has printed whose outputs have ended: what the writer has found, or nothing, which anybody can see.
    fn printed(&mut self, run: RunId) -> Option<Finished> {
        let found = self.drained.take();
        let outlets = self.outlets.take();
        found.or_else(|| {
            let was_silent = |pipes: [Arc<Outlet>; 2]| pipes.iter().all(|pipe| pipe.was_silent());
            let silent = !self.resumed && outlets.is_some_and(was_silent);
            silent.then(|| Finished {
                run,
                log: self.log.clone(),
                stdout_total: 0,
                stderr_total: 0,
                first: Position(0),
                end: Position(0),
                last_line: None,
                problem: None,
                lost: 0,
            })
        })
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    line_bytes: usize,
    runs: HashMap<RunId, Reservation>,
    last_token: u64,
    /// It has been rung since the writer last fetched.
    rung: bool,
    /// How many wait for a run to be released.
    awaited: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) runs: usize,
    pub(crate) lines: usize,
    pub(crate) line_bytes: usize,
}

/// The queue between everybody and the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    released: Condvar,
    doorbell: EventFd,
    epoll: Epoll,
    bounds: Bounds,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> nix::Result<Self> {
        let doorbell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&doorbell, EpollEvent::new(EpollFlags::EPOLLIN, DOORBELL))?;
        Ok(Self { waiting: Mutex::default(), released: Condvar::new(), doorbell, epoll, bounds })
    }

    /// Where the doorbell and all pipes are watched.
    pub(crate) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    /// Readable when something waits.
    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in and rings, unless it has been rung and not been heard yet.
    fn put(&self, mut waiting: MutexGuard<'_, Waiting>, add: impl FnOnce(&mut Waiting)) {
        add(&mut waiting);
        let ring = !std::mem::replace(&mut waiting.rung, true);
        // Rung without the lock, for which the writer would otherwise wake only to wait.
        drop(waiting);
        if ring {
            // It fails only where 2^64 - 2 rings have not been heard, and then it has been rung.
            let _rung = self.doorbell.write(1);
        }
    }

    /// All that waits; `heard` where the doorbell woke the writer. A ring may come late, after what it is for was
    /// fetched: then only the bell is left to be silenced.
    pub(crate) fn fetch(&self, heard: bool) -> Batch {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.rung) || heard {
            let _heard = self.doorbell.read();
        }
        waiting.line_bytes = 0;
        let closed = waiting.batch.closed;
        std::mem::replace(&mut waiting.batch, Batch { closed, ..Batch::default() })
    }

    /// Asks something of the writer.
    pub(crate) fn ask(&self, command: Command) {
        self.put(self.lock(), |waiting| waiting.batch.commands.push_back(command));
    }

    /// Has the writer look what waits.
    pub(crate) fn ring(&self) {
        self.put(self.lock(), |_| {});
    }

    /// The run is finished: its place is free.
    pub(crate) fn release(&self, run: RunId) {
        let mut waiting = self.lock();
        waiting.runs.remove(&run);
        if waiting.awaited > 0 {
            self.released.notify_all();
        }
    }

    /// Waits until the run has no place here any more.
    pub(crate) fn await_released(&self, run: RunId) {
        let waiting = self.lock();
        if !waiting.runs.contains_key(&run) {
            return;
        }
        // Its end may have been left for the writer without a ring.
        self.put(waiting, |waiting| waiting.awaited += 1);
        let mut waiting = self.lock();
        while waiting.runs.contains_key(&run) && !waiting.batch.closed {
            waiting = self.released.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.awaited -= 1;
    }

    /// Nothing more is accepted.
    pub(crate) fn close(&self) {
        self.put(self.lock(), |waiting| waiting.batch.closed = true);
        self.released.notify_all();
    }

    /// Adds a line; `ring` where the writer is to wake for it, and not to write it with the next thing that it wakes for.
    pub(crate) fn append(&self, line: AppendedLine, ring: bool) {
        let mut waiting = self.lock();
        if waiting.batch.closed {
            return;
        }
        let Bounds { lines, line_bytes, .. } = self.bounds;
        let bytes = waiting.line_bytes.saturating_add(line.bytes.len());
        // Once one was dropped, all are until the writer has fetched: the gap has one place.
        if !waiting.batch.dropped.is_empty()
            || waiting.batch.lines.len() >= lines
            || bytes > line_bytes
        {
            return self.put(waiting, |waiting| waiting.batch.drop_line(&line));
        }
        waiting.line_bytes = bytes;
        if ring {
            self.put(waiting, |waiting| waiting.batch.lines.push(line));
        } else {
            waiting.batch.lines.push(line);
        }
    }

    /// Has the writer woken by what comes out of this pipe.
    pub(crate) fn watch(&self, pipe: &OwnedFd, token: u64) -> nix::Result<()> {
        self.epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN, token))
    }

    /// Registers the pipes and leaves the writer asleep: their first output wakes it, and before it touches a pipe
    /// it fetches what waits, so that it always knows whose the pipe is.
    ///
    /// `accepted` is called before the writer can know of the run. The pipes of a resumed run are registered by the writer,
    /// when [`Self::ring`] has told it that all are attached: for thousands of them that takes longer than a daemon that
    /// is to answer again can wait.
    pub(crate) fn attach(
        &self,
        attach: Attach,
        accepted: impl FnOnce(RunId, &LogName),
    ) -> Result<(), AttachError> {
        let Attach { run, log, stdout, stderr, resumed } = attach;
        let mut waiting = self.lock();
        if waiting.batch.closed {
            return Err(AttachError::Closed);
        }
        if waiting.runs.len() >= self.bounds.runs {
            return Err(AttachError::Busy { runs: self.bounds.runs });
        }
        if waiting.runs.contains_key(&run) {
            return Err(AttachError::Already { run });
        }
        let token = waiting.last_token + 1;
        if !resumed {
            let failed = |source| AttachError::Watch { run, source };
            self.watch(&stdout, token).map_err(failed)?;
            if let Err(source) = self.watch(&stderr, token + 1) {
                // The keeper holds the pipe too, so closing our end would not end the watch.
                let _unwatched = self.epoll.delete(&stdout);
                return Err(failed(source));
            }
        }
        waiting.last_token = token + 1;
        let [stdout, stderr] = [stdout, stderr].map(|pipe| Arc::new(Outlet::new(pipe)));
        let outlets = Some([Arc::clone(&stdout), Arc::clone(&stderr)]);
        let (started, finished, drained) = (false, false, None);
        let log_name = log.clone();
        let reservation =
            Reservation { log: log_name, started, finished, drained, resumed, outlets };
        waiting.runs.insert(run, reservation);
        accepted(run, &log);
        let stdout = NewPipe { token, stream: Stream::Stdout, pipe: stdout };
        let stderr = NewPipe { token: token + 1, stream: Stream::Stderr, pipe: stderr };
        let command = Command::Attach { run, log, pipes: [stdout, stderr], resumed };
        waiting.batch.commands.push_back(command);
        Ok(())
    }

    pub(crate) fn started(&self, run: RunId, pid: i32, time: u64) -> Result<(), NotAttached> {
        let mut waiting = self.lock();
        let reservation = waiting.runs.get_mut(&run).ok_or(NotAttached { run })?;
        if reservation.started || reservation.finished {
            return Err(NotAttached { run });
        }
        reservation.started = true;
        // The writer is left asleep, as by `attach`: what it has to write next comes after this.
        waiting.batch.commands.push_back(Command::Started { run, pid, time });
        Ok(())
    }

    /// What a run prints from now on is lost.
    pub(crate) fn outputs_closed(&self, run: RunId, time: u64) -> Result<(), NotAttached> {
        let mut waiting = self.lock();
        if waiting.runs.get(&run).is_none_or(|reservation| reservation.finished) {
            return Err(NotAttached { run });
        }
        waiting.batch.commands.push_back(Command::Closed { run, time });
        Ok(())
    }

    /// Both outputs of the run have ended, and this is all of them.
    pub(crate) fn drained(&self, finished: Finished) {
        if let Some(reservation) = self.lock().runs.get_mut(&finished.run) {
            reservation.drained = Some(finished);
        }
    }

    /// Copies of the read ends of a run's pipes, for who goes on reading after us; none where it is finished, or unknown.
    pub(crate) fn outlets(&self, run: RunId) -> Option<[OwnedFd; 2]> {
        let waiting = self.lock();
        let [stdout, stderr] = waiting.runs.get(&run)?.outlets.as_ref()?;
        Some([stdout.another_end()?, stderr.another_end()?])
    }

    pub(crate) fn finish(&self, run: RunId, end: End) -> Result<Option<Finished>, NotAttached> {
        let mut waiting = self.lock();
        let reservation = waiting.runs.get_mut(&run).ok_or(NotAttached { run })?;
        if reservation.finished {
            return Err(NotAttached { run });
        }
        reservation.finished = true;
        let drained = reservation.printed(run);
        let command = Command::Finish { run, end, told: drained.is_some() };
        if drained.is_some() {
            // Whoever asked has the answer and wants to pass it on; who waits for the end rings.
            waiting.batch.commands.push_back(command);
        } else {
            self.put(waiting, |waiting| waiting.batch.commands.push_back(command));
        }
        Ok(drained)
    }
}
