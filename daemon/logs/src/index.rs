//! Reading an index file.
//!
//! The file may grow while it is read. Entries that are there do not change, except that bad ones at the end are replaced
//! when a writer takes over the log; so bad ones are never kept in memory.

use std::{fs::File, io, os::unix::fs::FileExt};

use crate::entry::{ENTRY, ENTRY_U64, Entry};

/// Entries read at a time: 16 KiB, so that a long index costs few calls and a reader little memory.
const BLOCK: usize = 256;

/// What is at a place of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Entry(Entry),
    /// Damaged, incomplete, or of a version to come.
    Bad,
    /// The index ends before it.
    Absent,
}

/// An index file and the part of it that was read last.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    block: Vec<u8>,
    first: u64,
}

impl Index {
    pub(crate) fn new(file: File) -> Self {
        Self { file, block: Vec::new(), first: 0 }
    }

    /// How many entries there are; an incomplete last one counts.
    pub(crate) fn count(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().div_ceil(ENTRY_U64))
    }

    /// What is at the place with this number.
    pub(crate) fn slot(&mut self, number: u64) -> io::Result<Slot> {
        if let Some(entry) = self.in_memory(number) {
            return Ok(Slot::Entry(entry));
        }
        self.load(number)?;
        match self.in_memory(number) {
            Some(entry) => Ok(Slot::Entry(entry)),
            None if self.block.is_empty() => Ok(Slot::Absent),
            None => Ok(Slot::Bad),
        }
    }

    /// The first place at or after `number` that has an entry, and the entry.
    pub(crate) fn entry_from(&mut self, number: u64) -> io::Result<Option<(u64, Entry)>> {
        let mut number = number;
        loop {
            match self.slot(number)? {
                Slot::Entry(entry) => return Ok(Some((number, entry))),
                Slot::Bad => number = number.saturating_add(1),
                Slot::Absent => return Ok(None),
            }
        }
    }

    /// The first place from which on all entries are at or after `position`.
    pub(crate) fn find(&mut self, position: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.count()?);
        while low < high {
            let middle = low.midpoint(high);
            match self.entry_from(middle)? {
                Some((number, entry)) if number < high && entry.position.0 < position => {
                    low = number.saturating_add(1);
                }
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    fn in_memory(&self, number: u64) -> Option<Entry> {
        let skipped = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let from = skipped.checked_mul(ENTRY)?;
        Entry::decode(self.block.get(from..from.checked_add(ENTRY)?)?)
    }

    fn load(&mut self, number: u64) -> io::Result<()> {
        self.first = number;
        self.block.resize(BLOCK * ENTRY, 0);
        let Some(offset) = number.checked_mul(ENTRY_U64) else {
            self.block.clear();
            return Ok(());
        };
        let read = read_at(&self.file, &mut self.block, offset);
        self.block.truncate(*read.as_ref().unwrap_or(&0));
        read.map(drop)
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let (mut rest, mut at) = (buffer, offset);
    let mut total = 0;
    while !rest.is_empty() {
        let count = match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += count;
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        rest = rest.split_at_mut_checked(count).map_or(&mut [], |(_, rest)| rest);
    }
    Ok(total)
}
