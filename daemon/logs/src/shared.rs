//! What the handles of the store and its writer have in common, and finding runs in it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::unistd::Pid;
use units::RunId;

use crate::{
    entry::End,
    folder::{self, Folder},
    name::{LogName, Position, Stream},
    place::Place,
    published::News,
    queue::Queue,
    reader::{Filter, ReadError, Reader},
    recent::{Known, Recent},
    seek, tail,
    trace::{Started, Trace, last_start, trace},
    upkeep::Upkeep,
};

/// What is wrong with a log at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which log.
    pub log: LogName,
    /// What.
    pub text: String,
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The run.
    pub run: RunId,
    /// Its log.
    pub log: LogName,
    /// Nothing of it lies before this.
    pub first: Position,
    /// Its first process, once that is known.
    pub pid: Option<i32>,
    /// When it began, in nanoseconds since 1970, once that is known.
    pub started: Option<u64>,
    /// How it ended, once it has, and its end and all its output can be read.
    pub ended: Option<End>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) queue: Queue,
    pub(crate) recent: Recent,
    pub(crate) news: News,
    pub(crate) upkeep: Arc<Upkeep>,
    problems: Mutex<Vec<Problem>>,
    /// The writer's thread, once it runs.
    pub(crate) writer: OnceLock<Pid>,
    turns: AtomicU64,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, queue: Queue, remembered: usize, upkeep: Upkeep) -> Self {
        let recent = Recent::new(remembered);
        let (news, problems) = (News::default(), Mutex::default());
        let (upkeep, writer, turns) = (Arc::new(upkeep), OnceLock::new(), AtomicU64::new(0));
        Self { root, queue, recent, news, upkeep, problems, writer, turns }
    }

    /// The writer has done something.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        problems.extend(self.news.damages.problems());
        problems
    }

    pub(crate) fn set_problems(&self, problems: Vec<Problem>) {
        *self.problems.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }

    fn folder(&self, log: &LogName) -> Folder {
        Folder::new(&self.root, log)
    }

    pub(crate) fn locate(&self, run: RunId) -> Result<Option<Located>, ReadError> {
        if let Some(known) = self.recent.find(run) {
            return self.locate_known(run, known).map(Some);
        }
        // One log that cannot be read hides no run of another.
        let mut failed = None;
        for log in folder::logs(&self.root)? {
            match trace(&self.folder(&log), run) {
                Ok(Some(trace)) => return Ok(Some(on_disk(run, log, trace))),
                Ok(None) => {}
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn locate_known(&self, run: RunId, known: Known) -> Result<Located, ReadError> {
        let known_first = |known: Known, first| {
            let Known { log, pid, started, ended, .. } = known;
            Located { run, log, first, pid, started, ended }
        };
        if let Some(first) = known.first {
            return Ok(known_first(known, first));
        }
        let folder = self.folder(&known.log);
        if known.resumed
            && let Some(trace) = trace(&folder, run)?
        {
            return Ok(on_disk(run, known.log, trace));
        }
        // Nothing of it was on disk when this end was read, if nothing is now.
        let end = Position(folder.end()?);
        let known = self.recent.find(run).unwrap_or(known);
        let first = known.first.unwrap_or(end);
        Ok(known_first(known, first))
    }

    pub(crate) fn locate_pid(&self, pid: i32) -> Result<Option<Located>, ReadError> {
        if let Some(run) = self.recent.by_pid(pid) {
            return self.locate(run);
        }
        let mut newest: Option<(Started, LogName)> = None;
        let mut failed = None;
        for log in folder::logs(&self.root)? {
            let started = match last_start(&self.folder(&log), |started| started.pid == pid) {
                Ok(started) => started,
                Err(why) => {
                    failed = failed.or(Some(why));
                    continue;
                }
            };
            if let Some(started) = started
                && newest.as_ref().is_none_or(|(other, _)| other.time < started.time)
            {
                newest = Some((started, log));
            }
        }
        match (newest, failed) {
            (Some((started, log)), _) => self.locate_in(log, started.run),
            (None, Some(why)) => Err(why),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn locate_newest(&self, log: &LogName) -> Result<Option<Located>, ReadError> {
        if let Some(run) = self.recent.newest(log) {
            return self.locate(run);
        }
        match last_start(&self.folder(log), |_| true)? {
            Some(started) => self.locate_in(log.clone(), started.run),
            None => Ok(None),
        }
    }

    /// The run before the newest of a log.
    pub(crate) fn locate_previous(&self, log: &LogName) -> Result<Option<Located>, ReadError> {
        let Some(newest) = self.locate_newest(log)? else { return Ok(None) };
        match last_start(&self.folder(log), |started| started.run != newest.run)? {
            Some(started) => self.locate_in(log.clone(), started.run),
            None => Ok(None),
        }
    }

    /// The logs of programs, also of those that have printed nothing yet.
    pub(crate) fn programs(&self) -> Result<Vec<LogName>, ReadError> {
        let mut logs = folder::logs(&self.root)?;
        logs.extend(self.news.open());
        logs.retain(|log| matches!(log, LogName::Commands | LogName::Unit(_)));
        logs.sort_unstable();
        logs.dedup();
        Ok(logs)
    }

    /// Where the reading of a log begins that is asked for by time, by lines, or by both.
    pub(crate) fn place(
        &self,
        log: &LogName,
        (runs, stream): (&[RunId], Option<Stream>),
        since: Option<u64>,
        last: Option<u64>,
    ) -> Result<Option<Place>, ReadError> {
        let folder = self.folder(log);
        let since = since.map(|time| {
            let position = seek::moment(&folder, time)?;
            seek::whole_lines(&folder, position, |run, stream| {
                let filter = Filter { run: Some(run), stream: Some(stream) };
                Reader::new(&self.root, log.clone(), position, filter, &self.news)
            })
        });
        let last = last.map(|count| tail::last_lines(&folder, (runs, stream), count));
        Ok(match (since.transpose()?, last.transpose()?) {
            (Some(since), Some(last)) => Some(since.later(last)),
            (since, last) => since.or(last),
        })
    }

    pub(crate) fn locate_in(&self, log: LogName, run: RunId) -> Result<Option<Located>, ReadError> {
        let trace = trace(&self.folder(&log), run)?;
        Ok(trace.map(|trace| on_disk(run, log, trace)))
    }
}

fn on_disk(run: RunId, log: LogName, trace: Trace) -> Located {
    let Trace { first, started, ended, .. } = trace;
    let (pid, started) = (started.map(|s| s.pid), started.map(|s| s.time));
    Located { run, log, first, pid, started, ended }
}
