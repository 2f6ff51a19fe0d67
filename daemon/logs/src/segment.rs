//! The segment that is being written.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    },
    path::PathBuf,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags, splice},
};

use crate::{
    behind::Behind,
    disk::holes,
    entry::{ENTRY_U64, Entry, GapReason, Kind},
    folder::Folder,
    index::{Index, Slot},
    name::Position,
    open,
    running::Running,
};

/// Names that are tried for a new segment where something foreign has the right one.
const PLACES: usize = 16;

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
    /// Its index knows of bytes up to there that are gone.
    known_end: Option<u64>,
    /// And says why.
    is_told: bool,
    /// Nothing more is to be written to it.
    is_over: bool,
}

impl Segment {
    /// The newest segment there is, mended; or the first one.
    pub(crate) fn open(folder: &Folder) -> Result<Self, WriteError> {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| WriteError { path, source }
        };
        let mut make = DirBuilder::new();
        make.mode(0o700);
        match make.create(&folder.0) {
            // A log of its own for each of a thousand units: nothing is looked for in a folder that was just made.
            Ok(()) => return Self::create(folder, 0),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => make.recursive(true).create(&folder.0).map_err(failed(&folder.0))?,
        }
        let bases = folder.bases().map_err(|e| WriteError { path: e.path, source: e.source })?;
        let Some(&base) = bases.last() else {
            return Self::create(folder, 0);
        };
        // After a power cut the one that came after it may be gone, and its checksums be there: it is written on.
        fs::remove_file(folder.sum(base)).ok();
        let path = folder.data(base);
        let data = open::write(&path, OFlag::empty()).map_err(failed(&path))?;
        let length = data.metadata().map_err(failed(&path))?.len();
        Running::fit(folder, base, length);
        let path = folder.index(base);
        // Without its index a segment's bytes are nobody's, but the log goes on.
        let index = match open::write(&path, OFlag::O_CREAT) {
            Err(error) if open::is_foreign(&error) => {
                return Self::create(folder, base.saturating_add(length.max(1)));
            }
            opened => opened.map_err(failed(&path))?,
        };
        let folder = folder.clone();
        let mut segment = Self {
            folder,
            base,
            data,
            length,
            index,
            entries: 0,
            mended: false,
            known_end: None,
            is_told: false,
            is_over: false,
        };
        segment.mend().map_err(failed(&path))?;
        segment.is_over = segment.has_lost() || segment.has_hole();
        Ok(segment)
    }

    /// A new segment, at this position or, where something foreign lies in its place, a little later.
    pub(crate) fn create(folder: &Folder, base: u64) -> Result<Self, WriteError> {
        let mut base = base;
        for _ in 1..PLACES {
            match Self::create_at(folder, base) {
                Err(error) if open::is_foreign(&error.source) => base = base.saturating_add(1),
                // Somebody has removed the folder.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                    let mut make = DirBuilder::new();
                    let made = make.recursive(true).mode(0o700).create(&folder.0);
                    made.map_err(|source| WriteError { path: folder.0.clone(), source })?;
                    return Self::create_at(folder, base);
                }
                created => return created,
            }
        }
        Self::create_at(folder, base)
    }

    /// The index comes first: there is no moment at which the segment exists and has an old index.
    fn create_at(folder: &Folder, base: u64) -> Result<Self, WriteError> {
        let path = folder.index(base);
        let index = open::write(&path, OFlag::O_CREAT | OFlag::O_TRUNC);
        let index = index.map_err(|source| WriteError { path, source })?;
        // Sums of one that was there before: who took that away may not have known them.
        fs::remove_file(folder.running(base)).ok();
        let path = folder.data(base);
        let data = open::write(&path, OFlag::O_CREAT | OFlag::O_EXCL);
        let data = data.map_err(|source| WriteError { path, source })?;
        let folder = folder.clone();
        Ok(Self {
            folder,
            base,
            data,
            length: 0,
            index,
            entries: 0,
            mended: false,
            known_end: None,
            is_told: false,
            is_over: false,
        })
    }

    /// Whether its files are what was written to them, as far as that is seen at once: they have their names, and no byte
    /// less than they had.
    pub(crate) fn is_whole(&self) -> bool {
        let of = |file: &File, least: u64| {
            file.metadata().is_ok_and(|file| file.nlink() > 0 && file.len() >= least)
        };
        of(&self.data, self.length) && of(&self.index, self.entries.saturating_mul(ENTRY_U64))
    }

    /// Where its files are not what they were: what to say of it.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.data(self.base)
    }

    /// The segment after this one.
    pub(crate) fn next(&self) -> Result<Self, WriteError> {
        // One without a byte takes up one position, since no two segments can have one base.
        let end = self.end().0.max(self.known_end.unwrap_or(0));
        Self::create(&self.folder, end.max(self.base.saturating_add(1)))
    }

    /// Cuts bad entries from the end of the index. A process that dies leaves none, so where there are some, whatever
    /// lies beyond the last good entry is in doubt, and the index is made to say so. One that knows of more bytes than there
    /// are is left as it is: what it knows is told by readers, and its positions are not given again.
    fn mend(&mut self) -> io::Result<()> {
        let mut index = Index::new(self.index.try_clone()?);
        let found = index.count()?;
        let mut last = None;
        let mut furthest = self.end();
        self.entries = found;
        let end = self.end();
        let mut known = found;
        while let Some(number) = known.checked_sub(1) {
            match index.slot(number)? {
                Slot::Entry(entry) if entry.position > end => {
                    self.known_end = Some(entry.position.0);
                    let first = index.find(end.0.saturating_add(1))?;
                    let first = index.entry_from(first)?;
                    self.is_told = first.is_some_and(|(_, entry)| entry.tells_of_cut(end.0));
                    return Ok(());
                }
                Slot::Entry(_) => break,
                Slot::Bad | Slot::Absent => known = number,
            }
        }
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

    /// Whether bytes that it had are gone.
    pub(crate) fn has_lost(&self) -> bool {
        self.known_end.is_some()
    }

    /// Whether it is to be followed by another before anything is written, since some of it is missing.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a gap was counted for that when it was found.
    pub(crate) fn has_told(&self) -> bool {
        self.is_told
    }

    /// Whether a gap was written when it was opened.
    pub(crate) fn was_mended(&self) -> bool {
        self.mended
    }

    /// Whether what comes here next goes on with a line: of the output whose last bytes lie there, in a segment before this
    /// one. Where that cannot be read any more nobody knows, and it is not said.
    pub(crate) fn is_within_line(&self, behind: Option<Behind>) -> bool {
        behind.is_some_and(|behind| behind.base != self.base && behind.is_within_line(&self.folder))
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
