//! A program that is to take over: opened once, looked at, and asked what it is, all by its descriptor. Whatever its path
//! leads to afterwards, what was looked at is what is executed.

use std::{
    fs::{self, Metadata},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::geteuid,
};

use super::{
    check::{Checked, Unfit},
    execute,
};

/// Bits of a mode that let others than the owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Any of the bits that let somebody execute.
const EXECUTABLE: u32 = 0o111;
/// The bit of a folder in which only owners rename and remove.
const STICKY: u32 = 0o1000;

/// One that may take over.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The file.
    pub(crate) file: OwnedFd,
    /// Where it was found.
    pub(crate) path: PathBuf,
    /// What it says of itself.
    pub(crate) checked: Checked,
    printed: String,
}

/// Why a program is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{} is not taken: {why}", path.display())]
pub(crate) struct Refused {
    path: PathBuf,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("its path is not absolute; write it from / on")]
    Relative,
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    #[error("it cannot be looked at: {0}")]
    Look(io::Error),
    #[error("it is not a regular file")]
    Kind,
    #[error("{} belongs to the user {owner}; it must belong to root or to the daemon's own user, {us}: chown it", .what.display())]
    Owner { what: PathBuf, owner: u32, us: u32 },
    #[error("{} may be written by others (mode {mode:o}): chmod go-w it", .what.display())]
    Writable { what: PathBuf, mode: u32 },
    #[error("it is not executable (mode {0:o}): chmod +x it")]
    NotExecutable(u32),
    #[error("asked to check itself, it failed: {0}")]
    Execute(io::Error),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl Candidate {
    /// Opens the program there, and asks it. May wait for a disk, and for the program, with a bound: not for the
    /// supervisor's thread, nor the doors'.
    pub(crate) fn open(path: &Path) -> Result<Self, Refused> {
        let refused = |why| Refused { path: path.to_path_buf(), why };
        let file = examine(path).map_err(refused)?;
        let printed = execute::check(&file, path).map_err(|why| refused(Why::Execute(why)))?;
        let checked = Checked::parse(&printed);
        Ok(Self { file, path: path.to_path_buf(), checked, printed })
    }

    /// Whether it can be the daemon, with that keeper or the one there is.
    pub(crate) fn judge(&self, keeper: Option<&Self>) -> Result<(), Refused> {
        let keeper = keeper.map(|keeper| &keeper.checked);
        self.checked.judge(keeper, &self.printed).map_err(|why| self.refused(why))
    }

    /// Whether it can be the keeper.
    pub(crate) fn judge_keeper(&self) -> Result<(), Refused> {
        self.checked.judge_keeper(&self.printed).map_err(|why| self.refused(why))
    }

    fn refused(&self, why: Unfit) -> Refused {
        Refused { path: self.path.clone(), why: why.into() }
    }
}

/// Opens it, and sees that nobody but its owner can change it, nor what leads to it.
fn examine(path: &Path) -> Result<OwnedFd, Why> {
    if !path.is_absolute() {
        return Err(Why::Relative);
    }
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|why| Why::Open(why.into()))?;
    // By the descriptor: of the very file that was opened, and where that is.
    let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let meta = fs::metadata(&link).map_err(Why::Look)?;
    let place = fs::read_link(&link).map_err(Why::Look)?;
    if !meta.is_file() {
        return Err(Why::Kind);
    }
    ours_alone(&place, &meta)?;
    if meta.mode() & EXECUTABLE == 0 {
        return Err(Why::NotExecutable(meta.mode() & 0o7777));
    }
    for folder in place.ancestors().skip(1) {
        let meta = fs::metadata(folder).map_err(Why::Look)?;
        // In a sticky folder nobody else can put another file in its place.
        if meta.mode() & STICKY == 0 {
            ours_alone(folder, &meta)?;
        }
    }
    Ok(file)
}

fn ours_alone(what: &Path, meta: &Metadata) -> Result<(), Why> {
    let (owner, us, mode) = (meta.uid(), geteuid().as_raw(), meta.mode() & 0o7777);
    if owner != 0 && owner != us {
        return Err(Why::Owner { what: what.to_path_buf(), owner, us });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(Why::Writable { what: what.to_path_buf(), mode });
    }
    Ok(())
}
