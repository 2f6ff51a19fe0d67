//! Cursors.
//!
//! A reader looks at a log in this order, which is what keeps it right beside a writer: the news are marked as seen, it is
//! found out whether a later segment exists, the segment's length is read, and then its entries. So there is no news that it
//! sleeps through, no segment that it leaves before its end, and no byte that it gives to the wrong run.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;
use units::RunId;

use crate::{
    cursor::{Cursor, Step},
    entry::{End, GapReason},
    folder::Folder,
    name::{LogName, Position, Stream},
    published::{News, Published, Tail},
    store::StoreClosed,
};

/// What of a log is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this run's.
    pub run: Option<RunId>,
    /// Only this output; starts, ends and gaps come all the same.
    pub stream: Option<Stream>,
}

/// What a reader comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Output, cut anywhere.
    Chunk {
        /// Whose.
        run: RunId,
        /// Which.
        stream: Stream,
        /// When it was moved, in nanoseconds since 1970; at most 1 ms before its last byte was.
        time: u64,
        /// They begin within a line, and its beginning lies in a segment before: who has not got that has only the rest.
        continues: bool,
        /// The bytes.
        bytes: Vec<u8>,
        /// Where a reader goes on that has taken this.
        position_after: Position,
    },
    /// A run has begun. Some of its output may lie before this.
    Start {
        /// Which.
        run: RunId,
        /// Its first process.
        pid: i32,
        /// When, in nanoseconds since 1970.
        time: u64,
    },
    /// A run has ended, and all its output lies before this.
    End {
        /// Which.
        run: RunId,
        /// How.
        end: End,
    },
    /// Something is missing here.
    Gap {
        /// Of which run, where that is known.
        run: Option<RunId>,
        /// How many bytes, where that is known.
        bytes: u64,
        /// How many lines that were dropped, or entries of the index that are gone or cannot be read.
        entries: u64,
        /// Why.
        reason: GapReason,
    },
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ReadError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A cursor over a log.
#[derive(Debug)]
pub struct Reader {
    log: LogName,
    folder: Folder,
    filter: Filter,
    position: u64,
    /// None before the first look, and between segments.
    cursor: Option<Cursor>,
    news: watch::Receiver<Tail>,
    /// Keeps the news coming when nobody writes to the log for a while.
    published: Arc<Published>,
    /// It was told that nothing but foreign files is there.
    foreign: bool,
}

impl Reader {
    pub(crate) fn new(
        root: &Path,
        log: LogName,
        from: Position,
        filter: Filter,
        news: &News,
    ) -> Self {
        let published = news.of(&log);
        let folder = Folder::new(root, &log);
        let news = published.subscribe();
        let (position, cursor, foreign) = (from.0, None, false);
        Self { log, folder, filter, position, cursor, news, published, foreign }
    }

    /// The next item, with at most `max_bytes` of output (at least one); `None` if there is nothing more for now.
    ///
    /// It reads files and so may block: call it where that is allowed.
    ///
    /// # Errors
    /// If a file cannot be read; the reader stays where it is.
    pub fn next(&mut self, max_bytes: usize) -> Result<Option<Item>, ReadError> {
        let before = self.position;
        let found = self.find(max_bytes)?;
        if let Some(Found::Missing(Item::Gap { bytes, entries, reason, .. })) = &found {
            self.note(before, (*bytes, *entries), *reason);
        }
        Ok(found.map(|(Found::Item(item) | Found::Missing(item))| item))
    }

    /// Damage is told to those who look after the machine, too: nobody reads every log. Not what the log says itself, since it
    /// was told when that was written.
    fn note(&self, before: u64, (bytes, entries): (u64, u64), reason: GapReason) {
        let what = match reason {
            GapReason::Damaged => "the index does not say whose they are",
            GapReason::Altered => "the file does not hold what was written",
            GapReason::Vanished => {
                "the file was cut short or removed, and not by auraed, or the machine has lost power before they were on the \
                 disk"
            }
            GapReason::NotWritten
            | GapReason::Dropped
            | GapReason::Closed
            | GapReason::Removed
            | GapReason::BeyondEnd => return,
        };
        let folder = self.folder.0.display();
        let text = format!(
            "{bytes} bytes and {entries} entries cannot be read from position {before:x} on, in {folder}: {what}; readers \
             are told of a gap there, and the rest is kept; see to the disk, and to who else writes there"
        );
        self.published.damages.note(&self.log, text, true);
    }

    fn find(&mut self, max_bytes: usize) -> Result<Option<Found>, ReadError> {
        let tail = *self.news.borrow_and_update();
        loop {
            let Some(mut cursor) = self.cursor.take() else {
                match self.enter()? {
                    Entered::Nothing => return Ok(self.vanished(tail)),
                    Entered::Segment(cursor) => self.cursor = Some(cursor),
                    Entered::Gap(gap) => return Ok(Some(Found::Missing(gap))),
                }
                continue;
            };
            let step = cursor.step(&mut self.position, &self.filter, max_bytes.max(1));
            let base = cursor.base();
            let cursor = self.cursor.insert(cursor);
            match step? {
                Step::Found(found) => return Ok(Some(found)),
                Step::Again => {}
                Step::Dry if self.folder.has_later(base, tail.base)? => cursor.seal(),
                Step::Dry => return Ok(self.vanished(tail)),
                Step::Over { empty } => match self.leave(base, empty)? {
                    Left::Behind => {}
                    Left::Gap(gap) => return Ok(Some(Found::Missing(gap))),
                    Left::Nowhere => return Ok(None),
                },
            }
        }
    }

