//! What can go wrong with a schedule.

use std::{io, path::PathBuf};

/// Why a schedule could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("cannot open the schedule in {}: {} has it locked; end that process and try again",
        folder.display(), holder_text(*.holder))]
    Locked {
        /// The folder of the store.
        folder: PathBuf,
        /// The process that holds the lock, where the kernel tells.
        holder: Option<u32>,
    },
    /// It was written by a newer version.
    #[error("cannot open the schedule in {}: it has format {found} and this version knows formats up to {known}; \
        install the newer version again", folder.display())]
    Newer {
        /// The folder of the store.
        folder: PathBuf,
        /// The format of the store.
        found: u64,
        /// The newest format that is known here.
        known: u64,
    },
    /// What is on the disk is not what was written there.
    #[error("cannot open the schedule in {}: it is damaged, {what}; {}; `aer schedule export` gets out of it what can \
        be got, and `aer schedule repair` makes it usable again",
        folder.display(), evidence_text(evidence.as_ref()))]
    Damaged {
        /// The folder of the store.
        folder: PathBuf,
        /// What is wrong.
        what: String,
        /// Where a copy of what was found is kept; `None` where that was not possible.
        evidence: Option<PathBuf>,
    },
    /// The machine does not let us.
    #[error("cannot open the schedule: {attempt} {} failed; see to that and start again", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a commit was not made. Nothing of it is acknowledged, and the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store could not be opened again after an earlier failure, or not for writing.
    #[error("cannot change the schedule: the store cannot be opened for writing")]
    Closed(#[source] Box<OpenError>),
    /// The disk is full, or did not do as told.
    #[error("cannot change the schedule: writing to {} failed ({cause}); nothing was changed; make room or see to the \
        disk, and try again", folder.display())]
    Write {
        /// The folder of the store.
        folder: PathBuf,
        /// Why.
        cause: String,
    },
}

/// Why a damaged store was not repaired. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be looked at, or it is of a newer version and not damaged.
    #[error("cannot repair the schedule")]
    Open(#[from] OpenError),
    /// The new store could not be made.
    #[error("cannot repair the schedule: {attempt} {} failed ({cause}); make room or see to the disk, and try again",
        path.display())]
    Write {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn evidence_text(evidence: Option<&PathBuf>) -> String {
    match evidence {
        Some(path) => format!("what was found is kept in {}", path.display()),
        None => "no copy of what was found could be made".to_owned(),
    }
}
