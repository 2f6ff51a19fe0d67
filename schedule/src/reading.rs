//! From the files of a store to its contents: strictly, for use, and leniently, for salvage.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use crate::{
    bookkeeping::Bookkeeping,
    contents::{Contents, Records},
    copy, generation,
    migrate::{self, Step},
    place::Place,
    store::{Store, Trouble},
};

/// A store that is open, and whole.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) contents: Contents,
    pub(crate) bookkeeping: Bookkeeping,
    pub(crate) warning: Option<String>,
    /// Whether the format of the store is older than that of `contents`.
    pub(crate) is_older: bool,
}

/// What becomes of a store of an older format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Older {
    /// It is brought to the newest.
    Convert,
    /// It stays; what is read of it is converted.
    Keep,
}

/// What a store that may be damaged still gives.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// In the newest format.
    pub(crate) records: Records,
    /// The last change of which anything is known.
    pub(crate) generation: u64,
    /// What is wrong with the whole; `None` where it is whole.
    pub(crate) damage: Option<String>,
}

/// Opens a store, and reads it in the newest format. Nothing is believed that the bookkeeping contradicts.
pub(crate) fn open(
    folder: &Path,
    patience: Duration,
    steps: &[Step],
    older: Older,
) -> Result<Opened, Trouble> {
    let mut store = Store::open(folder, patience)?;
    let format = known_format(&store, steps)?;
    let (records, bookkeeping, read) = store.read(format);
    read?;
    let mut bookkeeping = check(&records, bookkeeping).map_err(Trouble::Damaged)?;
    let warning = match generation::read(folder) {
        Ok(acknowledged) => {
            check_age(&bookkeeping, acknowledged).map_err(Trouble::Damaged)?;
            None
        }
        Err(sentence) => {
            Some(format!("whether the schedule has lost changes is not known: {sentence}"))
        }
    };
    let is_older = older == Older::Keep && format < migrate::newest(steps);
    let records = if is_older {
        let records = migrate::convert(records, format, steps);
        let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        bookkeeping = Bookkeeping::of(bookkeeping.generation, borrowed);
        records
    } else {
        let records = migrate::run(&mut store, format, records, &mut bookkeeping, steps)?;
        migrate::drop_all_but(&mut store, migrate::newest(steps))?;
        records
    };
    Ok(Opened { store, contents: Contents::read(records), bookkeeping, warning, is_older })
}

fn known_format(store: &Store, steps: &[Step]) -> Result<u64, Trouble> {
    let missing = || Trouble::Damaged("the number of its format is missing".to_owned());
    let found = store.format()?.ok_or_else(missing)?;
    let known = migrate::newest(steps);
    if found > known {
        return Err(Trouble::Newer { found, known });
    }
    if !store.formats()?.contains(&found) {
        return Err(Trouble::Damaged(format!(
            "it has format {found} and no records of that format"
        )));
    }
    Ok(found)
}

fn check(records: &Records, bookkeeping: Option<Bookkeeping>) -> Result<Bookkeeping, String> {
    let written = bookkeeping.ok_or_else(|| "its bookkeeping is missing".to_owned())?;
    let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    written.check(&Bookkeeping::of(written.generation, borrowed))?;
    Ok(written)
}

fn check_age(bookkeeping: &Bookkeeping, acknowledged: u64) -> Result<(), String> {
    let found = bookkeeping.generation;
    if found < acknowledged {
        return Err(format!(
            "changes are lost: change {acknowledged} was acknowledged, and the newest that is there is {found}"
        ));
    }
    Ok(())
}

/// Reads a copy of a store, and takes what can be got.
pub(crate) fn salvage(
    folder: &Path,
    patience: Duration,
    steps: &[Step],
) -> Result<Remains, Trouble> {
    let acknowledged = generation::read(folder).ok();
    let store = open_anyhow(folder, patience);
    let mut store = match store {
        Ok(store) => store,
        Err(Trouble::Machine(error)) => return Err(Trouble::Machine(error)),
        Err(trouble) => {
            let generation = acknowledged.unwrap_or_default();
            let damage = Some(trouble.to_string());
            return Ok(Remains { records: Records::new(), generation, damage });
        }
    };
    let format = match known_format(&store, steps) {
        Ok(format) => Ok(format),
        Err(trouble @ Trouble::Newer { .. }) => return Err(trouble),
        Err(trouble) => {
            let formats = store.formats().unwrap_or_default();
            formats.last().copied().ok_or_else(|| trouble.to_string())
        }
    };
    let (format, unknown) = match format {
        Ok(format) => (format, None),
        Err(damage) => (migrate::newest(steps), Some(damage)),
    };
    let (records, bookkeeping, read) = store.read(format);
    let found = bookkeeping.as_ref().map(|bookkeeping| bookkeeping.generation);
    let checked = unknown.map_or(Ok(()), Err).and_then(|()| {
        read.map_err(|trouble| trouble.to_string())?;
        let bookkeeping = check(&records, bookkeeping)?;
        acknowledged.map_or(Ok(()), |acknowledged| check_age(&bookkeeping, acknowledged))
    });
    Ok(Remains {
        records: migrate::convert(records, format, steps),
        generation: found.unwrap_or_default().max(acknowledged.unwrap_or_default()),
        damage: checked.err(),
    })
}

/// Its index can be made anew from its log, if nothing but the index is damaged.
fn open_anyhow(folder: &Path, patience: Duration) -> Result<Store, Trouble> {
    let first = match Store::open(folder, patience) {
        Err(first @ (Trouble::Damaged(_) | Trouble::Panicked(_))) => first,
        result @ (Ok(_) | Err(Trouble::Locked | Trouble::Newer { .. } | Trouble::Machine(_))) => {
            return result;
        }
    };
    for name in copy::file_names(folder).map_err(Trouble::Machine)? {
        if name.to_string_lossy().starts_with("snap.") {
            fs::remove_file(folder.join(&name)).map_err(Trouble::Machine)?;
        }
    }
    Store::open(folder, patience).map_err(|_| first)
}

/// A copy that is for reading, and removed afterwards.
#[derive(Debug)]
pub(crate) struct Reading(PathBuf);

impl Reading {
    /// Beside the store, or where that is not possible in `scratch`.
    pub(crate) fn of(from: &Path, place: &Place, scratch: &Path) -> io::Result<Self> {
        let elsewhere = scratch.join(format!("schedule-{}.reading", process::id()));
        Self::copy(from, place.reading()).or_else(|_| Self::copy(from, elsewhere))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    fn copy(from: &Path, to: PathBuf) -> io::Result<Self> {
        copy::remove_folder(&to)?;
        let reading = Self(to);
        copy::copy_folder(from, &reading.0)?;
        Ok(reading)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        drop(copy::remove_folder(&self.0));
    }
}
