//! What a power cut leaves at the end of a log: bytes that count as written and were not. Some read as zeros: a filesystem may
//! bring the new length of a file to the disk before the bytes that are new in its last block (ext4 does, where that block was
//! there before). Of others the index knows alone, which came to the disk further than its segment.
//!
//! So once in each boot, before anybody reads or writes, the newest segment of each log, and what was closed shortly before it,
//! is looked at, zeros at its very end are cut off, and one gap says how much is missing. Their positions are not given again: the next
//! segment begins behind them, so that a cursor of before the cut skips nothing that comes later.
//!
//! Invariants: within a boot nothing is cut once anybody may have written, since what reads as zeros then is a program's; what
//! has been on the disk for as long as it is promised is not cut either; where it cannot be known, nothing is.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
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
    sum::Sum,
};

/// The largest block that a filesystem writes in part: a page.
const BLOCK: u64 = 4096;
/// How long the kernel may take on its own to write what is due: twice what it says (`dirty_expire_centisecs`).
const SLACK: Duration = Duration::from_secs(60);
/// Names the boot in which the store is looked through: a file that is empty when that is done, and says before that when
/// something was last written.
const MARK: &str = "boot-";
/// The same while it is being made.
const NEW: &str = "boot-new";

/// Looks through the store, unless that was done in this boot: the logs of which the end was cut. What was written more than
/// `interval` before the last write to any of them is on the disk, and is left alone.
pub(crate) fn cut_ends(root: &Path, interval: Duration) -> Vec<LogName> {
    // Without a mark it would be done again while programs write. Asked first: a daemon that is not the first of its boot has
    // runs that wait for it, and a thousand logs take their time.
    let Ok(Some(mark)) = Mark::find(root) else { return Vec::new() };
    let ends = ends(root);
    let last = ends.iter().map(|end| end.written).max().unwrap_or(SystemTime::UNIX_EPOCH);
    let Ok((mark, last)) = mark.begin(root, last) else { return Vec::new() };
    let cut = cut_all(ends, last, interval);
    // It needs no room, and where even that fails it is looked at again.
    mark.set_len(0).ok();
    cut
}

/// What a store says of this boot that was not looked through to the end.
enum Mark {
    /// Under this name nothing is said yet.
    Missing(String),
    /// A daemon died over it, and has had no time to let anybody write; when something was last written, as it was found.
    Begun(PathBuf, SystemTime),
}

