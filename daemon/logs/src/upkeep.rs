//! What is done about files besides writing them: segments are removed that are too much or too old, closed ones get
//! their checksums, and what was written is brought to the disk.
//!
//! It has a thread of its own, "log-upkeep", since each of these can take long, and the writer must not. The thread gives
//! way to all others, and sleeps until there is something to do: an idle store does not wake.
//!
//! Invariant: it never touches the segment that is being written. Where that is to go, the writer is asked to close it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;

use crate::{
    clock, disk,
    folder::Folder,
    holdings::{Active, Holding, Holdings, Surplus},
    log::Sizes,
    name::LogName,
    queue::Command,
    retention::Retention,
    shared::Shared,
    sum::Sum,
};

/// How often it is looked how large the segments are that are being written, where there are many of them.
const ACTIVES: Duration = Duration::from_secs(1);
/// How many are looked at each time.
const FEW_LOGS: usize = 32;
/// The audit log waits no longer than this for the disk.
const AUDIT_SYNC: Duration = Duration::from_secs(1);

/// A segment was begun.
#[derive(Debug)]
struct Begun {
    log: LogName,
    /// The one before, which is closed thereby.
    closed: Option<u64>,
    base: u64,
}

/// Something is to be on the disk by then.
#[derive(Debug)]
struct Unsynced {
    by: Instant,
    log: LogName,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The segment that is being written. The mark is taken away first: what is written later is told again.
    Active(Arc<AtomicBool>),
    Closed(u64),
}

#[derive(Debug, Default)]
struct Waiting {
    begun: Vec<Begun>,
    unsynced: Vec<Unsynced>,
    /// When the first of what was written is to be on the disk.
    sync_at: Option<Instant>,
    pressed: bool,
    /// The thread is to look before it sleeps on.
    rung: bool,
}

/// What the writer tells, and what it may ask.
#[derive(Debug)]
pub(crate) struct Upkeep {
    retention: Retention,
    usual: Sizes,
    waiting: Mutex<Waiting>,
    bell: Condvar,
    known: Mutex<BTreeSet<LogName>>,
    logs: AtomicUsize,
    closed: AtomicBool,
}

impl Upkeep {
    pub(crate) fn new(retention: Retention, usual: Sizes) -> Self {
        Self {
            retention,
            usual,
            waiting: Mutex::default(),
            bell: Condvar::new(),
            known: Mutex::default(),
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

    /// A segment was opened or begun. Wakes nobody unless another one was closed.
    pub(crate) fn begun(&self, log: &LogName, closed: Option<u64>, base: u64) {
        self.know(log);
        let mut waiting = self.lock();
        waiting.begun.push(Begun { log: log.clone(), closed, base });
        if closed.is_some() {
            self.ring(waiting);
        }
    }

    /// Something was written to a log, for the first time since it was synced.
    pub(crate) fn written(&self, log: &LogName, unsynced: &Arc<AtomicBool>) {
        let what = What::Active(Arc::clone(unsynced));
        let unsynced = self.unsynced(log, what);
        let mut waiting = self.lock();
        let earlier = waiting.sync_at.is_none_or(|before| unsynced.by < before);
        if earlier {
            waiting.sync_at = Some(unsynced.by);
        }
        waiting.unsynced.push(unsynced);
        // Where age counts, it must be known when the first entry was written.
        if earlier || self.retention.by_age() {
            self.ring(waiting);
        }
    }

    fn unsynced(&self, log: &LogName, what: What) -> Unsynced {
        let within = match log {
            LogName::Audit => self.retention.sync_interval.min(AUDIT_SYNC),
            LogName::Daemon | LogName::Commands | LogName::Unit(_) => self.retention.sync_interval,
        };
        Unsynced { by: clock::now().instant + within, log: log.clone(), what }
    }

    /// There is no room on the disk.
    pub(crate) fn press(&self) {
        let mut waiting = self.lock();
        waiting.pressed = true;
        self.ring(waiting);
    }

    /// Ends the thread, after what it is at.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.ring(self.lock());
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// The thread.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    holdings: Holdings,
    /// Closed segments without checksums.
    unsealed: VecDeque<(LogName, u64)>,
    /// What may not be on the disk yet.
    unsynced: Vec<Unsynced>,
    /// These are being brought to the disk.
    syncing: VecDeque<(LogName, u64)>,
    actives: Option<Instant>,
    /// When age alone makes something go.
    next_look: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            holdings: Holdings::default(),
            unsealed: VecDeque::new(),
            unsynced: Vec::new(),
            syncing: VecDeque::new(),
            actives: None,
            next_look: None,
        }
    }

    /// Works until the store is closed: what is too much goes first, then come checksums, then the disk.
    pub(crate) fn run(mut self) {
        // As long as anybody else has work: what is done here can wait.
        let _best_effort = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
        self.survey();
        let mut look = true;
        while !self.shared.upkeep.is_closed() {
            if look {
                self.bound();
            }
            let busy = self.seal_one() || self.sync_one();
            look = self.take(busy);
        }
    }

    fn folder(&self, log: &LogName) -> Folder {
        Folder::new(&self.shared.root, log)
    }

    /// Finds what is there from before.
    fn survey(&mut self) {
        for log in disk::logs(&self.shared.root) {
            if self.shared.upkeep.is_closed() {
                return;
            }
            let (holding, unsealed) = disk::survey(&self.folder(&log));
            self.unsealed.extend(unsealed.into_iter().map(|base| (log.clone(), base)));
            self.shared.upkeep.know(&log);
            self.holdings.logs.insert(log, holding);
        }
        self.actives = Some(clock::now().instant);
    }

