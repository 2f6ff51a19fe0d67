//! The kernel's log, and the next kernel.
#![expect(unsafe_code, reason = "syslog(2) and kexec_file_load(2), which nix lacks")]

use std::{ffi::CString, fs::File, io, os::fd::AsRawFd};

use nix::libc;

/// KEXEC_FILE_NO_INITRAMFS (linux/kexec.h).
const NO_INITRAMFS: libc::c_ulong = 4;

/// Loads the kernel of this file, without an initramfs, to be executed in the place of the one that runs.
pub(super) fn load(path: &str, command_line: &str) -> io::Result<()> {
    let kernel = File::open(path)?;
    let words = CString::new(command_line)?;
    let length = words.as_bytes_with_nul().len();
    // SAFETY: the file is open, the words are so many bytes, NUL included, and live; there is no initramfs to be looked at.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            -1,
            length,
            words.as_ptr(),
            NO_INITRAMFS,
        )
    };
    match loaded {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the kernel's log has (syslog(2), SYSLOG_ACTION_READ_ALL).
pub(super) fn log() -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; 1 << 20];
    let length = libc::c_int::try_from(bytes.len()).map_err(io::Error::other)?;
    // SAFETY: the pointer is to so many bytes, exclusively borrowed.
    let length = unsafe { libc::klogctl(3, bytes.as_mut_ptr().cast(), length) };
    bytes.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(bytes)
}
