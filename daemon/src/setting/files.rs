//! Environment files, read at each start.
//!
//! A file that is missing fails the start unless it may be missing. What is wrong in a file is logged and
//! left out, as systemd does (systemd.exec(5), `EnvironmentFile=`), lines that are no UTF-8 included.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
};

use api::runtime::StartStage;
use nix::{
    errno::Errno,
    libc::{O_NOCTTY, O_NONBLOCK},
};
use units::{EnvironmentFile, EnvironmentText, RunId};

use super::{SettingFailure, errno_of};

/// The most that is read of one file. The kernel gives a program no more than 6 MiB of words and variables
/// (execve(2)), and 2 MiB as a rule.
const MOST: u64 = 1024 * 1024;
/// The most that is read of all files of a unit, so that a unit with a thousand of them costs no gigabyte.
const MOST_TOGETHER: u64 = 4 * MOST;
/// So many lines of a file are complained about one by one.
const COMPLAINTS: usize = 8;

/// The variables of all files, in order.
pub(super) fn read_all(
    files: &[EnvironmentFile],
    run: RunId,
) -> Result<Vec<(String, String)>, SettingFailure> {
    let mut left = MOST_TOGETHER;
    let mut variables = Vec::new();
    for file in files {
        let text = match read(&file.path, MOST.min(left)) {
            Ok(text) => text,
            Err(Unread::Io(why)) if file.optional && is_missing(&why) => continue,
            Err(why) => return Err(failure(file, &why)),
        };
        left = left.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let (assignments, complaints) = parse(&text);
        complain(run, &file.path, &complaints);
        variables.extend(assignments);
    }
    Ok(variables)
}

/// Why a file was not read.
enum Unread {
    /// The kernel's reason.
    Io(io::Error),
    /// A folder, a device, a pipe, or a socket.
    NotAFile,
    /// It has more than may be read.
    TooLong,
}

fn read(path: &str, most: u64) -> Result<Vec<u8>, Unread> {
    // Without O_NONBLOCK, to open a named pipe would wait for somebody to write.
    let flags = O_NONBLOCK | O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(Unread::Io)?;
    if !file.metadata().map_err(Unread::Io)?.is_file() {
        return Err(Unread::NotAFile);
    }
    let mut text = Vec::new();
    // Its size tells nothing: files of /proc have none, and one may grow.
    file.take(most.saturating_add(1)).read_to_end(&mut text).map_err(Unread::Io)?;
    let fits = u64::try_from(text.len()).is_ok_and(|length| length <= most);
    if fits { Ok(text) } else { Err(Unread::TooLong) }
}

fn is_missing(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failure(file: &EnvironmentFile, unread: &Unread) -> SettingFailure {
    let (errno, why) = match unread {
        Unread::Io(why) if is_missing(why) => {
            (errno_of(why), "it does not exist; make it, or say that it may be missing".to_owned())
        }
        Unread::Io(why) => (errno_of(why), errno_of(why).desc().to_owned()),
        Unread::NotAFile => (Errno::EINVAL, "it is not a regular file; name one".to_owned()),
        Unread::TooLong => {
            let why = "it is too long; a file may have 1 MiB, and all files of a unit 4 MiB";
            (Errno::EFBIG, why.to_owned())
        }
    };
    let sentence = format!("cannot read the environment file {}: {why}", file.path);
    SettingFailure { stage: StartStage::Environment, errno, sentence }
}

/// The variables in it, and what is wrong with it.
fn parse(text: &[u8]) -> (Vec<(String, String)>, Vec<String>) {
    // Bytes that are no UTF-8 become U+FFFD, by which their variables are found.
    let lossy = String::from_utf8_lossy(text);
    let damaged = matches!(lossy, std::borrow::Cow::Owned(_));
    let EnvironmentText { assignments, warnings } = EnvironmentText::parse(&lossy);
    let mut complaints: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let mut good = Vec::with_capacity(assignments.len());
    for (name, value) in assignments {
        if damaged && value.contains(char::REPLACEMENT_CHARACTER) {
            complaints.push(format!("{name}: left out, for its value is no UTF-8"));
        } else {
            good.push((name, value));
        }
    }
    (good, complaints)
}

/// Bounded, since whoever may write the file could otherwise fill the daemon's log.
fn complain(run: RunId, path: &str, complaints: &[String]) {
    for complaint in complaints.iter().take(COMPLAINTS) {
        tracing::warn!(%run, path, complaint, "an environment file is not all right");
    }
    if let Some(more @ 1..) = complaints.len().checked_sub(COMPLAINTS) {
        tracing::warn!(%run, path, more, "an environment file has more such lines");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    fn read_one(path: &Path, optional: bool) -> Result<Vec<(String, String)>, SettingFailure> {
        let file = EnvironmentFile { path: path.to_str().unwrap().to_owned(), optional };
        read_all(&[file], RunId::from_bytes([7; 16]))
    }

    #[test]
    fn later_files_come_later_and_an_optional_one_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["one", "missing", "two"].map(|name| folder.path().join(name));
        fs::write(&paths[0], "A=1\nB=\"two words\"\n# no\nnonsense\n").unwrap();
        fs::write(&paths[2], "A=2").unwrap();
        let files = paths.map(|path| EnvironmentFile {
            path: path.to_str().unwrap().to_owned(),
            optional: true,
        });
        let variables = read_all(&files, RunId::from_bytes([7; 16])).unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("A", "2")];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // Below a file there is nothing either.
        assert_eq!(read_one(&folder.path().join("one/x"), true), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("long"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
        for (name, optional, errno, words) in [
            ("missing", false, Errno::ENOENT, "it does not exist; make it, or say"),
            ("folder", true, Errno::EINVAL, "not a regular file"),
            ("pipe", true, Errno::EINVAL, "not a regular file"),
            ("long", true, Errno::EFBIG, "1 MiB"),
        ] {
            let failure = read_one(&path(name), optional).unwrap_err();
            assert_eq!(
                (failure.stage, failure.errno),
                (StartStage::Environment, errno),
                "{failure}"
            );
            let begins = format!("cannot read the environment file {}: ", path(name).display());
            assert!(failure.sentence.starts_with(&begins), "{failure}");
            assert!(failure.sentence.contains(words), "{failure}");
        }
        fs::write(path("long"), vec![b'#'; 1024 * 1024]).unwrap();
        assert_eq!(read_one(&path("long"), false), Ok(Vec::new()));
    }

    #[test]
    fn all_files_together_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        fs::write(&path, vec![b'#'; 1024 * 1024]).unwrap();
        let file = EnvironmentFile { path: path.to_str().unwrap().to_owned(), optional: false };
        let run = RunId::from_bytes([7; 16]);
        assert!(read_all(&vec![file.clone(); 4], run).is_ok());
        let failure = read_all(&vec![file; 5], run).unwrap_err();
        assert_eq!(failure.errno, Errno::EFBIG);
    }

    #[test]
    fn a_value_that_is_no_text_is_left_out_alone() {
        let (good, complaints) = parse(b"A=1\nB=\xff\nC=3\n");
        let expected = [("A", "1"), ("C", "3")];
        assert_eq!(good, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(complaints, ["B: left out, for its value is no UTF-8"]);
        let (good, complaints) = parse("A=\u{fffd}".as_bytes());
        assert_eq!((good.len(), complaints.len()), (1, 0), "it may be meant");
    }
}
