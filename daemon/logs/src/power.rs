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
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::fcntl::OFlag;

use crate::{
    disk::{self, holes},
    entry::{ENTRY, ENTRY_U64, Entry, GapReason, Kind},
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
    let since = last.checked_sub(interval.saturating_add(SLACK)).unwrap_or(SystemTime::UNIX_EPOCH);
    let recent = ends.into_iter().filter(|end| end.written >= since);
    // What cannot be cut is read as it is.
    let cut = recent.filter(|end| {
        let cut = |segment: &Segment| cut_segment(&end.folder, segment).unwrap_or(false);
        let cut: Vec<bool> = end.segments(since).iter().map(cut).collect();
        cut.contains(&true)
    });
    let cut = cut.map(|end| end.log).collect();
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

/// The end of a log.
struct End {
    log: LogName,
    folder: Folder,
    /// Where its segments begin.
    bases: Vec<u64>,
    /// When something was written to the newest one.
    written: SystemTime,
}

/// A segment.
struct Segment {
    base: u64,
    /// Where the one after it begins, if there is one.
    next: Option<u64>,
    written: SystemTime,
}

/// The logs that have a segment.
fn ends(root: &Path) -> Vec<End> {
    let end = |log: LogName| {
        let folder = Folder::new(root, &log);
        let bases = folder.bases().ok()?;
        let written = written(&folder, *bases.last()?)?;
        Some(End { log, folder, bases, written })
    };
    disk::logs(root).into_iter().filter_map(end).collect()
}

fn written(folder: &Folder, base: u64) -> Option<SystemTime> {
    fs::metadata(folder.data(base)).ok()?.modified().ok()
}

impl End {
    /// The newest segment, and those that were closed so shortly before that they have no checksums yet: what is not as it was
    /// in the others is found by those.
    fn segments(&self, since: SystemTime) -> Vec<Segment> {
        let mut after = None;
        let segments = self.bases.iter().rev().map_while(|&base| {
            let (next, written) = (after.replace(base), written(&self.folder, base)?);
            (written >= since).then_some(Segment { base, next, written })
        });
        let unsealed =
            |it: &Segment| it.next.is_none() || Sum::read(&self.folder, it.base).is_none();
        segments.filter(unsealed).collect()
    }
}

/// Cuts zeros from the end of a segment, and has its index say how many bytes are missing there; whether anything was to be done.
fn cut_segment(folder: &Folder, segment: &Segment) -> Result<bool, WriteError> {
    let &Segment { base, next, written } = segment;
    let path = folder.data(base);
    let failed = |source| WriteError { path: path.clone(), source };
    let data = open::write(&path, OFlag::empty()).map_err(failed)?;
    let length = data.metadata().map_err(failed)?.len();
    let whole = written_end(&data, length).map_err(failed)?;
    let at = |offset: u64| Position(base.saturating_add(offset));
    // One without a byte takes up one position.
    let next = next.filter(|&next| length > 0 || next > base.saturating_add(1)).map(Position);
    let known = at(length).max(next.unwrap_or(Position(0)));
    // In this order: whoever dies between them, or loses power again, finds an index that knows more than there is.
    let cut = cut_index(folder, base, (at(whole), known), nanoseconds(written))
        .map_err(|source| WriteError { path: folder.index(base), source })?;
    if whole == length {
        return Ok(cut);
    }
    data.set_len(whole).map_err(failed)?;
    // It counts when the others were written, too.
    data.set_modified(written).ok();
    Ok(true)
}

/// What an index has beyond the end of what was written.
struct Beyond {
    /// How many entries lie before that.
    first: u64,
    /// Starts, ends and gaps of runs, and what else is no news of bytes.
    markers: Vec<Entry>,
    /// The last position that it knows of.
    known: Position,
    /// Up to there it says already that bytes are missing.
    told: Position,
    /// How many entries are bad before the first good one of them.
    bad: u64,
}

impl Beyond {
    fn read(index: &mut Index, end: Position) -> io::Result<Self> {
        let first = index.find(end.0.saturating_add(1))?;
        let mut beyond = Self { first, markers: Vec::new(), known: end, told: end, bad: 0 };
        let mut next = first;
        while let Some((number, entry)) = index.entry_from(next)? {
            if next == first {
                beyond.bad = number.saturating_sub(first);
            }
            beyond.known = beyond.known.max(entry.position);
            if entry.tells_of_cut(end.0) {
                beyond.told = entry.position;
            }
            match entry.kind {
                // One that tells of damage is told anew.
                Kind::Gap { reason: GapReason::Damaged, .. } if entry.run.is_none() => {}
                Kind::Start { .. } | Kind::End { .. } | Kind::Gap { .. } => {
                    beyond.markers.push(entry);
                }
                Kind::Data { .. } => {}
            }
            next = number.saturating_add(1);
        }
        if next == first {
            beyond.bad = index.count()?.saturating_sub(first);
        }
        Ok(beyond)
    }
}

/// Makes the index anew, where it or the segment knows of more than was written: the gap, at the position behind all that is
/// known, and there starts, ends and gaps of runs that lay beyond the end of that, so that who has read them and goes on from
/// before them misses none. Whether that was to be done.
fn cut_index(
    folder: &Folder,
    base: u64,
    (end, known): (Position, Position),
    time: u64,
) -> io::Result<bool> {
    let path = folder.index(base);
    let file = open::write(&path, OFlag::empty())?;
    let beyond = Beyond::read(&mut Index::new(file.try_clone()?), end)?;
    let known = known.max(beyond.known);
    if beyond.told == known {
        return Ok(false);
    }
    let mut all = vec![0; usize::try_from(beyond.first.saturating_mul(ENTRY_U64)).unwrap_or(0)];
    file.read_exact_at(&mut all, 0)?;
    let gap = |position, bytes, entries| {
        let kind = Kind::Gap { stream: None, bytes, entries, reason: GapReason::Damaged };
        Entry { position, time, run: None, kind }
    };
    if beyond.bad > 0 {
        // Whose the bytes are from the last good one on is not known.
        let last = all.rchunks_exact(ENTRY).find_map(Entry::decode);
        let at = last.map_or(Position(base), |entry| entry.position);
        all.extend(gap(at, 0, beyond.bad).encode());
    }
    all.extend(gap(known, known.0.saturating_sub(end.0), 0).encode());
    let markers = beyond.markers.into_iter().map(|marker| Entry { position: known, ..marker });
    all.extend(markers.flat_map(|marker| marker.encode()));
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
