//! What the child reads and writes: everything in it was laid out by the parent.

use crate::failure::Stage;
use crate::plan::{Identity, OpenFilesLimit};
use nix::errno::Errno;
use std::cell::Cell;
use std::ffi::c_char;

/// A child's work, borrowed from a plan and from what was opened for this one child.
///
/// The child shares it with the parent (`CLONE_VM`), and the parent does not run meanwhile
/// (`CLONE_VFORK`): hence plain cells.
pub(crate) struct Job<'parent> {
    /// `cgroup.procs` files to join by, in order.
    pub(crate) joins: &'parent [usize],
    /// The program; `None` ends the child, successfully, once it has joined.
    pub(crate) execution: Option<Execution<'parent>>,
    /// Set once the child has nothing left to do but execute its program.
    pub(crate) arrived: Cell<bool>,
    /// Set by a child whose step failed.
    pub(crate) failed: Cell<Option<(Stage, Errno)>>,
}

/// How to become the program. Numbers are words, as system calls take them; a null pointer means
/// that the step is left out.
pub(crate) struct Execution<'parent> {
    pub(crate) mark: Option<(usize, &'parent [u8])>,
    pub(crate) new_session: bool,
    /// What becomes descriptor 0, 1 and 2; each is 3 or more.
    pub(crate) standard: [(Stage, usize); 3],
    /// Where to stop closing one by one, on kernels without close_range.
    pub(crate) close_limit: usize,
    pub(crate) identity: Option<&'parent Identity>,
    pub(crate) working_directory: *const c_char,
    pub(crate) umask: Option<usize>,
    /// As setpriority(2) takes it: a negative one wraps around.
    pub(crate) nice: Option<usize>,
    pub(crate) oom_score_adjustment: Option<&'parent [u8]>,
    pub(crate) open_files_limit: Option<OpenFilesLimit>,
    /// Signals to set to their default action.
    pub(crate) signals: &'parent [i32],
    pub(crate) program: *const c_char,
    pub(crate) argv: *const *const c_char,
    pub(crate) environment: *const *const c_char,
}

impl<'parent> Job<'parent> {
    pub(crate) fn new(joins: &'parent [usize], execution: Option<Execution<'parent>>) -> Self {
        Self { joins, execution, arrived: Cell::new(false), failed: Cell::new(None) }
    }

    /// How far the child came, once it has left our memory. A child that was killed in the middle
    /// of execve counts as having executed: the kernel does not tell.
    pub(crate) fn outcome(&self) -> Result<(), (Stage, Errno)> {
        match self.failed.get() {
            Some(failure) => Err(failure),
            None if self.arrived.get() => Ok(()),
            None => Err((Stage::Killed, Errno::EINTR)),
        }
    }
}
