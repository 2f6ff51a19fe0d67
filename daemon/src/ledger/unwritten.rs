//! What could not be written yet: of each thing the newest, so that it stays in bounds however long that lasts.

use std::collections::{HashMap, HashSet};

use prost::bytes::Bytes;

use super::entry::{Entry, Kind};

/// So many may wait before it is looked which of them still count.
const MANY: usize = 4096;

/// Of these entries those that still count, in their order.
pub(super) fn newest(entries: Vec<Entry>) -> Vec<Entry> {
    if entries.len() <= MANY {
        return entries;
    }
    let mut seen: HashSet<(u32, Bytes)> = HashSet::new();
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut left: Vec<Entry> = Vec::new();
    for entry in entries.into_iter().rev() {
        let kind = Kind::of(entry.kind);
        let of = |kind: Kind| (kind.number(), entry.key.clone());
        let over = kind == Some(Kind::Run)
            && [Kind::Ended, Kind::EndedOfUnit, Kind::Gone]
                .map(of)
                .iter()
                .any(|it| seen.contains(it));
        let count = counts.entry(entry.kind).or_default();
        let old = kind.is_some_and(|kind| *count >= kind.most());
        if seen.insert((entry.kind, entry.key.clone())) && !over && !old {
            *count += 1;
            left.push(entry);
        }
    }
    left.reverse();
    left
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::ledger::entry::{Contents, Step, VERSION};

    const KINDS: [Kind; 8] = [
        Kind::Numbers,
        Kind::Spec,
        Kind::Unit,
        Kind::Forgotten,
        Kind::Run,
        Kind::Gone,
        Kind::EndedOfUnit,
        Kind::Change,
    ];

    fn of(entries: Vec<Entry>) -> Vec<Entry> {
        let mut contents = Contents::default();
        assert!(contents.take(Step { version: VERSION, entries }));
        let mut all: Vec<Entry> = contents.entries().cloned().collect();
        all.sort_by(|one, other| (one.kind, &one.key).cmp(&(other.kind, &other.key)));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        /// Written late, it says the same as if it had been written at once.
        #[test]
        fn nothing_that_counts_is_left_out(
            said in vec((select(&KINDS[..]), 0_u8..40, any::<u8>()), MANY + 1..MANY + 600),
        ) {
            // A run that is over is over: nothing is said of it any more, and it is over in one way.
            let mut over = HashSet::new();
            let mut said = said;
            said.retain(|(kind, key, _)| {
                let ends = [Kind::Gone, Kind::EndedOfUnit].contains(kind);
                let first = !ends || over.insert(*key);
                first && !(*kind == Kind::Run && over.contains(key))
            });
            let mut entries: Vec<Entry> =
                said.into_iter().map(|(kind, key, body)| Entry::new(kind, vec![key], vec![body])).collect();
            // So many that it is looked at.
            entries.extend((0..MANY).map(|_| Entry::new(Kind::Numbers, vec![], vec![7])));
            let left = newest(entries.clone());
            prop_assert!(left.len() <= KINDS.len() * 40 + 1);
            prop_assert_eq!(of(left), of(entries));
        }
    }
}
