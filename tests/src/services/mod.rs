//! Many services at once, and what they are compared with: bare processes, s6 and runit.
//!
//! Invariant: whatever is compared does the same thing, on the same cgroup hierarchy, in the same run.

mod bare;
mod calls;
mod others;

pub use bare::{Bare, Kept};
pub use calls::{Calls, names, sleeper};
pub use others::{Other, Supervision};
