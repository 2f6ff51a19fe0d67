//! A program that is held by a descriptor, so that what is executed is what was opened, whatever its path leads to by
//! then.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use crate::Failure;

/// A program.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file; O_PATH is enough.
    pub(crate) file: OwnedFd,
    /// Where it was found: for people, and to look for its next version.
    pub(crate) path: PathBuf,
}

impl Program {
    /// Opens the one of that path.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|why| {
            Failure::Untold(format!(
                "cannot open {}: {why}; auraed-core has to be in the folder of auraed",
                path.display()
            ))
        })?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// The same once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, path: self.path.clone() })
    }

    /// Its path, for people.
    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}
