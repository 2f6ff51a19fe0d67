//! The last changes of units, for whoever watches.
//!
//! Invariants: the supervisor never waits for a watcher. Numbers follow one another without a hole; what a watcher is
//! too slow for, or asks for too late, it is told as a gap.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use units::Change;

/// How many are kept: a thousand units that start and stop once.
const KEPT: usize = 8192;

/// The changes.
pub(crate) struct Changes {
    kept: Mutex<VecDeque<Arc<Change>>>,
    newest: watch::Sender<u64>,
    /// Which numbers these are; the next daemon goes on with them, unless it cannot know the last ones.
    series: String,
}

/// What follows a number.
pub(crate) struct Following {
    /// The first and last number of those that are not kept any more.
    pub(crate) gap: Option<(u64, u64)>,
    /// The changes, in order.
    pub(crate) changes: Vec<Arc<Change>>,
}

impl Changes {
    /// Those that an earlier daemon told, without a hole, and the number of its last one.
    pub(crate) fn resumed(series: String, kept: &[Arc<Change>], newest: u64) -> Self {
        let last = kept.iter().skip(kept.len().saturating_sub(KEPT)).cloned().collect();
        Self { kept: Mutex::new(last), newest: watch::Sender::new(newest), series }
    }

    /// Which numbers these are.
    pub(crate) fn series(&self) -> &str {
        &self.series
    }

    /// The number of the newest; 0 where there is none.
    pub(crate) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Told of each that comes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Adds one.
    pub(crate) fn add(&self, change: Arc<Change>) {
        let sequence = change.sequence;
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(change);
        drop(kept);
        self.newest.send_replace(sequence);
    }

    /// Those after this number, at most so many.
    pub(crate) fn after(&self, number: u64, most: usize) -> Following {
        let kept = self.lock();
        let next = self.newest().saturating_add(1);
        let oldest = kept.front().map_or(next, |change| change.sequence);
        let missing = number.saturating_add(1) < oldest;
        let gap = missing.then(|| (number.saturating_add(1), oldest.saturating_sub(1)));
        let begin = kept.partition_point(|change| change.sequence <= number);
        let changes = kept.iter().skip(begin).take(most).cloned().collect();
        Following { gap, changes }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Change>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use units::{ChangeCause, UnitResult, UnitState};

    use super::*;

    fn change(sequence: u64) -> Arc<Change> {
        Arc::new(Change {
            sequence,
            at: 0,
            name: "web".parse().unwrap(),
            from: UnitState::Inactive,
            to: UnitState::Starting,
            run: None,
            pid: 0,
            cause: ChangeCause::Readiness,
            result: UnitResult::Success,
            record: None,
        })
    }

    fn numbers(following: &Following) -> Vec<u64> {
        following.changes.iter().map(|change| change.sequence).collect()
    }

    #[test]
    fn those_after_a_number_follow_it() {
        let changes = Changes::resumed("1".to_owned(), &[], 0);
        assert!(changes.after(0, 10).changes.is_empty());
        (1..=5).for_each(|number| changes.add(change(number)));
        assert_eq!(changes.newest(), 5);
        assert_eq!(numbers(&changes.after(0, 10)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&changes.after(3, 1)), [4]);
        assert!(changes.after(5, 10).changes.is_empty());
        assert!(changes.after(9, 10).changes.is_empty());
        assert_eq!(changes.after(0, 10).gap, None);
    }

    #[test]
    fn what_is_not_kept_is_a_gap() {
        let changes = Changes::resumed("1".to_owned(), &[], 0);
        let last = u64::try_from(KEPT).unwrap() + 10;
        (1..=last).for_each(|number| changes.add(change(number)));
        let following = changes.after(3, 2);
        assert_eq!((following.gap, numbers(&following)), (Some((4, 10)), vec![11, 12]));
        assert_eq!(changes.after(10, 1).gap, None);
    }

    #[test]
    fn the_next_daemon_goes_on() {
        let kept = [change(4), change(5)];
        let changes = Changes::resumed("1".to_owned(), &kept, 5);
        assert_eq!((changes.newest(), changes.after(1, 9).gap), (5, Some((2, 3))));
        changes.add(change(6));
        assert_eq!(numbers(&changes.after(4, 9)), [5, 6]);
        // None of them is kept: all is a gap, and what comes follows it.
        let changes = Changes::resumed("1".to_owned(), &[], 5);
        assert_eq!(changes.after(3, 9).gap, Some((4, 5)));
        assert_eq!(changes.after(5, 9).gap, None);
        changes.add(change(6));
        assert_eq!(changes.after(3, 9).gap, Some((4, 5)));
    }
}
