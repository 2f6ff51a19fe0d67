//! The checksums of a closed segment, in a file beside it.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..8 | `auraesum` |
//! | 8..12 | version, 1 |
//! | 12..16 | bytes of a block, 65,536 |
//! | 16..24 | the position at which the segment begins |
//! | 24..32 | its bytes |
//! | 32..40 | its entries |
//! | 40..48 | how many holes there are |
//! | then | CRC-32 of each block of its bytes, the last one may be shorter |
//! | then | of each hole where it begins in the segment, and its bytes, 8 bytes each |
//! | last 4 | CRC-32 of all before |
//!
//! Entries of the index have checksums of their own. A hole is what was found never to have been written when the sums
//! were made: the machine had lost power while the kernel still had it.
//!
//! Invariant: sums that are not right in every bit are no sums.

use std::{
    fs,
    io::{self, Read, Write},
};

use nix::fcntl::OFlag;

use crate::{disk::holes, entry::ENTRY_U64, folder::Folder, open, running::Running};

const MAGIC: [u8; 8] = *b"auraesum";
const VERSION: u32 = 1;
/// Bytes that one checksum is for: what a flipped bit costs, and what a reader has to read at the least.
pub(crate) const BLOCK: usize = 64 << 10;
/// The same, for offsets.
pub(crate) const BLOCK_U64: u64 = 64 << 10;

/// What is known of a closed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) base: u64,
    pub(crate) length: u64,
    pub(crate) entries: u64,
    blocks: Vec<u32>,
    holes: Vec<(u64, u64)>,
}

impl Sum {
    /// Reads what of a segment was not read before. None if it is not there, or `stop` says so in between.
    pub(crate) fn of(
        folder: &Folder,
        mut running: Running,
        stop: impl Fn() -> bool,
    ) -> io::Result<Option<Self>> {
        let base = running.base();
        let data = open::read(&folder.data(base))?;
        let length = data.metadata()?.len();
        let index = fs::symlink_metadata(folder.index(base)).map_or(0, |index| index.len());
        running.cut(length);
        if !running.go_on(&data, length, stop)? {
            return Ok(None);
        }
        let holes = holes(&data, length);
        let (entries, blocks) = (index.div_ceil(ENTRY_U64), running.into_blocks());
        Ok(Some(Self { base, length, entries, blocks, holes }))
    }

    /// The sums that are there of a segment, if they are right.
    pub(crate) fn read(folder: &Folder, base: u64) -> Option<Self> {
        let mut bytes = Vec::new();
        open::read(&folder.sum(base)).ok()?.read_to_end(&mut bytes).ok()?;
        Self::decode(&bytes).filter(|sum| sum.base == base)
    }

    /// Writes them: all or nothing, as far as a process that dies goes. After a power cut they may be missing or bad,
    /// and are then made again.
    pub(crate) fn write(&self, folder: &Folder) -> io::Result<()> {
        let path = folder.sum(self.base);
        let half = path.with_extension("sum.new");
        let opened = open::write(&half, OFlag::O_CREAT | OFlag::O_TRUNC);
        let written = opened.and_then(|mut file| file.write_all(&self.encode()));
        let written = written.and_then(|()| fs::rename(&half, &path));
        if written.is_err() {
            fs::remove_file(&half).ok();
        }
        written
    }

    /// Whether this is the block with that number as it was.
    pub(crate) fn is_right(&self, number: usize, block: &[u8]) -> bool {
        let begin = u64::try_from(number).unwrap_or(u64::MAX).saturating_mul(BLOCK_U64);
        let length = self.length.saturating_sub(begin).min(BLOCK_U64);
        let end = begin.saturating_add(length);
        let hole = |&(at, count): &(u64, u64)| at < end && begin < at.saturating_add(count);
        usize::try_from(length).is_ok_and(|length| length == block.len())
            && !self.holes.iter().any(hole)
            && self.blocks.get(number) == Some(&crc32fast::hash(block))
    }

    fn encode(&self) -> Vec<u8> {
        let holes = u64::try_from(self.holes.len()).unwrap_or(0);
        let mut out = Vec::with_capacity(64 + 4 * self.blocks.len());
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(u32::try_from(BLOCK).unwrap_or(0).to_le_bytes());
        for number in [self.base, self.length, self.entries, holes] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.blocks.iter().flat_map(|sum| sum.to_le_bytes()));
        for (at, count) in &self.holes {
            out.extend(at.to_le_bytes());
            out.extend(count.to_le_bytes());
        }
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = body;
        let right = take(&mut rest)? == MAGIC
            && u32::from_le_bytes(take(&mut rest)?) == VERSION
            && u64::from(u32::from_le_bytes(take(&mut rest)?)) == BLOCK_U64;
        let mut number = || Some(u64::from_le_bytes(take(&mut rest)?));
        let (base, length, entries, holes) = (number()?, number()?, number()?, number()?);
        let blocks = usize::try_from(length.div_ceil(BLOCK_U64)).ok()?;
        let (sums, rest) = rest.split_at_checked(blocks.checked_mul(4)?)?;
        if !right || usize::try_from(holes).ok()?.checked_mul(16)? != rest.len() {
            return None;
        }
        let (sums, _) = sums.as_chunks::<4>();
        let (pairs, _) = rest.as_chunks::<16>();
        let hole = |pair: &[u8; 16]| {
            let mut rest = pair.as_slice();
            Some((u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)))
        };
        let holes = pairs.iter().map(hole).collect::<Option<_>>()?;
        let blocks = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        Some(Self { base, length, entries, blocks, holes })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_sum() -> impl Strategy<Value = Sum> {
        let blocks = proptest::collection::vec(any::<u32>(), 0..20);
        let holes = proptest::collection::vec(any::<(u64, u64)>(), 0..3);
        (any::<u64>(), 0..BLOCK_U64, any::<u64>(), blocks, holes).prop_map(
            |(base, less, entries, blocks, holes)| {
                let length = (blocks.len() as u64 * BLOCK_U64).saturating_sub(less);
                Sum { base, length, entries, blocks, holes }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(sum in any_sum()) {
            prop_assert_eq!(Sum::decode(&sum.encode()), Some(sum));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_never_believed(sum in any_sum(), place in any::<proptest::sample::Index>(), bit in 0..8_u32) {
            let bytes = sum.encode();
            let place = place.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            prop_assert_eq!(Sum::decode(&flipped), None);
            prop_assert_eq!(Sum::decode(&bytes[..place]), None);
        }

        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<[u64; 4]>()) {
            drop(Sum::decode(&bytes));
            // With a right head and checksum the numbers themselves are tried.
            let mut made = Vec::from(MAGIC);
            made.extend(VERSION.to_le_bytes());
            made.extend(65_536_u32.to_le_bytes());
            made.extend(head.iter().flat_map(|number| number.to_le_bytes()));
            made.extend(bytes);
            made.extend(crc32fast::hash(&made).to_le_bytes());
            drop(Sum::decode(&made));
        }
    }

    /// The format, written down as bytes: it must be readable for ever.
    #[test]
    fn the_format_stays() {
        let sum =
            Sum { base: 3, length: 65_537, entries: 2, blocks: vec![5, 6], holes: vec![(7, 8)] };
        let mut bytes = b"auraesum\x01\0\0\0\0\0\x01\0".to_vec();
        for number in [3_u64, 65_537, 2, 1] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(sum.encode(), bytes);
    }
}
