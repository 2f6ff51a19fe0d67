//! The stack that children run on until they execute their program.
#![expect(unsafe_code, reason = "memory is mapped and protected by hand")]

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// The child's frames are few and small, and no signal handler ever runs on them; a debug build
/// uses less than 2 KiB. Only pages that are touched cost memory.
const USABLE: usize = 64 * 1024;
/// As large as the largest page in use on any Linux, so that it can be protected on all of them.
const GUARD: usize = 64 * 1024;

/// A private mapping whose lowest pages cannot be touched: a child that overran its stack would be
/// killed, and could not write over our memory, which it shares.
#[derive(Debug)]
pub(crate) struct Stack {
    mapping: NonNull<c_void>,
}

// SAFETY: the mapping belongs to this value alone, and memory belongs to no thread.
unsafe impl Send for Stack {}

impl Stack {
    pub(crate) fn new() -> io::Result<Self> {
        const LENGTH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(GUARD + USABLE - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK;
        // SAFETY: a new mapping wherever the kernel likes takes nothing from anybody.
        let mapping = unsafe { mmap_anonymous(None, LENGTH, protection, flags) }?;
        let stack = Self { mapping };
        // SAFETY: the guard lies within the mapping just made, which nobody uses yet.
        unsafe { mprotect(stack.mapping, GUARD, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    /// The usable bytes.
    pub(crate) const LENGTH: usize = USABLE;

    /// The lowest usable address.
    pub(crate) fn bottom(&self) -> NonNull<c_void> {
        // SAFETY: the guard is shorter than the mapping.
        unsafe { self.mapping.byte_add(GUARD) }
    }

    /// The address above the highest usable one. Stacks grow down from here, on every architecture
    /// that we build for; it is aligned to a page.
    pub(crate) fn top(&self) -> NonNull<c_void> {
        // SAFETY: one past the end of the mapping.
        unsafe { self.bottom().byte_add(Self::LENGTH) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child is on it: a spawner returns only when its child
        // has left. A failure would leak 128 KiB, and nothing could be done about it.
        unsafe { munmap(self.mapping, GUARD + USABLE) }.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_guard_below_it() {
        let stack = Stack::new().expect("memory");
        let [bottom, top] = [stack.bottom(), stack.top()].map(|address| address.addr().get());
        assert_eq!(top % 16, 0);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a mounted /proc");
        let has = |from: usize, to: usize, rights: &str| {
            maps.lines().any(|line| line.starts_with(&format!("{from:x}-{to:x} {rights} ")))
        };
        assert!(has(bottom - GUARD, bottom, "---p"), "{maps}");
        assert!(has(bottom, top, "rw-p"), "{maps}");
    }
}
