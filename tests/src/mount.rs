//! Disks of a test's own: small ones, which get full, and read-only ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Something mounted. Unmounted when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

/// Whether this process may mount at all: root in a container often may not.
#[must_use]
pub fn allowed() -> bool {
    tempfile::tempdir().is_ok_and(|folder| Mount::memory(folder.path(), "1m").is_ok())
}

impl Mount {
    /// A disk in memory of this size, as mount(8) writes sizes, on a folder.
    ///
    /// # Errors
    /// Where the kernel does not allow it.
    pub fn memory(at: &Path, size: &str) -> nix::Result<Self> {
        let options = format!("size={size},mode=0755");
        mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
        Ok(Self(at.to_owned()))
    }

    /// A folder as it is, and read-only.
    ///
    /// # Errors
    /// Where the kernel does not allow it.
    pub fn read_only(at: &Path) -> nix::Result<Self> {
        let none = None::<&str>;
        mount(Some(at), at, none, MsFlags::MS_BIND, none)?;
        let bound = Self(at.to_owned());
        // A bind mount takes this flag only once it is there (mount(2)).
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, at, none, flags, none)?;
        Ok(bound)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once for everybody who looks, even where a process still has a file open in it.
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("{} could not be unmounted: {error}", self.0.display());
        }
    }
}

/// Writes a file until its disk has no byte left.
///
/// # Panics
/// Where the disk does not get full.
pub fn fill(path: &Path) {
    let mut bytes: Vec<u8> = Vec::new();
    for size in [64 << 10, 4 << 10, 1] {
        while bytes.len() < 1 << 30 {
            let before = bytes.len();
            bytes.resize(before + size, 1);
            if fs::write(path, &bytes).is_err() {
                bytes.truncate(before);
                break;
            }
            // The last step, byte by byte, is within a page that is there already.
            if size == 1 {
                break;
            }
        }
    }
    assert!(fs::write(path, &bytes).is_ok(), "what fitted before fits again");
    let more = path.with_extension("more");
    assert!(fs::write(&more, [1]).is_err(), "the disk is not full");
    // Made, though there is no room for its byte.
    drop(fs::remove_file(more));
}
