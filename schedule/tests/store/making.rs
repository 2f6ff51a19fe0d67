//! What the tests have in common: stores, changes, and what is in a store.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use schedule::{Change, Entry, Options, Schedule};
use tempfile::TempDir;
use units::{Door, Name, Origin};

/// A folder of its own, and in it the place of a store.
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    /// On the disk.
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// In memory, where that is possible: for tests that open thousands of stores and do not ask what a disk does.
    pub(crate) fn quick() -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { root: root.unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder of the store.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root().join("schedule")
    }

    /// What stands beside it.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        self.root().join(format!("schedule{suffix}"))
    }

    pub(crate) fn options(&self) -> Options {
        let scratch = self.root().join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        Options { scratch, ..Options::default() }
    }

    pub(crate) fn open(&self) -> Schedule {
        Schedule::open(&self.folder(), &self.options()).unwrap()
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn origin() -> Origin {
    Origin { door: Door::Grpc, identity: "uid:0 pid:1".into(), reason: "because".into() }
}

pub(crate) fn enable(name: &Name, definition: &[u8], at: i64) -> Change {
    Change::Enable { name: name.clone(), definition: definition.to_vec(), at, by: origin() }
}

pub(crate) fn import(name: &Name, enabled: bool, definition: &[u8], at: i64) -> Change {
    let definition = definition.to_vec();
    Change::Import { name: name.clone(), enabled, definition, at, by: origin() }
}

pub(crate) fn disable(name: &Name, at: i64) -> Change {
    Change::Disable { name: name.clone(), at, by: origin() }
}

pub(crate) fn destroy(name: &Name, at: i64) -> Change {
    Change::Destroy { name: name.clone(), at, by: origin() }
}

/// All that is registered.
pub(crate) type View = BTreeMap<Name, Entry>;

pub(crate) fn view(schedule: &Schedule) -> View {
    schedule.entries().map(|entry| (entry.name.clone(), entry.clone())).collect()
}

pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// Copies the folder of a store.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of a folder, relative to it, with their bytes.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            let inner = files(&entry.path());
            found.extend(inner.into_iter().map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}
