//! Numbers that must differ each time, drawn without I/O.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{RunId, kept::Numbers};

/// Ids of runs, luck for pauses, and the numbers of changes and starts. The ids and the luck are a hash of
/// the seed and of how many were drawn before, so that the same seed and events always lead to the same
/// actions, and ids are as unlikely to meet as the seeds are.
#[derive(Debug, Default)]
pub(crate) struct Draw {
    pub(crate) seed: [u8; 16],
    drawn: u64,
    changes: u64,
    starts: u64,
}

impl Draw {
    /// The id of a run that the core makes: in the form of a random UUID.
    pub(crate) fn run(&mut self) -> RunId {
        let (high, low) = (u128::from(self.luck()), u128::from(self.luck()));
        let bytes = (high << 64 | low).to_be_bytes();
        RunId::from_bytes(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }

    pub(crate) fn luck(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        (self.seed, self.drawn).hash(&mut hasher);
        hasher.finish()
    }

    /// The number of the next change, from 1.
    pub(crate) fn change(&mut self) -> u64 {
        self.changes = self.changes.wrapping_add(1);
        self.changes
    }

    /// The numbers so far; of runs it knows nothing.
    pub(crate) fn numbers(&self) -> Numbers {
        Numbers { changes: self.changes, starts: self.starts, runs: 0 }
    }

    /// Goes on after these numbers.
    pub(crate) fn go_on(&mut self, numbers: Numbers) {
        (self.changes, self.starts) = (numbers.changes, numbers.starts);
    }

    /// The number of the next start, from 1.
    pub(crate) fn start(&mut self) -> u64 {
        self.starts = self.starts.wrapping_add(1);
        self.starts
    }
}
