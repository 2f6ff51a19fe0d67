//! What there is on disk of all logs, and what of it must go. No file is touched here.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    log::Sizes,
    name::LogName,
    retention::{Bounds, Retention},
};

/// A segment that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) base: u64,
    /// Of its files together.
    pub(crate) bytes: u64,
    /// When it was written last, in nanoseconds since 1970.
    pub(crate) time: u64,
}

/// The segment that is being written, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Active {
    pub(crate) base: u64,
    /// Of its files together.
    pub(crate) bytes: u64,
    /// The time of its first entry, if it has one.
    pub(crate) first: Option<u64>,
    /// It was asked to be closed.
    pub(crate) asked: bool,
}

/// The segments of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// In order of their places, which is that of their time unless the clock was set.
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) active: Active,
}

impl Holding {
    fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.bytes).fold(0, u64::saturating_add)
    }
}

/// The segments of all logs.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) logs: BTreeMap<LogName, Holding>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Surplus {
    /// These segments go, in this order. They are not held any more.
    pub(crate) remove: Vec<(LogName, u64)>,
    /// The segments of these that are being written are closed, so that they can go.
    pub(crate) close: Vec<LogName>,
    /// Nothing is left of these.
    pub(crate) empty: Vec<LogName>,
}

impl Holdings {
    /// Finds what goes: what is too old, what is too much for its log, and what is too much for all.
    pub(crate) fn surplus(
        &mut self,
        retention: &Retention,
        sizes: impl Fn(&LogName) -> Sizes,
        (now, free): (u64, Option<u64>),
    ) -> Surplus {
        let mut surplus = Surplus::default();
        for (log, holding) in &mut self.logs {
            let Bounds { bytes, age } = retention.bounds(log);
            let closed = &mut holding.closed;
            if let Some(age) = age {
                while closed.front().is_some_and(|first| is_past(first.time, age, now)) {
                    surplus.remove.extend(pop(log, closed));
                }
                let active = &mut holding.active;
                if active.first.is_some_and(|first| is_past(first, age / 8, now)) {
                    surplus.close.extend(ask(log, active));
                }
            }
            if bytes.is_some() {
                let most = retention.closed_bytes(log, sizes(log));
                while holding.closed_bytes() > most {
                    surplus.remove.extend(pop(log, &mut holding.closed));
                }
            }
        }
        self.bound_all(retention, free, &mut surplus);
        let nothing = |holding: &Holding| {
            holding.closed.is_empty() && holding.active.bytes == 0 && holding.active.base > 0
        };
        let empty = self.logs.iter().filter(|(_, holding)| nothing(holding));
        surplus.empty = empty.map(|(log, _)| log.clone()).filter(is_units).collect();
        surplus
    }

    fn bound_all(&mut self, retention: &Retention, free: Option<u64>, surplus: &mut Surplus) {
        let bounded = |(log, _): &(&LogName, &Holding)| **log != LogName::Audit;
        let active = self.logs.iter().filter(bounded).map(|(_, holding)| holding.active.bytes);
        let active = active.fold(0, u64::saturating_add);
        let closed = self.logs.iter().filter(bounded).map(|(_, holding)| holding.closed_bytes());
        let mut closed = closed.fold(0, u64::saturating_add);
        let most = retention.all_closed_bytes(active, closed, free);
        while closed > most {
            let oldest = self.logs.iter_mut().filter(|(log, _)| **log != LogName::Audit);
            let oldest = oldest.filter(|(_, holding)| !holding.closed.is_empty());
            let oldest =
                oldest.min_by_key(|(_, holding)| holding.closed.front().map(|first| first.time));
            let Some((log, holding)) = oldest else { return };
            closed = closed.saturating_sub(holding.closed.front().map_or(0, |first| first.bytes));
            surplus.remove.extend(pop(log, &mut holding.closed));
        }
        let total = retention.total.unwrap_or(u64::MAX);
        let mut over = active.saturating_sub(total.saturating_sub(total / 8));
        while over > 0 {
            // Those that are being written are too much already: the oldest are closed, and go the next time.
            let logs = self.logs.iter_mut().filter(|(log, _)| **log != LogName::Audit);
            let open = logs.filter(|(_, it)| it.active.first.is_some() && !it.active.asked);
            let Some((log, oldest)) = open.min_by_key(|(_, it)| it.active.first) else { return };
            over = over.saturating_sub(oldest.active.bytes);
            surplus.close.extend(ask(log, &mut oldest.active));
        }
    }

    /// When something will be too old, if time alone makes anything so.
    pub(crate) fn next_look(&self, retention: &Retention) -> Option<u64> {
        let due = self.logs.iter().filter_map(|(log, holding)| {
            let age = retention.bounds(log).age?;
            let closed = holding.closed.front().map(|first| after(first.time, age));
            let active = holding.active.first.filter(|_| !holding.active.asked);
            let active = active.map(|first| after(first, age / 8));
            closed.into_iter().chain(active).min()
        });
        due.min()
    }
}

fn is_units(log: &LogName) -> bool {
    match log {
        LogName::Unit(_) => true,
        LogName::Daemon | LogName::Audit | LogName::Commands => false,
    }
}

