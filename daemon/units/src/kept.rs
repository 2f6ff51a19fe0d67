//! What the next core must know to go on where this one stood.
//!
//! Whatever a step changed of this is told by [`Action::Keep`](crate::Action::Keep), before everything else that the step
//! wants done: who writes it down first and then acts can lose the core at any moment. Each [`Keep`] is a whole
//! picture, and the last one of a thing counts. Left out is what dies with a daemon: who waits for what.
//! The last changes of units are kept too; those are told by [`Action::Tell`](crate::Action::Tell) already.

use std::{sync::Arc, time::Duration};

use crate::{
    Change, Desired, ExitRecord, Leftovers, Name, Origin, ProcessExit, Role, RunId, StartFailure,
    StopHow, UnitResult, UnitSpec, UnitState,
};
pub use crate::{
    run::{End, Identity, Listener, Stage},
    unit::StartWindow,
};

/// One thing to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The unit of this name is this; said once, before the unit.
    Spec(Arc<UnitSpec>),
    /// The unit of this name is to be started as this; said once, before the unit.
    NextSpec(Arc<UnitSpec>),
    /// A unit stands so.
    Unit(Arc<KeptUnit>),
    /// The unit of this name is forgotten.
    Forgotten(Name),
    /// A live run stands so.
    Run(Arc<KeptRun>),
    /// A run is over, and not live any more.
    Ended(KeptEnd),
    /// A run never was, and is not live any more.
    Gone(RunId),
}

/// Numbers that go on from core to core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The number of the last change of a unit.
    pub changes: u64,
    /// The number of the last start of a unit.
    pub starts: u64,
    /// How many runs were made.
    pub runs: u64,
}

/// All that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The numbers.
    pub numbers: Numbers,
    /// The units.
    pub units: Vec<Arc<KeptUnit>>,
    /// The live runs.
    pub runs: Vec<Arc<KeptRun>>,
    /// The runs that ended lately, the last one at the end.
    pub ended: Vec<KeptEnd>,
    /// The last changes of units, the last one at the end.
    pub changes: Vec<Arc<Change>>,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEnd {
    /// What it was.
    pub identity: Identity,
    /// Its end.
    pub record: Arc<ExitRecord>,
    /// Whether it was a unit's.
    pub of_unit: bool,
}

/// A live run. `crate::run` explains the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRun {
    /// What it is.
    pub identity: Identity,
    /// Who ordered it.
    pub started_by: Origin,
    /// Who ordered its end, if anybody has.
    pub stopped_by: Option<Origin>,
    /// Where it stands.
    pub stage: Stage,
    /// How far its end has come.
    pub end: End,
    /// Its main process; 0 until that is known.
    pub pid: i32,
    /// When the program was executed: nanoseconds since the Unix epoch; 0 until it is.
    pub started_at: i64,
    /// How its main process ended, if it has.
    pub exit: Option<ProcessExit>,
    /// Whether the main process left nothing behind.
    pub empty: bool,
    /// When no process was left: nanoseconds since the Unix epoch.
    pub gone_at: i64,
    /// Why it never ran its program.
    pub failure: Option<StartFailure>,
    /// Why nobody can know its end.
    pub lost: Option<String>,
    /// What its main process left behind.
    pub leftovers: Leftovers,
    /// When something is to be done about it, on the monotonic clock.
    pub timer: Option<Duration>,
    /// Whether nobody has named it since its daemon died.
    pub unclaimed: bool,
    /// Where its program listens to us.
    pub listener: Option<Listener>,
    /// What it is for the unit of its name, if it is a unit's.
    pub unit: Option<KeptBelonging>,
}

/// What a run is for its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBelonging {
    /// Which of its commands.
    pub role: Role,
    /// How often the unit had been started again by itself when it began.
    pub restarts: u32,
    /// Whether somebody ordered the kill, which spares nobody.
    pub entirely: bool,
}

/// A unit. `crate::unit` explains the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptUnit {
    /// What it is.
    pub spec: Arc<UnitSpec>,
    /// What is wanted of it.
    pub desired: Desired,
    /// Where it stands.
    pub state: UnitState,
    /// Since when: nanoseconds since the Unix epoch.
    pub since: i64,
    /// What came of its last start so far.
    pub result: UnitResult,
    /// The first thing that went wrong with it.
    pub failure: Option<Box<Failure>>,
    /// The id of its first run, where somebody chose it and it has not begun.
    pub first_run: Option<RunId>,
    /// The live run of its program.
    pub main: Option<Part>,
    /// The live run of a command.
    pub control: Option<Part>,
    /// The last end of its program.
    pub last: Option<Arc<ExitRecord>>,
    /// Whether that was in its last start.
    pub ran: bool,
    /// Whether its program has said that it is ready.
    pub said_ready: bool,
    /// Whether its program ended before it had said so.
    pub unready: bool,
    /// Whether the run of its program did not heed its signal in time.
    pub overdue: bool,
    /// Since when it is up, on the monotonic clock.
    pub up_since: Option<Duration>,
    /// Who is behind what is going on.
    pub by: Origin,
    /// How it is brought down, while it is.
    pub how: StopHow,
    /// Whether what is alive of it has been told to end.
    pub asked: bool,
    /// What it is to be started as when it is down, and by whom.
    pub next: Option<(Arc<UnitSpec>, Origin)>,
    /// Automatic restarts since somebody started it.
    pub restarts: u32,
    /// Automatic restarts since it was stable.
    pub streak: u32,
    /// The window of its starts.
    pub window: StartWindow,
    /// When something is to be done about it, on the monotonic clock.
    pub timer: Option<Duration>,
    /// What its program says about itself.
    pub status_text: Option<String>,
    /// The number of its last start.
    pub started: u64,
}

/// What went wrong with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What, in words.
    pub why: String,
    /// The end that told so.
    pub record: Option<Arc<ExitRecord>>,
}

/// A live run, as its unit knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The run.
    pub run: RunId,
    /// What it is for the unit.
    pub role: Role,
    /// Its main process; 0 until it is known.
    pub pid: i32,
}

/// What was found of a run that an earlier daemon made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No process of it was ever made.
    Unmade,
    /// Its program was executed.
    Executed {
        /// Its main process.
        pid: i32,
        /// When: nanoseconds since the Unix epoch.
        at: i64,
        /// How its main process ended, if it has.
        exit: Option<ProcessExit>,
        /// Whether no process of it is left.
        empty: bool,
    },
    /// What is known contradicts itself: nothing is guessed, and what is left of it is ended.
    Lost {
        /// What contradicts.
        why: String,
        /// Whether no process of it is left.
        empty: bool,
    },
}
