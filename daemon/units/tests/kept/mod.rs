//! What a shell keeps for the next core.

use std::{collections::BTreeMap, sync::Arc};

use units::{
    Action, Change, Name, RunId, UnitSpec,
    kept::{Keep, Kept, KeptEnd, KeptRun, KeptUnit, Numbers},
};

/// What a unit is, and is to be started as.
type Specs = (Option<Arc<UnitSpec>>, Option<Arc<UnitSpec>>);

/// The last picture of everything.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    numbers: Numbers,
    units: BTreeMap<Name, Arc<KeptUnit>>,
    /// What each of them is, and is to be started as, as it was said last.
    specs: BTreeMap<Name, Specs>,
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
                Keep::Spec(spec) => self.specs(&spec).0 = Some(Arc::clone(&spec)),
                Keep::NextSpec(spec) => self.specs(&spec).1 = Some(Arc::clone(&spec)),
                Keep::Unit(unit) => {
                    self.check_said(&unit);
                    self.units.insert(unit.spec.name.clone(), unit);
                }
                Keep::Forgotten(name) => {
                    self.units.remove(&name);
                    self.specs.remove(&name);
                }
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

    fn specs(&mut self, spec: &UnitSpec) -> &mut Specs {
        self.specs.entry(spec.name.clone()).or_default()
    }

    /// What a unit is, and is to be started as, was said before it.
    fn check_said(&mut self, unit: &KeptUnit) {
        let (spec, next) = &*self.specs(&unit.spec);
        let same = |known: &Option<Arc<UnitSpec>>, wanted: &Arc<UnitSpec>| {
            known.as_ref().is_some_and(|known| Arc::ptr_eq(known, wanted))
        };
        assert!(same(spec, &unit.spec), "what it is was not said before {unit:?}");
        let said = unit.next.as_ref().is_none_or(|(wanted, _)| same(next, wanted));
        assert!(said, "what it is to be started as was not said before {unit:?}");
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
