//! What upkeep reads and removes on disk. Whatever is gone meanwhile is not there; whatever fails is left.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

use nix::unistd::{Whence, lseek};

use crate::{
    entry::{ENTRY, Entry},
    folder::{self, Folder},
    holdings::{Active, Closed, Holding},
    index::read_at,
    name::LogName,
    open,
    sum::Sum,
};

/// The parts of a file that were never written: where they begin, and how many bytes they are.
pub(crate) fn holes(file: &File, length: u64) -> Vec<(u64, u64)> {
    let mut holes = Vec::new();
    let mut at = 0;
    while let Some(hole) = seek(file, at, Whence::SeekHole).filter(|&hole| hole < length) {
        // Beyond the last data it says ENXIO.
        let data = seek(file, hole, Whence::SeekData).unwrap_or(length).min(length);
        holes.push((hole, data.saturating_sub(hole)));
        at = data.max(hole.saturating_add(1));
    }
    holes
}

/// Where the bytes from `from` on were never written, though they are before the end: the file was cut short, and written on
/// behind. How many bytes are as they were, and how many after them are not.
pub(crate) fn gap_at(file: &File, from: u64, to: u64) -> Option<(u64, u64)> {
    let hole = seek(file, from, Whence::SeekHole).filter(|&hole| hole < to)?;
    let data = seek(file, hole, Whence::SeekData).unwrap_or(to).min(to);
    Some((hole.saturating_sub(from), data.saturating_sub(hole)))
}

fn seek(file: &File, from: u64, whence: Whence) -> Option<u64> {
    let from = i64::try_from(from).ok()?;
    u64::try_from(lseek(file, from, whence).ok()?).ok()
}

/// What there is of a log, and which of its closed segments have no checksums, or none that can be read.
pub(crate) fn survey(folder: &Folder) -> (Holding, Vec<u64>) {
    let mut unsealed = Vec::new();
    let mut bases = folder.bases().unwrap_or_default();
    remove_leftovers(folder, &bases);
    let active = bases.pop().map(|base| active(folder, base)).unwrap_or_default();
    let closed = bases.into_iter().filter_map(|base| {
        if Sum::read(folder, base).is_none() {
            unsealed.push(base);
        }
        closed(folder, base)
    });
    let closed = closed.collect();
    (Holding { closed, active }, unsealed)
}

/// A closed segment.
pub(crate) fn closed(folder: &Folder, base: u64) -> Option<Closed> {
    let data = fs::symlink_metadata(folder.data(base)).ok()?;
    let time = data.mtime().saturating_mul(1_000_000_000).saturating_add(data.mtime_nsec());
    let bytes = data.len() + length(&folder.index(base)) + length(&folder.sum(base));
    Some(Closed { base, bytes, time: u64::try_from(time).unwrap_or(0) })
}

/// The segment that is being written.
pub(crate) fn active(folder: &Folder, base: u64) -> Active {
    let files = [folder.data(base), folder.index(base), folder.running(base)];
    let bytes = files.iter().map(|path| length(path)).fold(0, u64::saturating_add);
    let mut first = [0; ENTRY];
    let read = open::read(&folder.index(base)).and_then(|file| read_at(&file, &mut first, 0));
    let entry = read.ok().and_then(|count| Entry::decode(first.get(..count)?));
    Active { base, bytes, first: entry.map(|entry| entry.time), ..Active::default() }
}

fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |file| file.len())
}

/// Removes a segment. Its bytes go first: with them it is gone for readers.
pub(crate) fn remove(folder: &Folder, base: u64) {
    let files = [folder.data(base), folder.index(base), folder.sum(base), folder.running(base)];
    for path in files {
        // What cannot be removed now is tried again when the store is opened.
        fs::remove_file(path).ok();
    }
}

/// Removes what a kill in the middle of [`remove`] or of sealing has left: files of segments before the first one, and what was
/// of use before a segment was sealed.
fn remove_leftovers(folder: &Folder, bases: &[u64]) {
    let (Some(&first), Some(&last)) = (bases.first(), bases.last()) else { return };
    let names = folder::names(&folder.0).unwrap_or_default();
    for name in &names {
        let running = name.strip_suffix(".crc");
        let sealed = running.is_some_and(|base| names.contains(&format!("{base}.sum")));
        let closed = running.and_then(folder::parse_hex).is_some_and(|base| base < last);
        let half = name.strip_suffix(".sum.new").or(name.strip_suffix(".idx.new"));
        let half = half.is_some_and(|base| folder::parse_hex(base).is_some());
        let base = name.strip_suffix(".idx").or(name.strip_suffix(".sum")).or(running);
        let old = base.and_then(folder::parse_hex).is_some_and(|base| base < first);
        if half || old || (sealed && closed) {
            fs::remove_file(folder.0.join(name)).ok();
        }
    }
}

/// All logs there are.
pub(crate) fn logs(root: &Path) -> Vec<LogName> {
    folder::logs(root).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_was_never_written_is_found() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(holes(&file, 0), []);
        file.write_all_at(&[7; 4096], 0).unwrap();
        assert_eq!(holes(&file, 4096), []);
        file.write_all_at(&[7; 100], 1 << 20).unwrap();
        file.set_len(2 << 20).unwrap();
        let expected = [(4096, (1 << 20) - 4096), ((1 << 20) + 4096, (1 << 20) - 4096)];
        assert_eq!(holes(&file, 2 << 20), expected);
        assert_eq!(holes(&file, (1 << 20) + 100), expected[..1]);
        // Zeros that were written are a program's.
        file.write_all_at(&vec![0; 2 << 20], 0).unwrap();
        assert_eq!(holes(&file, 2 << 20), []);
    }
}
