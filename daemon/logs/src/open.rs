//! Opening what lies in a log's folder.
//!
//! Invariant: nothing but a regular file is opened, and no symbolic link is followed, neither at the end of a path nor on the
//! way there below the store's folder: the daemon is root, and whoever could write there is not to lead it elsewhere, nor to
//! make it wait at a FIFO. What else lies there is left alone.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
};

/// Something in the place of a file is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Foreign {
    #[error(
        "there is a symbolic link, which is not followed; remove it, or put the file back in its place"
    )]
    Link,
    #[error(
        "it is no regular file, and is left alone; remove it, or put the file back in its place"
    )]
    Kind,
}

/// The kernel, or who filters its calls, does not know openat2(2): then links are refused at the end of a path alone.
static OLD_KERNEL: AtomicBool = AtomicBool::new(false);

/// For reading.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    regular(path, OFlag::O_RDONLY)
}

/// For reading and writing; with `more` flags, such as those that make it.
pub(crate) fn write(path: &Path, more: OFlag) -> io::Result<File> {
    regular(path, OFlag::O_RDWR | more)
}

/// Whether something is in the way that is none of ours.
pub(crate) fn is_foreign(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Foreign>())
}

/// Refuses a folder that is a symbolic link, or lies behind one. One that is not there is none.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    match of(path, OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR | Errno::ELOOP)
            if path.symlink_metadata().is_ok_and(|at| at.is_symlink()) =>
        {
            Err(io::Error::other(Foreign::Link))
        }
        Err(Errno::ENOTDIR) => Err(io::Error::other(Foreign::Kind)),
        Err(Errno::ELOOP) => Err(io::Error::other(Foreign::Link)),
        Err(errno) => Err(errno.into()),
        Ok(_) => Ok(()),
    }
}

fn regular(path: &Path, flags: OFlag) -> io::Result<File> {
    match of(path, flags) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) | Err(Errno::ENXIO | Errno::EISDIR) => Err(io::Error::other(Foreign::Kind)),
        Err(Errno::ELOOP) => Err(io::Error::other(Foreign::Link)),
        // With O_EXCL whatever lies there is in the way.
        Err(Errno::EEXIST) if path.symlink_metadata().is_ok_and(|at| !at.is_file()) => {
            Err(io::Error::other(Foreign::Kind))
        }
        Err(errno) => Err(errno.into()),
    }
}

fn of(path: &Path, flags: OFlag) -> nix::Result<File> {
    // A FIFO would keep us waiting for its other end, and a terminal make us its own.
    let guard = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let mode =
        if flags.contains(OFlag::O_CREAT) { Mode::S_IRUSR | Mode::S_IWUSR } else { Mode::empty() };
    if !OLD_KERNEL.load(Ordering::Relaxed) {
        let how = OpenHow::new().mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        // openat2 refuses flags that mean nothing together.
        let guard = if flags.contains(OFlag::O_PATH) {
            OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
        } else {
            guard
        };
        match openat2(AT_FDCWD, path, how.flags(flags | guard)) {
            Err(Errno::ENOSYS | Errno::EPERM) => OLD_KERNEL.store(true, Ordering::Relaxed),
            opened => return opened.map(File::from),
        }
    }
    open(path, flags | guard, mode).map(File::from)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/file"), b"x").unwrap();
        symlink(at("real/file"), at("link")).unwrap();
        symlink(at("real"), at("linked")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        for old in [false, true] {
            OLD_KERNEL.store(old, Ordering::Relaxed);
            assert!(read(&at("real/file")).is_ok());
            assert!(write(&at("real/file"), OFlag::empty()).is_ok());
            assert!(check_folder(&at("real")).is_ok());
            for name in ["link", "fifo", "real"] {
                assert!(is_foreign(&read(&at(name)).unwrap_err()), "{name}");
                for more in [OFlag::empty(), OFlag::O_CREAT, OFlag::O_CREAT | OFlag::O_TRUNC] {
                    assert!(is_foreign(&write(&at(name), more).unwrap_err()), "{name}");
                }
                let new = OFlag::O_CREAT | OFlag::O_EXCL;
                assert!(is_foreign(&write(&at(name), new).unwrap_err()), "{name}");
            }
            assert!(is_foreign(&check_folder(&at("linked")).unwrap_err()) || old);
            assert!(old || is_foreign(&read(&at("linked/file")).unwrap_err()));
            let missing = read(&at("none")).unwrap_err();
            assert_eq!((missing.kind(), is_foreign(&missing)), (io::ErrorKind::NotFound, false));
        }
        OLD_KERNEL.store(false, Ordering::Relaxed);
        assert_eq!(fs::read(at("real/file")).unwrap(), b"x");
    }
}
