//! The read end of a run's pipe, and when to empty it.
//!
//! A first byte after a silence is moved at once. A pipe that has more right after it was emptied is under load: moving
//! each line as it comes would cost more than printing it, so the writer naps while the pipe fills. A pipe that is
//! found full is made larger; where that is not allowed, it is emptied without a nap, so that its program never waits for us.

use std::{
    collections::VecDeque,
    fs::File,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SpliceFFlags, fcntl, splice},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd,
};
use units::RunId;

use crate::{
    clock::Moment,
    name::Stream,
    overflow::Overflow,
    segment::{Segment, WriteError},
};

/// More output within this time is load, not a line after a silence.
const LOAD: Duration = Duration::from_micros(200);
const SHORTEST_NAP: Duration = Duration::from_micros(100);
const LONGEST_NAP: Duration = Duration::from_millis(1);
/// What a pipe under load is grown to: the most that an ordinary user may ask for.
const GROWN: i32 = 1 << 20;
/// What a pipe has that nobody changed.
const USUAL: usize = 64 * 1024;
/// Copied at a time where the filesystem cannot splice.
const COPIED: usize = 256 * 1024;

/// What came of an attempt to empty a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many bytes were moved to the log, so many thrown away.
    Moved { kept: usize, lost: usize },
    /// The pipe is empty.
    Dry,
    /// The pipe is empty and nobody can write to it.
    Eof,
}

/// The read end of a pipe, for those who only look at it too.
#[derive(Debug)]
pub(crate) struct Outlet {
    end: OwnedFd,
    /// Something was about to be taken out of it. Set before that is done, so that a pipe which is found at its end by
    /// who then finds this unset never held a byte.
    touched: AtomicBool,
}

impl Outlet {
    pub(crate) fn new(end: OwnedFd) -> Self {
        Self { end, touched: AtomicBool::new(false) }
    }

    /// Another descriptor of it; none where there can be no more.
    pub(crate) fn another_end(&self) -> Option<OwnedFd> {
        self.end.try_clone().ok()
    }

    /// Whether nothing was ever written to it, and nobody can any more.
    pub(crate) fn was_silent(&self) -> bool {
        look([&self.end]) == [Content::Eof] && !self.touched.load(Ordering::SeqCst)
    }

    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::SeqCst);
    }
}

/// The read end of one of a run's pipes.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) run: RunId,
    pub(crate) stream: Stream,
    outlet: Arc<Outlet>,
    /// Asked for when it first matters.
    capacity: Option<usize>,
    /// It may still be made larger.
    can_grow: bool,
    moved: Option<Instant>,
    nap: Duration,
    /// What was printed before anything that is in it.
    pub(crate) overflow: VecDeque<Overflow>,
}

impl Pipe {
    pub(crate) fn new(run: RunId, stream: Stream, outlet: Arc<Outlet>) -> Self {
        let (capacity, can_grow, moved, nap) = (None, true, None, SHORTEST_NAP);
        let overflow = VecDeque::new();
        Self { run, stream, outlet, capacity, can_grow, moved, nap, overflow }
    }

    /// To look at.
    pub(crate) fn end(&self) -> &OwnedFd {
        &self.outlet.end
    }

    /// To take something out of.
    pub(crate) fn opened(&self) -> &OwnedFd {
        self.outlet.touch();
        &self.outlet.end
    }

    /// How many bytes it can hold.
    pub(crate) fn capacity(&mut self) -> usize {
        let end = &self.outlet.end;
        *self.capacity.get_or_insert_with(|| {
            let size = fcntl(end, FcntlArg::F_GETPIPE_SZ);
            size.ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(USUAL)
        })
    }

    /// Whether it is under load, if it is readable now, and not after a silence.
    pub(crate) fn is_loaded(&self, moment: Moment) -> bool {
        self.moved.is_some_and(|moved| moment.since(moved) < LOAD)
    }

    /// How long to let it fill under load.
    pub(crate) fn nap(&self) -> Duration {
        self.nap
    }

    /// So many bytes were moved from it, this moment; `loaded` if it was let fill before.
    pub(crate) fn was_moved(&mut self, count: usize, moment: Moment, loaded: bool) {
        self.moved = Some(moment.instant);
        if !loaded && count < USUAL / 2 {
            return;
        }
        let capacity = self.capacity();
        // A page that the next line does not fit into is left unfilled, so a full pipe may hold little more than half.
        if count >= capacity / 2 {
            let shorter = self.nap / 2;
            self.nap = if shorter < SHORTEST_NAP { Duration::ZERO } else { shorter };
            self.grow(capacity);
        } else if count < capacity / 4 {
            self.nap = (self.nap * 2).clamp(SHORTEST_NAP, LONGEST_NAP);
        }
    }

    fn grow(&mut self, capacity: usize) {
        if !self.can_grow || usize::try_from(GROWN).is_ok_and(|grown| capacity >= grown) {
            return;
        }
        // Ordinary users have a bound for all their pipes: past it this is refused, and the pipe stays as it is.
        self.can_grow = fcntl(&self.outlet.end, FcntlArg::F_SETPIPE_SZ(GROWN)).is_ok();
        if self.can_grow {
            (self.capacity, self.nap) = (None, SHORTEST_NAP);
        }
    }
}

/// What is in pipes at this moment.
pub(crate) fn look<const N: usize>(ends: [&OwnedFd; N]) -> [Content; N] {
    let mut ready = ends.map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
    // It can fail for want of memory only; then it is as if the pipes were dry.
    let _count = poll(&mut ready, PollTimeout::ZERO);
    ready.map(|pipe| {
        let events = pipe.revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN) {
            Content::Bytes
        } else if events.is_empty() {
            Content::Nothing
        } else {
            Content::Eof
        }
    })
}

/// What a pipe holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes,
    Nothing,
    /// Nothing, and nobody can write to it.
    Eof,
}

/// Throws away what the pipe holds.
pub(crate) fn discard(pipe: &OwnedFd, null: &File, most: usize) -> Taken {
    loop {
        match splice(pipe, None, null, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => return Taken::Eof,
            Ok(lost) => return Taken::Moved { kept: 0, lost },
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Taken::Dry,
            // Not a pipe that can be emptied: leave it, or it would be tried for ever.
            Err(_) => return Taken::Eof,
        }
    }
}

/// Moves through our memory what the pipe holds: a daemon killed in the middle loses up to [`COPIED`] bytes.
pub(crate) fn copy(
    pipe: &OwnedFd,
    segment: &mut Segment,
    most: usize,
) -> (Taken, Option<WriteError>) {
    // The pipe may be one that blocks, and we are its only reader.
    let mut ready = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ready, PollTimeout::ZERO) {
        Ok(0) | Err(_) => return (Taken::Dry, None),
        Ok(_) => {}
    }
    let mut buffer = vec![0; most.min(COPIED)];
    let count = match unistd::read(pipe, &mut buffer) {
        Ok(0) => return (Taken::Eof, None),
        Ok(count) => count,
        Err(Errno::EINTR | Errno::EAGAIN) => return (Taken::Dry, None),
        Err(_) => return (Taken::Eof, None),
    };
    let before = segment.length();
    let result = segment.append(buffer.get(..count).unwrap_or_default());
    let kept = usize::try_from(segment.length().saturating_sub(before)).unwrap_or(count);
    (Taken::Moved { kept, lost: count.saturating_sub(kept) }, result.err())
}
