//! The very end: what the daemon left is killed, and the cgroups are removed.

use std::{fs, os::fd::AsFd, path::Path, time::Duration};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signalfd::SignalFd,
};

use crate::process::{self, clock};

/// How long processes may take to die of SIGKILL before we leave without them (state D, proc(5)).
pub(crate) const LAST_KILL: Duration = Duration::from_secs(10);

/// The last kill: every child, and what thereby becomes our child, until there is none; then the
/// empty cgroups.
pub(crate) fn sweep(signals: &SignalFd, tree: &Path) {
    let bound = clock() + LAST_KILL;
    while process::reap_all() && clock() < bound {
        if std::process::id() == 1 {
            // Everybody is below us, and whoever makes more processes than we can list is ended with all of them.
            process::kill_child(-1);
        } else {
            process::children().into_iter().for_each(process::kill_child);
        }
        let mut source = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        // A death wakes us; the time-out is for children that appear without one.
        poll(&mut source, PollTimeout::from(100_u8)).unwrap_or_default();
        while let Ok(Some(_)) = signals.read_signal() {}
    }
    if !tree.as_os_str().is_empty() {
        leave_leaf(tree);
        remove_folders(tree);
    }
}

/// The daemon may have put us into a leaf of the tree, since no inner node of a cgroup hierarchy has
/// processes; without children the tree is no inner node any more, and so we go back to where we were.
fn leave_leaf(tree: &Path) {
    remove_folders(&tree.join("units"));
    if tree.join("daemon").is_dir() {
        drop(fs::write(tree.join("cgroup.procs"), "0"));
    }
}

/// Removes empty folders, the deepest first. On cgroupfs that removes cgroups without processes; on any
/// other filesystem no file can be lost by it.
fn remove_folders(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    drop(fs::remove_dir(path));
}
