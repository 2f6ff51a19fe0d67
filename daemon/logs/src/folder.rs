//! The folder of a log: which segments there are, and what their files are called.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use units::Name;

use crate::{entry::GapReason, name::LogName, open, reader::ReadError};

/// The folder of a log.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(root: &Path, log: &LogName) -> Self {
        Self(root.join(log.folder()))
    }

    /// The file of a segment's bytes. A segment exists if this does.
    pub(crate) fn data(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.log"))
    }

    /// The file of a segment's entries.
    pub(crate) fn index(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.idx"))
    }

    /// The file of a closed segment's checksums.
    pub(crate) fn sum(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.sum"))
    }

    /// The file of the checksums that were made of a segment before it is closed.
    pub(crate) fn running(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.crc"))
    }

    /// Where the segments begin, in order; none if there is no such folder. Files with other names are none of ours, and what
    /// is no regular file is none.
    pub(crate) fn bases(&self) -> Result<Vec<u64>, ReadError> {
        let files = files(&self.0)?.into_iter().filter(|(_, ours)| *ours);
        let mut bases: Vec<u64> = files.filter_map(|(name, _)| parse_base(&name)).collect();
        bases.sort_unstable();
        Ok(bases)
    }

    /// What lies in the place of segments, and is none.
    pub(crate) fn foreign(&self) -> Vec<String> {
        let files = files(&self.0).unwrap_or_default().into_iter();
        let segment =
            |name: &str| name.split_once('.').is_some_and(|(base, _)| parse_hex(base).is_some());
        files.filter(|(name, ours)| !ours && segment(name)).map(|(name, _)| name).collect()
    }

    /// Why nothing can be read of these bytes: what should be a file of theirs is none, or the file has gone as files do.
    pub(crate) fn reason(&self, from: u64, to: u64) -> GapReason {
        let foreign = self.foreign();
        let inside = |base: u64| (from..to).contains(&base);
        let is_foreign = foreign.iter().filter_map(|name| parse_base(name)).any(inside);
        if is_foreign { GapReason::Vanished } else { GapReason::Removed }
    }

    /// Whether there is a segment after this one. The writer's word spares a look at the folder.
    pub(crate) fn has_later(&self, base: u64, written: Option<u64>) -> Result<bool, ReadError> {
        match written {
            Some(written) => Ok(written > base),
            None => Ok(self.bases()?.last().is_some_and(|&last| last > base)),
        }
    }

    /// How many bytes a segment has: none if it is gone.
    pub(crate) fn length(&self, base: u64) -> Result<u64, ReadError> {
        let path = self.data(base);
        match fs::symlink_metadata(&path) {
            Ok(data) => Ok(if data.is_file() { data.len() } else { 0 }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(ReadError { path, source }),
        }
    }

    /// Removes the folder, if there is not a byte and not an entry in it, and none was ever in its last segment; whether that
    /// is so.
    pub(crate) fn discard(&self, known_end: u64) -> bool {
        let bases = self.bases().unwrap_or_default();
        let [base] = bases.as_slice() else { return false };
        let files = [self.data(*base), self.index(*base)];
        let empty = |path: &PathBuf| {
            fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == 0)
        };
        let discarded = *base >= known_end && files.iter().all(empty);
        if discarded {
            // The folder goes only if it is empty. What stays is removed the next time.
            files.iter().for_each(|path| drop(fs::remove_file(path)));
            drop(fs::remove_dir(&self.0));
        }
        discarded
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> Result<u64, ReadError> {
        match self.bases()?.last() {
            Some(&base) => Ok(base.saturating_add(self.length(base)?)),
            None => Ok(0),
        }
    }
}

/// All logs below a root.
pub(crate) fn logs(root: &Path) -> Result<Vec<LogName>, ReadError> {
    let mut logs = Vec::new();
    for log in [LogName::Daemon, LogName::Audit, LogName::Commands] {
        if root.join(log.folder()).is_dir() {
            logs.push(log);
        }
    }
    let units = names(&root.join("units"))?;
    let mut units: Vec<Name> = units.iter().filter_map(|name| name.parse().ok()).collect();
    units.sort_unstable();
    logs.extend(units.into_iter().map(LogName::Unit));
    Ok(logs)
}

pub(crate) fn names(folder: &Path) -> Result<Vec<String>, ReadError> {
    Ok(files(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// What is in a folder, each with whether it is a regular file. One that is a symbolic link, or behind one, is not entered.
fn files(folder: &Path) -> Result<Vec<(String, bool)>, ReadError> {
    let failed = |source| ReadError { path: folder.to_owned(), source };
    let entries = match open::check_folder(folder).and_then(|()| fs::read_dir(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let regular = match entry.file_type() {
            Ok(kind) => kind.is_file(),
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        files.extend(entry.file_name().into_string().ok().map(|name| (name, regular)));
    }
    Ok(files)
}

fn parse_base(name: &str) -> Option<u64> {
    parse_hex(name.strip_suffix(".log")?)
}

/// Where a segment begins, as its files are called.
pub(crate) fn parse_hex(digits: &str) -> Option<u64> {
    let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if digits.len() != 16 || !digits.chars().all(digit) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_segments() {
        assert_eq!(parse_base("00000000000000ff.log"), Some(255));
        for name in [
            "ff.log",
            "00000000000000FF.log",
            "+0000000000000ff.log",
            "00000000000000ff.idx",
            ".log",
            "",
        ] {
            assert_eq!(parse_base(name), None, "{name}");
        }
    }
}
