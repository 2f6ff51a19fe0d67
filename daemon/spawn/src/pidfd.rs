//! A process by descriptor: its number can be reused, the descriptor cannot.
#![expect(unsafe_code, reason = "neither libc nor nix wraps pidfd_open and pidfd_send_signal")]

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor of a process (pidfd_open(2)), readable once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

/// `struct pidfd_info` in the first form that has the exit (include/uapi/linux/pidfd.h, PIDFD_INFO_SIZE_VER0).
#[repr(C)]
#[derive(Default)]
struct Information {
    /// What is asked for, and then what is told.
    mask: u64,
    cgroup: u64,
    /// Three process ids, eight of users and groups.
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_CGROUPID`.
const INFO_CGROUP: u64 = 1 << 2;
/// `PIDFD_INFO_EXIT`.
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)` of 64 bytes.
const GET_INFO: libc::Ioctl = libc::_IOWR::<Information>(0xff, 11);

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

    /// How the process ended, as wait(2) has it, where somebody has reaped it, whoever that was (`PIDFD_GET_INFO` with
    /// `PIDFD_INFO_EXIT`, Linux 6.15). None as long as nobody has. On older kernels ENOTTY, or ESRCH when it is reaped.
    pub fn exit_when_reaped(&self) -> Result<Option<i32>, Errno> {
        let information = self.information(INFO_EXIT)?;
        Ok((information.mask & INFO_EXIT != 0).then_some(information.exit_code))
    }

    /// The cgroup of version 2 that the process lives in, by the number that its folder has as a file, too (`PIDFD_GET_INFO`
    /// with `PIDFD_INFO_CGROUPID`, Linux 6.13). None where the kernel does not tell; on older ones ENOTTY.
    pub fn cgroup(&self) -> Result<Option<u64>, Errno> {
        let information = self.information(INFO_CGROUP)?;
        Ok((information.mask & INFO_CGROUP != 0).then_some(information.cgroup))
    }

    fn information(&self, wanted: u64) -> Result<Information, Errno> {
        let mut information = Information { mask: wanted, ..Information::default() };
        // SAFETY: the number of the request says how long the structure is, which is ours alone here and plain data.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_INFO, &raw mut information) };
        Errno::result(result)?;
        Ok(information)
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
