//! Signals around the making of a child: blocked in the parent, cleared in the child.
#![expect(unsafe_code, reason = "libc's calls leave out the signals that libc itself uses")]

use nix::errno::Errno;

/// How many signals the kernel has, and the bytes of a set of them: the same on all architectures
/// but MIPS.
const LAST_SIGNAL: i32 = 64;
pub(crate) const SET_BYTES: usize = size_of::<u64>();

/// The kernel's `struct sigaction` differs between architectures, but has the handler first on those
/// that we build for, and is nowhere larger than this. All zeros is the default action.
pub(crate) type KernelAction = [usize; 8];

/// Keeps every signal from the calling thread until dropped, those included that libc keeps to
/// itself (a handler of which would otherwise run in the child, on our memory).
pub(crate) struct Blocked {
    previous: u64,
}

impl Blocked {
    pub(crate) fn all() -> Result<Self, Errno> {
        Ok(Self { previous: set_mask(u64::MAX)? })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Cannot fail: it only fails for a bad address or operation, and it has just succeeded.
        set_mask(self.previous).ok();
    }
}

/// rt_sigprocmask(2): sets this thread's mask and returns the previous one.
fn set_mask(mask: u64) -> Result<u64, Errno> {
    let mut previous = 0_u64;
    // SAFETY: both sets outlive the call and are as long as the kernel is told.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut previous,
            SET_BYTES,
        )
    })?;
    Ok(previous)
}

/// The signals that this process ignores: execve(2) would hand them on, and `CLONE_CLEAR_SIGHAND`
/// leaves them alone (clone(2)). Rust ignores SIGPIPE.
pub(crate) fn ignored() -> Vec<i32> {
    (1..=LAST_SIGNAL).filter(|signal| is_ignored(*signal)).collect()
}

fn is_ignored(signal: i32) -> bool {
    let mut action: KernelAction = [0; 8];
    let unchanged: *const KernelAction = std::ptr::null();
    // SAFETY: `action` is at least as large as what the kernel writes, and nothing is read.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, unchanged, &raw mut action, SET_BYTES)
    };
    result == 0 && action.first() == Some(&libc::SIG_IGN)
}

/// The signals whose action can be changed at all, sigaction(2).
pub(crate) fn resettable() -> Vec<i32> {
    (1..=LAST_SIGNAL).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)).collect()
}
