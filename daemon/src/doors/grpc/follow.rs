//! Reading a log for a call: in batches, off the async threads, and waiting for more.

use logs::{Filter, GapReason, Item, Located, LogName, LogStore, Position, Reader};
use tokio::sync::watch;
use tonic::Status;

use super::status::{invalid, unreadable};
use crate::doors::BulkReaders;

/// Bytes of output in one piece.
const PIECE: usize = 64 << 10;
/// Bytes of output in one batch, and a piece more at the most. What a call holds in memory for a client that does not read is
/// this twice, as it is and as it is sent, and one piece that was read ahead.
pub(super) const BATCH: usize = 128 << 10;
/// Items in one batch, however small.
pub(super) const ITEMS: usize = 1024;

/// What is to be read.
pub(super) struct Reading {
    /// Where it is.
    pub(super) log: LogName,
    /// From where on.
    pub(super) from: Position,
    /// The one run, where one was asked for.
    pub(super) run: Option<Located>,
    /// The name for channels.
    pub(super) name: String,
}

/// A reader, lent to a blocking thread for each batch.
pub(super) struct Follow {
    reader: Option<Reader>,
    /// Who reads where there is much to read, if not whoever is free.
    bulk: Option<BulkReaders>,
    /// There was more than a batch.
    much: bool,
    closed: watch::Receiver<bool>,
}

impl Follow {
    /// From there on.
    pub(super) fn new(
        logs: &LogStore,
        (log, from): (LogName, Position),
        filter: Filter,
        closed: watch::Receiver<bool>,
    ) -> Self {
        Self { reader: Some(logs.reader(log, from, filter)), bulk: None, much: false, closed }
    }

    /// One that gives way to all others where there is much to read.
    pub(super) fn giving_way(self, bulk: BulkReaders) -> Self {
        Self { bulk: Some(bulk), ..self }
    }

    /// What is there, up to a batch; empty at the end.
    pub(super) async fn batch(&mut self) -> Result<Vec<Item>, Status> {
        let Some(mut reader) = self.reader.take() else { return Ok(Vec::new()) };
        let work = move || {
            let read = read_batch(&mut reader);
            (read, reader)
        };
        let (read, reader) = reading(self.bulk.as_ref().filter(|_| self.much), work).await?;
        self.reader = Some(reader);
        let (items, dry) = read.map_err(|why| unreadable(&why))?;
        self.much = !dry;
        Ok(items)
    }

    /// Waits until there may be more; false where there will be none, since the daemon ends.
    pub(super) async fn more(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        tokio::select! {
            changed = reader.changed() => changed.is_ok(),
            _ = self.closed.wait_for(|closed| *closed) => false,
        }
    }

    /// Where to go on from a place that was read, as clients get it.
    pub(super) fn cursor_at(&self, position: Position) -> String {
        self.reader.as_ref().map_or_else(String::new, |reader| {
            format!("{}@{:x}", reader.log().folder().display(), position.0)
        })
    }
}

/// A batch, and whether there is no more for now.
fn read_batch(reader: &mut Reader) -> Result<(Vec<Item>, bool), logs::ReadError> {
    let mut items = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH && items.len() < ITEMS {
        let Some(item) = reader.next(PIECE)? else { return Ok((items, true)) };
        if let Item::Chunk { bytes: piece, .. } = &item {
            bytes += piece.len();
        }
        items.push(item);
    }
    Ok((items, false))
}

/// Does something that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    reading(None, work).await
}

/// The same for reading a log: by those who give way where there is much to read.
pub(super) async fn reading<T: Send + 'static>(
    bulk: Option<&BulkReaders>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let failed = |why| Status::internal(format!("a log reader ended without an answer: {why}"));
    let task = match bulk {
        Some(bulk) => bulk.spawn(work),
        None => tokio::task::spawn_blocking(work),
    };
    task.await.map_err(failed)
}

/// The position that a cursor of this log names.
pub(super) fn position(cursor: &str, log: &LogName) -> Result<Position, Status> {
    let parsed = cursor.rsplit_once('@').and_then(|(name, position)| {
        let position = u64::from_str_radix(position, 16).ok()?;
        Some((name, position))
    });
    match parsed {
        Some((name, position)) if *name == *log.folder().to_string_lossy() => {
            Ok(Position(position))
        }
        Some((name, _)) => {
            let folder = log.folder();
            let why = format!("it is one of the log {name}, and {} is asked for", folder.display());
            Err(invalid("cursor", why))
        }
        None => Err(invalid("cursor", "it is none that a batch carried")),
    }
}

/// Why something is missing, for people.
pub(super) fn gap_in_words(reason: GapReason) -> &'static str {
    match reason {
        GapReason::NotWritten => "it could not be written: the disk was full or failed",
        GapReason::Dropped => "it came faster than it could be written",
        GapReason::Damaged => {
            "it was not on the disk yet when the machine lost power, or the index of the log is damaged: nobody knows whose it was"
        }
        GapReason::Altered => "the file of the log is damaged: it does not hold what was written",
        GapReason::Vanished => {
            "the file of the log was cut short or removed, and not by auraed, or the machine has lost power before it was on the disk"
        }
        GapReason::Closed => {
            "its outputs were closed when auraed and its daemon were killed: what it prints from here on is lost; restart it"
        }
        GapReason::Removed => "it is not kept any more",
        GapReason::BeyondEnd => "the cursor was beyond the end of the log",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cursor_is_read_without_harm(cursor in ".{0,40}", place in any::<u64>()) {
            drop(position(&cursor, &LogName::Commands));
            let cursor = format!("commands@{place:x}");
            prop_assert_eq!(position(&cursor, &LogName::Commands).unwrap(), Position(place));
            prop_assert!(position(&cursor, &LogName::Daemon).is_err());
        }
    }
}
