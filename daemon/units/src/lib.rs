//! The core of the daemon, pure and total: no I/O, no clock, no async, no panic.
//!
//! Everything that decides lives here; everything that acts lives in the daemon around it. `now` is a
//! parameter, an event goes in, actions come out.

mod argv;
pub mod command;
mod core;
mod id;
mod name;
mod order;
mod origin;
mod record;
mod run;

pub use argv::{Argv, InvalidArgv};
pub use command::{CommandError, CommandLine, Expanded};
pub use core::{Action, Core, Event, Limits, Now};
pub use id::{InvalidRunId, RunId};
pub use name::{InvalidName, Name};
pub use order::{Answer, Command, Execution, Found, Order, Refusal, StopHow, Target, Ticket};
pub use origin::{Door, Origin, UnknownDoor};
pub use record::{Account, Cause, ExitRecord, Leftovers, ProcessExit, ProcessUsage, StartFailure};
