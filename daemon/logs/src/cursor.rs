//! Reading one segment.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use units::RunId;

use crate::{
    checked::Checked,
    disk::gap_at,
    entry::{End, Entry, GapReason, Kind},
    folder::Folder,
    index::{Index, Slot, read_at},
    name::{Position, Stream},
    open,
    reader::{Filter, Found, Item, ReadError, gap},
};

/// What one step came to.
#[derive(Debug)]
pub(crate) enum Step {
    Found(Found),
    /// Nothing that was wanted; there may be more.
    Again,
    /// Nothing more for now.
    Dry,
    /// All of a sealed segment was read; whether it held no byte at all.
    Over {
        empty: bool,
    },
}

impl Step {
    fn item(item: Item) -> Self {
        Self::Found(Found::Item(item))
    }

    fn missing(gap: Item) -> Self {
        Self::Found(Found::Missing(gap))
    }
}

/// Whose the byte at the position is.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// Nobody's that could be named; whether the index says so.
    Unknown { said: bool },
    Run {
        run: RunId,
        stream: Stream,
        time: u64,
        /// Where bytes are that go on with a line of a segment before.
        rest_at: Option<u64>,
    },
}

/// A cursor in a segment.
#[derive(Debug)]
pub(crate) struct Cursor {
    base: u64,
    data: File,
    data_path: PathBuf,
    /// None if the file is missing.
    index: Option<Index>,
    index_path: PathBuf,
    whose: Whose,
    /// The place of the entry to be looked at next.
    next: u64,
    /// Bad entries before this place have been told of.
    told: u64,
    /// Where the segment ended when that was last looked at. Entries of all bytes before it are there.
    end: u64,
    /// Nothing will be added.
    sealed: bool,
    /// The checksums, where there were some when it was opened.
    checked: Option<Box<Checked>>,
}

/// The next entry, and how many bad ones lie before it.
struct Ahead {
    entry: Option<(u64, Entry)>,
    bad: u64,
}

impl Cursor {
    /// Opens a segment and finds the position in its index.
    pub(crate) fn open(folder: &Folder, base: u64, position: u64) -> Result<Self, ReadError> {
        let data_path = folder.data(base);
        let index_path = folder.index(base);
        let data = open::read(&data_path)
            .map_err(|source| ReadError { path: data_path.clone(), source })?;
        let index = open_index(&index_path)?;
        let checked = Checked::find(folder, base).map(Box::new);
        let (whose, sealed) = (Whose::Unknown { said: false }, checked.is_some());
        let (next, told, end) = (0, 0, checked.as_ref().map_or(base, |checked| checked.end()));
        let mut cursor = Self {
            base,
            data,
            data_path,
            index,
            index_path,
            whose,
            next,
            told,
            end,
            sealed,
            checked,
        };
        cursor.seek(position)?;
        Ok(cursor)
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// A later segment exists: nothing will be added to this one.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    fn seek(&mut self, position: u64) -> Result<(), ReadError> {
        let Some(index) = &mut self.index else { return Ok(()) };
        let failed = |source| ReadError { path: self.index_path.clone(), source };
        self.next = index.find(position).map_err(failed)?;
        self.told = self.next;
        let Some(before) = self.next.checked_sub(1) else { return Ok(()) };
        if let Slot::Entry(entry) = index.slot(before).map_err(failed)? {
            self.whose = whose(&entry);
        }
        Ok(())
    }