    /// All that is there was read. What the writer had written before we looked, and is not, is gone.
    fn vanished(&mut self, tail: Tail) -> Option<Found> {
        let bytes = tail.end.checked_sub(self.position).filter(|bytes| *bytes > 0)?;
        self.position = tail.end;
        Some(Found::Missing(gap(bytes, GapReason::Vanished)))
    }

    /// Opens the segment that the position is in.
    fn enter(&mut self) -> Result<Entered, ReadError> {
        let bases = self.folder.bases()?;
        if bases.is_empty() && !self.foreign && !self.folder.foreign().is_empty() {
            // How much it was nobody knows.
            self.foreign = true;
            return Ok(Entered::Gap(gap(0, GapReason::Vanished)));
        }
        // At a border the segment before it: the ends that stand there are its.
        let before = bases.iter().copied().take_while(|&base| base < self.position).last();
        let Some(base) = before.or(bases.first().copied()) else {
            return Ok(Entered::Nothing);
        };
        if self.position < base {
            let bytes = base.saturating_sub(self.position);
            let reason = self.folder.reason(self.position, base);
            self.position = base;
            return Ok(Entered::Gap(gap(bytes, reason)));
        }
        let Some(mut cursor) = self.open(base, self.position)? else {
            return self.enter();
        };
        let written = base.saturating_add(self.folder.length(base)?);
        let end = written.max(cursor.last_entry()?);
        if bases.last() == Some(&base) && self.position > end {
            self.position = end;
            return Ok(Entered::Gap(gap(0, GapReason::BeyondEnd)));
        }
        Ok(Entered::Segment(cursor))
    }

    /// None if it is gone since it was looked for: retention has overtaken us.
    fn open(&self, base: u64, position: u64) -> Result<Option<Cursor>, ReadError> {
        match Cursor::open(&self.folder, base, position) {
            Ok(cursor) => Ok(Some(cursor)),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on to the segment after this one.
    fn leave(&mut self, base: u64, empty: bool) -> Result<Left, ReadError> {
        let (next, cursor, is_there) = loop {
            let bases = self.folder.bases()?;
            let Some(next) = bases.iter().copied().find(|&next| next > base) else {
                return Ok(Left::Nowhere);
            };
            if let Some(cursor) = self.open(next, next)? {
                break (next, cursor, bases.contains(&base));
            }
        };
        let missing = next.saturating_sub(self.position);
        // The oldest are removed first: where this one is there, so was what is missing.
        let reason = match missing {
            0 => GapReason::Removed,
            1 if empty => GapReason::Removed,
            _ if is_there => GapReason::Vanished,
            _ => self.folder.reason(self.position, next),
        };
        self.cursor = Some(cursor);
        self.position = next;
        // A segment without a byte takes up one position.
        let whole = missing == 0 || (empty && missing == 1);
        Ok(if whole { Left::Behind } else { Left::Gap(gap(missing, reason)) })
    }

    /// Where the reader stands: a reader made with this position goes on here. It misses nothing and repeats no byte;
    /// a start, an end or a gap that lies exactly here comes again.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.position)
    }

    /// The log that is read.
    #[must_use]
    pub fn log(&self) -> &LogName {
        &self.log
    }

    /// Whether there may be more than the last call of [`Self::next`] saw.
    pub(crate) fn has_news(&self) -> bool {
        self.news.has_changed().unwrap_or(true)
    }

    /// Waits until there may be more than the last call of [`Self::next`] saw.
    ///
    /// # Errors
    /// If the store was closed and all that it told has been looked at: more will not come.
    pub async fn changed(&mut self) -> Result<(), StoreClosed> {
        let unseen = self.news.has_changed().map_err(|_| StoreClosed)?;
        if !unseen && self.news.borrow().closed {
            return Err(StoreClosed);
        }
        self.news.changed().await.map_err(|_| StoreClosed)?;
        // Seen is what was looked at.
        self.news.mark_changed();
        Ok(())
    }
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Found {
    /// What the log says.
    Item(Item),
    /// A gap of which the log does not say so itself.
    Missing(Item),
}

enum Entered {
    Nothing,
    Segment(Cursor),
    Gap(Item),
}

/// What came of leaving a segment.
enum Left {
    Behind,
    Gap(Item),
    /// The one after it is gone.
    Nowhere,
}

/// A gap of nobody in particular.
pub(crate) fn gap(bytes: u64, reason: GapReason) -> Item {
    Item::Gap { run: None, bytes, entries: 0, reason }
}
