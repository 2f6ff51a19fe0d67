//! The ledger's file: read whole, written anew, set aside.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use prost::{Message, bytes::Bytes};

use super::{
    entry::{Contents, Entry, Step, VERSION},
    frame,
};

/// How many damaged files are kept: the first, and the newest of the others.
const KEPT_ASIDE: u32 = 4;
/// A step of a file that is written anew holds about so many bytes.
const STEP: usize = 1 << 20;

/// What was wrong with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Places that could not be read.
    pub(super) damaged: usize,
    /// Whether the last step was not written to its end.
    pub(super) torn: bool,
    /// Whether a newer daemon wrote it.
    pub(super) newer: bool,
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("ledger")
}

/// Removes the ledger, where there is one.
pub(crate) fn remove(folder: &Path) {
    drop(fs::remove_file(path(folder)));
}

/// What counts in these bytes, of which what is kept is a part: there may be ten thousand entries, and runs that wait.
pub(super) fn contents(bytes: &Bytes) -> (Contents, Faults) {
    let scanned = frame::scan(bytes);
    let mut faults = Faults { damaged: scanned.damaged, torn: scanned.torn, newer: false };
    let mut contents = Contents::default();
    for step in scanned.steps {
        match Step::decode(bytes.slice_ref(step)) {
            Ok(step) => faults.newer |= !contents.take(step),
            Err(_) => faults.damaged += 1,
        }
    }
    faults.damaged += contents.unknown;
    (contents, faults)
}

/// Writes what counts to a new file, and exchanges it for the old one; the file, and its length. Where it fails, the old one
/// is as it was.
pub(super) fn replace(folder: &Path, contents: &Contents) -> io::Result<(File, u64)> {
    let new = folder.join("ledger.new");
    let written = write_anew(&new, contents)
        .and_then(|written| fs::rename(&new, path(folder)).map(|()| written));
    if written.is_err() {
        // It takes room that there is too little of.
        drop(fs::remove_file(&new));
    }
    written
}

/// Opens the file as it is, to be written on after its last whole step; the file, and its length.
pub(super) fn go_on(folder: &Path, bytes: &[u8]) -> io::Result<(File, u64)> {
    let file = File::options().read(true).write(true).open(path(folder))?;
    Ok((file, u64::try_from(frame::scan(bytes).end).unwrap_or(u64::MAX)))
}

fn write_anew(new: &Path, contents: &Contents) -> io::Result<(File, u64)> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(new)?;
    let (mut length, mut entries, mut size) = (0_u64, Vec::new(), 0);
    let mut write = |entries: &mut Vec<Entry>| -> io::Result<()> {
        let step = Step { version: VERSION, entries: std::mem::take(entries) };
        let mut bytes = Vec::new();
        if !frame::append(&mut bytes, length, &step.encode_to_vec()) {
            return Err(io::Error::other("an entry is too long"));
        }
        length = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        file.write_all(&bytes)
    };
    for entry in contents.entries() {
        size += entry.body.len();
        entries.push(entry.clone());
        if size > STEP {
            size = 0;
            write(&mut entries)?;
        }
    }
    write(&mut entries)?;
    Ok((file, length))
}

/// Keeps a copy of the file under another name; which.
pub(super) fn set_aside(folder: &Path, word: &str) -> io::Result<PathBuf> {
    let name = |number: u32| folder.join(format!("ledger.{word}-{number}"));
    let free = (1..=KEPT_ASIDE).map(name).find(|path| !path.exists());
    let aside = if let Some(free) = free {
        free
    } else {
        // The first tells how it began; of the others the oldest goes.
        drop(fs::remove_file(name(2)));
        for number in 3..=KEPT_ASIDE {
            fs::rename(name(number), name(number - 1))?;
        }
        name(KEPT_ASIDE)
    };
    // A link: the file itself stays until what counts of it has been written anew.
    fs::hard_link(path(folder), &aside)?;
    Ok(aside)
}
