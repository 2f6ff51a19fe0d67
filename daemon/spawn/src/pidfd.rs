//! A process by descriptor: its number can be reused, the descriptor cannot.
#![expect(unsafe_code, reason = "neither libc nor nix wraps pidfd_open and pidfd_send_signal")]

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor of a process (pidfd_open(2)), readable once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// The process has it; a zombie takes any signal, to no effect.
    Sent,
    /// The process is gone, and has been reaped (ESRCH).
    Gone,
}

impl PidFd {
    /// Opens the process `pid`, pidfd_open(2). Only sound while nobody can reap it; ESRCH when it
    /// is gone.
    pub fn open(pid: Pid) -> Result<Self, Errno> {
        // SAFETY: pidfd_open takes two numbers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let number = RawFd::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel made this descriptor for us just now; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }))
    }

    /// Sends `signal`, pidfd_send_signal(2). A plain number, so that real-time signals can be sent
    /// too; 0 asks only whether there is somebody to receive it.
    pub fn signal(&self, signal: i32) -> Result<Delivery, Errno> {
        let information: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: without a siginfo_t the call takes numbers only.
        let result = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, information, 0)
        };
        match Errno::result(result) {
            Ok(_) => Ok(Delivery::Sent),
            Err(Errno::ESRCH) => Ok(Delivery::Gone),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for the process to end and reaps it, waitid(2) with `P_PIDFD` (Linux 5.4). Only our
    /// own children can be reaped; ECHILD for others.
    pub fn reap(&self) -> Result<WaitStatus, Errno> {
        loop {
            match waitid(Id::PIDFd(self.0.as_fd()), WaitPidFlag::WEXITED) {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for PidFd {
    /// Takes a descriptor that came from the kernel or from a peer. That it is a pidfd is not
    /// checked: on any other, the calls fail with EBADF.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<PidFd> for OwnedFd {
    fn from(pidfd: PidFd) -> Self {
        pidfd.0
    }
}
