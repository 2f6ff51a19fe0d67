//! What programs that listen to us are to be told: left here by the supervisor, which waits for no program, and taken by the
//! door that speaks to them (`doors/drpc/engines.rs`).
//!
//! Invariant: of each run there is one thing at most, the last, so that there are never more than runs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use units::{RunId, kept::Listener};

/// What is wanted of a run's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To look now and then whether it answers, as long as it lives.
    Probe(Listener),
    /// To tell it that it is to end, and then the core that it has been told.
    Prepare(Listener),
}

/// What nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    wanted: Mutex<BTreeMap<RunId, Wanted>>,
    news: Notify,
}

impl Listeners {
    /// Leaves this for the door.
    pub(crate) fn want(&self, run: RunId, wanted: Wanted) {
        let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        match (all.get(&run), &wanted) {
            // To be told that it is to end counts over being looked after.
            (Some(Wanted::Prepare(_)), Wanted::Probe(_)) => {}
            (None | Some(Wanted::Probe(_) | Wanted::Prepare(_)), _) => {
                drop(all.insert(run, wanted))
            }
        }
        drop(all);
        self.news.notify_one();
    }

    /// All that is wanted, as soon as anything is.
    pub(crate) async fn take(&self) -> BTreeMap<RunId, Wanted> {
        loop {
            let taken =
                std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.news.notified().await;
        }
    }
}
