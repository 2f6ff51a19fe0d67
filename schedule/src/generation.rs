//! The file `generation`: the number of the last commit that was acknowledged, outside of the database.
//!
//! It is written after the store is on the disk and not flushed itself: it survives kill -9, and after a loss of power
//! it can only be older than the store. So a store that is older than this file has lost changes.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const FILE: &str = "generation";

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Acknowledged(File);

impl Acknowledged {
    /// Makes the file if it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let file =
            File::options().write(true).create(true).truncate(false).open(folder.join(FILE))?;
        Ok(Self(file))
    }

    /// A failure is no harm: the file is then older, and a later commit writes it again.
    pub(crate) fn write(&self, generation: u64) {
        self.0.write_all_at(text(generation).as_bytes(), 0).ok();
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// What was last acknowledged, or a sentence about why that is not known.
pub(crate) fn read(folder: &Path) -> Result<u64, String> {
    let path = folder.join(FILE);
    let found = fs::read_to_string(&path)
        .map_err(|error| format!("reading {} failed ({error})", path.display()))?;
    let number = found.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    match number {
        Some(number) if text(number) == found => Ok(number),
        Some(_) | None => Err(format!("{} is damaged", path.display())),
    }
}

/// Always the same length, and the number twice, the second time with all bits turned: a damaged one is not believed.
fn text(generation: u64) -> String {
    format!("{generation:020} {:016x}\n", !generation)
}