    /// Goes on by one item or one entry.
    pub(crate) fn step(
        &mut self,
        position: &mut u64,
        filter: &Filter,
        most: usize,
    ) -> Result<Step, ReadError> {
        if *position >= self.end && self.checked.is_none() {
            self.has_grown_to(*position)?;
        }
        let Ahead { entry, bad } = self.ahead()?;
        let until = entry.map_or(self.end, |(_, entry)| entry.position.0.min(self.end));
        if bad > 0 {
            // Whose the bytes before a bad entry are is not known either: where it stood is not.
            self.whose = Whose::Unknown { said: false };
            self.told = entry.map_or(self.told.max(self.next).saturating_add(bad), |(at, _)| at);
            let bytes = until.saturating_sub(*position);
            *position = until.max(*position);
            let reason = GapReason::Damaged;
            return Ok(Step::missing(Item::Gap { run: None, bytes, entries: bad, reason }));
        }
        if *position < until {
            return self.output(position, until, filter, most);
        }
        match entry {
            Some((number, entry)) if entry.position.0 > (*position).max(self.end) => {
                // An entry comes after the bytes before it: those that are not there now were, and are gone.
                if self.checked.is_none() && self.has_grown_to(entry.position.0)? {
                    return Ok(Step::Again);
                }
                let bytes = entry.position.0.saturating_sub(*position);
                *position = entry.position.0;
                if entry.tells_of_cut(self.end) {
                    self.next = number.saturating_add(1);
                    return Ok(Step::item(gap(bytes, GapReason::Damaged)));
                }
                Ok(Step::missing(gap(bytes, GapReason::Vanished)))
            }
            Some((number, entry)) => {
                self.next = number.saturating_add(1);
                self.whose = whose(&entry);
                Ok(mark(&entry, filter).map_or(Step::Again, Step::item))
            }
            None if self.sealed => Ok(Step::Over { empty: self.end == self.base }),
            None => Ok(Step::Dry),
        }
    }

    /// The position of the last good entry; 0 where there is none.
    pub(crate) fn last_entry(&mut self) -> Result<u64, ReadError> {
        let Some(index) = &mut self.index else { return Ok(0) };
        let failed = |source| ReadError { path: self.index_path.clone(), source };
        let Some(last) = index.count().map_err(failed)?.checked_sub(1) else { return Ok(0) };
        match index.slot(last).map_err(failed)? {
            Slot::Entry(entry) => Ok(entry.position.0),
            Slot::Bad | Slot::Absent => Ok(0),
        }
    }

    fn has_grown_to(&mut self, position: u64) -> Result<bool, ReadError> {
        let length = self.data.metadata().map_err(|source| self.data_error(source))?.len();
        self.end = self.base.saturating_add(length);
        Ok(self.end >= position)
    }

    fn ahead(&mut self) -> Result<Ahead, ReadError> {
        if self.index.is_none() {
            // A writer that takes over the log makes one.
            self.index = open_index(&self.index_path)?;
        }
        let Some(index) = &mut self.index else { return Ok(Ahead { entry: None, bad: 0 }) };
        let failed = |source| ReadError { path: self.index_path.clone(), source };
        let from = self.next.max(self.told);
        let mut number = self.next;
        let entry = loop {
            match index.slot(number).map_err(failed)? {
                Slot::Entry(entry) => break Some((number, entry)),
                Slot::Bad => number = number.saturating_add(1),
                // What is missing from the end of a closed index is as good as damaged.
                Slot::Absent => {
                    let entries = self.checked.as_ref().map_or(0, |checked| checked.entries());
                    number = number.max(entries);
                    break None;
                }
            }
        };
        Ok(Ahead { entry, bad: number.saturating_sub(from) })
    }

