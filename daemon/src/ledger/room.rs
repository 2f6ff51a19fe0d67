//! Room for the ledger, taken before it is needed: where the runtime folder is full, what runs can still be stopped, and
//! that it was is written down.
//!
//! Invariant: what is written lies in room that was taken before, so that a step is never written in half for want of it.
//! Filesystems that cannot give room ahead (fallocate(2)) go without: there a step fits or it does not.

use std::{fs::File, io};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};

/// So much is kept ahead: some hundred steps.
const AHEAD: u64 = 512 << 10;
/// It is taken in pieces: one that cannot be had may cost what was taken of it before.
const PIECE: u64 = 64 << 10;

/// The room that a file has.
#[derive(Debug)]
pub(super) struct Room {
    /// Up to here; none where the filesystem gives no room ahead.
    end: Option<u64>,
    /// Whether there was none for all that is to be ahead.
    short: bool,
}

impl Room {
    /// Of a file that is so long: none yet.
    pub(super) fn of(length: u64) -> Self {
        Self { end: Some(length), short: false }
    }

    /// Takes room up to here, and as much ahead as there is; an error where there is not even so much.
    pub(super) fn reach(&mut self, file: &File, to: u64) -> io::Result<()> {
        let mut why = None;
        while let Some(end) = self.end.filter(|end| *end < to.saturating_add(AHEAD)) {
            match take(file, end) {
                Ok(()) => self.end = Some(end.saturating_add(PIECE)),
                Err(Errno::EINTR) => {}
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.end = None,
                Err(errno) => {
                    why = Some(errno);
                    break;
                }
            }
        }
        let there = self.end.is_none_or(|end| end >= to);
        self.short = why.is_some();
        match why {
            Some(errno) if !there => Err(errno.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether something is missing of what is to be ahead.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// The file was cut off here.
    pub(super) fn cut(&mut self, length: u64) {
        self.end = self.end.map(|end| end.min(length));
    }
}

fn take(file: &File, from: u64) -> nix::Result<()> {
    let at = |place: u64| i64::try_from(place).map_err(|_| Errno::EFBIG);
    fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, at(from)?, at(PIECE)?)
}
