//! What a run's successor daemon must know and the keeper does not: one 0600 file per run under the
//! runtime folder, written before the run is made and removed when it is released.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use units::{Argv, Door, Execution, Name, Origin, RunId};

use crate::processes::read_small;

/// A run as its file has it. Fields are only ever added: an older daemon may have written it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RunFile {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// The run's 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) run: Vec<u8>,
    /// The name it runs under.
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    /// Whether the name was made up.
    #[prost(bool, tag = "4")]
    pub(crate) anonymous: bool,
    /// The program, as it was asked for.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) program: Vec<u8>,
    /// Its words.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) argv: Vec<Vec<u8>>,
    /// The user's comment.
    #[prost(string, tag = "7")]
    pub(crate) comment: String,
    /// Who ordered it.
    #[prost(string, tag = "8")]
    pub(crate) identity: String,
    /// Why.
    #[prost(string, tag = "9")]
    pub(crate) reason: String,
    /// When it was ordered: nanoseconds since the Unix epoch.
    #[prost(int64, tag = "10")]
    pub(crate) ordered_at: i64,
    /// Whether its process was ever there: the process itself appends this, as [`MARK`].
    #[prost(bool, tag = "11")]
    pub(crate) made: bool,
    /// When its process began, in the kernel's ticks: appended by the spawner when the program has been executed.
    #[prost(uint64, tag = "12")]
    pub(crate) began: u64,
    /// Its process, as that says itself, with [`MARK`]; 0 where it has not, or in a daemon's that did not know of it.
    #[prost(fixed32, tag = "13")]
    pub(crate) pid: u32,
}

/// What is appended when the process is known.
#[derive(Clone, PartialEq, Message)]
struct Began {
    /// The same field.
    #[prost(uint64, tag = "12")]
    began: u64,
}

/// What a run's process appends to its file: the field `made`, as protobuf encodes it (the number 11 and the type 0 in
/// one byte, then 1), and the beginning of the field `pid` (the number 13 and the type 5), which it goes on with.
pub(crate) const MARK: &[u8] = &[0x58, 1, 0x6d];

/// What a run's file says.
pub(crate) struct Kept {
    /// What was to be executed.
    pub(crate) execution: Execution,
    /// Who ordered it.
    pub(crate) origin: Origin,
    /// When: nanoseconds since the Unix epoch.
    pub(crate) ordered_at: i64,
    /// Whether its process was ever there.
    pub(crate) made: bool,
    /// When it began, in the kernel's ticks; 0 where nobody came to note that.
    pub(crate) began: u64,
    /// Its process, as that says itself; 0 where it does not.
    pub(crate) pid: i32,
}

/// Why a run's file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// There is none.
    #[error("its runtime file is missing")]
    Missing,
    /// It says nothing that could be.
    #[error("its runtime file is damaged; it is at {} now", .0.display())]
    Damaged(PathBuf),
}

/// The only version there is.
pub(crate) const VERSION: u32 = 1;

impl RunFile {
    /// What is to be kept of a run.
    pub(crate) fn new(execution: &Execution, origin: &Origin, ordered_at: i64) -> Self {
        Self {
            version: VERSION,
            run: execution.run.to_bytes().to_vec(),
            name: execution.name.to_string(),
            anonymous: execution.anonymous,
            program: execution.program.clone(),
            argv: execution.argv.words().to_vec(),
            comment: execution.comment.clone(),
            identity: origin.identity.clone(),
            reason: origin.reason.clone(),
            ordered_at,
            made: false,
            began: 0,
            pid: 0,
        }
    }

    /// What it says, if it says it of this run.
    fn read_back(self, run: RunId) -> Option<Kept> {
        if self.version != VERSION || self.run != run.to_bytes() {
            return None;
        }
        let execution = Execution {
            run,
            name: self.name.parse::<Name>().ok()?,
            anonymous: self.anonymous,
            program: self.program,
            argv: Argv::new(self.argv).ok()?,
            comment: self.comment,
            // What its process found around it matters no more.
            setting: Arc::default(),
        };
        let origin = Origin { door: Door::Grpc, identity: self.identity, reason: self.reason };
        Some(Kept {
            execution,
            origin,
            ordered_at: self.ordered_at,
            made: self.made,
            began: self.began,
            pid: i32::try_from(self.pid).unwrap_or(0),
        })
    }

