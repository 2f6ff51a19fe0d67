//! What of a step the next core must know.
//!
//! Invariant: nothing of a run or a unit changes without being looked at here at the end of the step, since the only ways
//! to either note that it was touched; and what was changed there marks itself (`crate::noted`).

use std::collections::{BTreeMap, HashMap, btree_map};

use super::{Action, Core};
use crate::{
    Name, RunId,
    kept::{Keep, Numbers},
    run::Run,
    unit::Unit,
};

/// So many dead units may be known whose names were made up.
const MOST_NAMELESS: usize = 1000;

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

/// The units that are loaded, and which of them may have changed.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Boxed: a table has room for twice as many as it holds.
    all: HashMap<Name, Box<Unit>>,
    touched: Vec<Name>,
}

impl Units {
    pub(super) fn get(&self, name: &Name) -> Option<&Unit> {
        self.all.get(name).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, name: &Name) -> Option<&mut Unit> {
        let unit = self.all.get_mut(name)?;
        if self.touched.last() != Some(name) {
            self.touched.push(name.clone());
        }
        Some(unit)
    }

    pub(super) fn insert(&mut self, name: Name, unit: Unit) {
        self.touched.push(name.clone());
        self.all.insert(name, Box::new(unit));
    }

    pub(super) fn remove(&mut self, name: &Name) {
        self.all.remove(name);
    }

    /// Takes out the oldest of those that are dead and whose names were made up, once there are too many; their names. Who
    /// starts things without a name may never come back to forget them.
    pub(super) fn forget_nameless(&mut self) -> Vec<Name> {
        if self.all.len() < MOST_NAMELESS {
            return Vec::new();
        }
        let nameless = |name: &Name| name.as_str().parse::<RunId>().is_ok();
        let dead = self.all.iter().filter(|(name, unit)| unit.state.is_dead() && nameless(name));
        let mut dead: Vec<(i64, Name)> =
            dead.map(|(name, unit)| (unit.since, name.clone())).collect();
        if dead.len() < MOST_NAMELESS {
            return Vec::new();
        }
        dead.sort_unstable();
        // Many at once, so that it need not be looked again at each start.
        dead.truncate(MOST_NAMELESS / 4);
        let names: Vec<Name> = dead.into_iter().map(|(_, name)| name).collect();
        names.iter().for_each(|name| self.remove(name));
        names
    }

    /// Takes out those that are dead; their names, in order.
    pub(super) fn forget_dead(&mut self) -> Vec<Name> {
        let dead = self.all.extract_if(|_, unit| unit.state.is_dead());
        let mut names: Vec<Name> = dead.map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn contains_key(&self, name: &Name) -> bool {
        self.all.contains_key(name)
    }

    /// As they are, they are kept already.
    pub(super) fn forget_touched(&mut self) {
        self.touched.clear();
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Name> {
        self.all.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Unit> {
        self.all.values().map(Box::as_ref)
    }
}

impl Core {
    /// Puts what has changed since the last step before the actions of this one.
    pub(super) fn keep(&mut self, first: usize, actions: &mut Vec<Action>) {
        let mut keeps = Vec::new();
        let Runs { all, touched } = &mut self.runs;
        touched.sort_unstable();
        touched.dedup();
        for id in touched.drain(..) {
            keeps.extend(all.get_mut(&id).and_then(|run| run.keep_anew()).map(Keep::Run));
        }
        keeps.append(&mut self.over);
        let Units { all, touched } = &mut self.units;
        touched.sort_unstable();
        touched.dedup();
        for name in touched.drain(..) {
            if let Some(unit) = all.get_mut(&name) {
                unit.keep_anew(&mut keeps);
            }
        }
        if !keeps.is_empty() {
            let numbers = Numbers { runs: self.total, ..self.draw.numbers() };
            actions.insert(first, Action::Keep { keeps, numbers });
        }
    }
}
