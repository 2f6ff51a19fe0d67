//! The database: the only file that knows which it is.
//!
//! It is used as little as possible: opened, read in full, written one record or one atomic batch at a time. Whatever
//! goes wrong in it, panics included, comes out as a [`Trouble`].
//!
//! Its flush is sync_file_range(2), which leaves the file's length and the disk's own cache alone, and values of more
//! than 128 KiB go to files of their own, which it does not flush at all. So we flush after it. That is dear, and a small
//! change is on the disk in [`Ahead`] before the database is told; only what does not fit there is flushed at once.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use sled::{Config, Db, Mode, Tree};

use crate::{
    ahead::{Ahead, Noted},
    bookkeeping::{self, Bookkeeping},
    contents::Records,
    copy,
    idle::with_sleepy_threads,
    lock::patiently,
};

/// Where the number of the format is.
const FORMAT: &[u8] = b"format";
/// Trees of records are named by their format.
const RECORDS: &str = "records-";
/// What it may keep in memory of what it has read. We keep our own copy of everything.
const CACHE: u64 = 1 << 20;

/// Why the database did not do as told.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another process has it open.
    Locked,
    /// It is of a newer version.
    Newer { found: u64, known: u64 },
    /// What it read is not what it wrote.
    Damaged(String),
    /// The machine did not let it: the disk is full, or read-only.
    Machine(io::Error),
    /// It panicked, for whatever reason.
    Panicked(String),
}

/// A database that is open.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// `None` only while it is closed.
    database: Option<Db>,
    /// Its file, for a flush that is one.
    data: File,
    /// The large values that are on the disk.
    flushed: BTreeSet<OsString>,
    /// What is on the disk before it is in the database's files.
    ahead: Ahead,
}

/// Whether an error of this kind says that the machine refused, rather than that something is damaged.
pub(crate) fn is_machine(kind: io::ErrorKind) -> bool {
    [
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::FileTooLarge,
        io::ErrorKind::OutOfMemory,
    ]
    .contains(&kind)
}

impl Store {
    /// Opens what is in this folder, or makes an empty one.
    pub(crate) fn open(folder: &Path, patience: Duration) -> Result<Self, Trouble> {
        remove_unfinished_index(folder).map_err(Trouble::Machine)?;
        let config = || {
            Config::new()
                .path(folder)
                .mode(Mode::LowSpace)
                .cache_capacity(CACHE)
                .use_compression(false)
                // Each commit is flushed; there is nothing to flush in between, and an idle daemon does not wake.
                .flush_every_ms(None)
        };
        let opened = patiently(patience, || match contained(|| config().open()) {
            Ok(database) => Ok(Some(database)),
            Err(Trouble::Locked) => Ok(None),
            Err(trouble) => Err(trouble),
        });
        let database = opened?.ok_or(Trouble::Locked)?;
        let mut store = Self {
            data: File::open(folder.join("db")).map_err(Trouble::Machine)?,
            folder: folder.to_owned(),
            database: Some(database),
            ahead: Ahead::open(folder).map_err(Trouble::Machine)?,
            flushed: BTreeSet::new(),
        };
        store.flush_large()?;
        // What a process that was killed has written may not be on the disk, and its place in `ahead` is used again.
        store.data.sync_data().map_err(Trouble::Machine)?;
        // Opening writes a file under a new name and removes the old one.
        copy::sync(folder).map_err(Trouble::Machine)?;
        Ok(store)
    }

    /// The number of the format; `None` where there is none.
    pub(crate) fn format(&self) -> Result<Option<u64>, Trouble> {
        let found = self.call(|database| database.get(FORMAT))?;
        found.map(|bytes| parse_format(&bytes)).transpose()
    }

    /// From now on this is the format.
    pub(crate) fn set_format(&mut self, format: u64) -> Result<(), Trouble> {
        self.call(|database| database.insert(FORMAT, format.to_string().as_bytes()))?;
        self.flush()
    }

