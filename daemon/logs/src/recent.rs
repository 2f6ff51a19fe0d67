//! The runs that are known without reading the disk: all live ones, and the last that ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use units::RunId;

use crate::{
    entry::End,
    name::{LogName, Position},
};

/// What is known of a run.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) log: LogName,
    /// Its pipes were a dead daemon's: more of it may be on disk than is known here.
    pub(crate) resumed: bool,
    /// None as long as this daemon has written nothing of it.
    pub(crate) first: Option<Position>,
    pub(crate) pid: Option<i32>,
    pub(crate) started: Option<u64>,
    pub(crate) ended: Option<End>,
}

#[derive(Debug, Default)]
struct Runs {
    /// Boxed: a table has room for twice as many as it holds.
    known: HashMap<RunId, Box<Known>>,
    by_pid: HashMap<i32, RunId>,
    newest: HashMap<LogName, RunId>,
    /// Those that ended, the oldest in front.
    ended: VecDeque<RunId>,
}

/// The table of known runs.
#[derive(Debug)]
pub(crate) struct Recent {
    runs: Mutex<Runs>,
    remembered: usize,
}

impl Recent {
    pub(crate) fn new(remembered: usize) -> Self {
        Self { runs: Mutex::default(), remembered }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attached(&self, run: RunId, log: &LogName, resumed: bool) {
        let mut runs = self.lock();
        let (first, pid, started, ended) = (None, None, None, None);
        let known = Known { log: log.clone(), resumed, first, pid, started, ended };
        runs.known.insert(run, Box::new(known));
        runs.newest.insert(log.clone(), run);
    }

    pub(crate) fn started(&self, run: RunId, pid: i32, time: u64) {
        let mut runs = self.lock();
        if let Some(known) = runs.known.get_mut(&run) {
            (known.pid, known.started) = (Some(pid), Some(time));
            runs.by_pid.insert(pid, run);
        }
    }

    /// To be called before the run's first entry is written: a run without a first position has nothing on disk.
    pub(crate) fn begins(&self, run: RunId, first: Position) {
        if let Some(known) = self.lock().known.get_mut(&run) {
            known.first = Some(first);
        }
    }

    pub(crate) fn ended(&self, run: RunId, end: End) {
        let mut runs = self.lock();
        let Some(known) = runs.known.get_mut(&run) else { return };
        known.ended = Some(end);
        runs.ended.push_back(run);
        if runs.ended.len() > self.remembered {
            runs.forget_oldest();
        }
    }

    pub(crate) fn find(&self, run: RunId) -> Option<Known> {
        self.lock().known.get(&run).map(|known| (**known).clone())
    }

    pub(crate) fn by_pid(&self, pid: i32) -> Option<RunId> {
        self.lock().by_pid.get(&pid).copied()
    }

    pub(crate) fn newest(&self, log: &LogName) -> Option<RunId> {
        self.lock().newest.get(log).copied()
    }
}

impl Runs {
    fn forget_oldest(&mut self) {
        let Some(run) = self.ended.pop_front() else { return };
        // A run that was resumed after its end is live again.
        if self.known.get(&run).is_some_and(|known| known.ended.is_some()) {
            self.forget(run);
        }
    }

    fn forget(&mut self, run: RunId) {
        let Some(known) = self.known.remove(&run) else { return };
        if let Some(pid) = known.pid
            && self.by_pid.get(&pid) == Some(&run)
        {
            self.by_pid.remove(&pid);
        }
        if self.newest.get(&known.log) == Some(&run) {
            self.newest.remove(&known.log);
        }
    }
}
