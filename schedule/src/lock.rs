//! Who may have the store open, and the only waiting of this crate.
//!
//! A lock belongs to an open file, and a child that was made and has not executed its program yet has ours open too. So
//! a lock that is held is tried again for a while.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::Duration,
};

use crate::{OpenError, place::Place, store};

const PAUSE: Duration = Duration::from_millis(10);

/// Tries again until it is no longer `Ok(None)`, but not for longer than this.
#[expect(clippy::disallowed_methods, reason = "the kernel tells nobody when a lock is free")]
pub(crate) fn patiently<T, E>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(result) = attempt()? {
            return Ok(Some(result));
        }
        if waited >= patience {
            return Ok(None);
        }
        thread::sleep(PAUSE);
        waited = waited.saturating_add(PAUSE);
    }
}

/// The lock of this place, or `None` where no file can be written, and so no lock is needed.
pub(crate) fn take(place: &Place, patience: Duration) -> Result<Option<File>, OpenError> {
    let path = place.lock();
    let failed = |attempt, source| OpenError::Io { attempt, path: path.clone(), source };
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) if store::is_machine(error.kind()) => return Ok(None),
        Err(source) => return Err(failed("opening", source)),
    };
    let locked = patiently(patience, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed("locking", source)),
    })?;
    match locked {
        Some(()) => Ok(Some(file)),
        None => Err(OpenError::Locked { folder: place.folder().to_owned(), holder: holder(&path) }),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let written = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    written.or_else(|error| match File::open(path) {
        Ok(file) => Ok(file),
        Err(_) => Err(error),
    })
}

/// The process that holds a lock on this file, as the kernel tells.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder_in(line, inode))
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`; a process of another namespace is told as 0.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| !word.contains("LOCK"));
    let mut words = words.by_ref().skip(3);
    let pid: u32 = words.next()?.parse().ok()?;
    let (_, found) = words.next()?.rsplit_once(':')?;
    (found.parse() == Ok(inode) && pid != 0).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line = "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF";
        assert_eq!(holder_in(line, 1234), Some(4711));
        assert_eq!(holder_in(line, 123), None);
        let waits = "1: -> FLOCK  ADVISORY  WRITE 12 fe:00:1234 0 EOF";
        assert_eq!(holder_in(waits, 1234), Some(12));
        assert_eq!(holder_in("2: FLOCK  ADVISORY  WRITE 0 fe:00:1234 0 EOF", 1234), None);
        assert_eq!(holder_in("", 1234), None);
    }
}
