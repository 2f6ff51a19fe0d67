//! The harness: a real daemon in a temporary folder, with its own socket, state and cgroup.
//!
//! Invariants: nothing is mocked; every wait has a bound and ends on a condition; whatever a test
//! started is gone when its [`Daemon`] is dropped, also when the test has panicked.

pub mod binaries;
pub mod cgroup;
pub mod cradle;
pub mod daemon;
mod driver;
pub mod drpc;
pub mod drunc;
pub mod fifo;
pub mod house;
pub mod lease;
pub mod mount;
pub mod need;
pub mod options;
pub mod process;
pub mod procfs;
pub mod relay;
pub mod rpc;
pub mod run;
pub mod schedule;
pub mod services;
pub mod storm;
pub mod units;
pub mod vm;
pub mod wait;

pub use cradle::Machine;
pub use daemon::Daemon;
pub use fifo::Fifo;
pub use house::House;
pub use lease::Leased;
pub use need::Need;
pub use options::{Options, Tracking};
pub use process::{Output, Process};
pub use relay::Relay;
pub use rpc::{Frame, argv, command};
pub use run::Run;
pub use wait::{PATIENCE, eventually};
