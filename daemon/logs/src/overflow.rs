//! Overflow files: what a run printed while there was no daemon, and the keeper moved out of a full pipe.
//!
//! A file's bytes come before those of its pipe, and stay in it when they have been taken, so the index says which those
//! are: each piece is written behind an entry that names the file by its number, and the place in it where the piece
//! begins. What follows such an entry in the segment, up to the next one, has been taken. A daemon that is killed at any
//! moment leaves an entry with as many bytes behind it as it had written, and the next one goes on from there. Only when
//! all is taken the file is removed, and only then the pipe is touched.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use units::RunId;

use crate::{name::Stream, open};

/// Bytes in one piece: what goes through our memory at a time.
const PIECE: usize = 256 * 1024;

/// Where bytes of a log come from that were not in a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The number of an overflow file; it is not 0.
    pub(crate) file: u64,
    /// Where in it they begin.
    pub(crate) offset: u64,
}

/// An overflow file that waits to be taken.
#[derive(Debug)]
pub(crate) struct Overflow {
    number: u64,
    path: PathBuf,
    file: Option<File>,
    taken: u64,
}

/// All files there are, by the pipe whose they are, the older ones in front.
#[derive(Debug, Default)]
pub(crate) struct Overflows(HashMap<(RunId, Stream), VecDeque<Overflow>>);

impl Overflows {
    /// Those in this folder. Files with other names are none of ours.
    pub(crate) fn find(folder: &Path) -> Self {
        let mut found: HashMap<_, VecDeque<_>> = HashMap::new();
        // On the way there may be links; in the folder and below none is followed.
        let folder = folder.canonicalize().and_then(fs::read_dir);
        for entry in folder.into_iter().flatten().flatten() {
            let Some((run, stream, number)) = entry.file_name().to_str().and_then(parse) else {
                continue;
            };
            let overflow = Overflow { number, path: entry.path(), file: None, taken: 0 };
            found.entry((run, stream)).or_default().push_back(overflow);
        }
        for files in found.values_mut() {
            files.make_contiguous().sort_unstable_by_key(|file| file.number);
        }
        Self(found)
    }

    /// Those of one pipe; `last` is where the last piece ends that is in the log.
    pub(crate) fn of(
        &mut self,
        run: RunId,
        stream: Stream,
        last: Option<Source>,
    ) -> VecDeque<Overflow> {
        let mut files = self.0.remove(&(run, stream)).unwrap_or_default();
        if let Some(last) = last
            && let Some(file) = files.iter_mut().find(|file| file.number == last.file)
        {
            file.taken = last.offset;
        }
        files
    }
}

impl Overflow {
    /// Where its next piece begins.
    pub(crate) fn source(&self) -> Source {
        Source { file: self.number, offset: self.taken }
    }

    /// The next piece, at most so many bytes; empty at the end.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open::read(&self.path)?),
        };
        let mut piece = vec![0; most.min(PIECE)];
        let count = file.read_at(&mut piece, self.taken)?;
        piece.truncate(count);
        Ok(piece)
    }

    /// So many bytes more are in the log.
    pub(crate) fn advance(&mut self, count: u64) {
        self.taken = self.taken.saturating_add(count);
    }

    /// Counts what is left as if it were taken; how many bytes that are.
    pub(crate) fn give_up(&mut self) -> u64 {
        let left = fs::metadata(&self.path).map_or(0, |file| file.len()).saturating_sub(self.taken);
        self.advance(left);
        left
    }

    /// Removes it: nothing of it is needed any more.
    pub(crate) fn remove(self) {
        // One that stays is found to be taken in full.
        drop(fs::remove_file(self.path));
    }
}

/// Reads a file's name: `RUN.STREAM.NUMBER`, the run in 32 hexadecimal digits.
fn parse(name: &str) -> Option<(RunId, Stream, u64)> {
    let mut parts = name.split('.');
    let (run, stream, number) = (parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let plain = !number.starts_with('0') && number.chars().all(|c| c.is_ascii_digit());
    if parts.next().is_some() || run.len() != 32 || !run.chars().all(hexadecimal) || !plain {
        return None;
    }
    let stream = match stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some((run.parse().ok()?, stream, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_says_whose_the_file_is(run in any::<[u8; 16]>(), number in 1..u64::MAX) {
            let run = RunId::from_bytes(run);
            let digits = run.to_string().replace('-', "");
            let name = format!("{digits}.stdout.{number}");
            prop_assert_eq!(parse(&name), Some((run, Stream::Stdout, number)));
            let name = format!("{digits}.stderr.{number}");
            prop_assert_eq!(parse(&name), Some((run, Stream::Stderr, number)));
        }

        #[test]
        fn any_name_is_read_without_harm(name in ".*", near in "[0-9a-f]{31,33}[.]std(out|err|in)[.][+0-9]{0,22}") {
            prop_assert_eq!(parse(&name), None);
            if let Some((run, _, number)) = parse(&near) {
                let digits = run.to_string().replace('-', "");
                let end = format!(".{number}");
                prop_assert!(near.starts_with(&digits) && near.ends_with(&end));
            }
        }
    }
}
