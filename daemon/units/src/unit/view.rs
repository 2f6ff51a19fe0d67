//! A unit as it is shown.

use std::sync::Arc;

use super::{
    setting::ResourceLimits,
    spec::{Kind, Role, UnitSpec},
    state::{Change, Desired, UnitResult, UnitState},
};
use crate::{ExitRecord, Name, RunId};

/// A unit as it stands, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitView {
    /// Its name.
    pub name: Name,
    /// The user's comment.
    pub comment: String,
    /// Whether it is there to run, or to have run.
    pub kind: Kind,
    /// Where it stands.
    pub state: UnitState,
    /// Since when: nanoseconds since the Unix epoch.
    pub since: i64,
    /// What is wanted of it, and by whom.
    pub desired: Desired,
    /// What came of its last start so far.
    pub result: UnitResult,
    /// The run of its program, where that is alive.
    pub run: Option<RunId>,
    /// The main process of that run; 0 where there is none.
    pub pid: i32,
    /// How often it was started again by itself since somebody last started it.
    pub restarts: u32,
    /// When it is started again, where it waits for that: nanoseconds since the Unix epoch.
    pub restart_at: Option<i64>,
    /// What its program lately said about itself (`STATUS=` of sd_notify(3)).
    pub status_text: Option<String>,
    /// The last end of its program.
    pub last: Option<Arc<ExitRecord>>,
    /// The first thing that went wrong with its last start, in words, if anything did.
    pub failure: Option<String>,
    /// What it may use at most.
    pub limits: ResourceLimits,
    /// What it is.
    pub spec: Arc<UnitSpec>,
}

/// Everything about a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitDetail {
    /// The same, in a line.
    pub view: UnitView,
    /// What it is.
    pub spec: Arc<UnitSpec>,
    /// The command that runs beside its program, or in its place.
    pub control: Option<(Role, RunId)>,
    /// Its last changes, the latest at the end; at most [`UnitDetail::CHANGES`].
    pub changes: Vec<Arc<Change>>,
}

impl UnitDetail {
    /// How many changes are kept of a unit.
    pub const CHANGES: usize = 64;
}
