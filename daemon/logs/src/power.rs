//! What a power cut leaves at the end of a log: bytes that count as written and were not, which read as zeros.
//!
//! A filesystem may bring the new length of a file to the disk before the bytes that are new in its last block (ext4 does,
//! where that block was there before). So once in each boot, before anybody reads or writes, the newest segment of each log
//! is looked at, and zeros at its very end are cut off, with a gap that says so.
//!
//! Invariants: within a boot nothing is cut, since what reads as zeros then is a program's; what has been on the disk for as
//! long as it is promised is not cut either; where it cannot be known, nothing is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use nix::fcntl::OFlag;

use crate::{
    disk::{self, holes},
    entry::{ENTRY_U64, Entry, GapReason, Kind},
    folder::{self, Folder},
    index::{Index, read_at},
    name::LogName,
    open,
    segment::{Segment, WriteError},
};

/// The largest block that a filesystem writes in part: a page.
const BLOCK: u64 = 4096;
/// How long the kernel may take on its own to write what is due: twice what it says (`dirty_expire_centisecs`).
const SLACK: Duration = Duration::from_secs(60);
/// Names the boot in which the store was looked through.
const MARK: &str = "boot-";

/// Looks through the store, unless that was done in this boot: the logs of which the end was cut. What was written more than
/// `interval` before the last write to any of them is on the disk, and is left alone.
pub(crate) fn cut_ends(root: &Path, interval: Duration) -> Vec<LogName> {
    match first_in_boot(root) {
        Ok(true) => cut_all(root, interval),
        // Without a mark it would be done again while programs write.
        Ok(false) | Err(_) => Vec::new(),
    }
}

/// Marks the store as looked through in this boot; false where it was.
fn first_in_boot(root: &Path) -> io::Result<bool> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mark = format!("{MARK}{}", boot.trim());
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(root.join(&mark)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    for name in folder::names(root).unwrap_or_default() {
        if name.starts_with(MARK) && name != mark {
            // One more is of no use and does no harm.
            fs::remove_file(root.join(name)).ok();
        }
    }
    Ok(true)
}

fn cut_all(root: &Path, interval: Duration) -> Vec<LogName> {
    let mut ends = Vec::new();
    for log in disk::logs(root) {
        let folder = Folder::new(root, &log);
        let base = folder.bases().ok().and_then(|bases| bases.last().copied());
        let written = base.and_then(|base| fs::metadata(folder.data(base)).ok()?.modified().ok());
        if let (Some(base), Some(written)) = (base, written) {
            ends.push((log, folder, base, written));
        }
    }
    let last = ends.iter().map(|&(.., written)| written).max();
    let due = |written: SystemTime| {
        last.and_then(|last| last.duration_since(written).ok())
            .is_some_and(|before| before <= interval.saturating_add(SLACK))
    };
    ends.retain(|&(.., written)| due(written));
    // What cannot be cut is read as it is.
    ends.retain(|(_, folder, base, written)| cut_end(folder, *base, *written).unwrap_or(false));
    ends.into_iter().map(|(log, ..)| log).collect()
}

/// Cuts zeros from the end of a segment, and has its index say how many; whether there were any.
fn cut_end(folder: &Folder, base: u64, written: SystemTime) -> Result<bool, WriteError> {
    let path = folder.data(base);
    let failed = |source| WriteError { path: path.clone(), source };
    let data = open::write(&path, OFlag::empty()).map_err(failed)?;
    // Both, before either is changed: what is foreign is left alone.
    open::write(&folder.index(base), OFlag::empty()).map_err(failed)?;
    let length = data.metadata().map_err(failed)?.len();
    let end = written_end(&data, length).map_err(failed)?;
    if end == length {
        return Ok(false);
    }
    data.set_len(end).map_err(failed)?;
    let markers = cut_index(folder, base, base.saturating_add(end))
        .map_err(|source| WriteError { path: folder.index(base), source })?;
    let mut segment = Segment::open(folder)?;
    let position = segment.end();
    let since = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let (bytes, reason) = (length.saturating_sub(end), GapReason::Damaged);
    let kind = Kind::Gap { stream: None, bytes, entries: 0, reason };
    segment.write_entry(&Entry { position, time, run: None, kind })?;
    for marker in markers {
        segment.write_entry(&Entry { position, ..marker })?;
    }
    Ok(true)
}

/// Cuts entries beyond the end off the index; gives those of them that are about no bytes.
fn cut_index(folder: &Folder, base: u64, end: u64) -> io::Result<Vec<Entry>> {
    let file = open::write(&folder.index(base), OFlag::empty())?;
    let mut index = Index::new(file.try_clone()?);
    let first = index.find(end.saturating_add(1))?;
    let mut markers = Vec::new();
    let mut next = first;
    while let Some((number, entry)) = index.entry_from(next)? {
        match entry.kind {
            Kind::Start { .. } | Kind::End { .. } => markers.push(entry),
            Kind::Data { .. } | Kind::Gap { .. } => {}
        }
        next = number.saturating_add(1);
    }
    file.set_len(first.saturating_mul(ENTRY_U64))?;
    Ok(markers)
}

/// Where the bytes end that were written: before a hole at the end, and before the zeros of the last block.
fn written_end(data: &File, length: u64) -> io::Result<u64> {
    let last = holes(data, length).pop();
    let end = match last {
        Some((at, count)) if at.saturating_add(count) >= length => at,
        Some(_) | None => length,
    };
    let Some(last) = end.checked_sub(1) else { return Ok(end) };
    let begin = last - last % BLOCK;
    let mut block = vec![0; usize::try_from(end - begin).unwrap_or(0)];
    let count = read_at(data, &mut block, begin)?;
    let written = block.get(..count).unwrap_or_default();
    let zeros = written.iter().rev().take_while(|&&byte| byte == 0).count();
    Ok(end.saturating_sub(u64::try_from(zeros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is in a file: what is cut are zeros, no more of those that were written than a block has, and none are
        /// left at the end of it.
        #[test]
        fn only_zeros_of_the_last_block_are_cut(
            text in proptest::collection::vec(0..3_u8, 0..200),
            zeros in 0..10_000_usize,
            hole in 0..3_u64,
        ) {
            let file = tempfile::tempfile().unwrap();
            let mut bytes = text;
            bytes.resize(bytes.len() + zeros, 0);
            file.write_all_at(&bytes, 0).unwrap();
            let written = bytes.len() as u64;
            let length = written.next_multiple_of(BLOCK) + hole * BLOCK;
            let length = if hole == 0 { written } else { length };
            file.set_len(length).unwrap();
            let end = written_end(&file, length).unwrap();
            prop_assert!(end <= length);
            let kept = usize::try_from(end.min(written)).unwrap();
            prop_assert!(bytes[kept..].iter().all(|&byte| byte == 0));
            // A hole, what is left of the block before it, and a block of zeros.
            prop_assert!(written.saturating_sub(end) <= BLOCK);
            let more = written_end(&file, end).unwrap();
            prop_assert!(more == end || end.is_multiple_of(BLOCK));
        }
    }
}
