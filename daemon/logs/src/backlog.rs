//! What could not be written to an index yet.

use std::collections::VecDeque;

use units::RunId;

use crate::{
    entry::{Entry, GapReason, Kind},
    name::{Position, Stream},
};

/// Entries that wait for a disk. Beyond this many they are counted only.
const BOUND: usize = 4096;

/// Entries that wait, in order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    /// What found no room above, as one gap.
    overflow: Option<Entry>,
}

impl Backlog {
    /// Bytes of a run were thrown away.
    pub(crate) fn lost(&mut self, run: RunId, stream: Stream, bytes: u64, time: u64) {
        // Add them to the gap of the same run and stream, if no start or end lies between.
        for entry in self.entries.iter_mut().rev().filter(|entry| entry.run == Some(run)) {
            match &mut entry.kind {
                Kind::Gap { stream: Some(other), bytes: sum, .. } if *other == stream => {
                    *sum = sum.saturating_add(bytes);
                    return;
                }
                Kind::Gap { .. } => {}
                Kind::Start { .. } | Kind::Data { .. } | Kind::End { .. } => break,
            }
        }
        let reason = GapReason::NotWritten;
        let kind = Kind::Gap { stream: Some(stream), bytes, entries: 0, reason };
        self.push(Entry { position: Position(0), time, run: Some(run), kind });
    }

    /// An entry could not be written.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.len() < BOUND {
            self.entries.push_back(entry);
            return;
        }
        let bytes = match entry.kind {
            Kind::Gap { bytes, .. } => bytes,
            Kind::Start { .. } | Kind::Data { .. } | Kind::End { .. } => 0,
        };
        let reason = GapReason::NotWritten;
        let none = Kind::Gap { stream: None, bytes: 0, entries: 0, reason };
        let empty = Entry { position: Position(0), time: entry.time, run: None, kind: none };
        let overflow = self.overflow.get_or_insert(empty);
        if let Kind::Gap { bytes: sum, entries, .. } = &mut overflow.kind {
            *sum = sum.saturating_add(bytes);
            *entries = entries.saturating_add(1);
        }
    }

    /// The entry to be written next.
    pub(crate) fn front(&self) -> Option<Entry> {
        self.entries.front().copied().or(self.overflow)
    }

    /// That entry was written.
    pub(crate) fn pop(&mut self) {
        if self.entries.pop_front().is_none() {
            self.overflow = None;
        }
    }
}
