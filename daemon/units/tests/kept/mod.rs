//! What a shell keeps for the next core.

use std::{collections::BTreeMap, sync::Arc};

use units::{
    Action, Change, Name, RunId,
    kept::{Keep, Kept, KeptEnd, KeptRun, KeptUnit, Numbers},
};

/// The last picture of everything.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    numbers: Numbers,
    units: BTreeMap<Name, Arc<KeptUnit>>,
    runs: BTreeMap<RunId, Arc<KeptRun>>,
    ended: Vec<KeptEnd>,
    changes: Vec<Arc<Change>>,
}

impl Shelf {
    /// Keeps what this action says; whether it said so.
    pub(crate) fn take(&mut self, action: &Action) -> bool {
        if let Action::Tell(change) = action {
            self.changes.push(Arc::clone(change));
        }
        let Action::Keep { keeps, numbers } = action else { return false };
        self.numbers = *numbers;
        for keep in keeps.iter().cloned() {
            match keep {
                Keep::Unit(unit) => drop(self.units.insert(unit.spec.name.clone(), unit)),
                Keep::Forgotten(name) => drop(self.units.remove(&name)),
                Keep::Run(run) => drop(self.runs.insert(run.identity.run, run)),
                Keep::Ended(end) => {
                    self.runs.remove(&end.record.run);
                    self.ended.push(end);
                }
                Keep::Gone(run) => drop(self.runs.remove(&run)),
            }
        }
        true
    }

    /// All of it.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            numbers: self.numbers,
            units: self.units.values().cloned().collect(),
            runs: self.runs.values().cloned().collect(),
            ended: self.ended.clone(),
            changes: self.changes.clone(),
        }
    }
}
