//! How much of the logs is kept, and for how long.
//!
//! What goes are whole segments that are closed, the oldest first. The segment that is being written never goes, so
//! segments are made small enough for the bounds: an eighth of what a log may take, and an eighth of what all may take
//! together for all that are being written.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use nix::sys::statvfs::statvfs;

use crate::{log::Sizes, name::LogName, running::Running};

/// All logs together have at most this, however large the filesystem is.
const MOST_OF_ALL: u64 = 4 << 30;
/// Segments are not made smaller than this, or than they would be anyway: each costs three files.
const SMALLEST_SEGMENT: u64 = 64 << 10;
/// So much stays even where others have filled the disk.
const LEAST: u64 = 16 << 20;
/// What is written reaches the disk at most so much later, unless the machine loses power first.
const SYNC_INTERVAL: Duration = Duration::from_mins(5);

/// What one log may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of its files.
    pub bytes: Option<u64>,
    /// Segments go that were closed longer ago. One that is being written is closed after an eighth of that.
    pub age: Option<Duration>,
}

/// How much is kept. The default is: everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of all logs together, but for the audit log, which is bounded for itself: no output of a program drives
    /// out what was written about who did what.
    pub total: Option<u64>,
    /// Bytes of the filesystem that are left to others.
    pub keep_free: Option<u64>,
    /// What each log may take that has no bounds of its own.
    pub each: Bounds,
    /// What these logs may take. What is not said here is as for each.
    pub of: BTreeMap<LogName, Bounds>,
    /// After this time what was written is on the disk.
    pub sync_interval: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let (each, of) = (Bounds::default(), BTreeMap::new());
        Self { total: None, keep_free: None, each, of, sync_interval: SYNC_INTERVAL }
    }
}

impl Retention {
    /// What is right for logs below this folder, which must exist: 10 % of the filesystem and at most 4 GiB for all, a
    /// quarter of that for each, and 15 % of the filesystem, at most 4 GiB, left to others; for any time.
    ///
    /// # Errors
    /// If the filesystem does not say how large it is.
    pub fn for_filesystem(root: &Path) -> io::Result<Self> {
        let size = statvfs(root)?;
        let size = size.blocks().saturating_mul(size.fragment_size());
        let total = (size / 10).min(MOST_OF_ALL);
        let keep_free = (size / 100).saturating_mul(15).min(MOST_OF_ALL);
        let mut retention = Self { keep_free: Some(keep_free), ..Self::default() };
        retention.bound_all(total);
        Ok(retention)
    }

    /// Bounds all logs together, and each to a quarter of that.
    pub fn bound_all(&mut self, total: u64) {
        self.total = Some(total);
        self.each.bytes = Some(total / 4);
    }

    /// What this log may take.
    #[must_use]
    pub fn bounds(&self, log: &LogName) -> Bounds {
        let own = self.of.get(log).copied().unwrap_or_default();
        Bounds { bytes: own.bytes.or(self.each.bytes), age: own.age.or(self.each.age) }
    }

    /// Whether anything goes when it is old enough.
    pub(crate) fn by_age(&self) -> bool {
        self.each.age.is_some() || self.of.values().any(|bounds| bounds.age.is_some())
    }

    /// When segments of this log are closed, of so many logs.
    pub(crate) fn sizes(&self, log: &LogName, logs: usize, usual: Sizes) -> Sizes {
        let share = self.bounds(log).bytes.map_or(u64::MAX, |bytes| bytes / 8);
        let logs = u64::try_from(logs).unwrap_or(u64::MAX).max(1);
        let of_all = self.total.map_or(u64::MAX, |total| total / 8 / logs);
        let bytes = share.min(of_all).max(SMALLEST_SEGMENT);
        Sizes {
            segment_bytes: usual.segment_bytes.min(bytes),
            segment_entries: usual.segment_entries.min(bytes / crate::entry::ENTRY_U64),
            ..usual
        }
    }

    /// Bytes that the closed segments of this log may have: what the one that is being written may become is its own.
    pub(crate) fn closed_bytes(&self, log: &LogName, sizes: Sizes) -> u64 {
        let bytes = self.bounds(log).bytes.unwrap_or(u64::MAX);
        let index = sizes.segment_entries.saturating_mul(crate::entry::ENTRY_U64);
        let running = Running::bytes(sizes.segment_bytes);
        bytes.saturating_sub(sizes.segment_bytes).saturating_sub(index).saturating_sub(running)
    }

    /// Bytes that all closed segments may have together, where so many are in those that are being written, so many in
    /// the closed ones, and so many are free on the filesystem, if that is known.
    pub(crate) fn all_closed_bytes(&self, active: u64, closed: u64, free: Option<u64>) -> u64 {
        let total = self.total.unwrap_or(u64::MAX);
        // Those that are being written grow until this is looked at again.
        let bound = total.saturating_sub(total / 8).saturating_sub(active);
        let missing = self.keep_free.zip(free).map_or(0, |(keep, free)| keep.saturating_sub(free));
        if missing == 0 {
            return bound;
        }
        let least = LEAST.min(total / 2).saturating_sub(active);
        bound.min(closed.saturating_sub(missing).max(least))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Sizes = Sizes { segment_bytes: 64 << 20, segment_entries: 1 << 18, copy: false };

    proptest! {
        /// Whatever the bound is: what is closed and what is being written fit into it together, down to the bound at
        /// which segments are as small as they get.
        #[test]
        fn segments_fit_their_bounds(bytes in 8 * SMALLEST_SEGMENT..1 << 40, logs in 1_usize..5000) {
            let mut retention = Retention::default();
            retention.each.bytes = Some(bytes);
            let sizes = retention.sizes(&LogName::Commands, logs, USUAL);
            let closed = retention.closed_bytes(&LogName::Commands, sizes);
            let running = Running::bytes(sizes.segment_bytes);
            let open = sizes.segment_bytes + sizes.segment_entries * 64 + running;
            prop_assert!(closed + open <= bytes);
            prop_assert!(closed + running >= bytes / 4 * 3);
            prop_assert!(sizes.segment_bytes <= USUAL.segment_bytes);
        }

        #[test]
        fn nothing_overflows(total in any::<u64>(), active in any::<u64>(), closed in any::<u64>(), free in any::<u64>()) {
            let mut retention = Retention { keep_free: Some(free / 2), ..Retention::default() };
            retention.bound_all(total);
            prop_assert!(retention.all_closed_bytes(active, closed, Some(free)) <= total);
        }
    }

    #[test]
    fn a_log_may_have_bounds_of_its_own() {
        let mut retention = Retention::default();
        retention.bound_all(4096);
        retention.of.insert(LogName::Audit, Bounds { bytes: Some(5), age: None });
        retention.each.age = Some(Duration::from_secs(3));
        assert_eq!(retention.bounds(&LogName::Audit).bytes, Some(5));
        assert_eq!(retention.bounds(&LogName::Audit).age, Some(Duration::from_secs(3)));
        assert_eq!(retention.bounds(&LogName::Daemon).bytes, Some(1024));
    }

    #[test]
    fn others_have_their_part_of_the_disk_but_not_all() {
        let mut retention = Retention { keep_free: Some(100 << 20), ..Retention::default() };
        retention.bound_all(1 << 30);
        let closed = 500 << 20;
        assert_eq!(retention.all_closed_bytes(0, closed, Some(90 << 20)), 490 << 20);
        assert_eq!(retention.all_closed_bytes(0, closed, Some(200 << 20)), 896 << 20);
        retention.keep_free = Some(4 << 30);
        assert_eq!(retention.all_closed_bytes(0, closed, Some(0)), LEAST);
    }
}
