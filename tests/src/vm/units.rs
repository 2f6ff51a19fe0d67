//! Units that a machine finds at its first boot: a state folder that the daemon itself has made, here.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{Daemon, Options};

/// A state folder in which `aer` has been told these words, one list after the other: `enable …`, `schedule import …`.
///
/// # Panics
/// Where that fails.
#[must_use]
pub fn registered(orders: &[&[&str]]) -> TempDir {
    let mut daemon = Daemon::start(Options::default());
    for words in orders {
        let output = daemon.aer(words);
        assert!(output.status.success(), "aer {words:?}: {}", output.err());
    }
    daemon.shut_down();
    let state = tempfile::tempdir().expect("a temporary folder");
    // Not what belongs to this machine: the lock, and the log of what was done here.
    for path in daemon.schedule_paths() {
        copy(&path, &state.path().join(path.file_name().unwrap_or_default()));
    }
    state
}

/// Copies a file, or a folder with all that is in it.
///
/// # Panics
/// Where that fails.
pub fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap_or_else(|why| panic!("copying {}: {why}", from.display()));
        return;
    }
    fs::create_dir_all(to).unwrap_or_else(|why| panic!("making {}: {why}", to.display()));
    for entry in fs::read_dir(from).into_iter().flatten().filter_map(Result::ok) {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
