//! An archive that the kernel unpacks as its first filesystem: cpio in its form "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel), written here because it has device nodes,
//! which only root could make in a folder.
//!
//! Invariants: every parent stands before what is in it; everything belongs to root; the same calls make the same bytes.

/// What an entry is, in its mode.
mod kind {
    pub(super) const FOLDER: u32 = 0o040_000;
    pub(super) const FILE: u32 = 0o100_000;
    pub(super) const LINK: u32 = 0o120_000;
    pub(super) const CHARACTERS: u32 = 0o020_000;
}

/// An archive that is being written.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder.
    ///
    /// # Panics
    /// Where the path is not relative.
    #[must_use]
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(path, kind::FOLDER | mode, &[], (0, 0))
    }

    /// A file with this content.
    ///
    /// # Panics
    /// Where the path is not relative.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, kind::FILE | mode, content, (0, 0))
    }

    /// A symbolic link.
    ///
    /// # Panics
    /// Where the path is not relative.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, kind::LINK | 0o777, target.as_bytes(), (0, 0))
    }

    /// A device of characters, by its numbers.
    ///
    /// # Panics
    /// Where the path is not relative.
    #[must_use]
    pub fn device(self, path: &str, mode: u32, numbers: (u32, u32)) -> Self {
        self.entry(path, kind::CHARACTERS | mode, &[], numbers)
    }

    /// The bytes. Several archives, one after the other, are unpacked as one.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.entry("TRAILER!!!", 0, &[], (0, 0)).bytes;
        // So that another one may follow.
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn entry(mut self, path: &str, mode: u32, content: &[u8], (major, minor): (u32, u32)) -> Self {
        assert!(!path.starts_with('/') && !path.is_empty(), "{path:?} is not relative");
        let size = u32::try_from(content.len()).expect("files are below 4 GiB");
        let name = u32::try_from(path.len() + 1).expect("paths are short");
        self.entries += 1;
        self.bytes.extend_from_slice(b"070701");
        // The inode, mode, uid, gid, links, time, size, device (2), numbers (2), length of the name, sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name, 0];
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
