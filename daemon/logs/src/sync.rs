//! What was written is brought to the disk within some time.
//!
//! It has a thread of its own, "log-sync", which waits for the disk and costs little else. What upkeep does besides takes the
//! processor's time and gives way to all others: behind that, a busy machine would bring nothing to the disk in time, and a
//! power cut take what was promised to be there.
//!
//! Invariants: a log is asked for once, however often it is written, until its turn comes, so that a slow disk makes turns
//! rarer and no queue longer; what is written when its turn has begun asks anew; and each segment that was written is among
//! those that are brought to the disk, also one that was closed meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{clock, folder::Folder, name::LogName, open, queue::Command, shared::Shared};

/// The audit log waits no longer than this for the disk.
const AUDIT_SYNC: Duration = Duration::from_secs(1);

/// What of a log may not be on the disk yet.
#[derive(Debug)]
struct Unsynced {
    /// It is to be there by then.
    by: Instant,
    bases: Vec<u64>,
    /// Taken away when its turn begins: what is written later is told again.
    mark: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Waiting {
    logs: BTreeMap<LogName, Unsynced>,
    /// In these a segment was begun, of which the disk may not know the name.
    unnamed: BTreeSet<LogName>,
    /// When the first of them is due.
    next: Option<Instant>,
    later: bool,
    closed: bool,
}

/// What the writer tells.
#[derive(Debug)]
pub(crate) struct Syncs {
    interval: Duration,
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

/// The turn of a log.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    log: LogName,
    bases: Vec<u64>,
    /// The folders that it lies in, too.
    unnamed: bool,
}

impl Syncs {
    /// With `later` nothing is done before [`Self::begin`].
    pub(crate) fn new(interval: Duration, later: bool) -> Self {
        let (logs, unnamed) = (BTreeMap::new(), BTreeSet::new());
        let waiting = Waiting { logs, unnamed, next: None, later, closed: false };
        Self { interval, waiting: Mutex::new(waiting), bell: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is time for it from now on.
    pub(crate) fn begin(&self) {
        self.lock().later = false;
        self.bell.notify_one();
    }

    /// A segment was opened or begun.
    pub(crate) fn begun(&self, log: &LogName, base: u64) {
        let mut waiting = self.lock();
        waiting.unnamed.insert(log.clone());
        if let Some(unsynced) = waiting.logs.get_mut(log) {
            unsynced.bases.push(base);
        }
    }

    /// Something was written to this segment, for the first time since the mark was taken away.
    pub(crate) fn written(&self, log: &LogName, base: u64, mark: &Arc<AtomicBool>) {
        let within = match log {
            LogName::Audit => self.interval.min(AUDIT_SYNC),
            LogName::Daemon | LogName::Commands | LogName::Unit(_) => self.interval,
        };
        let by = clock::now().instant + within;
        let mut unsynced = Unsynced { by, bases: vec![base], mark: Arc::clone(mark) };
        let mut waiting = self.lock();
        // One of that name that was discarded meanwhile.
        if let Some(before) = waiting.logs.remove(log) {
            unsynced.bases.extend(before.bases);
        }
        waiting.logs.insert(log.clone(), unsynced);
        if waiting.next.is_none_or(|next| by < next) {
            waiting.next = Some(by);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// A log is no more.
    pub(crate) fn forget(&self, log: &LogName) {
        self.lock().unnamed.remove(log);
    }

    /// Ends the thread, after what it is at.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for those that are due; none when it is closed.
    fn await_due(&self) -> Option<Vec<Turn>> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let now = clock::now().instant;
            let left = waiting.next.map(|next| next.saturating_duration_since(now));
            waiting = match left.filter(|_| !waiting.later) {
                Some(Duration::ZERO) => return Some(waiting.take(now)),
                Some(left) => {
                    let woken = self.bell.wait_timeout(waiting, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Waiting {
    /// Those that are due, the ones that have waited longest first.
    fn take(&mut self, now: Instant) -> Vec<Turn> {
        let mut due: Vec<_> = self.logs.extract_if(.., |_, it| it.by <= now).collect();
        due.sort_by_key(|(_, unsynced)| unsynced.by);
        self.next = self.logs.values().map(|unsynced| unsynced.by).min();
        let turn = |(log, Unsynced { bases, mark, .. }): (LogName, Unsynced)| {
            mark.store(false, Ordering::SeqCst);
            let unnamed = self.unnamed.remove(&log);
            Turn { log, bases, unnamed }
        };
        due.into_iter().map(turn).collect()
    }
}

/// Works until the store is closed.
pub(crate) fn run(shared: &Shared) {
    let syncs = &shared.upkeep.syncs;
    while let Some(due) = syncs.await_due() {
        // Those that many have in common, once.
        let mut folders = BTreeSet::new();
        for turn in due {
            if syncs.is_closed() {
                return;
            }
            look_for_loss(shared, &turn.log);
            let folder = Folder::new(&shared.root, &turn.log);
            sync(&folder, &turn.bases);
            if turn.unnamed {
                let above = folder.0.ancestors().take_while(|path| path.starts_with(&shared.root));
                folders.extend(above.map(Path::to_owned));
            }
        }
        for folder in folders.iter().filter_map(|path| File::open(path).ok()) {
            folder.sync_all().ok();
        }
    }
}

/// Somebody may have removed what is being written, or cut it short: the writer, who holds it open, is asked to look.
fn look_for_loss(shared: &Shared, log: &LogName) {
    // In this order: what is written meanwhile is no loss.
    let told = shared.news.end(log);
    let end = Folder::new(&shared.root, log).end().unwrap_or(0);
    if end < told {
        shared.queue.ask(Command::Check { log: log.clone() });
    }
}

fn sync(folder: &Folder, bases: &[u64]) {
    let files = bases.iter().flat_map(|&base| [folder.data(base), folder.index(base)]);
    for file in files.filter_map(|path| open::read(&path).ok()) {
        // There is nothing to be done about it: what the kernel could not write it does not keep.
        file.sync_data().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> LogName {
        LogName::Unit(name.parse().unwrap())
    }

    fn turn(log: LogName, bases: &[u64], unnamed: bool) -> Turn {
        Turn { log, bases: bases.to_vec(), unnamed }
    }

    /// However slow the disk is, a log that is written all the time waits for one turn, which has all that was begun.
    #[test]
    fn a_log_waits_for_one_turn_with_all_its_segments() {
        let syncs = Syncs::new(Duration::ZERO, false);
        let (web, db) = (unit("web"), unit("db"));
        let marks = [Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true))];
        syncs.begun(&web, 0);
        syncs.written(&web, 0, &marks[0]);
        syncs.written(&db, 7, &marks[1]);
        syncs.begun(&web, 64);
        syncs.begun(&web, 128);
        let due = syncs.await_due().unwrap();
        let expected = [turn(web.clone(), &[0, 64, 128], true), turn(db, &[7], false)];
        assert_eq!(due, expected);
        assert!(marks.iter().all(|mark| !mark.load(Ordering::SeqCst)), "the next write tells");
        // What is begun when the turn has, and written, comes next.
        syncs.begun(&web, 192);
        syncs.written(&web, 192, &marks[0]);
        assert_eq!(syncs.await_due(), Some(vec![turn(web.clone(), &[192], true)]));
        syncs.written(&web, 192, &marks[0]);
        assert_eq!(syncs.await_due(), Some(vec![turn(web, &[192], false)]));
        syncs.close();
        assert_eq!(syncs.await_due(), None);
    }

    #[test]
    fn the_audit_log_does_not_wait_for_the_others() {
        let syncs = Syncs::new(Duration::from_secs(300), false);
        let mark = Arc::new(AtomicBool::new(true));
        syncs.written(&unit("web"), 0, &mark);
        syncs.written(&LogName::Audit, 0, &mark);
        assert_eq!(syncs.await_due(), Some(vec![turn(LogName::Audit, &[0], false)]));
        assert_eq!(syncs.lock().logs.len(), 1);
    }

    #[test]
    fn nothing_is_done_before_it_is_begun() {
        let syncs = Arc::new(Syncs::new(Duration::ZERO, true));
        syncs.written(&LogName::Daemon, 0, &Arc::new(AtomicBool::new(true)));
        let other = Arc::clone(&syncs);
        let waits = std::thread::spawn(move || other.await_due());
        assert_eq!(syncs.lock().logs.len(), 1);
        syncs.begin();
        assert_eq!(waits.join().unwrap(), Some(vec![turn(LogName::Daemon, &[0], false)]));
    }
}
