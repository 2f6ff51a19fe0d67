//! The system calls of a first process that nix lacks.
#![expect(
    unsafe_code,
    reason = "real-time signals, capabilities, terminals, loopback, swap, loop devices"
)]

use std::{
    ffi::CString,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::{errno::Errno, sys::signal::SigSet};

/// CAP_SYS_ADMIN (linux/capability.h).
const SYS_ADMIN: libc::c_ulong = 21;
/// LOOP_CLR_FD (linux/loop.h).
const LOOP_CLR_FD: libc::c_ulong = 0x4c01;
/// RNDADDENTROPY (linux/random.h).
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// Whether we may ever mount: CAP_SYS_ADMIN is in our bounding set.
pub(crate) fn may_administer() -> bool {
    // SAFETY: prctl(PR_CAPBSET_READ) takes a number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_CAPBSET_READ, SYS_ADMIN, 0, 0, 0) != 0 }
}

/// The set of these signals, real-time ones included.
pub(crate) fn set_of(signals: &[i32]) -> SigSet {
    let mut set = SigSet::empty();
    // SAFETY: it is plain data, and sigemptyset makes it a valid set.
    let mut raw: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, exclusively borrowed set; a number that is no signal is refused.
    unsafe {
        libc::sigemptyset(&raw mut raw);
        for signal in signals {
            libc::sigaddset(&raw mut raw, *signal);
        }
        set.clone_from(&SigSet::from_sigset_t_unchecked(raw));
    }
    set
}

/// The number of SIGRTMIN+n, which is the C library's to say.
pub(crate) fn real_time(n: i32) -> i32 {
    libc::SIGRTMIN() + n
}

/// Lets SIGPIPE end the program that is executed next, as it ends any other: Rust has it ignored in ours.
pub(crate) fn heed_pipes() {
    // SAFETY: the usual disposition runs no code of ours.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Sends a signal, also a real-time one; to -1 is to everybody but us.
pub(crate) fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two numbers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Makes a terminal the controlling one of our session, also where it is another's.
pub(crate) fn control(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes a number.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 1) }).map(drop)
}

/// Puts a descriptor in the place of another one by number.
pub(crate) fn put(from: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    // SAFETY: only the standard numbers are given, which nobody owns by type.
    Errno::result(unsafe { libc::dup2(from.as_raw_fd(), number) }).map(drop)
}

/// Sets the flags of the interface `lo` so that it is up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: it is plain data; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).unwrap_or(0);
    }
    let number = socket.as_raw_fd();
    // SAFETY: both calls take a live ifreq whose name ends with NUL; the first fills its flags.
    unsafe {
        Errno::result(libc::ioctl(number, libc::SIOCGIFFLAGS, &raw mut request))?;
        let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
        request.ifr_ifru.ifru_flags |= up;
        Errno::result(libc::ioctl(number, libc::SIOCSIFFLAGS, &raw const request)).map(drop)
    }
}

/// Bytes of a seed.
pub(crate) const SEED: usize = 512;

/// What the kernel takes as random (struct rand_pool_info).
#[repr(C)]
struct Pool {
    bits: libc::c_int,
    size: libc::c_int,
    bytes: [u8; SEED],
}

/// Gives the kernel a seed that counts as random.
pub(crate) fn credit(random: BorrowedFd<'_>, seed: [u8; SEED]) -> Result<(), Errno> {
    let size = libc::c_int::try_from(SEED).unwrap_or(0);
    let pool = Pool { bits: size * 8, size, bytes: seed };
    // SAFETY: the kernel reads a pool of the size that it names.
    let answer = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) };
    Errno::result(answer).map(drop)
}

/// Ends the use of a file or partition as swap.
pub(crate) fn swap_off(path: &CString) -> Result<(), Errno> {
    // SAFETY: the path is a C string that lives.
    Errno::result(unsafe { libc::swapoff(path.as_ptr()) }).map(drop)
}

/// Takes its file from a loop device.
pub(crate) fn detach(device: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: LOOP_CLR_FD takes no argument.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD, 0) }).map(drop)
}
