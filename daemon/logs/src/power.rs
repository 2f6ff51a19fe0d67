//! What a power cut leaves at the end of a log: bytes that count as written and were not, which read as zeros.
//!
//! A filesystem may bring the new length of a file to the disk before the bytes that are new in its last block (ext4 does,
//! where that block was there before). So once in each boot, before anybody reads or writes, the newest segment of each log
//! is looked at, and zeros at its very end are cut off, with a gap that says so. Their positions are not given again: the next
//! segment begins behind them, so that a cursor of before the cut skips nothing that comes later.
//!
//! Invariants: within a boot nothing is cut once anybody may have written, since what reads as zeros then is a program's; what
//! has been on the disk for as long as it is promised is not cut either; where it cannot be known, nothing is.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, SystemTime},
};

use nix::fcntl::OFlag;

use crate::{
    disk::{self, holes},
    entry::{ENTRY_U64, Entry, GapReason, Kind},
    folder::{self, Folder},
    index::{Index, read_at},
    name::{LogName, Position},
    open,
    segment::WriteError,
};

/// The largest block that a filesystem writes in part: a page.
const BLOCK: u64 = 4096;
/// How long the kernel may take on its own to write what is due: twice what it says (`dirty_expire_centisecs`).
const SLACK: Duration = Duration::from_secs(60);
/// Names the boot in which the store is looked through, and says how far that has come.
const MARK: &str = "boot-";
const BEGUN: &[u8; 5] = b"begun";
const DONE: &[u8; 5] = b"done\n";

/// Looks through the store, unless that was done in this boot: the logs of which the end was cut. What was written more than
/// `interval` before the last write to any of them is on the disk, and is left alone.
pub(crate) fn cut_ends(root: &Path, interval: Duration) -> Vec<LogName> {
    match begin(root) {
        Ok(Some(mark)) => {
            let cut = cut_all(root, interval);
            // In its place, which needs no room. Where even that fails, it is looked at again.
            mark.write_all_at(DONE, 0).ok();
            cut
        }
        // Without a mark it would be done again while programs write.
        Ok(None) | Err(_) => Vec::new(),
    }
}

/// Marks the store as being looked through in this boot; none where it was, to the end. A daemon that died over it has had no
/// time to let anybody write.
fn begin(root: &Path) -> io::Result<Option<File>> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mark = format!("{MARK}{}", boot.trim());
    let path = root.join(&mark);
    let file = match open::write(&path, OFlag::O_CREAT | OFlag::O_EXCL) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = open::write(&path, OFlag::empty())?;
            let mut word = [0; BEGUN.len()];
            read_at(&file, &mut word, 0)?;
            return Ok((word == *BEGUN).then_some(file));
        }
        Err(error) => return Err(error),
    };
    file.write_all_at(BEGUN, 0)?;
    for name in folder::names(root).unwrap_or_default() {
        if name.starts_with(MARK) && name != mark {
            // One more is of no use and does no harm.
            fs::remove_file(root.join(name)).ok();
        }
    }
    Ok(Some(file))
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
    let since = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let (bytes, reason) = (length.saturating_sub(end), GapReason::Damaged);
    let kind = Kind::Gap { stream: None, bytes, entries: 0, reason };
    let position = Position(base.saturating_add(length));
    let gap = Entry { position, time, run: None, kind };
    // In this order: whoever dies between them does it again, and finds the same.
    cut_index(folder, base, Position(base.saturating_add(end)), &gap)
        .map_err(|source| WriteError { path: folder.index(base), source })?;
    data.set_len(end).map_err(failed)?;
    // It counts when the others were written, too.
    data.set_modified(written).ok();
    Ok(true)
}

/// Ends the index at the end of what was written: entries beyond it that are about no bytes stand there, and then the gap, at
/// the position behind it.
fn cut_index(folder: &Folder, base: u64, end: Position, gap: &Entry) -> io::Result<()> {
    let file = open::write(&folder.index(base), OFlag::empty())?;
    let mut index = Index::new(file.try_clone()?);
    let first = index.find(end.0.saturating_add(1))?;
    let mut markers = Vec::new();
    let mut next = first;
    while let Some((number, entry)) = index.entry_from(next)? {
        match entry.kind {
            Kind::Start { .. } | Kind::End { .. } => markers.push(entry),
            Kind::Data { .. } | Kind::Gap { .. } => {}
        }
        next = number.saturating_add(1);
    }
    let kept = markers.into_iter().map(|marker| Entry { position: end, ..marker });
    let bytes: Vec<u8> = kept.chain([*gap]).flat_map(|entry| entry.encode()).collect();
    let from = first.saturating_mul(ENTRY_U64);
    file.write_all_at(&bytes, from)?;
    file.set_len(from.saturating_add(u64::try_from(bytes.len()).unwrap_or(0)))
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
