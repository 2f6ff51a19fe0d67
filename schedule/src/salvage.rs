//! What can still be got out of a damaged store. Nothing is changed by it.

use std::{collections::btree_map::Entry as MapEntry, path::Path};

use crate::{
    Damage, Entry, OpenError, Options,
    ahead::Ahead,
    bookkeeping::Bookkeeping,
    contents::{Contents, Records},
    migrate::{self, STEPS, Step},
    opening,
    place::Place,
    reading::{self, Reading, Remains},
    store::Trouble,
};

/// What was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// In the order of names.
    pub entries: Vec<Entry>,
    /// What could not be got, and what of `entries` may be out of date, each with the reason.
    pub damage: Vec<Damage>,
}

/// The same, as it is stored.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) records: Records,
    pub(crate) generation: u64,
    pub(crate) damage: Vec<Damage>,
    /// Whether the store is whole, and nothing needs repair.
    pub(crate) whole: bool,
}

/// Reads a store that is not open, be it whole or not: what can be got from it, and what is missing there from the copy
/// of the last opening that succeeded.
pub fn salvage(folder: &Path, options: &Options) -> Result<Salvage, OpenError> {
    let (place, _lock) = opening::enter(folder, options)?;
    let gathered = gather(&place, options, STEPS)?;
    let contents = Contents::read(gathered.records);
    let mut damage = gathered.damage;
    damage.extend(contents.unreadable());
    Ok(Salvage { entries: contents.entries().cloned().collect(), damage })
}

pub(crate) fn gather(
    place: &Place,
    options: &Options,
    steps: &[Step],
) -> Result<Gathered, OpenError> {
    let remains = read(place, place.folder(), options, steps)?;
    let Remains { mut records, mut generation, damage: Some(what) } = remains else {
        let Remains { records, generation, .. } = remains;
        return Ok(Gathered { records, generation, damage: Vec::new(), whole: true });
    };
    let mut damage = vec![Damage::of_store(format!(
        "the store is damaged, {what}; what was got out of it may be older than the last change"
    ))];
    let copy = place.last_good();
    let there_is_one = copy.is_dir();
    // Where no opening has succeeded yet it began with nothing.
    let older = if there_is_one { read(place, &copy, options, steps)? } else { Remains::default() };
    if let Some(all) = rebuild(place, &older, generation, steps) {
        return Ok(all);
    }
    if there_is_one {
        generation = generation.max(older.generation);
        if let Some(what) = older.damage {
            damage.push(Damage::of_store(format!(
                "the copy in {} is damaged too, {what}",
                copy.display()
            )));
        }
        for (key, value) in older.records {
            if let MapEntry::Vacant(place) = records.entry(key) {
                let message = format!(
                    "it is taken from {}, the copy of an earlier opening: it may have been changed or destroyed since",
                    copy.display()
                );
                damage.push(Damage::of_record(place.key(), message));
                place.insert(value);
            }
        }
    }
    Ok(Gathered { records, generation, damage, whole: false })
}

/// All of it, where the copy is whole and every change since is ahead of the store.
fn rebuild(place: &Place, older: &Remains, generation: u64, steps: &[Step]) -> Option<Gathered> {
    if older.damage.is_some() {
        return None;
    }
    let (since, whole) = Ahead::open(place.folder()).ok()?.after(older.generation);
    let newest = since.last().filter(|_| whole.is_ok())?.bookkeeping;
    let format = migrate::newest(steps);
    if newest.generation < generation || since.iter().any(|noted| noted.format != format) {
        return None;
    }
    let mut records = older.records.clone();
    since.iter().for_each(|noted| noted.apply(&mut records));
    let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    newest.check(&Bookkeeping::of(newest.generation, borrowed)).ok()?;
    Some(Gathered { records, generation: newest.generation, damage: Vec::new(), whole: false })
}

/// What a folder gives, through a copy, since reading writes.
fn read(
    place: &Place,
    folder: &Path,
    options: &Options,
    steps: &[Step],
) -> Result<Remains, OpenError> {
    if !folder.is_dir() {
        let damage = Some("it is gone".to_owned());
        return Ok(Remains { damage, ..Remains::default() });
    }
    let reading = Reading::of(folder, place, &options.scratch)
        .map_err(opening::io_error("copying, for reading,", folder))?;
    match reading::salvage(reading.folder(), options.patience, steps) {
        Ok(remains) => Ok(remains),
        Err(trouble @ (Trouble::Newer { .. } | Trouble::Locked | Trouble::Machine(_))) => {
            Err(opening::failed(place, trouble, None))
        }
        Err(Trouble::Damaged(what) | Trouble::Panicked(what)) => {
            Ok(Remains { damage: Some(what), ..Remains::default() })
        }
    }
}
