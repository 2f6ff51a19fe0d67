//! A whole store in place of a damaged one.

use std::path::{Path, PathBuf};

use crate::{
    Damage, OpenError, Options, RepairError,
    contents::Contents,
    migrate::{STEPS, Step},
    opening,
    place::Place,
    reading::{self, Older, Reading},
    salvage,
    store::Trouble,
};

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Where the damaged store is now; `None` where there was none, or it was whole.
    pub evidence: Option<PathBuf>,
    /// How many registrations there are now that can be read.
    pub kept: usize,
    /// What could not be got out, and what may be out of date, each with the reason.
    pub lost: Vec<Damage>,
}

/// Puts a damaged store aside and a new one in its place, with all that can be got out of it. A whole store is left as
/// it is. A crash in between leaves the old one or the new one.
pub fn repair(folder: &Path, options: &Options) -> Result<Repair, RepairError> {
    repair_with(folder, options, STEPS)
}

fn repair_with(folder: &Path, options: &Options, steps: &[Step]) -> Result<Repair, RepairError> {
    let (place, _lock) = opening::enter(folder, options)?;
    let gathered = salvage::gather(&place, options, steps)?;
    let write_error = |attempt, path: &Path, cause: String| RepairError::Write {
        attempt,
        path: path.to_owned(),
        cause,
    };
    // All of it can be got where only an index was lost; whether it can be opened is another question.
    let evidence = if gathered.whole && opens(&place, options, steps)? {
        None
    } else {
        // Above every number that was ever acknowledged, since the old ones may mean other changes.
        let generation = gathered.generation.saturating_add(1);
        opening::make(&place, &gathered.records, generation, steps).map_err(
            |trouble: Trouble| {
                write_error("making a new store in", &place.making(), trouble.to_string())
            },
        )?;
        place.put_in_place().map_err(|error| {
            write_error("putting the new store in place of", folder, error.to_string())
        })?
    };
    let contents = Contents::read(gathered.records);
    let mut lost = gathered.damage;
    lost.extend(contents.unreadable());
    Ok(Repair { evidence, kept: contents.entries().count(), lost })
}

/// Whether a copy of the store can be opened as the store would be.
fn opens(place: &Place, options: &Options, steps: &[Step]) -> Result<bool, OpenError> {
    let reading = Reading::of(place.folder(), place, &options.scratch)
        .map_err(opening::io_error("copying, for reading,", place.folder()))?;
    Ok(reading::open(reading.folder(), options.patience, steps, Older::Convert).is_ok())
}
