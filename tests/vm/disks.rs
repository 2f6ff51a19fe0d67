//! Disks of the tests: one for each test, gone after it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tests::vm::{
    image, store,
    store::Kernel,
    units::{copy, registered},
};

use crate::PROBE;

/// Whose tests need one kernel only.
pub(crate) const KERNEL: Kernel = Kernel::Oldest;

/// What a disk has: our programs, and room for logs.
const MEBIBYTES: u32 = 128;

/// A disk with our programs, and with the unit `steady` enabled.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// With what `furnish` does to its folder.
    pub(crate) fn make(furnish: impl FnOnce(&Path)) -> Self {
        Self::of(KERNEL, furnish)
    }

    /// The same for another kernel.
    pub(crate) fn of(kernel: Kernel, furnish: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir_in(store::folder()).unwrap();
        let path = folder.path().join("disk");
        let state = registered(&[&["enable", "steady", "--", PROBE, "pause"]]);
        image::disk_for_tests(&path, MEBIBYTES, kernel, |root| {
            copy(state.path(), &root.join("var/lib/aurae"));
            furnish(root);
        });
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// A file's content, where the disk is in no machine.
    pub(crate) fn read(&self, path: &str) -> String {
        image::read(&self.path(), path)
    }

    /// Holds it to be whole, and not in need of its journal.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        let path = self.path();
        assert!(image::is_clean(&path), "the filesystem was not unmounted");
        let (status, words) = image::check(&path);
        assert_eq!(status, Some(0), "{words}");
    }
}
