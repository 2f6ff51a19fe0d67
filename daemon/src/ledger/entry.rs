//! What a step says: entries, each of one thing, of which the last counts.

use std::collections::{BTreeMap, HashMap, VecDeque};

use prost::{Message, bytes::Bytes};

/// The newest version of a step that is understood.
pub(crate) const VERSION: u32 = 1;

/// A step. Fields are only ever added.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Step {
    /// [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
    /// What it says.
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<Entry>,
}

/// One thing.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Entry {
    /// A [`Kind`].
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    /// Which of this kind.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key: Bytes,
    /// How it is.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) body: Bytes,
}

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Whose ledger it is; without a key.
    Head,
    /// The numbers that go on; without a key.
    Numbers,
    /// What a unit is, by its name.
    Spec,
    /// What a unit is to be started as, by its name.
    NextSpec,
    /// How a unit is, by its name.
    Unit,
    /// That a unit is forgotten, by its name.
    Forgotten,
    /// How a live run is, by its id.
    Run,
    /// That a run never was, by its id.
    Gone,
    /// How a run ended, by its id.
    Ended,
    /// The same of a unit's.
    EndedOfUnit,
    /// A change of a unit, by its number, the most significant byte first.
    Change,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Head,
        Self::Numbers,
        Self::Spec,
        Self::NextSpec,
        Self::Unit,
        Self::Forgotten,
        Self::Run,
        Self::Gone,
        Self::Ended,
        Self::EndedOfUnit,
        Self::Change,
    ];

    /// Its number in the file.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Head => 1,
            Self::Numbers => 2,
            Self::Spec => 3,
            Self::NextSpec => 4,
            Self::Unit => 5,
            Self::Forgotten => 6,
            Self::Run => 7,
            Self::Gone => 8,
            Self::Ended => 9,
            Self::EndedOfUnit => 10,
            Self::Change => 11,
        }
    }

    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// How many of it are kept: what the core remembers, and what watchers may ask for.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Ended | Self::EndedOfUnit => 512,
            Self::Change => 8192,
            Self::Head
            | Self::Numbers
            | Self::Spec
            | Self::NextSpec
            | Self::Unit
            | Self::Forgotten
            | Self::Run
            | Self::Gone => usize::MAX,
        }
    }
}

impl Entry {
    pub(super) fn new(kind: Kind, key: Vec<u8>, body: Vec<u8>) -> Self {
        Self { kind: kind.number(), key: key.into(), body: body.into() }
    }
}

/// What counts of all entries, in the order in which it was said.
#[derive(Debug, Default)]
pub(super) struct Contents {
    entries: BTreeMap<u64, (Kind, Entry)>,
    newest: HashMap<Kind, HashMap<Bytes, u64>>,
    by_age: HashMap<Kind, VecDeque<u64>>,
    next: u64,
    /// Entries of kinds that are not known.
    pub(super) unknown: usize,
}

impl Contents {
    /// Takes what a step says; false where it is of a newer version.
    pub(super) fn take(&mut self, step: Step) -> bool {
        if step.version > VERSION {
            return false;
        }
        step.entries.into_iter().for_each(|entry| self.add(entry));
        true
    }

    pub(super) fn add(&mut self, entry: Entry) {
        let Some(kind) = Kind::of(entry.kind) else {
            self.unknown += 1;
            return;
        };
        for superseded in match kind {
            Kind::Forgotten => &[Kind::Spec, Kind::NextSpec, Kind::Unit][..],
            Kind::Gone | Kind::Ended | Kind::EndedOfUnit => &[Kind::Run][..],
            Kind::Head
            | Kind::Numbers
            | Kind::Spec
            | Kind::NextSpec
            | Kind::Unit
            | Kind::Run
            | Kind::Change => &[][..],
        } {
            self.remove(*superseded, &entry.key);
        }
        if matches!(kind, Kind::Forgotten | Kind::Gone) {
            return;
        }
        self.remove(kind, &entry.key);
        self.newest.entry(kind).or_default().insert(entry.key.clone(), self.next);
        self.entries.insert(self.next, (kind, entry));
        if kind.most() < usize::MAX {
            let ages = self.by_age.entry(kind).or_default();
            ages.push_back(self.next);
            if ages.len() > kind.most()
                && let Some((_, old)) = ages.pop_front().and_then(|it| self.entries.remove(&it))
                && let Some(newest) = self.newest.get_mut(&kind)
            {
                newest.remove(&old.key);
            }
        }
        self.next += 1;
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, kind: Kind, key: &[u8]) {
        if let Some(at) = self.newest.get_mut(&kind).and_then(|newest| newest.remove(key)) {
            self.entries.remove(&at);
        }
    }

    /// One of them.
    pub(super) fn get(&self, kind: Kind, key: &[u8]) -> Option<&[u8]> {
        let at = self.newest.get(&kind)?.get(key)?;
        self.entries.get(at).map(|(_, entry)| &*entry.body)
    }

    /// All of a kind, in the order in which they were said.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |(one, _)| *one == kind).map(|(_, entry)| entry)
    }

    /// Everything that counts, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, key: u8, body: u8) -> Entry {
        Entry::new(kind, vec![key], vec![body])
    }

    #[test]
    fn the_last_one_of_a_thing_counts() {
        let mut contents = Contents::default();
        [
            said(Kind::Run, 1, 1),
            said(Kind::Unit, 1, 2),
            said(Kind::Spec, 1, 3),
            said(Kind::Run, 2, 4),
            said(Kind::Run, 1, 5),
            said(Kind::Ended, 2, 6),
            said(Kind::Forgotten, 1, 0),
        ]
        .into_iter()
        .for_each(|entry| contents.add(entry));
        assert_eq!(contents.get(Kind::Run, &[1]), Some(&[5][..]));
        assert_eq!(contents.get(Kind::Run, &[2]), None);
        assert_eq!(contents.get(Kind::Unit, &[1]), None);
        contents.add(said(Kind::Gone, 1, 0));
        let left: Vec<&Entry> = contents.entries().collect();
        assert_eq!(left, [&said(Kind::Ended, 2, 6)]);
    }

    #[test]
    fn old_ends_give_way() {
        let mut contents = Contents::default();
        for number in 0..600_u16 {
            let key = number.to_be_bytes().to_vec();
            contents.add(Entry::new(Kind::Ended, key.clone(), vec![]));
            contents.add(Entry::new(Kind::Run, key, vec![]));
        }
        assert_eq!(contents.all(Kind::Ended).count(), 512);
        assert_eq!(contents.get(Kind::Ended, &87_u16.to_be_bytes()), None);
        assert!(contents.get(Kind::Ended, &88_u16.to_be_bytes()).is_some());
        assert_eq!(contents.all(Kind::Run).count(), 600);
        assert_eq!(contents.newest.values().map(HashMap::len).sum::<usize>(), 512 + 600);
    }

    #[test]
    fn a_newer_step_is_not_taken() {
        let mut contents = Contents::default();
        let step = Step { version: VERSION + 1, entries: vec![said(Kind::Run, 1, 1)] };
        assert!(!contents.take(step));
        assert_eq!(contents.all(Kind::Run).count(), 0);
    }
}