    /// Takes what was told, after a sleep if there is nothing to do; whether something may be too much.
    fn take(&mut self, busy: bool) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut waiting = shared.upkeep.lock();
        if !busy && !waiting.rung {
            waiting = self.sleep(&shared.upkeep, waiting);
        }
        waiting.rung = false;
        let begun = std::mem::take(&mut waiting.begun);
        self.unsynced.append(&mut waiting.unsynced);
        let now = clock::now().instant;
        let (due, later) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|it| it.by <= now);
        self.unsynced = later;
        waiting.sync_at = self.unsynced.iter().map(|it| it.by).min();
        let mut look = std::mem::take(&mut waiting.pressed);
        drop(waiting);
        look |= begun.iter().any(|begun| begun.closed.is_some());
        begun.into_iter().for_each(|begun| self.note(begun));
        if shared.upkeep.retention.by_age() {
            self.look_at_written();
            look = true;
        }
        self.begin_sync(due);
        look
    }

    fn sleep<'a>(
        &self,
        upkeep: &'a Upkeep,
        waiting: MutexGuard<'a, Waiting>,
    ) -> MutexGuard<'a, Waiting> {
        let due = waiting.sync_at.into_iter().chain(self.next_look).min();
        let Some(due) = due else {
            return upkeep.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        };
        let left = due.saturating_duration_since(clock::now().instant);
        if left.is_zero() {
            return waiting;
        }
        let woken = upkeep.bell.wait_timeout(waiting, left);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    fn note(&mut self, Begun { log, closed, base }: Begun) {
        let folder = self.folder(&log);
        let holding = self.holdings.logs.entry(log.clone()).or_default();
        if let Some(closed) = closed {
            // It may have been found at the beginning already.
            let known = holding.closed.iter().any(|other| other.base == closed);
            if !known && let Some(it) = disk::closed(&folder, closed) {
                holding.closed.push_back(it);
            }
            self.unsealed.push_back((log.clone(), closed));
            self.unsynced.push(self.shared.upkeep.unsynced(&log, What::Closed(closed)));
        }
        if holding.active.base != base {
            holding.active = Active { base, ..Active::default() };
        }
    }

    /// Removes what is too much, or too old.
    fn bound(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Shared { upkeep, queue, root, .. } = &*shared;
        let moment = clock::now();
        let recent = |at: Instant| moment.since(at) < ACTIVES;
        let few = self.holdings.logs.len() <= FEW_LOGS;
        if few || !self.actives.is_some_and(recent) {
            self.actives = Some(moment.instant);
            let logs: Vec<LogName> = self.holdings.logs.keys().cloned().collect();
            logs.iter().for_each(|log| self.look_at(log));
        }
        let retention = &upkeep.retention;
        let free = retention.keep_free.and_then(|_| statvfs(root).ok());
        let free = free.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        let sizes = |log: &LogName| upkeep.sizes(log);
        let surplus = self.holdings.surplus(retention, sizes, (moment.time, free));
        let Surplus { remove, close, empty } = surplus;
        for (log, base) in remove {
            disk::remove(&self.folder(&log), base);
        }
        for log in close {
            queue.ask(Command::Close { log });
        }
        for log in empty {
            // It is known again when it is written again.
            self.holdings.logs.remove(&log);
            upkeep.unknow(&log);
            queue.ask(Command::Discard { log });
        }
        let next = self.holdings.next_look(retention);
        self.next_look = next.and_then(|time| {
            moment.instant.checked_add(Duration::from_nanos(time.saturating_sub(moment.time)))
        });
    }

    fn look_at(&mut self, log: &LogName) {
        let folder = self.folder(log);
        if let Some(Holding { active, .. }) = self.holdings.logs.get_mut(log) {
            let asked = active.asked;
            *active = Active { asked, ..disk::active(&folder, active.base) };
        }
    }

    /// Where age counts, it must be known when the first entry was written.
    fn look_at_written(&mut self) {
        let logs: Vec<LogName> = self.unsynced.iter().map(|it| it.log.clone()).collect();
        for log in logs {
            let unknown = |holding: &Holding| holding.active.first.is_none();
            if self.holdings.logs.get(&log).is_some_and(unknown) {
                self.look_at(&log);
            }
        }
    }

    /// Makes the checksums of one segment; whether there was one to do.
    fn seal_one(&mut self) -> bool {
        let Some((log, base)) = self.unsealed.pop_front() else { return false };
        let folder = self.folder(&log);
        let stop = || self.shared.upkeep.is_closed();
        // What is not sealed now is sealed when the store is opened again. It may be gone, and what was on the way to
        // its removal must not leave its sums behind.
        if let Ok(Some(sum)) = Sum::of(&folder, base, stop)
            && sum.write(&folder).is_ok()
            && let Some(holding) = self.holdings.logs.get_mut(&log)
            && let Some(held) = holding.closed.iter_mut().find(|closed| closed.base == base)
        {
            held.bytes = disk::closed(&folder, base).map_or(held.bytes, |closed| closed.bytes);
        }
        true
    }

    /// All of this that was written until now is to be on the disk.
    fn begin_sync(&mut self, due: Vec<Unsynced>) {
        for Unsynced { log, what, .. } in due {
            let base = match what {
                What::Closed(base) => Some(base),
                What::Active(mark) => {
                    mark.store(false, Ordering::SeqCst);
                    self.look_at(&log);
                    self.holdings.logs.get(&log).map(|holding| holding.active.base)
                }
            };
            self.syncing.extend(base.map(|base| (log, base)));
        }
    }

    /// Brings one segment to the disk; whether there was one.
    fn sync_one(&mut self) -> bool {
        let Some((log, base)) = self.syncing.pop_front() else { return false };
        disk::sync(&self.folder(&log), base);
        true
    }
}
