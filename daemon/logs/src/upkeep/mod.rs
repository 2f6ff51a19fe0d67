//! What is done about files besides writing them, and bringing to the disk what was written: segments are removed that are too
//! much or too old, and checksums are made.
//!
//! It has a thread of its own, "log-upkeep", since each of these can take long, and the writer must not. The thread gives
//! way to all others, and sleeps until there is something to do: an idle store does not wake.
//!
//! Invariant: it writes neither of the two files of the segment that is being written. Where that is to go, the writer is asked to
//! close it. The `.crc` beside it is upkeep's; the writer only removes that, when it opens or makes the segment.

mod caretaker;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use self::caretaker::Caretaker;
use crate::{clock, log::Sizes, name::LogName, retention::Retention, sync::Syncs};

/// After this time there are checksums of what was written: before the kernel brings it to the disk, mostly, and seldom enough
/// to cost nothing.
const SUMMED_WITHIN: Duration = Duration::from_secs(5);

/// A segment was begun.
#[derive(Debug)]
struct Begun {
    log: LogName,
    /// The one before, which is closed thereby.
    closed: Option<u64>,
    base: u64,
}

/// The segment of a log that is being written has no checksums of its last bytes.
#[derive(Debug)]
struct Unsummed {
    /// They are to be made by then.
    by: Instant,
    log: LogName,
    /// Taken away first: what is written later is told again.
    mark: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Waiting {
    begun: Vec<Begun>,
    unsummed: Vec<Unsummed>,
    /// When the first of them are to be made.
    sum_at: Option<Instant>,
    pressed: bool,
    /// It has not been said yet that there is time for this.
    later: bool,
    /// The thread is to look before it sleeps on.
    rung: bool,
}

/// What the writer tells, and what it may ask.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// What is to be brought to the disk.
    pub(crate) syncs: Syncs,
    retention: Retention,
    usual: Sizes,
    waiting: Mutex<Waiting>,
    bell: Condvar,
    known: Mutex<BTreeSet<LogName>>,
    /// How many gaps each log was given, where it was one.
    gaps: Mutex<BTreeMap<LogName, u64>>,
    logs: AtomicUsize,
    closed: AtomicBool,
}

impl Upkeep {
    /// With `later` nothing is done before [`Self::begin`], unless the disk is full.
    pub(crate) fn new(retention: Retention, usual: Sizes, later: bool) -> Self {
        Self {
            syncs: Syncs::new(retention.sync_interval, later),
            retention,
            usual,
            waiting: Mutex::new(Waiting { later, ..Waiting::default() }),
            bell: Condvar::new(),
            known: Mutex::default(),
            gaps: Mutex::default(),
            logs: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.rung = true;
        drop(waiting);
        self.bell.notify_one();
    }

    /// There is time for it from now on.
    pub(crate) fn begin(&self) {
        self.syncs.begin();
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.later) {
            self.ring(waiting);
        }
    }

    /// Waits until there is.
    fn await_begin(&self) {
        let wait = |waiting: &mut Waiting| waiting.later && !waiting.pressed && !self.is_closed();
        drop(self.bell.wait_while(self.lock(), wait));
    }

    /// How many logs there are: where this changes, so may [`Self::sizes`].
    pub(crate) fn logs(&self) -> usize {
        self.logs.load(Ordering::Relaxed)
    }

    /// When segments of this log are closed.
    pub(crate) fn sizes(&self, log: &LogName) -> Sizes {
        self.retention.sizes(log, self.logs(), self.usual)
    }

    fn know(&self, log: &LogName) {
        if self.retention.total.is_none() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(log) {
            known.insert(log.clone());
            self.logs.store(known.len(), Ordering::Relaxed);
        }
    }

    fn unknow(&self, log: &LogName) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(log);
        self.logs.store(known.len(), Ordering::Relaxed);
    }

    /// A segment was opened, or begun: then it is `new`. Wakes nobody unless another one was closed.
    pub(crate) fn begun(&self, log: &LogName, closed: Option<u64>, (base, new): (u64, bool)) {
        self.know(log);
        self.syncs.begun(log, base, new);
        let mut waiting = self.lock();
        waiting.begun.push(Begun { log: log.clone(), closed, base });
        if closed.is_some() {
            self.ring(waiting);
        }
    }

    /// Something was written to a log, for the first time since the mark was taken away.
    pub(crate) fn unsummed(&self, log: &LogName, mark: &Arc<AtomicBool>) {
        let by = clock::now().instant + self.retention.sync_interval.min(SUMMED_WITHIN);
        let unsummed = Unsummed { by, log: log.clone(), mark: Arc::clone(mark) };
        let mut waiting = self.lock();
        let earlier = waiting.sum_at.is_none_or(|before| by < before);
        if earlier {
            waiting.sum_at = Some(by);
        }
        waiting.unsummed.push(unsummed);
        if earlier || self.looks_at_ages() {
            self.ring(waiting);
        }
    }

    /// Whether age counts: then it must be known when the first entry was written, too.
    pub(crate) fn looks_at_ages(&self) -> bool {
        self.retention.by_age()
    }

    /// A gap was told in a log.
    pub(crate) fn gap(&self, log: &LogName) {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        let count = gaps.entry(log.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// How many were, since the store was opened.
    pub(crate) fn gaps(&self, log: &LogName) -> u64 {
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.get(log).copied().unwrap_or_default()
    }

    /// There is no room on the disk.
    pub(crate) fn press(&self) {
        let mut waiting = self.lock();
        waiting.pressed = true;
        self.ring(waiting);
    }

    /// Ends the threads, after what they are at.
    pub(crate) fn close(&self) {
        self.syncs.close();
        self.closed.store(true, Ordering::SeqCst);
        self.ring(self.lock());
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}
