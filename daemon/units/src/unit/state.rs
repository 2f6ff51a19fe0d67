//! Where a unit stands, what came of it, and how it got there.

use std::{fmt, sync::Arc};

use crate::{ExitRecord, Name, Origin, RunId, signal_name};

/// Where a unit stands; the theory is in `src/unit/mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// Nothing of it runs, and nothing went wrong.
    Inactive,
    /// This command before the program runs, counted from 0.
    Before(usize),
    /// Its program is being executed, or is not ready; a oneshot's runs.
    Starting,
    /// Its program is ready, and this command after it runs, counted from 0.
    After(usize),
    /// It is up.
    Running,
    /// It is up, and reads its configuration again.
    Reloading,
    /// Its program ended well, and it counts as up all the same.
    Exited,
    /// It is on the way down, by order or by itself.
    Stopping,
    /// It is down until its next restart.
    Waiting,
    /// Nothing of it runs, and something went wrong.
    Failed,
}

/// The few words in which everybody speaks of the state of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It could run, and does not.
    Standby,
    /// It runs.
    Active,
    /// It is on the way down.
    Passive,
    /// It has done what it was there for.
    Complete,
    /// Something went wrong.
    Error,
}

/// What came of the last start of a unit: the first thing that went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitResult {
    /// Nothing went wrong.
    #[default]
    Success,
    /// An exit status of failure; a step of the start has one too.
    ExitCode,
    /// A signal.
    Signal,
    /// A signal, and a core was dumped.
    CoreDump,
    /// The kernel killed it for want of memory.
    OutOfMemory,
    /// Something took too long.
    Timeout,
    /// It was started too often.
    StartLimitHit,
    /// Its program ended before it had said that it is ready.
    Protocol,
    /// It could not be started for want of something.
    Resources,
}

/// What is wanted of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is to be up.
    Up,
    /// It is to be down.
    Down,
}

/// What is wanted of a unit, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What.
    pub wanted: Wanted,
    /// Who, and why.
    pub by: Origin,
    /// Since when: nanoseconds since the Unix epoch.
    pub at: i64,
}

/// A change of a unit's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number, from 1, without holes, over all units of this core.
    pub sequence: u64,
    /// When: nanoseconds since the Unix epoch.
    pub at: i64,
    /// The unit.
    pub name: Name,
    /// What it was.
    pub from: UnitState,
    /// What it is.
    pub to: UnitState,
    /// The run of its program that this is about.
    pub run: Option<RunId>,
    /// The main process of that run; 0 where there is none.
    pub pid: i32,
    /// Why.
    pub cause: ChangeCause,
    /// What came of the last start so far.
    pub result: UnitResult,
    /// The end of a run that led to it.
    pub record: Option<Arc<ExitRecord>>,
}

/// Why the state of a unit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeCause {
    /// Somebody ordered it.
    Order(Origin),
    /// Its own rules want it so.
    Policy(String),
    /// Its program is ready.
    Readiness,
    /// A process of it ended so.
    Exit(String),
    /// Something took too long.
    Timeout(String),
    /// The kernel killed it for want of memory.
    OutOfMemory,
}

impl UnitState {
    /// The one table from what is known of a unit to what is told in short.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Inactive | Self::Waiting => Status::Standby,
            Self::Before(_) | Self::Starting | Self::After(_) | Self::Running | Self::Reloading => {
                Status::Active
            }
            Self::Exited => Status::Complete,
            Self::Stopping => Status::Passive,
            Self::Failed => Status::Error,
        }
    }

    /// Whether nothing of it runs, and nothing will by itself: it can be forgotten.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        match self {
            Self::Inactive | Self::Failed => true,
            Self::Before(_)
            | Self::Starting
            | Self::After(_)
            | Self::Running
            | Self::Reloading
            | Self::Exited
            | Self::Stopping
            | Self::Waiting => false,
        }
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::Before(_) => "before",
            Self::Starting => "starting",
            Self::After(_) => "after",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Exited => "exited",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for UnitResult {
    /// In systemd's words (`SERVICE_RESULT`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::OutOfMemory => "oom-kill",
            Self::Timeout => "timeout",
            Self::StartLimitHit => "start-limit-hit",
            Self::Protocol => "protocol",
            Self::Resources => "resources",
        })
    }
}

impl fmt::Display for ChangeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(origin) => write!(f, "order of {origin}"),
            Self::Policy(text) | Self::Timeout(text) | Self::Exit(text) => f.write_str(text),
            Self::Readiness => f.write_str("ready"),
            Self::OutOfMemory => {
                write!(f, "the kernel sent SIG{} for want of memory", signal_name(9))
            }
        }
    }
}
