//! A machine of our own: a kernel of Debian's under qemu, with `auraed` as its first program.
//!
//! [`store`] has what a machine boots (kernels, static programs), [`archive`], [`image`] and [`debian`] make what a user
//! boots too, [`boot`] says how, [`Machine`] is one that runs, [`wire`] what is said to the [`agent`] in it.
//!
//! Invariants: no hardware virtualisation is needed, and no root; every wait has a bound and says the console's last lines
//! where it fails; a machine ends with its [`Machine`], and with the test process.

pub mod agent;
pub mod archive;
pub mod boot;
pub mod console;
pub mod debian;
pub mod image;
mod monitor;
mod qemu;
pub mod running;
pub mod store;
pub mod units;
pub mod wire;

use std::time::Duration;

pub use agent::Agent;
pub use boot::Boot;
pub use running::{Ending, Machine};

/// How long anything in a machine may take. An emulated one is ten times slower, and shares two processors.
pub const LONG: Duration = Duration::from_secs(180);
