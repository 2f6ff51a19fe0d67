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
    /// The same by the time at which they are due.
    order: BTreeSet<(Instant, LogName)>,
    /// In these a segment was begun, of which the disk may not know the name.
    unnamed: BTreeSet<LogName>,
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
        let (logs, order, unnamed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let waiting = Waiting { logs, order, unnamed, later, closed: false };
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

    /// A segment was opened, or begun: then it is `new`.
    pub(crate) fn begun(&self, log: &LogName, base: u64, new: bool) {
        let mut waiting = self.lock();
        if new {
            waiting.unnamed.insert(log.clone());
        }
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
        // Its writer has closed it and opened it again, so that there is another mark: its turn does not come later for that.
        if let Some(before) = waiting.remove(log) {
            unsynced.by = by.min(before.by);
            unsynced.bases.extend(before.bases);
        }
        waiting.order.insert((unsynced.by, log.clone()));
        waiting.logs.insert(log.clone(), unsynced);
        let is_first = waiting.order.first().is_some_and(|(_, first)| first == log);
        drop(waiting);
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Ends the thread, after what it is at.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits for the next turn; none when it is closed.
    fn await_turn(&self) -> Option<Turn> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let first = if waiting.later { None } else { waiting.first() };
            waiting = match first {
                Some((log, left)) if left.is_zero() => return waiting.take(log),
                Some((_, left)) => {
                    let woken = self.bell.wait_timeout(waiting, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Waiting {
    /// Whose turn is next, and in how long: the audit log's where it is due, and else of the one that is due first.
    fn first(&self) -> Option<(LogName, Duration)> {
        let now = clock::now().instant;
        let audit = self.logs.get(&LogName::Audit).filter(|audit| audit.by <= now);
        if audit.is_some() {
            return Some((LogName::Audit, Duration::ZERO));
        }
        let (by, log) = self.order.first()?;
        Some((log.clone(), by.saturating_duration_since(now)))
    }

    fn take(&mut self, log: LogName) -> Option<Turn> {
        let Unsynced { bases, mark, .. } = self.remove(&log)?;
        mark.store(false, Ordering::SeqCst);
        let unnamed = self.unnamed.remove(&log);
        Some(Turn { log, bases, unnamed })
    }

    fn remove(&mut self, log: &LogName) -> Option<Unsynced> {
        let unsynced = self.logs.remove(log)?;
        self.order.remove(&(unsynced.by, log.clone()));
        Some(unsynced)
    }
}

/// Works until the store is closed.
pub(crate) fn run(shared: &Shared) {
    while let Some(turn) = shared.upkeep.syncs.await_turn() {
        look_for_loss(shared, &turn.log);
        sync(shared, &turn);
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

/// Where the store is closed meanwhile, the rest is left to the kernel. There is nothing to be done about what fails: what the
/// kernel could not write it does not keep.
fn sync(shared: &Shared, Turn { log, bases, unnamed }: &Turn) {
    let folder = Folder::new(&shared.root, log);
    let files = bases.iter().flat_map(|&base| [folder.data(base), folder.index(base)]);
    for path in files.take_while(|_| !shared.upkeep.syncs.is_closed()) {
        if let Ok(file) = open::read(&path) {
            file.sync_data().ok();
        }
    }
    let folders =
        folder.0.ancestors().take_while(|path| *unnamed && path.starts_with(&shared.root));
    for folder in folders.filter_map(|path| File::open(path).ok()) {
        folder.sync_all().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::Sizes, retention::Retention, upkeep::Upkeep, write_end::WriteEnd};

    fn unit(name: &str) -> LogName {
        LogName::Unit(name.parse().unwrap())
    }

    fn turn(log: LogName, bases: &[u64], unnamed: bool) -> Turn {
        Turn { log, bases: bases.to_vec(), unnamed }
    }

    fn mark() -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(true))
    }

    /// However slow the disk is, a log that is written all the time waits for one turn, which has all that was begun.
    #[test]
    fn a_log_waits_for_one_turn_with_all_its_segments() {
        let syncs = Syncs::new(Duration::ZERO, false);
        let (web, mark) = (unit("web"), mark());
        syncs.begun(&web, 0, true);
        syncs.written(&web, 0, &mark);
        syncs.begun(&web, 64, true);
        syncs.begun(&web, 128, true);
        assert_eq!(syncs.await_turn(), Some(turn(web.clone(), &[0, 64, 128], true)));
        assert!(!mark.load(Ordering::SeqCst), "the next write tells");
        // What is begun when the turn has, and written, comes next.
        syncs.begun(&web, 192, true);
        syncs.written(&web, 192, &mark);
        assert_eq!(syncs.await_turn(), Some(turn(web.clone(), &[192], true)));
        syncs.begun(&web, 192, false);
        syncs.written(&web, 192, &mark);
        assert_eq!(syncs.await_turn(), Some(turn(web, &[192], false)));
        syncs.close();
        assert_eq!(syncs.await_turn(), None);
    }

    /// The end of a segment may be written after its last turn, and the next one be begun before anything is told.
    #[test]
    fn a_segment_that_is_closed_comes_with_its_end() {
        let root = tempfile::tempdir().unwrap();
        let web = unit("web");
        let retention = Retention { sync_interval: Duration::ZERO, ..Retention::default() };
        let sizes = Sizes { segment_bytes: 10, segment_entries: 100, copy: false };
        let upkeep = Arc::new(Upkeep::new(retention, sizes, false));
        let folder = Folder::new(root.path(), &web);
        let mut end = WriteEnd::new(web.clone(), folder, Arc::clone(&upkeep), Arc::default());
        end.writable().unwrap().0.append(b"01234").unwrap();
        end.was_written();
        assert_eq!(upkeep.syncs.await_turn(), Some(turn(web.clone(), &[0], true)));
        end.writable().unwrap().0.append(b"56789").unwrap();
        end.writable().unwrap().0.append(b"a").unwrap();
        end.was_written();
        assert_eq!(upkeep.syncs.await_turn(), Some(turn(web, &[0, 10], true)));
    }

    /// A log that is closed and opened again, as of a program that runs each minute, is due when it was.
    #[test]
    fn a_log_that_is_opened_again_does_not_wait_longer() {
        let syncs = Syncs::new(Duration::from_secs(300), false);
        let web = unit("web");
        syncs.written(&web, 0, &mark());
        let due = syncs.lock().logs[&web].by;
        for base in [0, 64] {
            syncs.written(&web, base, &mark());
        }
        assert_eq!(syncs.lock().logs[&web].by, due);
        let taken = syncs.lock().take(web.clone());
        assert_eq!(taken, Some(turn(web, &[64, 0, 0], false)));
        assert!(syncs.lock().order.is_empty());
    }

    #[test]
    fn the_audit_log_does_not_wait_for_the_others() {
        let syncs = Syncs::new(Duration::ZERO, false);
        let others = ["a", "b", "c"].map(unit);
        others.iter().for_each(|log| syncs.written(log, 0, &mark()));
        syncs.written(&LogName::Audit, 0, &mark());
        assert_eq!(syncs.await_turn(), Some(turn(LogName::Audit, &[0], false)));
        // The rest by the time at which they are due.
        let mut left: Vec<_> = others.map(|_| syncs.await_turn().unwrap().log).into();
        left.sort_unstable();
        assert_eq!(left, ["a", "b", "c"].map(unit));
        let syncs = Syncs::new(Duration::from_secs(300), false);
        syncs.written(&unit("web"), 0, &mark());
        syncs.written(&LogName::Audit, 0, &mark());
        let (first, left) = syncs.lock().first().unwrap();
        assert!(first == LogName::Audit && left <= AUDIT_SYNC);
    }

    #[test]
    fn nothing_is_done_before_it_is_begun() {
        let syncs = Arc::new(Syncs::new(Duration::ZERO, true));
        syncs.written(&LogName::Daemon, 0, &mark());
        let (told, turns) = std::sync::mpsc::sync_channel(1);
        let other = Arc::clone(&syncs);
        let waits = std::thread::spawn(move || told.send(other.await_turn()).unwrap());
        assert!(turns.recv_timeout(Duration::from_millis(50)).is_err());
        syncs.begin();
        assert_eq!(turns.recv().unwrap(), Some(turn(LogName::Daemon, &[0], false)));
        waits.join().unwrap();
    }
}
