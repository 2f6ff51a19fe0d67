//! Whether the log writer gets on: what it owes is the end of a run whose output is not in its log yet.
//!
//! The keeper sees whether we hear it, the doors whether we hear them, and here it is seen whether the log writer hears us.
//! Only who owes something is waited for, and whatever it does begins the time anew. Where we were held up ourselves
//! (stopped, frozen, starved), so was the log writer: it has the time again.

use std::time::Duration;

use logs::LogStore;

use super::Supervisor;
use crate::{clock, news::News, processes};

/// What the log writer owes.
#[derive(Debug)]
pub(super) struct LogDebt {
    /// For how long it may do nothing.
    bound: Duration,
    /// How many ends.
    ends: usize,
    /// When it has to have done something, on the monotonic clock, and how much it had done before.
    due: Option<(Duration, u64)>,
}

impl LogDebt {
    pub(super) fn new(bound: Duration) -> Self {
        Self { bound, ends: 0, due: None }
    }

    /// One more end is owed, by a writer that has made so many turns.
    pub(super) fn owe(&mut self, now: Duration, turns: u64) {
        self.ends += 1;
        self.due.get_or_insert((now.saturating_add(self.bound), turns));
    }

    /// One end has come.
    pub(super) fn paid(&mut self, now: Duration, turns: u64) {
        self.ends = self.ends.saturating_sub(1);
        self.due = (self.ends > 0).then_some((now.saturating_add(self.bound), turns));
    }

    /// When it is to be looked again.
    pub(super) fn due_at(&self) -> Option<Duration> {
        self.due.map(|(at, _)| at)
    }

    /// Whether it has done nothing for too long; if not, it has the time again.
    fn is_late(&mut self, now: Duration, turns: u64) -> bool {
        let Some((at, before)) = self.due.filter(|(at, _)| *at <= now) else { return false };
        self.due = Some((now.saturating_add(self.bound), turns));
        before == turns && now.saturating_sub(at) <= clock::HELD_UP
    }
}

impl Supervisor {
    /// The log writer is to tell of the end of one more run.
    pub(super) fn owe_end(&mut self) {
        self.log_debt.owe(clock::now().monotonic, self.logs.turns());
    }

    /// Ends the daemon where the log writer hangs: what runs has its pipes held by the keeper, and the next daemon goes on
    /// with them. One that waits for a disk would wait again; and without a keeper the pipes would be lost with us.
    pub(super) fn look_at_log_writer(&mut self, now: Duration) {
        let turns = self.logs.turns();
        if !self.log_debt.is_late(now, turns) {
            return;
        }
        let (ends, bound) = (self.log_debt.ends, self.log_debt.bound);
        if waits_for_disk(&self.logs) {
            tracing::error!(
                ends,
                "the log writer has waited for its disk for {bound:?}; the ends of runs wait for it"
            );
        } else if self.estate.life.is_lost() {
            tracing::error!(
                ends,
                "the log writer hangs, and there is no keeper that could start the next daemon; start auraed again"
            );
        } else {
            self.herald.tell(News::Failed(format!(
                "the log writer hangs: it has left the ends of {ends} runs lying for {bound:?}"
            )));
        }
    }
}

fn waits_for_disk(logs: &LogStore) -> bool {
    logs.writer_thread().is_some_and(processes::waits_for_disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_owes_nothing_is_never_late() {
        let mut debt = LogDebt::new(seconds(10));
        assert_eq!(debt.due_at(), None);
        debt.owe(seconds(0), 1);
        debt.paid(seconds(1), 2);
        assert_eq!(debt.due_at(), None);
        assert!(!debt.is_late(seconds(1000), 2));
        // More than was owed harms nobody.
        debt.paid(seconds(1001), 3);
        assert_eq!((debt.due_at(), debt.ends), (None, 0));
    }

    #[test]
    fn silence_is_late_and_progress_is_not() {
        let mut debt = LogDebt::new(seconds(10));
        debt.owe(seconds(0), 7);
        debt.owe(seconds(5), 7);
        assert_eq!(debt.due_at(), Some(seconds(10)));
        assert!(!debt.is_late(seconds(9), 7));
        assert!(!debt.is_late(seconds(10), 8), "it has done something");
        assert!(!debt.is_late(seconds(19), 8));
        debt.paid(seconds(19), 9);
        assert_eq!(debt.due_at(), Some(seconds(29)));
        assert!(debt.is_late(seconds(29), 9));
        assert!(!debt.is_late(seconds(30), 9), "told once in that time");
        assert!(debt.is_late(seconds(39), 9));
        assert!(!debt.is_late(seconds(60), 9), "we were held up ourselves");
        assert!(debt.is_late(seconds(70), 9));
    }
}
