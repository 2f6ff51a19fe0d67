//! What waits for a spawner thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use units::{ExitRecord, Origin};

use super::Work;
use crate::cgroups::RunCgroup;

/// The threads that make processes. One more would not make more of them in the same time.
pub(super) const USUAL_THREADS: usize = 2;
/// The most that there may be: as many starts can hang, on a dead filesystem say, before others wait for their end.
const MOST_THREADS: usize = 64;
/// Nothing was taken for so long: every thread hangs. A start takes a thousandth of that.
const STALL: Duration = Duration::from_millis(250);
/// How long a thread beyond the usual ones waits for something to do.
const LINGER: Duration = Duration::from_secs(10);

/// So many removals do not wait for starts any more, but take turns with them.
const MOST_REMOVALS: usize = 64;

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
        /// Whether the keeper knows it already, from a daemon that died before it had made the process.
        again: bool,
    },
    /// Remove what is left of a run that is over.
    Remove {
        /// How it ended.
        record: Arc<ExitRecord>,
        /// Where it lived.
        cgroup: Option<RunCgroup>,
    },
}

/// What a thread does next.
pub(super) enum Next {
    /// This.
    Job(Job),
    /// There has been nothing to do for a while.
    Nothing,
    /// Nothing any more.
    End,
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
    /// Told of a job that finds every thread at work.
    backlog: Condvar,
    /// Told when nothing is left to do.
    idle: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Somebody waits for these.
    starts: VecDeque<Job>,
    /// For these nobody does, so they come after.
    removals: VecDeque<Job>,
    /// The threads that there are.
    threads: usize,
    /// How many of them are at work.
    working: usize,
    /// How many jobs were ever taken: what does not grow stands still.
    taken: u64,
    /// Whether somebody looks out for a line that stands still, and has nothing to look at.
    watched: bool,
}

impl Waiting {
    /// What is next: starts, but for removals of which there are too many.
    fn next(&mut self) -> Option<Job> {
        let removals_first = self.removals.len() >= MOST_REMOVALS && self.taken.is_multiple_of(2);
        let (first, second) = match removals_first {
            true => (&mut self.removals, &mut self.starts),
            false => (&mut self.starts, &mut self.removals),
        };
        let job = first.pop_front().or_else(|| second.pop_front())?;
        self.working += 1;
        self.taken = self.taken.wrapping_add(1);
        Some(job)
    }

    fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.removals.is_empty()
    }
}

impl Jobs {
    /// Adds one.
    pub(crate) fn push(&self, job: Job) {
        let mut waiting = self.lock();
        match &job {
            Job::Spawn { .. } => waiting.starts.push_back(job),
            Job::Remove { .. } => waiting.removals.push_back(job),
        }
        let (idle, watched) = (waiting.working < waiting.threads, waiting.watched);
        // Before anybody is woken: they want the lock at once.
        drop(waiting);
        if idle {
            self.0.news.notify_one();
        } else if watched {
            self.0.backlog.notify_one();
        }
    }

    /// A thread begins to take jobs.
    pub(super) fn join(&self) {
        self.lock().threads += 1;
    }

    /// What is next: a job, when there is one; nothing, where none comes within that time; or the end, where there are
    /// more threads than usual, and nothing to do for this one.
    pub(super) fn next(&self, within: Option<Duration>) -> Next {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.next() {
                // What was handed in while some were idle may wait for all of them now.
                if waiting.watched && waiting.working >= waiting.threads && !waiting.is_empty() {
                    self.0.backlog.notify_one();
                }
                return Next::Job(job);
            }
            let spare = waiting.threads > USUAL_THREADS;
            let Some(patience) = within.or_else(|| spare.then_some(LINGER)) else {
                waiting = self.0.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let wait = self.0.news.wait_timeout(waiting, patience);
            let (again, waited) = wait.unwrap_or_else(PoisonError::into_inner);
            waiting = again;
            if waited.timed_out() && waiting.is_empty() {
                if within.is_some() || waiting.threads <= USUAL_THREADS {
                    return Next::Nothing;
                }
                waiting.threads -= 1;
                return Next::End;
            }
        }
    }

    /// Waits until jobs wait for a thread, and none has been taken for a while: every thread there is hangs. True where
    /// there may be one more.
    pub(super) fn await_stall(&self) -> bool {
        let mut waiting = self.lock();
        waiting.watched = true;
        let served =
            |waiting: &mut Waiting| waiting.is_empty() || waiting.working < waiting.threads;
        let wait = self.0.backlog.wait_while(waiting, served);
        waiting = wait.unwrap_or_else(PoisonError::into_inner);
        waiting.watched = false;
        let before = waiting.taken;
        let wait = self.0.backlog.wait_timeout(waiting, STALL);
        let (waiting, _) = wait.unwrap_or_else(PoisonError::into_inner);
        waiting.taken == before && !waiting.is_empty() && waiting.threads < MOST_THREADS
    }

    /// The one that was taken is done.
    pub(super) fn done(&self) {
        let mut waiting = self.lock();
        waiting.working = waiting.working.saturating_sub(1);
        if waiting.working == 0 && waiting.is_empty() {
            self.0.idle.notify_all();
        }
    }

    /// Waits until all is done, but no longer than this: what is left of runs must not outlive the daemon.
    pub(crate) fn await_done(&self, patience: Duration) {
        let busy = |waiting: &mut Waiting| waiting.working > 0 || !waiting.is_empty();
        drop(self.0.idle.wait_timeout_while(self.lock(), patience, busy));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
