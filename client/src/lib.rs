//! A typed client of the node API.
//!
//! [`Client::connect`] reaches a daemon at an [`Endpoint`]; each call of the API is a method. What goes
//! wrong is an [`ClientError`] that says what was tried and, as its source, why. The wire is this crate's only
//! contract with the daemon: it knows nothing else of it, so what it can do any program can. [`unit_file`] is how
//! units are written down, [`quantity`] how times and sizes are.
//!
//! The binary `aer` beside this library is its first user.

mod client;
mod daemon;
mod drpc;
mod endpoint;
mod error;
mod logs;
pub mod quantity;
mod reason;
mod reconnect;
mod run;
mod schedule;
pub mod unit_file;
mod units;
mod up;
mod watch;
mod word;

pub use client::{Client, QUICK_ANSWER};
pub use daemon::NEXT_DAEMON;
pub use drpc::{DrpcClient, DrpcError};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ClientError, Obstacle, Refusal};
pub use logs::{LogSource, LogStream, LogsQuery};
pub use reconnect::RECONNECTING;
pub use run::{Frame, RunStream};
pub use schedule::{DURABLE_ANSWER, ExportStream, Exported, RegistrationStream};
pub use units::UnitStream;
pub use watch::{WatchEvent, WatchStream};
pub use word::Word;
