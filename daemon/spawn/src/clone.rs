//! The calls that make a child.
#![expect(unsafe_code, reason = "a child is made on a stack of its own, by inline assembly")]

use crate::child;
use crate::job::Job;
use crate::method::{Method, Parentage};
use crate::signals::Blocked;
use crate::stack::Stack;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::ffi::{c_int, c_void};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A child has our memory while we wait for it, and our descriptors until it has made a table of its
/// own (see [`Slots`](crate::slots::Slots)).
const SHARED: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;

/// Makes a child that lives through `job`, and returns once it has executed its program or ended.
///
/// `cgroup` is where [`Method::Clone3IntoCgroup`] makes it; the other methods leave it alone.
pub(crate) fn clone(
    method: Method,
    stack: &mut Stack,
    job: &Job<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    parentage: Parentage,
) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: RawFd = -1;
    let blocked = Blocked::all()?;
    let pid = match method {
        Method::Clone3IntoCgroup => modern::clone3(stack, job, cgroup, parentage, &mut pidfd),
        Method::Clone3 => modern::clone3(stack, job, None, parentage, &mut pidfd),
        Method::Clone => legacy(stack, job, parentage, &mut pidfd),
    };
    drop(blocked);
    let pid = pid?;
    // SAFETY: the call succeeded, so the kernel has put a new descriptor there (CLONE_PIDFD).
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// clone(2), for kernels and sandboxes without clone3, by way of libc, which knows each
/// architecture's calling convention.
fn legacy(
    stack: &mut Stack,
    job: &Job<'_>,
    parentage: Parentage,
    pidfd: &mut RawFd,
) -> Result<Pid, Errno> {
    extern "C" fn live(job: *mut c_void) -> c_int {
        // SAFETY: `job` is the one handed to clone below, by a thread that waits (CLONE_VFORK).
        unsafe { child::live(job.cast_const().cast()) }
    }
    let flags = SHARED | libc::CLONE_PIDFD;
    let flags = match parentage {
        // The lowest byte, the exit signal, is not looked at: a sibling has our own.
        Parentage::Sibling => flags | libc::CLONE_PARENT,
        Parentage::Child => flags | libc::SIGCHLD,
    };
    // SAFETY: the child runs on a stack that nobody else uses until it has left (`&mut`), and never
    // returns from `live`. The job outlives it for the same reason: CLONE_VFORK returns after that.
    // All signals are blocked, so no handler of ours runs in the child. The kernel writes the pidfd
    // to where the parent's thread id would go (CLONE_PIDFD).
    let result = unsafe {
        libc::clone(
            live,
            stack.top().as_ptr(),
            flags,
            (&raw const *job).cast_mut().cast(),
            &raw mut *pidfd,
        )
    };
    Errno::result(result).map(Pid::from_raw)
}

#[cfg(target_arch = "x86_64")]
mod modern {
    use super::{BorrowedFd, Errno, Job, Parentage, Pid, RawFd, SHARED, Stack, child};
    use std::arch::asm;
    use std::os::fd::AsRawFd;

    /// libc has them as `int`s, in which they do not fit.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    /// `struct clone_args` of clone3(2), to its third version (Linux 5.7). Older kernels take it as
    /// long as what they do not know is zero.
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }

    pub(super) fn clone3(
        stack: &mut Stack,
        job: &Job<'_>,
        cgroup: Option<BorrowedFd<'_>>,
        parentage: Parentage,
        pidfd: &mut RawFd,
    ) -> Result<Pid, Errno> {
        let known = SHARED | libc::CLONE_PIDFD;
        let mut arguments = Arguments {
            flags: u64::from(known.cast_unsigned()) | CLONE_CLEAR_SIGHAND,
            pidfd: address(&raw mut *pidfd),
            stack: address(stack.bottom().as_ptr()),
            stack_size: word(Stack::LENGTH),
            ..Arguments::default()
        };
        match parentage {
            // A sibling has our own exit signal, and must not be given another (EINVAL).
            Parentage::Sibling => {
                arguments.flags |= u64::from(libc::CLONE_PARENT.cast_unsigned());
            }
            Parentage::Child => arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned()),
        }
        if let Some(cgroup) = cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
        }
        enter(&arguments, job)
    }

    fn enter(arguments: &Arguments, job: &Job<'_>) -> Result<Pid, Errno> {
        let live: unsafe extern "C" fn(*const Job<'_>) -> ! = child::live;
        let result: isize;
        // SAFETY: In the parent this is one system call, which changes rax, rcx and r11, and writes
        // the pidfd. It returns once the child has left our memory (CLONE_VFORK), so that the stack
        // (borrowed exclusively by our caller), the job and the arguments outlive the child's use
        // of them. The child comes out of the system call with our registers, on the top of its own
        // stack, which is aligned to 16 bytes as a call requires. It never goes on into the
        // parent's frames: it calls `live`, which does not return. An rbp of 0 ends its chain of
        // frames. All signals are blocked, so no handler of ours runs in it.
        unsafe {
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r12",
                "call r13",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone3 => result,
                in("rdi") &raw const *arguments,
                in("rsi") size_of::<Arguments>(),
                in("r12") &raw const *job,
                in("r13") live,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        // The kernel's convention: -4095 to -1 is an errno, negated. A pid fits.
        match i32::try_from(result) {
            Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
            Ok(negated) => Err(Errno::from_raw(negated.saturating_neg())),
            Err(_) => Err(Errno::EINVAL),
        }
    }

    fn address<T>(pointer: *mut T) -> u64 {
        word(pointer.expose_provenance())
    }

    fn word(number: usize) -> u64 {
        u64::try_from(number).unwrap_or(u64::MAX)
    }
}

/// Only [`Method::Clone`] is built in here; [`crate::Spawner::new`] refuses the others.
#[cfg(not(target_arch = "x86_64"))]
mod modern {
    use super::{BorrowedFd, Errno, Job, Parentage, Pid, RawFd, Stack};

    pub(super) fn clone3(
        _: &mut Stack,
        _: &Job<'_>,
        _: Option<BorrowedFd<'_>>,
        _: Parentage,
        _: &mut RawFd,
    ) -> Result<Pid, Errno> {
        Err(Errno::ENOSYS)
    }
}
