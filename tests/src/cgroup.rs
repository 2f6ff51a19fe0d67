//! The cage: a cgroup around one daemon and everything that it starts.
//!
//! Where the machine lets us make one, a daemon is born inside, so that whatever a test leaves behind,
//! however it forked, is found there and ended there. It also makes the daemon live in a cgroup that is
//! not the root, as it does under systemd and in a container.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    procfs,
    wait::{PATIENCE, holds_within},
};

/// Where the cgroup v2 hierarchy is mounted.
#[must_use]
pub fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next() == Some("cgroup2"))
            .then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The places of a daemon in the hierarchies of version 1 that are there: it makes them for runs with limits. Looked
/// for below the roots alone, which is where tests run.
#[must_use]
pub fn legacy(name: &OsStr) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next() == Some("cgroup")).then(|| before.split(' ').nth(4))?
    });
    mounts.map(|mount| Path::new(mount).join(name)).filter(|place| place.exists()).collect()
}

/// A cgroup of the harness. Killed and removed when dropped, with all below.
#[derive(Debug)]
pub struct Cage(PathBuf);

impl Cage {
    /// A new one beside the test's own processes; none where the hierarchy is missing or not ours to write.
    #[must_use]
    pub fn make() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = procfs::cgroup("self")?;
        let name =
            format!("aurae-tests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = mount()?.join(own.strip_prefix("/").ok()?).join(name);
        fs::create_dir(&path).ok()?;
        let cage = Self(path);
        // Made but not joinable (a hierarchy of threads, a namespace's edge) is not usable either.
        fs::metadata(cage.0.join("cgroup.kill")).is_ok().then_some(cage)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Hands it to a user, as systemd's Delegate= does.
    ///
    /// # Errors
    /// Where one of its files cannot be handed over.
    pub fn delegate(&self, uid: u32) -> io::Result<()> {
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            let path = if file.is_empty() { self.0.clone() } else { self.0.join(file) };
            chown(path, Some(uid), Some(uid))?;
        }
        Ok(())
    }

    /// Every process inside, however deep.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut folders = below(&self.0);
        folders.push(self.0.clone());
        let procs = folders
            .iter()
            .filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok());
        procs
            .flat_map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Every cgroup below it, the deepest first.
    #[must_use]
    pub fn below(&self) -> Vec<PathBuf> {
        below(&self.0)
    }
}

/// Every cgroup below a folder, the deepest first.
#[must_use]
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders =
        entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders
        .flat_map(|entry| {
            let mut inner = below(&entry.path());
            inner.push(entry.path());
            inner
        })
        .collect()
}

/// Kills everything in a cgroup and below, and removes it. True where nothing is left of it.
#[must_use]
pub fn remove(folder: &Path) -> bool {
    if !folder.exists() {
        return true;
    }
    holds_within(PATIENCE, || {
        // Again in every round: a process may have been on its way in.
        let _ = fs::write(folder.join("cgroup.kill"), "1");
        for inner in below(folder) {
            let _ = fs::remove_dir(inner);
        }
        fs::remove_dir(folder).is_ok() || !folder.exists()
    })
}

impl Drop for Cage {
    fn drop(&mut self) {
        if !remove(&self.0) {
            eprintln!("the cgroup {} could not be removed", self.0.display());
        }
    }
}
