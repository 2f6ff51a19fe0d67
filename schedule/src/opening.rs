//! How a schedule is opened: under the lock, from a store that is complete, with a copy of what was found.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{
    OpenError, Options,
    bookkeeping::Bookkeeping,
    contents::Records,
    copy,
    generation::Acknowledged,
    lock,
    migrate::{self, Step},
    place::Place,
    reading::{self, Older, Opened, Reading},
    store::{Store, Trouble},
};

/// What an opening gives.
#[derive(Debug)]
pub(crate) struct Found {
    /// The store, and what it gave.
    pub(crate) opened: Opened,
    /// What `opened` is good for.
    pub(crate) access: Access,
    /// What went wrong and did no harm.
    pub(crate) warnings: Vec<String>,
}

/// What can be done with the store of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It can be written.
    ReadWrite,
    /// It cannot: it is a copy, or has an older format that is to be kept.
    ReadOnly,
}

/// A place, locked, with nothing half done in it.
pub(crate) fn enter(folder: &Path, options: &Options) -> Result<(Place, Option<File>), OpenError> {
    let place = Place::new(folder);
    let lock = lock::take(&place, options.patience)?;
    if lock.is_some() {
        // What cannot be done on a full or read-only disk is done another time.
        match place.finish_interrupted() {
            Err(error) if !crate::store::is_machine(error.kind()) => {
                return Err(io_error("finishing what a crash has interrupted beside", folder)(
                    error,
                ));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok((place, lock))
}

/// Opens the store of a place, or makes one.
pub(crate) fn open(place: &Place, options: &Options, steps: &[Step]) -> Result<Found, OpenError> {
    let folder = place.folder();
    let mut warnings = Vec::new();
    let existed = place.has_store().map_err(io_error("reading", folder))?;
    if !existed {
        make_first(place, steps)?;
    }
    let copied = if existed { place.copy_before_opening() } else { Err(String::new()) };
    let older = if options.keep_format { Older::Keep } else { Older::Convert };
    let trouble = match reading::open(folder, options.patience, steps, older) {
        Ok(mut opened) => {
            match copied {
                Ok(copy) => keep_last_good(place, &copy, &mut warnings),
                Err(warning) => warnings.extend(Some(warning).filter(|text| !text.is_empty())),
            }
            warnings.extend(opened.warning.take());
            let access = if opened.is_older { Access::ReadOnly } else { Access::ReadWrite };
            return Ok(Found { opened, access, warnings });
        }
        Err(trouble) => trouble,
    };
    let trouble = match trouble {
        // It may be whole, and only not writable.
        Trouble::Machine(_) | Trouble::Panicked(_) => {
            match open_copy(place, copied.as_deref().ok(), options, steps) {
                Ok(mut opened) => {
                    drop(copy::remove_folder(&place.opening()));
                    warnings.extend(opened.warning.take());
                    let reason = trouble.to_string();
                    warnings.push(format!("the schedule can be read and not changed: {reason}"));
                    return Ok(Found { opened, access: Access::ReadOnly, warnings });
                }
                Err(Trouble::Panicked(_)) => trouble,
                Err(other) => other,
            }
        }
        trouble @ (Trouble::Locked | Trouble::Newer { .. } | Trouble::Damaged(_)) => trouble,
    };
    Err(failed(place, trouble, copied.ok()))
}

/// A store is made elsewhere and renamed, so that one that exists is complete.
fn make_first(place: &Place, steps: &[Step]) -> Result<(), OpenError> {
    if place.last_good().is_dir() {
        let what = format!(
            "it is gone, though a copy of it is in {} (remove that to begin an empty one)",
            place.last_good().display()
        );
        return Err(OpenError::Damaged { folder: place.folder().to_owned(), what, evidence: None });
    }
    make(place, &Records::new(), 0, steps)
        .and_then(|()| place.put_in_place().map_err(Trouble::Machine))
        .map(drop)
        .map_err(|trouble| failed(place, trouble, None))
}

/// Makes a complete store, ready to be put in its place.
pub(crate) fn make(
    place: &Place,
    records: &Records,
    generation: u64,
    steps: &[Step],
) -> Result<(), Trouble> {
    let making = place.making();
    let format = migrate::newest(steps);
    let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    let bookkeeping = Bookkeeping::of(generation, borrowed.clone());
    copy::remove_folder(&making)
        .and_then(|()| copy::make_folder(&making))
        .map_err(Trouble::Machine)?;
    let mut store = Store::open(&making, Options::default().patience)?;
    store.write(format, borrowed.map(|(key, value)| (key, Some(value))), &bookkeeping)?;
    store.set_format(format)?;
    drop(store);
    let finished = Acknowledged::open(&making).and_then(|acknowledged| {
        acknowledged.write(generation);
        acknowledged.sync()?;
        copy::sync_folder(&making)?;
        std::fs::rename(&making, place.new_store())?;
        place.sync_parent()
    });
    finished.map_err(Trouble::Machine)
}

fn keep_last_good(place: &Place, copy: &Path, warnings: &mut Vec<String>) {
    if let Err(error) = place.keep_last_good(copy) {
        warnings.push(format!(
            "the copy of the schedule could not be kept: renaming {} to {} failed ({error})",
            copy.display(),
            place.last_good().display()
        ));
    }
}

/// Opens a copy: of the copy that was made of what was found, if there is one.
fn open_copy(
    place: &Place,
    copied: Option<&Path>,
    options: &Options,
    steps: &[Step],
) -> Result<Opened, Trouble> {
    let from = copied.unwrap_or(place.folder());
    let reading = Reading::of(from, place, &options.scratch).map_err(Trouble::Machine)?;
    reading::open(reading.folder(), options.patience, steps, Older::Convert)
}

/// The error for this trouble; a copy of a damaged store is kept, any other is removed.
pub(crate) fn failed(place: &Place, trouble: Trouble, copied: Option<PathBuf>) -> OpenError {
    let folder = place.folder().to_owned();
    let what = match trouble {
        Trouble::Damaged(what) => what,
        Trouble::Panicked(text) => format!("reading it failed ({text})"),
        Trouble::Locked | Trouble::Newer { .. } | Trouble::Machine(_) => {
            drop(copy::remove_folder(&place.opening()));
            return unharmed(folder, trouble);
        }
    };
    let evidence = copied.and_then(|copy| place.keep_evidence(&copy).ok());
    OpenError::Damaged { folder, what, evidence }
}

fn unharmed(folder: PathBuf, trouble: Trouble) -> OpenError {
    match trouble {
        Trouble::Locked => {
            let holder = lock::holder(&folder.join("db"));
            OpenError::Locked { folder, holder }
        }
        Trouble::Newer { found, known } => OpenError::Newer { folder, found, known },
        Trouble::Machine(source) => OpenError::Io { attempt: "opening", path: folder, source },
        Trouble::Damaged(what) | Trouble::Panicked(what) => {
            OpenError::Damaged { folder, what, evidence: None }
        }
    }
}

pub(crate) fn io_error<'a>(
    attempt: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io { attempt, path: path.to_owned(), source }
}