impl Mark {
    /// None where it was.
    fn find(root: &Path) -> io::Result<Option<Self>> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let name = format!("{MARK}{}", boot.trim());
        let path = root.join(&name);
        let mut file = match open::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Self::Missing(name)));
            }
            opened => opened?,
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let last = text.trim().parse().ok().map(Duration::from_nanos);
        Ok(last.map(|last| Self::Begun(path, SystemTime::UNIX_EPOCH + last)))
    }

    /// Marks the store as being looked through in this boot, with when something was `last` written.
    fn begin(self, root: &Path, last: SystemTime) -> io::Result<(File, SystemTime)> {
        let name = match self {
            Self::Missing(name) => name,
            Self::Begun(path, last) => return Ok((open::write(&path, OFlag::empty())?, last)),
        };
        let mut file = open::write(&root.join(NEW), OFlag::O_CREAT | OFlag::O_TRUNC)?;
        file.write_all(nanoseconds(last).to_string().as_bytes())?;
        fs::rename(root.join(NEW), root.join(&name))?;
        for other in folder::names(root).unwrap_or_default() {
            if other.starts_with(MARK) && other != name {
                // One more is of no use and does no harm.
                fs::remove_file(root.join(other)).ok();
            }
        }
        Ok((file, last))
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A segment to which something was written last, or shortly before that.
struct End {
    log: LogName,
    folder: Folder,
    base: u64,
    written: SystemTime,
}

/// The newest segment of each log, and those before it that were closed so shortly before that they have no checksums yet: what
/// is not as it was in the others is found by those.
fn ends(root: &Path) -> Vec<End> {
    let end = |log: &LogName, folder: &Folder, base: u64| {
        let written = fs::metadata(folder.data(base)).ok()?.modified().ok()?;
        Some(End { log: log.clone(), folder: folder.clone(), base, written })
    };
    let ends = |log: LogName| {
        let folder = Folder::new(root, &log);
        let mut bases = folder.bases().unwrap_or_default();
        let newest = bases.pop();
        let unsealed =
            bases.into_iter().rev().take_while(|&base| Sum::read(&folder, base).is_none());
        newest.into_iter().chain(unsealed).filter_map(|base| end(&log, &folder, base)).collect()
    };
    disk::logs(root).into_iter().flat_map::<Vec<End>, _>(ends).collect()
}

fn cut_all(mut ends: Vec<End>, last: SystemTime, interval: Duration) -> Vec<LogName> {
    ends.retain(|end| {
        let before = last.duration_since(end.written).unwrap_or_default();
        before <= interval.saturating_add(SLACK)
    });
    // What cannot be cut is read as it is.
    ends.retain(|end| cut_end(end).unwrap_or(false));
    let mut logs: Vec<LogName> = ends.into_iter().map(|end| end.log).collect();
    logs.dedup();
    logs
}

/// Cuts zeros from the end of a segment, and has its index say how many bytes are missing there; whether any are that it does
/// not say yet.
fn cut_end(End { folder, base, written, .. }: &End) -> Result<bool, WriteError> {
    let path = folder.data(*base);
    let failed = |source| WriteError { path: path.clone(), source };
    let data = open::write(&path, OFlag::empty()).map_err(failed)?;
    let length = data.metadata().map_err(failed)?.len();
    let end = written_end(&data, length).map_err(failed)?;
    let at = |offset: u64| Position(base.saturating_add(offset));
    // In this order: whoever dies between them, or loses power again, finds an index that knows more than there is.
    let told = cut_index(folder, *base, (at(end), at(length)), nanoseconds(*written))
        .map_err(|source| WriteError { path: folder.index(*base), source })?;
    if end == length {
        return Ok(told);
    }
    data.set_len(end).map_err(failed)?;
    // It counts when the others were written, too.
    data.set_modified(*written).ok();
    Ok(true)
}

/// Makes the index anew, where it or the segment knows of more than was written: starts, ends and gaps of runs that lie beyond
/// the end of that stand there, and then the gap, at the position behind all that is known. Whether that was to be done.
fn cut_index(
    folder: &Folder,
    base: u64,
    (end, known): (Position, Position),
    time: u64,
) -> io::Result<bool> {
    let path = folder.index(base);
    let mut file = open::write(&path, OFlag::empty())?;
    let mut index = Index::new(file.try_clone()?);
    let first = index.find(end.0.saturating_add(1))?;
    let (mut markers, mut known) = (Vec::new(), known);
    let (mut next, mut told) = (first, end);
    while let Some((number, entry)) = index.entry_from(next)? {
        known = known.max(entry.position);
        if entry.tells_of_cut(end.0) {
            told = entry.position;
        }
        match entry.kind {
            Kind::Start { .. } | Kind::End { .. } => markers.push(entry),
            Kind::Gap { .. } if entry.run.is_some() => markers.push(entry),
            // One of our own is told anew.
            Kind::Data { .. } | Kind::Gap { .. } => {}
        }
        next = number.saturating_add(1);
    }
    if told == known {
        return Ok(false);
    }
    let bytes = known.0.saturating_sub(end.0);
    let kind = Kind::Gap { stream: None, bytes, entries: 0, reason: GapReason::Damaged };
    let gap = Entry { position: known, time, run: None, kind };
    let mut all = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(first.saturating_mul(ENTRY_U64)).read_to_end(&mut all)?;
    let kept = markers.into_iter().map(|marker| Entry { position: end, ..marker });
    all.extend(kept.chain([gap]).flat_map(|entry| entry.encode()));
    let half = path.with_extension("idx.new");
    let mut new = open::write(&half, OFlag::O_CREAT | OFlag::O_TRUNC)?;
    let made = new.write_all(&all).and_then(|()| new.sync_data());
    let made = made.and_then(|()| fs::rename(&half, &path));
    if made.is_err() {
        fs::remove_file(&half).ok();
    }
    made.map(|()| true)
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
