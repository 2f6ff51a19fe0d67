//! The news that a log has grown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use crate::{damage::Damages, name::LogName};

/// Where a log ends, as the writer last told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    /// The segment that is being written; none before the writer has opened the log.
    pub(crate) base: Option<u64>,
    /// Where its last byte ends; all before it were in the files.
    pub(crate) end: u64,
    /// No more news will come.
    pub(crate) closed: bool,
}

/// The news of one log.
///
/// The value says little: that there *is* news is what counts, and where the log ends readers ask the files. A reader
/// marks the news as seen before it looks at the files, so that it never sleeps through any.
#[derive(Debug)]
pub(crate) struct Published {
    tail: watch::Sender<Tail>,
    pub(crate) damages: Arc<Damages>,
}

impl Published {
    /// To be called after the files were written.
    pub(crate) fn tell(&self, base: u64, end: u64) {
        self.tail.send_modify(|tail| (tail.base, tail.end) = (Some(base), end));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Tail> {
        self.tail.subscribe()
    }
}

/// The logs that somebody writes or reads.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) damages: Arc<Damages>,
    logs: Mutex<Logs>,
    /// How many logs were opened, for who follows all of them.
    opened: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Logs {
    /// Forgotten when neither the writer nor a reader holds them.
    known: HashMap<LogName, Weak<Published>>,
    /// Where those ended that the writer has closed: what is missing before that was there.
    ends: HashMap<LogName, u64>,
    /// Clean up at this many.
    limit: usize,
    closed: bool,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The news of this log.
    pub(crate) fn of(&self, log: &LogName) -> Arc<Published> {
        let mut logs = self.lock();
        if let Some(published) = logs.known.get(log).and_then(Weak::upgrade) {
            return published;
        }
        if logs.known.len() >= logs.limit {
            logs.known.retain(|_, published| published.strong_count() > 0);
            logs.limit = logs.known.len().saturating_mul(2).max(64);
        }
        let end = logs.ends.get(log).copied().unwrap_or(0);
        let tail = Tail { base: None, end, closed: logs.closed };
        let damages = Arc::clone(&self.damages);
        let published = Arc::new(Published { tail: watch::Sender::new(tail), damages });
        logs.known.insert(log.clone(), Arc::downgrade(&published));
        drop(logs);
        self.opened.send_modify(|opened| *opened = opened.wrapping_add(1));
        published
    }

    /// The writer closes a log, which ends there.
    pub(crate) fn ended(&self, log: &LogName, end: u64) {
        let mut logs = self.lock();
        let known = logs.ends.entry(log.clone()).or_default();
        *known = end.max(*known);
    }

    /// Where a log ends, as far as the writer has told.
    pub(crate) fn end(&self, log: &LogName) -> u64 {
        let logs = self.lock();
        let open = logs.known.get(log).and_then(Weak::upgrade);
        let open = open.map_or(0, |published| published.tail.borrow().end);
        open.max(logs.ends.get(log).copied().unwrap_or(0))
    }

    /// Nothing is left of a log, as it should be: it begins anew.
    pub(crate) fn forget(&self, log: &LogName) {
        let mut logs = self.lock();
        logs.ends.remove(log);
        if let Some(published) = logs.known.get(log).and_then(Weak::upgrade) {
            published.tail.send_modify(|tail| (tail.base, tail.end) = (None, 0));
        }
    }

    /// The news that there are more logs than before.
    pub(crate) fn logs_opened(&self) -> watch::Receiver<usize> {
        self.opened.subscribe()
    }

    /// The logs that are open; some of them may have no files yet.
    pub(crate) fn open(&self) -> Vec<LogName> {
        self.lock().known.keys().cloned().collect()
    }

    /// Tells all readers that no more news will come.
    pub(crate) fn close(&self) {
        let mut logs = self.lock();
        logs.closed = true;
        for published in logs.known.values().filter_map(Weak::upgrade) {
            published.tail.send_modify(|tail| tail.closed = true);
        }
    }
}
