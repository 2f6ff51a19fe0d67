//! What the judge knows of one run and of one caller.

use std::{sync::Arc, time::Duration};

use units::{
    Cause, ExitRecord, Leftovers, Name, Origin, ProcessExit, Role, RunId, StartFailure, UnitSpec,
};

/// A live run, as the events and actions so far tell.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: Name,
    pub(crate) started_by: Origin,
    pub(crate) inherited: bool,
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
    pub(crate) settling: bool,
    /// Its unit and what it is for that, if it is a unit's.
    pub(crate) unit: Option<(Arc<UnitSpec>, Role)>,
}

impl Known {
    /// One that was begun just now.
    pub(crate) fn new(name: Name, started_by: Origin, since: Duration) -> Self {
        Self {
            name,
            started_by,
            inherited: false,
            starting: true,
            since,
            pid: None,
            exit: None,
            failure: None,
            late: false,
            stopped_by: None,
            unwanted_since: None,
            killed_at: None,
            settling: false,
            unit: None,
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

    /// How long its signal has.
    pub(crate) fn patience(&self, others: Duration) -> Duration {
        self.unit.as_ref().map_or(others, |(spec, _)| spec.stop.timeout)
    }

    /// Somebody orders its end.
    pub(crate) fn unwanted(&mut self, now: Duration, by: &Origin) {
        if self.settling {
            return;
        }
        self.unwanted_since.get_or_insert(now);
        if self.exit.is_none() {
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
        if record.pid == 0 && !self.inherited {
            assert_eq!(record.started_at, 0, "no program was executed");
        }
        assert!(record.ended_at >= record.started_at, "{record:?}");
        let late = matches!(&record.cause, Cause::Failed(failure) if failure.stage == 302);
        match (&self.failure, &self.exit) {
            // Whether a unit wanted its end before it was late is not to be seen.
            _ if self.late && self.unit.is_none() => assert!(late),
            _ if self.late && late => {}
            (Some(failure), _) => assert_eq!(record.cause, Cause::Failed(failure.clone())),
            (None, Some(_)) if self.inherited && self.stopped_by.is_some() => {
                assert!(matches!(record.cause, Cause::Lost(_)), "{record:?}");
            }
            (None, Some(exit)) => assert_eq!(record.cause, exit.cause),
            (None, None) => {
                let left = record.leftovers == Leftovers::Left;
                assert!(
                    self.inherited || left,
                    "the exit of a run of our own was never seen: {self:?}"
                );
                assert!(matches!(record.cause, Cause::Lost(_)), "{record:?}");
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
