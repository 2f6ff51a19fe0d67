//! The segment that is being written.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    },
    path::PathBuf,
};

use nix::{
    errno::Errno,
    fcntl::{SpliceFFlags, splice},
};

use crate::{
    disk::holes,
    entry::{ENTRY_U64, Entry, GapReason, Kind},
    folder::Folder,
    index::{Index, Slot},
    name::Position,
};

/// Why a log could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub(crate) struct WriteError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The two files of the newest segment of a log.
#[derive(Debug)]
pub(crate) struct Segment {
    folder: Folder,
    base: u64,
    data: File,
    length: u64,
    index: File,
    entries: u64,
    /// Its index was damaged, and says so now.
    mended: bool,
}

impl Segment {
    /// The newest segment there is, mended; or the first one.
    pub(crate) fn open(folder: &Folder) -> Result<Self, WriteError> {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| WriteError { path, source }
        };
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700).create(&folder.0).map_err(failed(&folder.0))?;
        let bases = folder.bases().map_err(|e| WriteError { path: e.path, source: e.source })?;
        let Some(&base) = bases.last() else {
            return Self::create(folder, 0);
        };
        // After a power cut the one that came after it may be gone, and its checksums be there: it is written on.
        fs::remove_file(folder.sum(base)).ok();
        let data = options().open(folder.data(base)).map_err(failed(&folder.data(base)))?;
        let length = data.metadata().map_err(failed(&folder.data(base)))?.len();
        let path = folder.index(base);
        // Without its index a segment's bytes are nobody's, but the log goes on.
        let index = options().create(true).open(&path).map_err(failed(&path))?;
        let folder = folder.clone();
        let mut segment = Self { folder, base, data, length, index, entries: 0, mended: false };
        segment.mend().map_err(failed(&path))?;
        Ok(segment)
    }

    /// A new segment. The index comes first: there is no moment at which the segment exists and has an old index.
    pub(crate) fn create(folder: &Folder, base: u64) -> Result<Self, WriteError> {
        let path = folder.index(base);
        let index = options().create(true).truncate(true).open(&path);
        let index = index.map_err(|source| WriteError { path, source })?;
        let path = folder.data(base);
        let data = options().create_new(true).open(&path);
        let data = data.map_err(|source| WriteError { path, source })?;
        let folder = folder.clone();
        Ok(Self { folder, base, data, length: 0, index, entries: 0, mended: false })
    }

    /// The segment after this one.
    pub(crate) fn next(&self) -> Result<Self, WriteError> {
        // One without a byte takes up one position, since no two segments can have one base.
        Self::create(&self.folder, self.end().0.max(self.base.saturating_add(1)))
    }

    /// Cuts bad entries from the end of the index. A process that dies leaves none, so where there are some, whatever
    /// lies beyond the last good entry is in doubt, and the index is made to say so.
    fn mend(&mut self) -> io::Result<()> {
        let mut index = Index::new(self.index.try_clone()?);
        let found = index.count()?;
        let mut last = None;
        let mut furthest = self.end();
        self.entries = found;
        while let Some(number) = self.entries.checked_sub(1) {
            match index.slot(number)? {
                Slot::Entry(entry) if entry.position <= self.end() => {
                    last = Some(entry);
                    break;
                }
                Slot::Entry(entry) => furthest = furthest.max(entry.position),
                Slot::Bad | Slot::Absent => {}
            }
            self.entries = number;
        }
        if self.entries == found {
            return Ok(());
        }
        self.index.set_len(self.entries.saturating_mul(ENTRY_U64))?;
        let Some(last) = last else {
            return Ok(());
        };
        let lost = furthest.0.saturating_sub(self.end().0);
        let reason = GapReason::Damaged;
        let entries = found.saturating_sub(self.entries);
        let kind = Kind::Gap { stream: None, bytes: lost, entries, reason };
        let gap = Entry { position: last.position, time: last.time, run: None, kind };
        self.mended = true;
        self.write_index(&gap)
    }

    /// Whether bytes before its end were never written: the machine has lost power while the kernel still had them. The
    /// writer leaves no hole, so what reads as zeros there is no program's. Where that cannot be asked there is none.
    pub(crate) fn has_hole(&self) -> bool {
        !holes(&self.data, self.length).is_empty()
    }

    /// Whether a gap was written when it was opened.
    pub(crate) fn was_mended(&self) -> bool {
        self.mended
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Where its last byte ends.
    pub(crate) fn end(&self) -> Position {
        Position(self.base.saturating_add(self.length))
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn data(&self) -> &File {
        &self.data
    }

    /// Adds an entry to the index.
    pub(crate) fn write_entry(&mut self, entry: &Entry) -> Result<(), WriteError> {
        self.write_index(entry)
            .map_err(|source| WriteError { path: self.folder.index(self.base), source })
    }

    fn write_index(&mut self, entry: &Entry) -> io::Result<()> {
        let offset = self.entries.saturating_mul(ENTRY_U64);
        self.index.write_all_at(&entry.encode(), offset)?;
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// Moves what the pipe holds, at most `most` bytes. 0 is the pipe's end.
    pub(crate) fn splice(&mut self, pipe: &OwnedFd, most: usize) -> nix::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
        let mut offset = i64::try_from(self.length).map_err(|_| Errno::EFBIG)?;
        let count = loop {
            match splice(pipe, None, &self.data, Some(&mut offset), most, flags) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        self.advance(count);
        Ok(count)
    }

    /// Adds bytes from our memory. Where it fails, the length says how many of them were written.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.data.write_at(rest, self.length) {
                Ok(count) if count > 0 => {
                    self.advance(count);
                    rest = rest.get(count..).unwrap_or_default();
                }
                Ok(_) => return Err(self.data_error(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.data_error(error)),
            }
        }
        Ok(())
    }

    pub(crate) fn data_error(&self, source: io::Error) -> WriteError {
        WriteError { path: self.folder.data(self.base), source }
    }

    fn advance(&mut self, count: usize) {
        self.length = self.length.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
