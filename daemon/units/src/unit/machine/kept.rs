//! What the next core must know of a unit, and the unit made of it again. Left out are who waits and the last changes,
//! which are kept by themselves.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use super::{Part, Unit};
use crate::{
    kept::{Keep, KeptUnit},
    noted::Noted,
    unit::{
        spec::{Ended, Role, Told},
        state::{Change, UnitState},
    },
};

impl Deref for Unit {
    type Target = KeptUnit;

    fn deref(&self) -> &KeptUnit {
        &self.kept
    }
}

impl DerefMut for Unit {
    fn deref_mut(&mut self) -> &mut KeptUnit {
        &mut self.kept
    }
}

impl Unit {
    /// The unit as an earlier core kept it, with its last changes.
    pub(crate) fn resumed(kept: Arc<KeptUnit>, history: Vec<Arc<Change>>) -> Self {
        let next = kept.next.as_ref().map(|(spec, _)| Arc::clone(spec));
        let mut unit = Self {
            kept_specs: [Some(Arc::clone(&kept.spec)), next],
            armed: kept.timer,
            kept: Noted::kept(kept),
            waiting: Vec::new(),
            history: history.into(),
        };
        // One that was due while there was no keeper begins now.
        if unit.kept.state == UnitState::Waiting && unit.kept.timer.is_none() {
            unit.timer = Some(Duration::ZERO);
            unit.armed = unit.timer;
        }
        unit
    }

    /// What is to be kept of it, if that may have changed.
    pub(crate) fn keep_anew(&mut self, keeps: &mut Vec<Keep>) {
        let Some(now) = self.kept.take_changed() else { return };
        let next = now.next.as_ref().map(|(spec, _)| spec);
        let says: [fn(_) -> _; 2] = [Keep::Spec, Keep::NextSpec];
        let wanted = says.into_iter().zip([Some(&now.spec), next]);
        for (known, (say, spec)) in self.kept_specs.iter_mut().zip(wanted) {
            let Some(spec) = spec else { continue };
            if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, spec)) {
                keeps.push(say(Arc::clone(spec)));
                *known = Some(Arc::clone(spec));
            }
        }
        keeps.push(Keep::Unit(now));
    }

    /// Its live runs.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        self.main.into_iter().chain(self.control)
    }

    /// What a command that plays this role is told: the main process of the program, and on stop what came of it.
    pub(crate) fn told(&self, role: Role) -> Told {
        let main_pid = self.main.map_or(0, |main| main.pid);
        match role {
            Role::Main => Told::default(),
            Role::Before(_) | Role::After(_) | Role::OnReload(_) => {
                Told { main_pid, ..Told::default() }
            }
            Role::OnStop(_) => {
                let over = self.last.as_ref().filter(|_| self.ran && self.main.is_none());
                let ended = over.and_then(|record| Ended::of(&record.cause));
                Told { main_pid, result: Some(self.result), ended }
            }
        }
    }
}
