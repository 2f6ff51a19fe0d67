//! What waits for a spawner thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use units::{ExitRecord, Origin};

use super::Work;
use crate::cgroups::RunCgroup;

/// What to do.
pub(crate) enum Job {
    /// Make a run's process.
    Spawn {
        /// What to execute.
        work: Work,
        /// Who ordered it.
        origin: Origin,
        /// Where it is to live; `None` where there are no cgroups.
        cgroup: Option<RunCgroup>,
    },
    /// Remove what is left of a run that is over.
    Remove {
        /// How it ended.
        record: Arc<ExitRecord>,
        /// Where it lived.
        cgroup: Option<RunCgroup>,
    },
}

/// The jobs that wait. At most two for each live run (its start, its removal), so it is bounded by the
/// limit of live runs.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Line>);

#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    /// Told of a new job.
    news: Condvar,
    /// Told when nothing is left to do.
    idle: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many are being done.
    working: usize,
}

impl Jobs {
    /// Adds one.
    pub(crate) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.0.news.notify_one();
    }

    /// The next one, when there is one.
    pub(super) fn next(&self) -> Job {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                waiting.working += 1;
                return job;
            }
            waiting = self.0.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The one that was taken is done.
    pub(super) fn done(&self) {
        let mut waiting = self.lock();
        waiting.working = waiting.working.saturating_sub(1);
        if waiting.working == 0 && waiting.jobs.is_empty() {
            self.0.idle.notify_all();
        }
    }

    /// Waits until all is done, but no longer than this: what is left of runs must not outlive the daemon.
    pub(crate) fn await_done(&self, patience: Duration) {
        let busy = |waiting: &mut Waiting| waiting.working > 0 || !waiting.jobs.is_empty();
        drop(self.0.idle.wait_timeout_while(self.lock(), patience, busy));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
