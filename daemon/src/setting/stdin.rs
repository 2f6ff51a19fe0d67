//! What a unit's process reads on standard input.

use std::{
    fs::{File, Metadata},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use api::runtime::StartStage;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl},
    libc::{EISDIR, ENOENT, ENXIO, O_NOCTTY, O_NONBLOCK},
    sys::memfd::{MFdFlags, memfd_create},
};
use units::Stdin;

use super::{SettingFailure, errno_of};

/// Opens it. `null` is /dev/null.
pub(super) fn open(stdin: &Stdin, null: &File) -> Result<OwnedFd, SettingFailure> {
    let failed = |what: &str, why: &io::Error| SettingFailure {
        stage: StartStage::Stdin,
        errno: errno_of(why),
        sentence: format!("cannot {what} as standard input: {}", in_words(why)),
    };
    match stdin {
        Stdin::Null => {
            null.try_clone().map(OwnedFd::from).map_err(|why| failed("use /dev/null", &why))
        }
        Stdin::File(path) => {
            file(path).map_err(|why| failed(&format!("open the file {path}"), &why))
        }
        Stdin::Data(data) => data_file(data)
            .map_err(|why| failed(&format!("hold {} bytes in memory", data.len()), &why)),
    }
}

/// What to do is said where it is not plain.
fn in_words(why: &io::Error) -> String {
    match why.raw_os_error() {
        Some(EISDIR) => "it is a folder; name a file".to_owned(),
        Some(ENOENT) => "it does not exist; make it, or name another".to_owned(),
        Some(ENXIO) => "it is a socket, which cannot be opened; name a file".to_owned(),
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => why.to_string(),
    }
}

/// A named pipe is opened without waiting for who writes to it: the program finds it at its end until
/// somebody has it open for writing. The program itself reads as if it had opened it plainly.
fn file(path: &str) -> io::Result<OwnedFd> {
    let flags = O_NONBLOCK | O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata().as_ref().is_ok_and(Metadata::is_dir) {
        return Err(Errno::EISDIR.into());
    }
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags.difference(OFlag::O_NONBLOCK)))?;
    Ok(file.into())
}

/// Bytes in memory that nobody can change any more, read from their beginning.
fn data_file(data: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memory_file()?);
    file.write_all(data)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    // Opened again it is read-only, and has an offset of its own, 0.
    Ok(File::open(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))?.into())
}

fn memory_file() -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Linux 6.3; without it a machine may refuse (sysctl vm.memfd_noexec).
    let never_a_program = MFdFlags::from_bits_retain(nix::libc::MFD_NOEXEC_SEAL);
    match memfd_create(c"stdin", flags | never_a_program) {
        Err(Errno::EINVAL) => memfd_create(c"stdin", flags),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::net::UnixListener};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    fn null() -> File {
        File::open("/dev/null").unwrap()
    }

    fn open_file(path: &std::path::Path) -> Result<OwnedFd, SettingFailure> {
        open(&Stdin::File(path.to_str().unwrap().to_owned()), &null())
    }

    fn flags(descriptor: &OwnedFd) -> OFlag {
        OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL).unwrap())
    }

    #[test]
    fn data_is_read_from_its_beginning_and_cannot_be_changed() {
        for data in [b"".to_vec(), b"\0\xff\n".to_vec(), vec![b'x'; 3_000_000]] {
            let descriptor = open(&Stdin::Data(data.clone()), &null()).unwrap();
            assert_eq!(flags(&descriptor) & OFlag::O_ACCMODE, OFlag::O_RDONLY);
            let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
            let mut file = File::from(descriptor);
            // Who may open it for writing, as root may, cannot write all the same.
            if let Ok(mut writer) = File::options().write(true).open(path) {
                let why = writer.write_all(b"y").unwrap_err();
                assert_eq!(why.raw_os_error(), Some(nix::libc::EPERM));
            }
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            assert!(read == data);
        }
    }

    #[test]
    fn a_file_is_opened_and_a_failure_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        let mut text = String::new();
        File::from(open_file(&path("file")).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        fs::create_dir(path("folder")).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        for (name, errno, words) in [
            ("folder", Errno::EISDIR, "it is a folder"),
            ("missing", Errno::ENOENT, "it does not exist"),
            ("socket", Errno::ENXIO, "it is a socket"),
        ] {
            let failure = open_file(&path(name)).unwrap_err();
            assert_eq!((failure.stage, failure.errno), (StartStage::Stdin, errno));
            let begins = format!("cannot open the file {} as standard", path(name).display());
            assert!(failure.sentence.starts_with(&begins), "{failure}");
            assert!(failure.sentence.contains(words), "{failure}");
        }
    }

    /// It would hang here otherwise: nobody writes to the pipe.
    #[test]
    fn a_named_pipe_does_not_hang_who_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let descriptor = open_file(&path).unwrap();
        assert!(!flags(&descriptor).contains(OFlag::O_NONBLOCK), "the program waits for data");
        let mut writer = File::options().write(true).open(&path).unwrap();
        writer.write_all(b"late").unwrap();
        drop(writer);
        let mut text = String::new();
        File::from(descriptor).read_to_string(&mut text).unwrap();
        assert_eq!(text, "late");
    }
}
