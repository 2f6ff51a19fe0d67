//! Low descriptors through which a child takes over its standard ones.
#![expect(
    unsafe_code,
    reason = "a descriptor is replaced by another without a moment in which it is closed"
)]

use crate::failure::{Failure, Stage};
use crate::plan::PlanInput;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Three descriptors, as low as they could be had when the spawner was made, and none of them below 3: one that lay at
/// 1, say, would be gone when its turn came.
///
/// A child begins with our own table of descriptors (`CLONE_FILES`) and makes one of its own that reaches no further
/// than these. To copy the whole table and close it again costs in proportion to all that we have open: two descriptors
/// for each process that runs. That was most of the price of a start among a thousand others.
#[derive(Debug)]
pub(crate) struct Slots {
    standard: [(Stage, OwnedFd); 3],
    /// What lies in them between two children: nothing is kept open by them that somebody waits for the end of.
    nothing: OwnedFd,
}

impl Slots {
    pub(crate) fn new() -> io::Result<Self> {
        // The reader of a pipe that has ended: to be had without any filesystem.
        let (nothing, writer) = io::pipe()?;
        drop(writer);
        let nothing = OwnedFd::from(nothing);
        // At 3 or above: std sees to it, since a copy at 0, 1 or 2 would become somebody's standard stream.
        let [stdin, stdout, stderr] =
            [nothing.try_clone()?, nothing.try_clone()?, nothing.try_clone()?];
        let standard = [(Stage::Stdin, stdin), (Stage::Stdout, stdout), (Stage::Stderr, stderr)];
        Ok(Self { standard, nothing })
    }

    /// Puts in what a child is to take over, for as long as the guard lives.
    pub(crate) fn fill(&self, input: &PlanInput) -> Result<Filled<'_>, Failure> {
        let filled = Filled { slots: self };
        let sources = [&input.stdin, &input.stdout, &input.stderr];
        for (source, (_, slot)) in sources.into_iter().zip(&self.standard) {
            put(source, slot).map_err(|errno| Failure {
                stage: Stage::Descriptors,
                errno,
                pid: None,
            })?;
        }
        Ok(filled)
    }
}

/// Slots that hold a child's descriptors.
pub(crate) struct Filled<'a> {
    slots: &'a Slots,
}

impl Filled<'_> {
    /// What becomes descriptor 0, 1 and 2, and the step that this is.
    pub(crate) fn numbers(&self) -> [(Stage, usize); 3] {
        self.slots.standard.each_ref().map(|(stage, slot)| (*stage, word(slot)))
    }
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        for (_, slot) in &self.slots.standard {
            // Fails for nothing that could be the case here (dup(2)): both are open, and are not the same.
            put(&self.slots.nothing, slot).ok();
        }
    }
}

/// dup3(2): `slot` becomes a copy of `source`.
fn put(source: &OwnedFd, slot: &OwnedFd) -> Result<(), Errno> {
    loop {
        // SAFETY: both are open, and are borrowed for the call. Who owns the slot's number goes on owning it.
        let result = unsafe { libc::dup3(source.as_raw_fd(), slot.as_raw_fd(), libc::O_CLOEXEC) };
        match Errno::result(result) {
            Ok(_) => return Ok(()),
            // Nothing of ours handles signals with interruptions, but a debugger may.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A descriptor as the child hands it to the kernel. An open one is never negative.
pub(crate) fn word(descriptor: &OwnedFd) -> usize {
    usize::try_from(descriptor.as_raw_fd()).unwrap_or(usize::MAX)
}