fn pop(log: &LogName, closed: &mut VecDeque<Closed>) -> Option<(LogName, u64)> {
    closed.pop_front().map(|first| (log.clone(), first.base))
}

fn ask(log: &LogName, active: &mut Active) -> Option<LogName> {
    (!std::mem::replace(&mut active.asked, true)).then(|| log.clone())
}

fn after(time: u64, age: Duration) -> u64 {
    time.saturating_add(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
}

fn is_past(time: u64, age: Duration, now: u64) -> bool {
    after(time, age) <= now
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes { segment_bytes: 10, segment_entries: 0, copy: false };

    fn holdings(logs: &[(LogName, &[(u64, u64)])]) -> Holdings {
        let mut holdings = Holdings::default();
        for (log, segments) in logs {
            let closed = (0..).zip(*segments);
            let closed =
                closed.map(|(base, &(bytes, time))| Closed { base, bytes, time }).collect();
            let active = Active { base: 99, bytes: 10, first: Some(1000), ..Active::default() };
            holdings.logs.insert(log.clone(), Holding { closed, active });
        }
        holdings
    }

    fn surplus(holdings: &mut Holdings, retention: &Retention, now: u64) -> Surplus {
        holdings.surplus(retention, |_| SIZES, (now, None))
    }

    #[test]
    fn the_oldest_go_first_across_logs_and_the_audit_log_stays() {
        let mut retention = Retention { total: Some(160), ..Retention::default() };
        let unit = LogName::Unit("web".parse().unwrap());
        let mut holdings = holdings(&[
            (LogName::Commands, &[(50, 2), (50, 5)]),
            (unit.clone(), &[(50, 3), (50, 4)]),
            (LogName::Audit, &[(500, 1)]),
        ]);
        // 160, less an eighth, less 20 that are being written: 120 for 200.
        let gone = surplus(&mut holdings, &retention, 9);
        assert_eq!(gone.remove, [(LogName::Commands, 0), (unit.clone(), 0)]);
        assert_eq!(surplus(&mut holdings, &retention, 9), Surplus::default());
        retention.of.insert(LogName::Audit, Bounds { bytes: Some(400), age: None });
        assert_eq!(surplus(&mut holdings, &retention, 9).remove, [(LogName::Audit, 0)]);
        // Nothing but what is being written is left, and that is too much.
        retention.total = Some(8);
        let gone = surplus(&mut holdings, &retention, 9);
        assert_eq!(gone.remove, [(unit.clone(), 1), (LogName::Commands, 1)]);
        assert_eq!(gone.close, [LogName::Commands, unit]);
        assert_eq!(surplus(&mut holdings, &retention, 9), Surplus::default());
    }

    #[test]
    fn what_is_too_old_goes_and_what_is_being_written_is_closed() {
        let mut retention = Retention::default();
        retention.each.age = Some(Duration::from_nanos(80));
        let mut holdings = holdings(&[(LogName::Daemon, &[(1, 900), (1, 950), (1, 940)])]);
        assert_eq!(holdings.next_look(&retention), Some(980));
        assert_eq!(surplus(&mut holdings, &retention, 979), Surplus::default());
        assert_eq!(surplus(&mut holdings, &retention, 980).remove, [(LogName::Daemon, 0)]);
        assert_eq!(holdings.next_look(&retention), Some(1010));
        let gone = surplus(&mut holdings, &retention, 1010);
        assert_eq!((gone.remove, gone.close), (vec![], vec![LogName::Daemon]));
        // Behind a younger one, an older one waits: order is by place.
        assert_eq!(surplus(&mut holdings, &retention, 1029), Surplus::default());
        assert_eq!(surplus(&mut holdings, &retention, 1030).remove.len(), 2);
        assert_eq!(holdings.next_look(&retention), None);
    }

    proptest! {
        /// Whatever there is: afterwards each log and all together are within their bounds, and no log has a hole.
        #[test]
        fn what_stays_fits(
            logs in proptest::collection::vec(proptest::collection::vec((0..1000_u64, any::<u64>()), 0..9), 0..9),
            total in 0..20_000_u64, each in 0..3000_u64,
        ) {
            let names = (0..).map(|n: u32| LogName::Unit(format!("u{n}").parse().unwrap()));
            let logs: Vec<_> = names.zip(&logs).map(|(name, log)| (name, log.as_slice())).collect();
            let mut it = holdings(&logs);
            let mut retention = Retention { total: Some(total), ..Retention::default() };
            retention.each.bytes = Some(each);
            let gone = surplus(&mut it, &retention, 0);
            let mut all = 0;
            for (name, segments) in &logs {
                let kept = &it.logs[name].closed;
                let removed = gone.remove.iter().filter(|(log, _)| log == name).map(|(_, base)| *base);
                let whole: Vec<u64> = removed.chain(kept.iter().map(|closed| closed.base)).collect();
                prop_assert_eq!(whole, (0..segments.len() as u64).collect::<Vec<_>>());
                prop_assert!(it.logs[name].closed_bytes() <= each.saturating_sub(10));
                all += it.logs[name].closed_bytes();
            }
            prop_assert!(all + 10 * logs.len() as u64 <= total.max(10 * logs.len() as u64));
        }
    }
}