    /// Writes the file; the run must not be made before. Gives where its process leaves its [`MARK`].
    pub(crate) fn write(&self, folder: &Path, run: RunId) -> io::Result<File> {
        let path = path(folder, run);
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path)?;
        file.write_all(&self.encode_to_vec())?;
        Ok(file)
    }
}

/// Reads a run's file. One that is damaged, or another run's, is set aside.
pub(crate) fn read(folder: &Path, run: RunId) -> Result<Kept, Unreadable> {
    let path = path(folder, run);
    let bytes = match read_small(&path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Missing),
        read => read.unwrap_or_default(),
    };
    let file = RunFile::decode(bytes.as_slice()).ok();
    let kept = file.and_then(|file| file.read_back(run));
    kept.ok_or_else(|| Unreadable::Damaged(set_aside(folder, &path).unwrap_or(path)))
}

/// Notes in a run's file when its process began; does nothing where the file is gone, since the run is over then.
pub(crate) fn note_began(folder: &Path, run: RunId, began: impl FnOnce() -> Option<u64>) {
    if let Ok(mut file) = File::options().append(true).open(path(folder, run))
        && let Some(began) = began()
    {
        // Without it the keeper's word and the cgroup tell the run.
        drop(file.write_all(&Began { began }.encode_to_vec()));
    }
}

/// Moves a file out of the folder of the runs; where it is then.
fn set_aside(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    let aside = folder.with_file_name("set-aside");
    match DirBuilder::new().mode(0o700).create(&aside) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        Err(_) | Ok(()) => {}
    }
    let to = aside.join(path.file_name().unwrap_or_default());
    fs::rename(path, &to)?;
    Ok(to)
}

/// Removes a run's file, if it is there.
pub(crate) fn remove(folder: &Path, run: RunId) {
    drop(fs::remove_file(path(folder, run)));
}

/// Removes files of runs that nobody holds any more, but what they printed while there was no daemon; what is no run's is
/// set aside.
pub(crate) fn sweep(folder: &Path, keep: &HashSet<RunId>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let aside = match name.to_str().and_then(|name| name.parse::<RunId>().ok()) {
            Some(run) if keep.contains(&run) => continue,
            Some(run) => match read(folder, run) {
                Ok(_) => {
                    drop(fs::remove_file(&path));
                    continue;
                }
                Err(Unreadable::Missing) => continue,
                Err(Unreadable::Damaged(aside)) => aside,
            },
            None => set_aside(folder, &path).unwrap_or_else(|_| path.clone()),
        };
        let (from, to) = (path.display(), aside.display());
        tracing::warn!(%from, %to, "set aside what is no run's file");
    }
    tell_of_strays(&folder.with_file_name("overflow"), keep);
}

/// Tells of overflow files of runs that nobody holds any more, as after the death of a keeper. They are left as they are.
fn tell_of_strays(overflow: &Path, keep: &HashSet<RunId>) {
    for entry in fs::read_dir(overflow).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.split('.').next()?.parse::<RunId>().ok());
        if run.is_none_or(|run| !keep.contains(&run)) {
            let file = entry.path();
            tracing::warn!(
                file = %file.display(),
                "it may have output of a run that nobody knows any more; it is left, look at it and remove it"
            );
        }
    }
}

fn path(folder: &Path, run: RunId) -> PathBuf {
    folder.join(run.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>()) {
            if let Ok(file) = RunFile::decode(bytes.as_slice()) {
                drop(file.read_back(RunId::from_bytes([1; 16])));
            }
        }

        #[test]
        fn what_is_written_is_read(program in any::<Vec<u8>>(), comment in ".*") {
            let run = RunId::from_bytes([7; 16]);
            let name = "x".parse().unwrap();
            let argv = Argv::new([b"x".to_vec(), b"\xff y".to_vec()]).unwrap();
            let setting = Arc::default();
            let execution = Execution { run, name, anonymous: true, program, argv, comment, setting };
            let origin = Origin::daemon("why");
            let file = RunFile::new(&execution, &origin, 5);
            let mut written = file.encode_to_vec();
            for (made, pid) in [(false, 0), (true, 7), (true, 8)] {
                let read = RunFile::decode(written.as_slice()).unwrap().read_back(run).unwrap();
                prop_assert_eq!(&read.execution, &execution);
                prop_assert_eq!((read.ordered_at, read.made, read.pid), (5, made, pid));
                written.extend_from_slice(MARK);
                written.extend_from_slice(&(pid.max(6) + 1).to_le_bytes());
            }
        }
    }
}
