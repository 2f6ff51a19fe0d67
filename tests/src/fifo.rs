//! Handshakes with a program: it says that it has come so far, and goes on when the test lets it.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{libc::O_NONBLOCK, sys::stat::Mode, unistd::mkfifo};

use crate::wait::{Deadline, PATIENCE, readable};

/// A named pipe that the test holds open on both sides, so that nobody blocks in open(2).
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    file: File,
    held: Vec<u8>,
}

impl Fifo {
    /// A new one; any user may use it, because the program may run as another than the test.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn make(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        mkfifo(&path, Mode::S_IRWXU).expect("a FIFO can be made in the test's own folder");
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("it is ours");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(&path)
            .expect("opened for both, a FIFO opens at once");
        Self { path, file, held: Vec::new() }
    }

    /// Its path, for the program's command line.
    ///
    /// # Panics
    /// Where the path is not UTF-8.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().expect("the harness makes UTF-8 paths")
    }

    /// Lets one program that waits in `await` go on.
    ///
    /// # Panics
    /// Where the pipe is full.
    pub fn release(&mut self) {
        self.send(b'\n');
    }

    /// Sends a byte to one program.
    ///
    /// # Panics
    /// Where the pipe is full.
    pub fn send(&mut self, byte: u8) {
        self.file.write_all(&[byte]).expect("a FIFO holds one byte");
    }

    /// The next line that a program wrote into it.
    ///
    /// # Panics
    /// Where none comes within [`PATIENCE`].
    #[track_caller]
    pub fn line(&mut self) -> String {
        let deadline = Deadline::after(PATIENCE);
        loop {
            if let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(readable(self.file.as_fd(), deadline), "nothing came through {:?}", self.path);
            let mut buffer = [0; 4096];
            let count = self.file.read(&mut buffer).expect("poll said that there is something");
            self.held.extend_from_slice(&buffer[..count]);
        }
    }
}