    /// The formats of which there are records, in order.
    pub(crate) fn formats(&self) -> Result<Vec<u64>, Trouble> {
        let names = self.call(|database| Ok(database.tree_names()))?;
        let mut formats: Vec<u64> = names
            .iter()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_prefix(RECORDS)?.parse().ok())
            .collect();
        formats.sort_unstable();
        Ok(formats)
    }

    /// Forgets the records of a format.
    pub(crate) fn drop_format(&mut self, format: u64) -> Result<(), Trouble> {
        self.call(|database| database.drop_tree(tree_name(format)))?;
        self.flush()
    }

    /// All records of a format, and the newest bookkeeping. As much as can be read: with what stopped the reading.
    pub(crate) fn read(
        &mut self,
        format: u64,
    ) -> (Records, Option<Bookkeeping>, Result<(), Trouble>) {
        let (mut records, mut newest) = (Records::new(), None);
        let read = self
            .tree(format)
            .and_then(|tree| contained(|| read_into(&tree, &mut records, &mut newest)));
        let known = newest.as_ref().map_or(0, |newest: &Bookkeeping| newest.generation);
        let (mut ahead, whole) = self.ahead.after(known);
        ahead.retain(|noted| noted.format == format);
        for noted in &ahead {
            noted.apply(&mut records);
            newest = Some(noted.bookkeeping);
        }
        let read = read.and(whole.map_err(Trouble::Damaged)).and_then(|()| {
            ahead.iter().try_for_each(|noted| {
                let changes: Vec<_> = noted.changes().collect();
                self.put(format, &changes, &noted.bookkeeping)
            })
        });
        (records, newest, read)
    }

    /// Writes and removes records, and the bookkeeping, all or nothing, and on the disk when it returns.
    pub(crate) fn write<'a>(
        &mut self,
        format: u64,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        bookkeeping: &Bookkeeping,
    ) -> Result<(), Trouble> {
        let changes: Vec<_> = changes.collect();
        let length =
            |(key, value): &(&[u8], Option<&[u8]>)| key.len() + value.map_or(0, <[u8]>::len);
        // An import of thousands is not copied for nothing.
        let is_ahead = self.ahead.may_fit(changes.iter().map(length).sum())
            && self
                .ahead
                .append(&Noted::new(format, &changes, *bookkeeping))
                .map_err(Trouble::Machine)?;
        self.put(format, &changes, bookkeeping)?;
        if !is_ahead {
            self.flush()?;
            self.ahead.begin_again();
        }
        Ok(())
    }

    /// Tells the database; it keeps it in memory until it is flushed.
    fn put(
        &self,
        format: u64,
        changes: &[(&[u8], Option<&[u8]>)],
        bookkeeping: &Bookkeeping,
    ) -> Result<(), Trouble> {
        let tree = self.tree(format)?;
        if let [(key, Some(value))] = changes {
            return contained(|| tree.insert(key, bookkeeping.append_to(value))).map(drop);
        }
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(*key, bookkeeping.append_to(value)),
                None => batch.remove(*key),
            }
        }
        batch.insert(bookkeeping::KEY, bookkeeping.message());
        contained(|| tree.apply_batch(batch))
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        self.call(|database| database.flush())?;
        self.flush_large()?;
        self.data.sync_data().map_err(Trouble::Machine)
    }

    /// Values that are too large for the database's file are written once, to files of their own.
    fn flush_large(&mut self) -> Result<(), Trouble> {
        let folder = self.folder.join("blobs");
        let flushed = copy::file_names(&folder).and_then(|names| {
            let names: BTreeSet<OsString> = names.into_iter().collect();
            if names != self.flushed {
                names
                    .difference(&self.flushed)
                    .try_for_each(|name| copy::sync(&folder.join(name)))?;
                copy::sync(&folder)?;
            }
            Ok(names)
        });
        self.flushed = flushed.map_err(Trouble::Machine)?;
        Ok(())
    }

    fn tree(&self, format: u64) -> Result<Tree, Trouble> {
        self.call(|database| database.open_tree(tree_name(format)))
    }

    fn call<T>(&self, call: impl FnOnce(&Db) -> sled::Result<T>) -> Result<T, Trouble> {
        let database =
            self.database.as_ref().ok_or_else(|| Trouble::Damaged("it is closed".to_owned()))?;
        contained(|| call(database))
    }
}

impl Drop for Store {
    /// Closing flushes, and panics where that fails. What was acknowledged is on the disk already.
    fn drop(&mut self) {
        let database = self.database.take();
        drop(contained(|| {
            drop(database);
            Ok(())
        }));
    }
}

fn read_into(
    tree: &Tree,
    records: &mut Records,
    newest: &mut Option<Bookkeeping>,
) -> sled::Result<()> {
    for record in tree {
        let (key, stored) = record?;
        let found = if key == bookkeeping::KEY {
            Bookkeeping::decode(stored.as_ref()).ok()
        } else {
            let (value, found) = Bookkeeping::split_from(&stored);
            records.insert(key.to_vec(), value.to_vec());
            found
        };
        *newest = newest.take().into_iter().chain(found).max_by_key(|found| found.generation);
    }
    Ok(())
}

/// Makes a call into the database, and contains it: it panics on some damaged files, and when the disk is full.
///
/// After a panic the database is closed and not called again, so that nothing sees what the panic left half done.
fn contained<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Trouble> {
    match panic::catch_unwind(AssertUnwindSafe(|| with_sleepy_threads(call))) {
        Ok(result) => result.map_err(Trouble::from),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(Trouble::Panicked(text.unwrap_or_else(|| "it does not say why".to_owned())))
        }
    }
}

/// Opening writes an index of the log to `snap.N.generating` and renames it. One that a crash or a full disk has left
/// would be read as if it were complete, and the store called damaged; the log has everything.
fn remove_unfinished_index(folder: &Path) -> io::Result<()> {
    for name in copy::file_names(folder)? {
        let text = name.to_string_lossy();
        if text.starts_with("snap.") && text.ends_with(".generating") {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}

fn tree_name(format: u64) -> String {
    format!("{RECORDS}{format}")
}

fn parse_format(bytes: &[u8]) -> Result<u64, Trouble> {
    let text = String::from_utf8_lossy(bytes);
    text.parse()
        .map_err(|_| Trouble::Damaged(format!("its format is {text:?}, which is no number")))
}

impl From<sled::Error> for Trouble {
    fn from(error: sled::Error) -> Self {
        match error {
            // The database's own error, which has no kind.
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
                Self::Locked
            }
            // The same as an error of another kind.
            sled::Error::Io(error) if error.to_string().contains("corrupted data") => {
                Self::Damaged("its files are not what was written there".to_owned())
            }
            sled::Error::Io(error) if is_machine(error.kind()) => Self::Machine(error),
            // Its own text has a place for a backtrace in it, and is about its files.
            sled::Error::Corruption { .. } => {
                Self::Damaged("its files are not what was written there".to_owned())
            }
            error @ (sled::Error::Io(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::CollectionNotFound(_)) => Self::Damaged(error.to_string()),
        }
    }
}
