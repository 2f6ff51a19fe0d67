//! What the judge knows of one run and of one caller.

use std::{sync::Arc, time::Duration};

use units::{
    Cause, ExitRecord, Leftovers, Name, Origin, ProcessExit, Role, RunId, StartFailure, UnitSpec,
    kept::Fate,
};

/// A live run, as the events and actions so far tell.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: Name,
    pub(crate) started_by: Origin,
    /// Whether the spawner's word is still waited for.
    pub(crate) starting: bool,
    /// When it was begun.
    pub(crate) since: Duration,
    pub(crate) pid: Option<i32>,
    pub(crate) exit: Option<ProcessExit>,
    pub(crate) failure: Option<StartFailure>,
    /// Its start passed the deadline.
    pub(crate) late: bool,
    pub(crate) stopped_by: Option<Origin>,
    /// Since when it is to end.
    pub(crate) unwanted_since: Option<Duration>,
    pub(crate) killed_at: Option<Duration>,
    /// Whether it has said where it listens, and is known to run.
    pub(crate) listens: bool,
    /// Whether it has said so, be it before that.
    pub(crate) says_so: bool,
    /// Since when it is being told that it is to end.
    pub(crate) preparing: Option<Duration>,
    /// When it got its signal after that.
    pub(crate) told_at: Option<Duration>,
    pub(crate) settling: bool,
    /// Nobody can know its end, for this reason.
    pub(crate) lost: Option<String>,
    /// Since when it waits to be named, where its daemon died.
    pub(crate) unclaimed: Option<Duration>,
    /// Its daemon died while it was being made; it may be made now.
    pub(crate) unmade: bool,
    /// Its daemon died, and it has not been said what was found of it.
    pub(crate) unadopted: bool,
    /// It was being settled when its daemon died.
    pub(crate) was_settling: bool,
    /// Its unit and what it is for that, if it is a unit's.
    pub(crate) unit: Option<(Arc<UnitSpec>, Role)>,
}

impl Known {
    /// One that was begun just now.
    pub(crate) fn new(name: Name, started_by: Origin, since: Duration) -> Self {
        Self {
            name,
            started_by,
            starting: true,
            since,
            pid: None,
            exit: None,
            failure: None,
            late: false,
            stopped_by: None,
            unwanted_since: None,
            killed_at: None,
            listens: false,
            says_so: false,
            preparing: None,
            told_at: None,
            settling: false,
            lost: None,
            unclaimed: None,
            unmade: false,
            unadopted: false,
            was_settling: false,
            unit: None,
        }
    }

    /// This was found of it after its daemon had died.
    pub(crate) fn adopted(&mut self, now: Duration, fate: &Fate) {
        let over = self.settling || self.failure.is_some() && !self.starting;
        let clearing = over || !self.starting && (self.exit.is_some() || self.lost.is_some());
        if !std::mem::take(&mut self.unadopted)
            || std::mem::take(&mut self.was_settling)
            || clearing
        {
            return;
        }
        let starting = std::mem::replace(&mut self.starting, false);
        match fate {
            Fate::Unmade if starting => self.unmade = true,
            Fate::Unmade => {
                let why = "it was running, and nothing is known of its process any more";
                self.lost = Some(why.to_owned());
            }
            Fate::Executed { pid, exit, .. } => {
                self.pid.get_or_insert(*pid);
                self.exit = self.exit.take().or_else(|| exit.clone());
                if self.unit.is_none() && self.exit.is_none() && self.unwanted_since.is_none() {
                    self.unclaimed.get_or_insert(now);
                }
            }
            Fate::Lost { why, .. } => {
                self.lost = Some(why.clone());
                self.unwanted_since.get_or_insert(now);
            }
        }
    }

    /// Whether it is the run of a unit's program.
    pub(crate) fn is_program(&self) -> bool {
        self.unit.as_ref().is_some_and(|(_, role)| *role == Role::Main)
    }

    /// Whether the end of its main process would be heard now.
    pub(crate) fn heard(&self) -> bool {
        !self.starting && !self.settling && self.exit.is_none()
    }

    /// It is asked to end; where it listens it has been told before.
    pub(crate) fn signalled(&mut self, now: Duration) {
        let before = self.preparing.or(self.told_at).or(self.killed_at).is_some();
        let told = !self.listens || before || self.exit.is_some() || self.lost.is_some();
        assert!(!self.starting && told, "{self:?} is asked to end");
        self.told_at.get_or_insert(now);
    }

    /// How long its signal has.
    pub(crate) fn patience(&self, others: Duration) -> Duration {
        self.unit.as_ref().map_or(others, |(spec, _)| spec.stop.timeout)
    }

    /// What it left behind is to end.
    pub(crate) fn clears(&mut self, now: Duration) {
        self.starting = false;
        self.unwanted_since.get_or_insert(now);
    }

    /// Somebody orders its end.
    pub(crate) fn unwanted(&mut self, now: Duration, by: &Origin) {
        if self.settling {
            return;
        }
        self.unwanted_since.get_or_insert(now);
        if self.exit.is_none() && self.lost.is_none() {
            self.stopped_by.get_or_insert_with(|| by.clone());
        }
    }

    /// Whether this may be said of its end.
    pub(crate) fn check(&self, run: RunId, record: &ExitRecord) {
        assert_eq!((record.run, &record.name), (run, &self.name));
        assert_eq!(record.started_by, self.started_by);
        if self.unit.is_none() {
            assert_eq!(record.stopped_by, self.stopped_by, "{self:?}");
            assert_eq!((record.restarts, record.leftovers == Leftovers::Left), (0, false));
        }
        assert_eq!(record.pid, self.pid.unwrap_or(0), "{self:?}");
        if let Some(exit) = &self.exit {
            assert_eq!((record.ended_at, record.usage), (exit.at, exit.usage));
        }
        if record.pid == 0 {
            assert_eq!(record.started_at, 0, "no program was executed");
        }
        assert!(record.ended_at >= record.started_at, "{record:?}");
        let late = matches!(&record.cause, Cause::Failed(failure) if failure.stage == 302);
        match (&self.failure, &self.exit) {
            // Whether a unit wanted its end before it was late is not to be seen.
            _ if self.late && self.unit.is_none() => assert!(late),
            _ if self.late && late => {}
            (Some(failure), _) => assert_eq!(record.cause, Cause::Failed(failure.clone())),
            _ if self.lost.is_some() => {
                assert_eq!(Some(&record.cause), self.lost.clone().map(Cause::Lost).as_ref());
            }
            (None, Some(exit)) => assert_eq!(record.cause, exit.cause),
            (None, None) => {
                let left = record.leftovers == Leftovers::Left;
                assert!(left || self.unmade, "its exit was never seen: {self:?}");
                let unmade = matches!(&record.cause, Cause::Failed(it) if it.stage == 301);
                assert!(matches!(record.cause, Cause::Lost(_)) || unmade, "{record:?}");
            }
        }
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The beginning and the end of this run.
    Execute(RunId),
    /// The end of everything.
    ShutDown,
    /// That a unit is up.
    Up,
    /// One answer.
    Other,
}

/// Somebody who waits, or has waited.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) asked: Asked,
    /// Until when.
    pub(crate) until: Option<Duration>,
    pub(crate) told_started: bool,
    pub(crate) done: bool,
}
