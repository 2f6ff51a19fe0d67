//! Makes processes by executing a plan that was prepared in full beforehand.
//!
//! A [`Spawner`] makes a child with `clone3` (or `clone`) that shares our memory until it executes
//! its program, as `vfork` does: the cost does not grow with our size. What must stay true:
//!
//! - The child allocates nothing, takes no lock, and makes raw system calls only. Whatever it needs
//!   is in the [`Plan`], in the form that the kernel takes.
//! - Nothing is retried and nothing is guessed: a step that fails ends the child with systemd's exit
//!   code for it, and the caller gets a [`Failure`] with the step and the errno.
//! - [`Spawner::spawn`] waits for the child's `execve`, which can wait for a slow disk, for NFS or
//!   FUSE, or for somebody who stopped the child. It belongs on a thread that may wait, and a start
//!   deadline must kill the child's cgroup from another.
//!
//! - The child shares our descriptors, too, until it has a table of its own: it must touch none of
//!   them before, and ends if it cannot have one.
//!
//! Users and groups are not changed here.

mod child;
mod clone;
mod explain;
mod failure;
mod interpreter;
mod job;
mod lookup;
mod method;
mod pidfd;
mod plan;
mod probe;
mod signals;
mod slots;
mod spawner;
mod stack;

pub use explain::explain_exec;
pub use failure::{Failure, Stage};
pub use lookup::{NotFound, SEARCH_PATH, resolve};
pub use method::{Method, Parentage, UnknownMethod};
pub use pidfd::{Delivery, PidFd};
pub use plan::{Identity, InvalidPlan, OpenFilesLimit, Plan, PlanInput};
pub use probe::{Probe, Trial, Unusable, probe};
pub use spawner::{Spawned, Spawner};
