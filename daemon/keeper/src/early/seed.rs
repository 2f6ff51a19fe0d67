//! The random seed: what a machine knew of chance when it went down, for the kernel at the next boot.
//!
//! Invariant: no seed is credited twice. It is replaced by a new one, on the disk, before it is credited: two machines from
//! one image, and two boots after a power cut, never begin with the same and believe it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::AsFd,
    path::Path,
};

use super::replace;
use crate::first::calls::{self, SEED};

/// Its name in the state folder.
pub(crate) const NAME: &str = "random-seed";

/// Gives the kernel the seed of this folder, and puts a new one into its place.
pub(crate) fn load(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    let Ok(found) = fs::read(&path) else { return save(folder) };
    let mut device = File::options().write(true).open("/dev/urandom")?;
    // Without credit first: so the new one depends on the old one, whatever the kernel has by itself.
    device.write_all(&found)?;
    save(folder)?;
    match <[u8; SEED]>::try_from(found) {
        Ok(seed) => Ok(calls::credit(device.as_fd(), seed)?),
        Err(other) => Err(io::Error::other(format!(
            "{} has {} bytes, and not {SEED}; it is stirred in, and not counted",
            path.display(),
            other.len()
        ))),
    }
}

/// Writes a new seed.
pub(crate) fn save(folder: &Path) -> io::Result<()> {
    let mut seed = [0_u8; SEED];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    replace(&folder.join(NAME), &seed, 0o600)?;
    File::open(folder)?.sync_all()
}
