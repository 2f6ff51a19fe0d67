//! The core of the daemon, pure and total: no I/O, no clock, no async, no panic.
//!
//! Everything that decides lives here; everything that acts lives in the daemon around it. `now` is a
//! parameter, an event goes in, actions come out.

mod argv;
pub mod command;
mod core;
mod id;
pub mod kept;
mod name;
mod noted;
mod order;
mod origin;
mod record;
mod refusal;
mod run;
mod signal;
mod unit;

pub use argv::{Argv, InvalidArgv};
pub use command::{CommandError, CommandLine, Expanded};
pub use core::{Action, Core, Event, Limits, Now};
pub use id::{InvalidRunId, RunId};
pub use name::{InvalidName, Name};
pub use order::{Answer, Command, Execution, Found, Order, StopHow, Target, Ticket, Whom};
pub use origin::{Door, Origin, UnknownDoor};
pub use record::{Account, Cause, ExitRecord, Leftovers, ProcessExit, ProcessUsage, StartFailure};
pub use refusal::Refusal;
pub use signal::{SIGTERM, is_signal, signal_name, signal_number};
pub use unit::{
    Change, ChangeCause, CommandSpec, Desired, Ended, EnvironmentFile, EnvironmentText,
    EnvironmentWarning, ExitSet, InvalidExitWord, InvalidSpec, InvalidVariable, KillMode, Kind,
    Owner, Readiness, ResourceLimits, Restart, RestartWhen, Role, Setting, StartLimit, Status,
    Stdin, StopSpec, Told, UnitDetail, UnitResult, UnitSpec, UnitState, UnitView, Wanted,
    check_variable,
};
