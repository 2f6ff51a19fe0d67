//! The checksums of the segment that is being written, as far as they have been made.
//!
//! Upkeep makes them a few seconds after the bytes were written, at the latest, and a closed segment is sealed with them: what
//! was altered since is found by whoever reads it then. They cost the writer nothing, and no byte is read more often than if all
//! of them were made in the end. The next daemon finds them in a file beside the segment, `.crc`:
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..8 | `auraecrc` |
//! | 8..12 | version, 1 |
//! | 12..16 | CRC-32 of all before |
//! | then | for each block of 65,536 bytes 16 bytes: how far the segment was read, 8 bytes; the CRC-32 of the block up to there; and the CRC-32 of the segment's position and the 12 bytes before |
//!
//! The last block's 16 bytes are written over while it grows. They never cross a page, so a kill leaves them whole.
//!
//! Invariant: what of that file is not right in every bit, and all behind it, was never said.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
};

use crc32fast::Hasher;
use nix::fcntl::OFlag;

use crate::{
    folder::Folder,
    index::read_at,
    open,
    sum::{BLOCK, BLOCK_U64},
};

const MAGIC: [u8; 8] = *b"auraecrc";
const VERSION: u32 = 1;
/// Bytes of the head, and of what is said of each block.
const RECORD: usize = 16;
const RECORD_U64: u64 = 16;

/// The sums of a segment up to some byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    base: u64,
    length: u64,
    /// The last one may be of a part of a block.
    blocks: Vec<u32>,
}

impl Running {
    /// Of nothing yet.
    pub(crate) fn new(base: u64) -> Self {
        Self { base, length: 0, blocks: Vec::new() }
    }

    /// What was made of this segment before, by this daemon or one before it.
    pub(crate) fn read(folder: &Folder, base: u64) -> Option<Self> {
        let mut bytes = Vec::new();
        open::read(&folder.running(base)).ok()?.read_to_end(&mut bytes).ok()?;
        Self::decode(base, &bytes)
    }

    /// Removes what says more than the segment has, before that is written on: after a power cut its bytes may be gone, and
    /// others come in their place.
    pub(crate) fn fit(folder: &Folder, base: u64, length: u64) {
        if Self::read(folder, base).is_some_and(|running| running.length > length) {
            fs::remove_file(folder.running(base)).ok();
        }
    }

