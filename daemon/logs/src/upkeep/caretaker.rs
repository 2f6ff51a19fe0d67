//! The thread "log-upkeep".

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;

use super::{Begun, Unsummed, Upkeep, Waiting};
use crate::{
    clock, disk,
    folder::Folder,
    holdings::{Active, Holding, Holdings, Surplus},
    name::LogName,
    open,
    queue::Command,
    running::Running,
    shared::Shared,
    sum::Sum,
};

/// What is done here gives way to whoever writes. It still gets a tenth of what one of them has (sched(7)): what is too much
/// would stay for too long with a hundredth, where one processor is busy.
const NICE: i32 = 10;
/// How often it is looked how large the segments are that are being written, where there are many of them.
const ACTIVES: Duration = Duration::from_secs(1);
/// How many are looked at each time.
const FEW_LOGS: usize = 32;

/// The thread.
pub(crate) struct Caretaker {
    shared: Arc<Shared>,
    holdings: Holdings,
    /// Closed segments without checksums.
    unsealed: VecDeque<(LogName, u64)>,
    /// Checksums of the segments that are being written.
    running: BTreeMap<LogName, Running>,
    /// Of these they are to go on, when it is time.
    unsummed: Vec<Unsummed>,
    /// Of these they are to go on now.
    summing: BTreeSet<LogName>,
    /// Segments that a daemon before this one has written, and made checksums of.
    unchecked: VecDeque<(LogName, u64)>,
    actives: Option<Instant>,
    /// When age alone makes something go.
    next_look: Option<Instant>,
}

impl Caretaker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            holdings: Holdings::default(),
            unsealed: VecDeque::new(),
            running: BTreeMap::new(),
            unsummed: Vec::new(),
            summing: BTreeSet::new(),
            unchecked: VecDeque::new(),
            actives: None,
            next_look: None,
        }
    }

    /// Works until the store is closed: what is too much goes first, and checksums have time.
    pub(crate) fn run(mut self) {
        let _best_effort =
            rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
        self.shared.upkeep.await_begin();
        self.survey();
        let mut look = true;
        while !self.shared.upkeep.is_closed() {
            if look {
                self.bound();
            }
            let busy = self.seal_one() || self.sum_one() || self.check_one();
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
            let folder = self.folder(&log);
            let (holding, unsealed) = disk::survey(&folder);
            for name in folder.foreign() {
                let path = folder.0.join(name);
                let text = format!(
                    "{} lies in the place of a file of this log and is none: it is left alone, and what it should hold is \
                     missing; remove it, or put the file back",
                    path.display()
                );
                self.shared.news.damages.note(&log, text, true);
            }
            self.unsealed.extend(unsealed.into_iter().map(|base| (log.clone(), base)));
            self.unchecked.push_back((log.clone(), holding.active.base));
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
        self.unsummed.append(&mut waiting.unsummed);
        let now = clock::now().instant;
        let due: Vec<_> = self.unsummed.extract_if(.., |it| it.by <= now).collect();
        waiting.sum_at = self.unsummed.iter().map(|it| it.by).min();
        let mut look = std::mem::take(&mut waiting.pressed);
        drop(waiting);
        look |= begun.iter().any(|begun| begun.closed.is_some());
        begun.into_iter().for_each(|begun| self.note(begun));
        if shared.upkeep.looks_at_ages() {
            self.look_at_written(&due);
            look = true;
        }
        self.begin_summing(due);
        look
    }

    fn sleep<'a>(
        &self,
        upkeep: &'a Upkeep,
        waiting: MutexGuard<'a, Waiting>,
    ) -> MutexGuard<'a, Waiting> {
        let due = waiting.sum_at.into_iter().chain(self.next_look).min();
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
            self.running.remove(&log);
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
    fn look_at_written(&mut self, due: &[Unsummed]) {
        let logs: Vec<_> = self.unsummed.iter().chain(due).map(|it| it.log.clone()).collect();
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
        let running = self.running_of(&log, base);
        let stop = || self.shared.upkeep.is_closed();
        // What is not sealed now is sealed when the store is opened again. It may be gone, and what was on the way to
        // its removal must not leave its sums behind.
        let sealed = Sum::of(&folder, running, stop)
            .is_ok_and(|sum| sum.is_some_and(|sum| sum.write(&folder).is_ok()));
        if sealed {
            fs::remove_file(folder.running(base)).ok();
        }
        if sealed
            && let Some(holding) = self.holdings.logs.get_mut(&log)
            && let Some(held) = holding.closed.iter_mut().find(|closed| closed.base == base)
        {
            held.bytes = disk::closed(&folder, base).map_or(held.bytes, |closed| closed.bytes);
        }
        true
    }

    /// The checksums that there are of a segment.
    fn running_of(&mut self, log: &LogName, base: u64) -> Running {
        let in_memory = self.running.get(log).is_some_and(|running| running.base() == base);
        let known = if in_memory { self.running.remove(log) } else { None };
        let folder = self.folder(log);
        known.or_else(|| Running::read(&folder, base)).unwrap_or_else(|| Running::new(base))
    }

    /// Goes on with the checksums of one segment that is being written; whether there was one.
    fn sum_one(&mut self) -> bool {
        let Some(log) = self.summing.pop_first() else { return false };
        let Some(holding) = self.holdings.logs.get(&log) else { return true };
        let (folder, base) = (self.folder(&log), holding.active.base);
        let mut running = self.running_of(&log, base);
        let since = running.length();
        let stop = || self.shared.upkeep.is_closed();
        // Where it cannot be read or kept, the bytes have their checksums when the segment is sealed.
        let data = open::read(&folder.data(base));
        let went_on = data.and_then(|data| {
            let length = data.metadata()?.len();
            // Of another segment that had its place.
            if running.length() > length {
                running = Running::new(base);
            }
            running.go_on(&data, length, stop)
        });
        if went_on.is_ok() && running.length() > since {
            running.write(&folder, since).ok();
            self.running.insert(log, running);
        }
        true
    }

    /// Looks whether one of the segments that were found is what a daemon before this one has written; whether there was one.
    /// What is not is closed, so that who reads it is told.
    fn check_one(&mut self) -> bool {
        let Some((log, base)) = self.unchecked.pop_front() else { return false };
        let folder = self.folder(&log);
        let stop = || self.shared.upkeep.is_closed();
        let is_active =
            self.holdings.logs.get(&log).is_some_and(|holding| holding.active.base == base);
        let altered = Running::read(&folder, base)
            .and_then(|running| running.is_altered(&folder, stop).ok().flatten());
        if altered == Some(true) {
            let text = format!(
                "{} is not what was written to it: readers are told of a gap there; see to the disk, and to who else writes \
                 there",
                folder.data(base).display()
            );
            self.shared.news.damages.note(&log, text, true);
            if is_active {
                self.shared.queue.ask(Command::Close { log });
            }
        }
        true
    }

    /// What was written of these until now is to have checksums.
    fn begin_summing(&mut self, due: Vec<Unsummed>) {
        for Unsummed { log, mark, .. } in due {
            mark.store(false, Ordering::SeqCst);
            self.summing.insert(log);
        }
    }
}
