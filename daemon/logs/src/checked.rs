//! Reading a closed segment that has checksums: no byte is given of a block that is not as it was.

use std::{fs::File, io};

use crate::{
    folder::Folder,
    index::read_at,
    sum::{BLOCK, BLOCK_U64, Sum},
};

/// The sums of a segment, and the block that was read last.
#[derive(Debug)]
pub(crate) struct Checked {
    sum: Sum,
    number: Option<u64>,
    /// Empty if it is not as it was.
    block: Vec<u8>,
}

impl Checked {
    /// None where there are no sums: the segment is being written, or was until a moment ago. Sums of the last one are of
    /// no use, whoever made them: it may be written on.
    pub(crate) fn find(folder: &Folder, base: u64) -> Option<Self> {
        let sum = Sum::read(folder, base)?;
        folder.has_later(base, None).ok().filter(|later| *later).map(|_| sum).map(|sum| Self {
            sum,
            number: None,
            block: Vec::new(),
        })
    }

    /// Where the segment ended when it was closed.
    pub(crate) fn end(&self) -> u64 {
        self.sum.base.saturating_add(self.sum.length)
    }

    /// How many entries its index had.
    pub(crate) fn entries(&self) -> u64 {
        self.sum.entries
    }

    /// The bytes from this offset on as far as the block goes; or, where that is damaged, how many those would be.
    pub(crate) fn read(&mut self, data: &File, offset: u64) -> io::Result<Result<&[u8], u64>> {
        let number = offset / BLOCK_U64;
        let begin = number.saturating_mul(BLOCK_U64);
        if self.number != Some(number) {
            self.number = None;
            self.block.resize(BLOCK, 0);
            let left = self.sum.length.saturating_sub(begin);
            let length = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let buffer = self.block.get_mut(..length).unwrap_or_default();
            let count = read_at(data, buffer, begin)?;
            self.block.truncate(count);
            if !usize::try_from(number).is_ok_and(|number| self.sum.is_right(number, &self.block)) {
                self.block.clear();
            }
            self.number = Some(number);
        }
        let skipped = usize::try_from(offset.saturating_sub(begin)).unwrap_or(BLOCK);
        match self.block.get(skipped..) {
            Some(bytes) if !bytes.is_empty() => Ok(Ok(bytes)),
            Some(_) | None => Ok(Err(BLOCK_U64.saturating_sub(offset.saturating_sub(begin)))),
        }
    }
}
