//! The heap: pages that have been touched, and no others.
//!
//! Where a kernel gives transparent huge pages unasked, as Debian's does, it rounds up what has been touched: a daemon with a
//! thousand units was found with twice its memory. To forgo them for the process (prctl(2), `PR_SET_THP_DISABLE`) would
//! forgo them for its programs: execve(2) hands that on, and a child that is being made has our address space, where nothing
//! can be said for it alone. What madvise(2) says of a part of memory is handed on to nobody, and there is but one part that
//! counts: all threads share one arena, which is the heap (the keeper tells the allocator so), and no stack of theirs has
//! room for a huge page.
#![expect(
    unsafe_code,
    reason = "sbrk(2) and madvise(2), which no library has for a heap that is another's"
)]

use std::{ffi::c_void, ptr::NonNull};

use nix::{
    libc,
    sys::mman::{MmapAdvise, madvise},
};

use crate::processes;

/// Bytes of the largest page that any Linux is built with: madvise(2) wants the beginning of one.
const LARGEST_PAGE: usize = 1 << 16;

/// Our heap, and how far it is looked after.
pub(crate) struct Heap {
    /// Where it begins; 0 where that cannot be found out, and then it is let be.
    begin: usize,
    end: usize,
}

impl Heap {
    /// Of this process; nothing is looked after yet.
    pub(crate) fn ours() -> Self {
        let begin =
            processes::heap().and_then(|begin| begin.checked_next_multiple_of(LARGEST_PAGE));
        Self { begin: begin.unwrap_or(0), end: 0 }
    }

    /// Looks after what it has grown by. To be called often: where it has not grown, as a rule, that is no system call.
    pub(crate) fn look_after(&mut self) {
        // SAFETY: by nothing it is not moved, and its end is told.
        let end = unsafe { libc::sbrk(0) }.addr();
        if end == self.end || self.begin == 0 {
            return;
        }
        self.end = end;
        let Some(length) = end.checked_sub(self.begin) else { return };
        let begin = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(self.begin));
        if let Some(begin) = begin {
            // SAFETY: it changes no byte, and of what is no memory of ours any more it says so. A kernel without huge pages
            // does not know the word, and there is nothing to be looked after.
            unsafe { madvise(begin, length, MmapAdvise::MADV_NOHUGEPAGE) }.ok();
        }
    }
}