    /// Bytes of the file beside a segment of so many.
    pub(crate) fn bytes(length: u64) -> u64 {
        length.div_ceil(BLOCK_U64).saturating_add(1).saturating_mul(RECORD_U64)
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// How many bytes these are the sums of.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The sums of the blocks.
    pub(crate) fn into_blocks(self) -> Vec<u32> {
        self.blocks
    }

    /// Forgets what lies behind, and the block in which that begins.
    pub(crate) fn cut(&mut self, length: u64) {
        if self.length > length {
            let whole = length / BLOCK_U64;
            self.blocks.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
            self.length = whole.saturating_mul(BLOCK_U64);
        }
    }

    /// Goes on up to there; whether it came so far: not where `stop` says so, or somebody cuts the file meanwhile.
    pub(crate) fn go_on(
        &mut self,
        data: &File,
        until: u64,
        stop: impl Fn() -> bool,
    ) -> io::Result<bool> {
        let mut buffer = vec![0; 4 * BLOCK];
        while self.length < until {
            if stop() {
                return Ok(false);
            }
            let left = usize::try_from(until.saturating_sub(self.length)).unwrap_or(usize::MAX);
            let left = left.min(buffer.len());
            let count = read_at(data, buffer.get_mut(..left).unwrap_or_default(), self.length)?;
            self.add(buffer.get(..count).unwrap_or_default());
            if count < left {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let filled = self.length % BLOCK_U64;
            let room = usize::try_from(BLOCK_U64.saturating_sub(filled)).unwrap_or(BLOCK);
            let (part, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            let before = if filled == 0 { None } else { self.blocks.pop() };
            let mut hasher = Hasher::new_with_initial_len(before.unwrap_or(0), filled);
            hasher.update(part);
            self.blocks.push(hasher.finalize());
            let count = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.length = self.length.saturating_add(count);
            rest = later;
        }
    }

    /// Whether the segment is not any more what these are the sums of, as far as it is there. None where `stop` says so.
    pub(crate) fn is_altered(
        &self,
        folder: &Folder,
        stop: impl Fn() -> bool,
    ) -> io::Result<Option<bool>> {
        let data = open::read(&folder.data(self.base))?;
        let mut known = self.clone();
        known.cut(data.metadata()?.len());
        let mut now = Self::new(self.base);
        let whole = now.go_on(&data, known.length, stop)?;
        Ok(whole.then(|| now != known))
    }

    /// Keeps what is new since there were sums of so many bytes.
    pub(crate) fn write(&self, folder: &Folder, since: u64) -> io::Result<()> {
        let file = open::write(&folder.running(self.base), OFlag::O_CREAT)?;
        let first = since / BLOCK_U64;
        let from = usize::try_from(first).unwrap_or(usize::MAX);
        let mut out = Vec::new();
        for (number, sum) in (first..).zip(self.blocks.get(from..).unwrap_or_default()) {
            let end = number.saturating_add(1).saturating_mul(BLOCK_U64);
            out.extend(record(self.base, end.min(self.length), *sum));
        }
        if first == 0 {
            file.write_all_at(&head(), 0)?;
        }
        file.write_all_at(&out, first.saturating_add(1).saturating_mul(RECORD_U64))
    }

    fn decode(base: u64, bytes: &[u8]) -> Option<Self> {
        let (records, _) = bytes.as_chunks::<RECORD>();
        let (first, records) = records.split_first()?;
        if *first != head() {
            return None;
        }
        let mut running = Self::new(base);
        for bytes in records {
            let (length, sum) = parts(bytes);
            let begin = running.length;
            let fits = begin.is_multiple_of(BLOCK_U64)
                && length > begin
                && length <= begin.saturating_add(BLOCK_U64);
            if !fits || *bytes != record(base, length, sum) {
                break;
            }
            running.length = length;
            running.blocks.push(sum);
        }
        Some(running)
    }
}

fn head() -> [u8; RECORD] {
    let mut out = [0; RECORD];
    let body: Vec<u8> = MAGIC.into_iter().chain(VERSION.to_le_bytes()).collect();
    fill(&mut out, &body, crc32fast::hash(&body));
    out
}

fn record(base: u64, length: u64, sum: u32) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    let body: Vec<u8> = length.to_le_bytes().into_iter().chain(sum.to_le_bytes()).collect();
    let mut hasher = Hasher::new();
    hasher.update(&base.to_le_bytes());
    hasher.update(&body);
    fill(&mut out, &body, hasher.finalize());
    out
}

fn fill(out: &mut [u8; RECORD], body: &[u8], checksum: u32) {
    for (to, from) in out.iter_mut().zip(body.iter().copied().chain(checksum.to_le_bytes())) {
        *to = from;
    }
}

/// How far the segment was read, and the sum.
fn parts(bytes: &[u8; RECORD]) -> (u64, u32) {
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    let sum = rest.first_chunk::<4>().unwrap_or(&[0; 4]);
    (u64::from_le_bytes(*length), u32::from_le_bytes(*sum))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, Folder(path))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However the segment grows between two looks: the sums are those of its blocks, and what was kept is read back.
        #[test]
        fn sums_are_those_of_the_blocks(steps in proptest::collection::vec(0..100_000_usize, 1..6), cut in 0..400_000_u64) {
            let (_held, folder) = folder();
            let text: Vec<u8> = (0..steps.iter().sum::<usize>()).map(|place| (place / 7).to_le_bytes()[0]).collect();
            let mut running = Running::new(9);
            let mut length = 0;
            for step in steps {
                length += step;
                fs::write(folder.data(9), &text[..length]).unwrap();
                let since = running.length();
                prop_assert!(running.go_on(&File::open(folder.data(9)).unwrap(), length as u64, || false).unwrap());
                running.write(&folder, since).unwrap();
                prop_assert_eq!(Running::read(&folder, 9), Some(running.clone()));
            }
            let sums: Vec<u32> = text.chunks(BLOCK).map(crc32fast::hash).collect();
            prop_assert_eq!(&running.blocks, &sums);
            prop_assert_eq!(running.is_altered(&folder, || false).unwrap(), Some(false));
            running.cut(cut);
            prop_assert!(running.length <= cut && running.blocks.len() as u64 == running.length.div_ceil(BLOCK_U64));
        }

        #[test]
        fn what_is_not_right_was_never_said(place in any::<proptest::sample::Index>(), bit in 0..8_u32, cut in 0..96_usize) {
            let mut running = Running::new(3);
            running.add(&vec![5; 4 * BLOCK + 9]);
            let mut bytes = head().to_vec();
            for (number, sum) in (1_u64..).zip(&running.blocks) {
                bytes.extend(record(3, (number * BLOCK_U64).min(running.length), *sum));
            }
            prop_assert_eq!(Running::decode(3, &bytes), Some(running.clone()));
            prop_assert_eq!(Running::decode(4, &bytes).unwrap(), Running::new(4));
            let part = Running::decode(3, &bytes[..cut]);
            prop_assert!(part.is_none_or(|part| running.blocks.starts_with(&part.blocks)));
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let flipped = Running::decode(3, &bytes);
            let left = flipped.map_or(0, |flipped| flipped.blocks.len() + 1);
            prop_assert_eq!(left, place / RECORD);
        }
    }

    /// The format, written down as bytes: it must be readable for ever.
    #[test]
    fn the_format_stays() {
        let mut bytes = b"auraecrc\x01\0\0\0".to_vec();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(head().as_slice(), bytes);
        let body = [2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0];
        let mut checked = vec![7, 0, 0, 0, 0, 0, 0, 0];
        checked.extend(body);
        let mut bytes = body.to_vec();
        bytes.extend(crc32fast::hash(&checked).to_le_bytes());
        assert_eq!(record(7, 0x102, 0x304).as_slice(), bytes);
    }
}
