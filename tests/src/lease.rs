//! A program that cannot be executed for a while, as on a filesystem that does not answer.
#![expect(unsafe_code, reason = "nix has no leases")]

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use nix::libc;

use crate::binaries;

/// fcntl(2); libc has it on other architectures only. The same number on all of Linux.
const F_SETSIG: libc::c_int = 10;

/// A program that somebody else has a lease on: who executes it waits until that is given back, fcntl(2), "Leases".
#[derive(Debug)]
pub struct Leased {
    path: PathBuf,
    _file: File,
}

impl Leased {
    /// A copy of `program` in this folder, under lease.
    ///
    /// # Panics
    /// Where it cannot be had, which is a fault of the test.
    #[must_use]
    pub fn make(program: &str, folder: &Path) -> Self {
        let path = folder.join("leased");
        binaries::copy(Path::new(program), &path);
        let file = File::open(&path).expect("it was made");
        // SAFETY: two calls on a descriptor that is open; neither reads or writes memory.
        let leased = unsafe {
            // Who must give it back is told by a signal, which would end the test; this one is ignored by default.
            libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGWINCH) == 0
                && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0
        };
        assert!(leased, "{}: {}", path.display(), std::io::Error::last_os_error());
        Self { path, _file: file }
    }

    /// Its path, for a command line.
    ///
    /// # Panics
    /// Where the path is not UTF-8.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().expect("the harness makes UTF-8 paths")
    }
}
