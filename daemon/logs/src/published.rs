//! The news that a log has grown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use crate::name::LogName;

/// Where a log ends, as the writer last told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    /// The segment that is being written; none before the writer has opened the log.
    pub(crate) base: Option<u64>,
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
}

impl Published {
    /// To be called after the files were written.
    pub(crate) fn tell(&self, base: u64) {
        self.tail.send_modify(|tail| tail.base = Some(base));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Tail> {
        self.tail.subscribe()
    }
}

/// The logs that somebody writes or reads.
#[derive(Debug, Default)]
pub(crate) struct News {
    logs: Mutex<Logs>,
    /// How many logs were opened, for who follows all of them.
    opened: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Logs {
    /// Forgotten when neither the writer nor a reader holds them.
    known: HashMap<LogName, Weak<Published>>,
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
        let tail = Tail { base: None, closed: logs.closed };
        let published = Arc::new(Published { tail: watch::Sender::new(tail) });
        logs.known.insert(log.clone(), Arc::downgrade(&published));
        drop(logs);
        self.opened.send_modify(|opened| *opened = opened.wrapping_add(1));
        published
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
