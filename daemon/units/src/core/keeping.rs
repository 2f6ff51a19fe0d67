//! What of a step the next core must know.
//!
//! Invariant: nothing of a run or a unit changes without being looked at here at the end of the step, since the only ways
//! to either note that it was touched.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use super::{Action, Core};
use crate::{
    RunId,
    kept::{Keep, Numbers},
    run::Run,
};

/// The live runs, and which of them may have changed.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Boxed: a node has room for twice as many as it holds.
    all: BTreeMap<RunId, Box<Run>>,
    touched: Vec<RunId>,
}

impl Runs {
    pub(super) fn get(&self, id: &RunId) -> Option<&Run> {
        self.all.get(id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        let run = self.all.get_mut(id)?;
        // Most steps touch one run, often.
        if self.touched.last() != Some(id) {
            self.touched.push(*id);
        }
        Some(run)
    }

    pub(super) fn insert(&mut self, id: RunId, run: Run) {
        self.touched.push(id);
        self.all.insert(id, Box::new(run));
    }

    pub(super) fn remove(&mut self, id: &RunId) -> Option<Run> {
        self.all.remove(id).map(|run| *run)
    }

    pub(super) fn contains_key(&self, id: &RunId) -> bool {
        self.all.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// As they are, they are kept already.
    pub(super) fn forget_touched(&mut self) {
        self.touched.clear();
    }

    pub(super) fn iter(&self) -> btree_map::Iter<'_, RunId, Box<Run>> {
        self.all.iter()
    }
}

impl Core {
    /// Puts what has changed since the last step before the actions of this one.
    pub(super) fn keep(&mut self, first: usize, actions: &mut Vec<Action>) {
        let mut keeps = Vec::new();
        let mut touched = std::mem::take(&mut self.runs.touched);
        touched.sort_unstable();
        touched.dedup();
        for run in
            touched.drain(..).filter_map(|id| self.runs.all.get_mut(&id).map(|run| to_keep(run)))
        {
            keeps.extend(run);
        }
        // Kept for its room.
        self.runs.touched = touched;
        keeps.append(&mut self.over);
        self.touched_units.sort_unstable();
        self.touched_units.dedup();
        for name in self.touched_units.drain(..) {
            if let Some(unit) = self.units.get_mut(&name) {
                keeps.extend(unit.keep_anew().map(Keep::Unit));
            }
        }
        if !keeps.is_empty() {
            let numbers = Numbers { runs: self.total, ..self.draw.numbers() };
            actions.insert(first, Action::Keep { keeps, numbers });
        }
    }
}

/// What is to be kept of a run, if that has changed.
fn to_keep(run: &mut Run) -> Option<Keep> {
    let now = run.to_keep();
    if run.kept.as_deref() == Some(&now) {
        return None;
    }
    let now = Arc::new(now);
    run.kept = Some(Arc::clone(&now));
    Some(Keep::Run(now))
}
