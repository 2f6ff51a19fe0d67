//! What is known about the end of a run.

use std::fmt;

use crate::{Name, Origin, RunId};

/// How a process ended, as the kernel told its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It exited with this status, 0 to 255.
    Exited(i32),
    /// This signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// It never executed its program.
    Failed(StartFailure),
    /// Nobody saw the end that it would have had; the sentence says what happened instead.
    Lost(String),
}

/// Why a run never executed its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// The step that failed, as a number of the wire's `StartStage`: systemd's exit codes.
    pub stage: i32,
    /// The kernel's errno; 0 where none applies.
    pub errno: i32,
    /// The sentence for people: what was tried, on what, and why it failed.
    pub message: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled { signal, core_dumped: false } => write!(f, "signal {signal}"),
            Self::Signalled { signal, core_dumped: true } => {
                write!(f, "signal {signal}, core dumped")
            }
            Self::Failed(failure) => write!(f, "never ran: {}", failure.message),
            Self::Lost(what) => write!(f, "lost: {what}"),
        }
    }
}

/// What a main process used, as the kernel told its parent (getrusage(2)); of itself and all it waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// CPU time in user mode, in microseconds.
    pub user_time: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_time: u64,
}

/// The end of a main process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessExit {
    /// How it ended: [`Cause::Exited`] or [`Cause::Signalled`].
    pub cause: Cause,
    /// When: nanoseconds since the Unix epoch.
    pub at: i64,
    /// What it used.
    pub usage: ProcessUsage,
}

/// What only the run's cgroup and its log can tell, taken when both are at their end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// CPU time of the whole cgroup in user mode, in microseconds, where the kernel has it.
    pub user_time: Option<u64>,
    /// CPU time of the whole cgroup in the kernel, in microseconds, where the kernel has it.
    pub system_time: Option<u64>,
    /// The most memory that the cgroup held at once, in bytes, where a controller tells.
    pub memory_peak: Option<u64>,
    /// Whether the kernel killed one of its processes for want of memory, where a controller tells.
    pub out_of_memory: Option<bool>,
    /// Bytes that the cgroup read from block devices, where a controller tells.
    pub read_bytes: Option<u64>,
    /// Bytes that the cgroup wrote to block devices, where a controller tells.
    pub written_bytes: Option<u64>,
    /// Bytes printed on standard output.
    pub stdout_total: u64,
    /// Bytes printed on standard error.
    pub stderr_total: u64,
    /// Bytes that it printed and nobody could keep.
    pub lost: u64,
    /// Where its output begins in its log.
    pub log_first: u64,
    /// Where its output ends in its log.
    pub log_end: u64,
    /// The beginning of the last line that it printed, if it printed any and that is known.
    pub last_line: Option<Vec<u8>>,
}

/// What was left of a run when its main process had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// Nothing, or nothing that outlived the end that was ordered for the whole run.
    None,
    /// Processes that ended after SIGTERM.
    Terminated,
    /// Processes that had to be killed.
    Killed,
    /// Processes that were left alive, perhaps the main process too, as the kill mode of their unit wants.
    Left,
}

/// Everything known about the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// The run.
    pub run: RunId,
    /// The name it ran under.
    pub name: Name,
    /// The user's comment.
    pub comment: String,
    /// Its main process; 0 where none was made.
    pub pid: i32,
    /// How it ended.
    pub cause: Cause,
    /// When the program was executed: nanoseconds since the Unix epoch; 0 where it never was.
    pub started_at: i64,
    /// When the main process ended, or, where nobody saw that, when the run was found to be gone:
    /// nanoseconds since the Unix epoch.
    pub ended_at: i64,
    /// What the main process used.
    pub usage: ProcessUsage,
    /// What cgroup and log tell.
    pub account: Account,
    /// What the main process left behind.
    pub leftovers: Leftovers,
    /// How often its unit had been started again by itself when it began; 0 where it is no unit's.
    pub restarts: u32,
    /// Who ordered the run.
    pub started_by: Origin,
    /// Who ordered its end, unless it ended by itself.
    pub stopped_by: Option<Origin>,
}
