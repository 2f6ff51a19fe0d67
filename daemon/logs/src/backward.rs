//! Reading an index from its end to its beginning, the newest segment first.

use std::fs::File;

use units::RunId;

use crate::{
    entry::{ENTRY, ENTRY_U64, Entry, Kind},
    folder::Folder,
    index::read_at,
    name::Stream,
    open,
    reader::ReadError,
};

/// Entries read at a time.
const BLOCK: u64 = 256;

/// What lies before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Output of one run.
    Output { run: RunId, stream: Stream, base: u64, from: u64, to: u64 },
    /// A run begins here.
    Start(RunId),
    /// A run ends here.
    End(RunId),
}

/// Goes backwards through a log.
#[derive(Debug)]
pub(crate) struct Backward<'a> {
    folder: &'a Folder,
    /// Segments that are still to be looked at, the next one last.
    bases: Vec<u64>,
    segment: Option<Segment>,
    /// Nothing at or behind this.
    before: u64,
}

#[derive(Debug)]
struct Segment {
    base: u64,
    index: File,
    /// Entries before this place are still to be looked at.
    number: u64,
    block: Vec<u8>,
    /// The place of the first entry of the block.
    first: u64,
    /// Where the bytes end of the entry that is looked at next.
    until: u64,
}

impl<'a> Backward<'a> {
    /// From this position on backwards.
    pub(crate) fn new(folder: &'a Folder, before: u64) -> Result<Self, ReadError> {
        let mut bases = folder.bases()?;
        bases.retain(|&base| base <= before);
        Ok(Self { folder, bases, segment: None, before })
    }

    /// What lies before what came last.
    pub(crate) fn next(&mut self) -> Result<Option<Before>, ReadError> {
        loop {
            if self.segment.is_none() {
                let Some(base) = self.bases.pop() else { return Ok(None) };
                self.segment = self.open(base)?;
                continue;
            }
            let Some(segment) = &mut self.segment else { continue };
            let base = segment.base;
            let step = segment.step().map_err(|source| {
                let path = self.folder.index(base);
                ReadError { path, source }
            })?;
            match step {
                Some(Some(before)) => return Ok(Some(before)),
                Some(None) => {}
                None => self.segment = None,
            }
        }
    }

    /// None where the segment or its index is not there any more.
    fn open(&self, base: u64) -> Result<Option<Segment>, ReadError> {
        let path = self.folder.index(base);
        let failed = |source| ReadError { path: path.clone(), source };
        let length = self.folder.length(base).map_err(|error| error.source);
        let (index, length) = match open::read(&path).and_then(|index| Ok((index, length?))) {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let until = base.saturating_add(length).min(self.before);
        let number = index.metadata().map_err(failed)?.len() / ENTRY_U64;
        Ok(Some(Segment { base, index, number, block: Vec::new(), first: number, until }))
    }
}

impl Segment {
    /// The next entry: what it says, if that is anything; none at the beginning.
    fn step(&mut self) -> std::io::Result<Option<Option<Before>>> {
        let Some(number) = self.number.checked_sub(1) else { return Ok(None) };
        if number < self.first {
            self.first = self.number.saturating_sub(BLOCK);
            let count = usize::try_from(self.number.saturating_sub(self.first)).unwrap_or(0);
            self.block.resize(count.saturating_mul(ENTRY), 0);
            let read = read_at(&self.index, &mut self.block, self.first.saturating_mul(ENTRY_U64))?;
            self.block.truncate(read);
        }
        self.number = number;
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let at = skipped.saturating_mul(ENTRY);
        let entry = self.block.get(at..at.saturating_add(ENTRY)).and_then(Entry::decode);
        let Some(entry) = entry else {
            // Whose the bytes before a bad entry are is not known: where it stood is not.
            self.until = 0;
            return Ok(Some(None));
        };
        let (from, to) = (entry.position.0, self.until);
        self.until = if to == 0 { from } else { from.min(to) };
        Ok(Some(match (entry.kind, entry.run) {
            (Kind::Data { stream, .. }, Some(run)) if from < to => {
                Some(Before::Output { run, stream, base: self.base, from, to })
            }
            // Behind where we began.
            (Kind::Start { .. } | Kind::End { .. }, _) if from > to => None,
            (Kind::Start { .. }, Some(run)) => Some(Before::Start(run)),
            (Kind::End { .. }, Some(run)) => Some(Before::End(run)),
            (Kind::Data { .. } | Kind::Start { .. } | Kind::End { .. } | Kind::Gap { .. }, _) => {
                None
            }
        }))
    }
}
