//! From what a unit says about its processes ([`units::Setting`]) to what a process is made with: its
//! environment, its standard input, its directory, its mask and its niceness.
//!
//! Invariants: everything is read anew at each start, so that a unit that is started again sees the files as
//! they are then. Nothing here reads without a bound or waits for somebody to write: a file that is no plain
//! file is refused or opened without waiting. (A filesystem that does not answer holds us up, as it would
//! hold up the program's execution; a spawner thread is made for that.) A failure names the file that it is
//! about.

mod account;
mod files;
mod stdin;
#[cfg(test)]
mod tests;
mod variables;

use std::{ffi::CString, fs::File, os::fd::OwnedFd, path::Path};

use api::runtime::StartStage;
use nix::{errno::Errno, sys::stat::Mode};
use spawn::Identity;
use units::{RunId, Told};

use crate::environment::Environment;

pub(crate) use account::Account;
pub(crate) use variables::Variables;

/// Where a program starts that says nothing else.
const DIRECTORY: &str = "/";
/// The mask of a program that says nothing else.
const MASK: u32 = 0o022;

/// What a process is told beside its unit's own variables. Nobody can override it.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances<'a> {
    /// The run that it is the main process of.
    pub(crate) run: RunId,
    /// The user's comment; may be empty.
    pub(crate) comment: &'a str,
    /// What it is told of its unit's program: `MAINPID`, and for commands on stop `SERVICE_RESULT`, `EXIT_CODE` and
    /// `EXIT_STATUS` (systemd.exec(5)).
    pub(crate) told: Told,
    /// Where it says that it is ready, if that is awaited of it: `NOTIFY_SOCKET`.
    pub(crate) notify_socket: Option<&'a Path>,
}

impl<'a> Circumstances<'a> {
    /// Of a run that is no unit's.
    pub(crate) fn of(run: RunId, comment: &'a str) -> Self {
        Self { run, comment, told: Told::default(), notify_socket: None }
    }
}

/// What a plan is made of, as far as the unit's setting says it.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The whole environment, as execve(2) takes it.
    pub(crate) environment: Vec<CString>,
    /// Standard input.
    pub(crate) stdin: OwnedFd,
    /// Whom it runs as; `None` leaves it who we are.
    pub(crate) identity: Option<Identity>,
    /// Where it starts.
    pub(crate) working_directory: CString,
    /// Its mask.
    pub(crate) umask: Mode,
    /// Its niceness; `None` leaves it ours.
    pub(crate) nice: Option<i32>,
}

/// Why a process cannot be made as its unit wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct SettingFailure {
    /// The step that failed.
    pub(crate) stage: StartStage,
    /// The kernel's reason; `UnknownErrno` where it is ours.
    pub(crate) errno: Errno,
    /// For people: what was tried, on what, why it failed, and what to do.
    pub(crate) sentence: String,
}

/// Prepares a start, but for its words: those are expanded by the same variables ([`Variables::expand`]).
pub(crate) fn inputs(
    setting: &units::Setting,
    variables: &Variables,
    (account, null): (Option<&Account>, &File),
) -> Result<Inputs, SettingFailure> {
    let directory = setting.working_directory.as_deref().unwrap_or(DIRECTORY);
    let working_directory = CString::new(directory).map_err(|_| SettingFailure {
        stage: StartStage::Chdir,
        errno: Errno::EINVAL,
        sentence: format!("cannot enter the directory {directory:?}: a path has no NUL byte"),
    })?;
    Ok(Inputs {
        environment: variables.assignments(),
        stdin: stdin::open(&setting.stdin, null)?,
        identity: account.map(Account::identity),
        working_directory,
        umask: Mode::from_bits_truncate(setting.umask.unwrap_or(MASK)),
        nice: setting.nice,
    })
}

/// The environment of a start, when the unit's files have been read.
pub(crate) fn variables(
    setting: &units::Setting,
    fixed: &Environment,
    circumstances: &Circumstances<'_>,
) -> Result<Variables, SettingFailure> {
    let from_files = files::read_all(&setting.environment_files, circumstances.run)?;
    Ok(Variables::gather(fixed, &setting.environment, from_files, circumstances))
}

/// The same without its files, which only a start reads: by this Exec and Run replace the variables of a command line,
/// so that a faulty one is the request's own error.
pub(crate) fn variables_but_files(
    setting: &units::Setting,
    fixed: &Environment,
    circumstances: &Circumstances<'_>,
) -> Variables {
    Variables::gather(fixed, &setting.environment, Vec::new(), circumstances)
}

/// The kernel's reason of an I/O error.
pub(crate) fn errno_of(why: &std::io::Error) -> Errno {
    why.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
