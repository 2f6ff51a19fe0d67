//! The folder of a log: which segments there are, and what their files are called.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use units::Name;

use crate::{name::LogName, reader::ReadError};

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

    /// Where the segments begin, in order; none if there is no such folder. Files with other names are none of ours.
    pub(crate) fn bases(&self) -> Result<Vec<u64>, ReadError> {
        let mut bases: Vec<u64> =
            names(&self.0)?.iter().filter_map(|name| parse_base(name)).collect();
        bases.sort_unstable();
        Ok(bases)
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
        match fs::metadata(&path) {
            Ok(data) => Ok(data.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(ReadError { path, source }),
        }
    }

    /// Removes the folder, if there is not a byte and not an entry in it.
    pub(crate) fn discard(&self) {
        let bases = self.bases().unwrap_or_default();
        let [base] = bases.as_slice() else { return };
        let files = [self.data(*base), self.index(*base)];
        let empty = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() == 0);
        if files.iter().all(empty) {
            // The folder goes only if it is empty. What stays is removed the next time.
            files.iter().for_each(|path| drop(fs::remove_file(path)));
            drop(fs::remove_dir(&self.0));
        }
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
    let failed = |source| ReadError { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
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