    /// Bytes before the next entry.
    fn output(
        &mut self,
        position: &mut u64,
        until: u64,
        filter: &Filter,
        most: usize,
    ) -> Result<Step, ReadError> {
        let (run, stream, time, rest_at) = match self.whose {
            Whose::Run { run, stream, time, rest_at } => (run, stream, time, rest_at),
            Whose::Unknown { said } => {
                let gap = gap(until.saturating_sub(*position), GapReason::Damaged);
                *position = until;
                let gap = if said { Found::Item(gap) } else { Found::Missing(gap) };
                return Ok(Step::Found(gap));
            }
        };
        let wanted = filter.run.is_none_or(|wanted| wanted == run)
            && filter.stream.is_none_or(|wanted| wanted == stream);
        if !wanted {
            *position = until;
            return Ok(Step::Again);
        }
        let length = usize::try_from(until.saturating_sub(*position)).unwrap_or(most).min(most);
        let offset = position.saturating_sub(self.base);
        let continues = rest_at == Some(*position);
        if let Some(checked) = &mut self.checked {
            let path = &self.data_path;
            let read = checked.read(&self.data, offset);
            let read = read.map_err(|source| ReadError { path: path.clone(), source })?;
            return Ok(match read {
                Ok(bytes) => {
                    let bytes = bytes.get(..length).unwrap_or(bytes).to_vec();
                    *position = position.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
                    let position_after = Position(*position);
                    let chunk = Item::Chunk { run, stream, time, continues, bytes, position_after };
                    Step::item(chunk)
                }
                Err(damaged) => {
                    let bytes = damaged.min(until.saturating_sub(*position));
                    *position = position.saturating_add(bytes);
                    let reason = GapReason::Altered;
                    Step::missing(Item::Gap { run: Some(run), bytes, entries: 0, reason })
                }
            });
        }
        let mut bytes = vec![0; length];
        let count =
            read_at(&self.data, &mut bytes, offset).map_err(|source| self.data_error(source))?;
        if count == 0 {
            // Cut short by somebody since its length was read.
            let bytes = until.saturating_sub(*position);
            *position = until;
            return Ok(Step::missing(gap(bytes, GapReason::Vanished)));
        }
        bytes.truncate(count);
        if bytes.contains(&0)
            && let Some(reached) = self.leave_out_hole(offset, &mut bytes)
        {
            let missing = reached.min(until.saturating_sub(*position));
            *position = position.saturating_add(missing);
            let reason = GapReason::Altered;
            let run = Some(run);
            return Ok(Step::missing(Item::Gap { run, bytes: missing, entries: 0, reason }));
        }
        let count = bytes.len();
        *position = position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let position_after = Position(*position);
        Ok(Step::item(Item::Chunk { run, stream, time, continues, bytes, position_after }))
    }

    /// Zeros that nobody printed: the file was cut short while it was written, and what came then stands behind a hole. Takes
    /// them off; where there is nothing before them, gives how many there are.
    fn leave_out_hole(&self, offset: u64, bytes: &mut Vec<u8>) -> Option<u64> {
        let to = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let (before, missing) = gap_at(&self.data, offset, to)?;
        bytes.truncate(usize::try_from(before).unwrap_or(usize::MAX));
        bytes.is_empty().then_some(missing)
    }

    fn data_error(&self, source: io::Error) -> ReadError {
        ReadError { path: self.data_path.clone(), source }
    }
}

fn open_index(path: &Path) -> Result<Option<Index>, ReadError> {
    match open::read(path) {
        Ok(file) => Ok(Some(Index::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound || open::is_foreign(&error) => {
            Ok(None)
        }
        Err(source) => Err(ReadError { path: path.to_owned(), source }),
    }
}

/// Whose the bytes after an entry are.
fn whose(entry: &Entry) -> Whose {
    match (entry.kind, entry.run) {
        (Kind::Data { stream, rest, source: _ }, Some(run)) => {
            let rest_at = rest.then_some(entry.position.0);
            Whose::Run { run, stream, time: entry.time, rest_at }
        }
        (Kind::Gap { reason: GapReason::Damaged, .. }, None) => Whose::Unknown { said: true },
        (Kind::Data { .. } | Kind::Start { .. } | Kind::End { .. } | Kind::Gap { .. }, _) => {
            Whose::Unknown { said: false }
        }
    }
}

/// What an entry itself tells a reader.
fn mark(entry: &Entry, filter: &Filter) -> Option<Item> {
    if let (Some(run), Some(wanted)) = (entry.run, filter.run)
        && run != wanted
    {
        return None;
    }
    let time = entry.time;
    match (entry.kind, entry.run) {
        (Kind::Start { pid }, Some(run)) => Some(Item::Start { run, pid, time }),
        (Kind::End { cause, value, .. }, Some(run)) => {
            Some(Item::End { run, end: End { cause, value, time } })
        }
        (Kind::Gap { stream, bytes, entries, reason }, run) => {
            let wanted = stream.is_none() || filter.stream.is_none() || stream == filter.stream;
            wanted.then_some(Item::Gap { run, bytes, entries, reason })
        }
        (Kind::Data { .. } | Kind::Start { .. } | Kind::End { .. }, _) => None,
    }
}
