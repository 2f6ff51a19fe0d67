//! How a core goes on where an earlier one stood.
//!
//! It begins with what was kept, in which the runs stand as they stood. Nothing is done about a run until it is said
//! what was found of it; then it goes on, with its deadline, or what it missed is made up for. What an action of the
//! earlier core may not have come to is done again: signals, kills and the settling can be told twice.

use std::{collections::HashMap, sync::Arc};

use super::{Action, Core, Limits, Now};
use crate::{
    Change, ExitRecord, Leftovers, Name, Origin, ProcessExit, RunId, StartFailure,
    kept::{Fate, Keep, Kept, KeptEnd, Part},
    order::{Execution, StopHow},
    run::{End, Identity, Run, Stage},
    signal::SIGTERM,
    unit::{Unit, UnitDetail, UnitSpec},
};

/// The wire's START_STAGE_CLONE.
const START_STAGE_CLONE: i32 = 301;

impl Core {
    /// The core that goes on with what was kept. What is there is kept already.
    #[must_use]
    pub fn resume(limits: Limits, kept: Kept) -> Self {
        let mut core = Self::new(limits);
        let mut histories: HashMap<Name, Vec<Arc<Change>>> = HashMap::new();
        for change in kept.changes {
            histories.entry(change.name.clone()).or_default().push(change);
        }
        for unit in kept.units {
            let name = unit.spec.name.clone();
            let mut history = histories.remove(&name).unwrap_or_default();
            history.drain(..history.len().saturating_sub(UnitDetail::CHANGES));
            let unit = Unit::resumed(unit, history);
            core.unit_timers.extend(unit.timer.map(|at| (at, name.clone())));
            core.units.insert(name, unit);
        }
        for run in &kept.runs {
            let id = run.identity.run;
            let spec = core.unit_with(&run.identity.name, id);
            let run = Run::resumed(run, spec);
            core.timers.extend(run.timer.map(|at| (at, id)));
            core.add(run);
        }
        core.fill_gaps();
        core.runs.forget_touched();
        core.units.forget_touched();
        for KeptEnd { identity, record, of_unit } in kept.ended {
            let ended = if of_unit { &mut core.ended_of_units } else { &mut core.ended };
            ended.push(identity, record);
        }
        core.total = kept.numbers.runs;
        core.draw.go_on(kept.numbers);
        core
    }

    /// The specification of the unit of this name, where this is one of its live runs.
    fn unit_with(&self, name: &Name, run: RunId) -> Option<Arc<UnitSpec>> {
        let unit = self.units.get(name)?;
        unit.parts().any(|part| part.run == run).then(|| Arc::clone(&unit.spec))
    }

    /// A unit never waits for a run that nobody knows: where what was kept has holes, the run is there, and lost.
    fn fill_gaps(&mut self) {
        let mut missing: Vec<(Part, Arc<UnitSpec>, u32)> = Vec::new();
        for unit in self.units.values() {
            let gone = unit.parts().filter(|part| !self.runs.contains_key(&part.run));
            missing.extend(gone.map(|part| (part, Arc::clone(&unit.spec), unit.restarts)));
        }
        for (Part { run, role, pid }, spec, restarts) in missing {
            let by = Origin::daemon("what was known of it is lost");
            let mut made = Run::of_unit(run, (&spec, role), restarts, by);
            (made.unadopted, made.stage, made.pid) = (true, Stage::Running, pid);
            self.add(made);
        }
    }

    /// The runs of which nobody has said yet what was found of them: each with its main process, as it was kept, or 0.
    pub fn unadopted(&self) -> impl Iterator<Item = (&Identity, i32)> {
        let runs = self.runs.iter().map(|(_, run)| run).filter(|run| run.unadopted);
        runs.map(|run| (&run.identity, run.pid))
    }

    /// Whether the main process of this run is known to have ended, or to be lost.
    #[must_use]
    pub fn is_past(&self, run: RunId) -> bool {
        let past = |run: &Run| matches!(run.stage, Stage::Clearing | Stage::Settling);
        self.runs.get(&run).is_some_and(past)
    }

    /// The names of the units that are loaded.
    #[must_use]
    pub fn unit_names(&self) -> Vec<Name> {
        self.units.keys().cloned().collect()
    }

    /// The end of a run that ended lately.
    #[must_use]
    pub fn ended(&self, run: RunId) -> Option<(&Identity, &Arc<ExitRecord>)> {
        let found = self.ended.get(run).or_else(|| self.ended_of_units.get(run));
        found.map(|(identity, record)| (identity, record))
    }

    /// A run of an earlier daemon of which nothing was kept.
    pub(super) fn inherit(&mut self, execution: &Execution, started_by: Origin) {
        let id = execution.run;
        if self.runs.contains_key(&id) || self.ended(id).is_some() {
            return;
        }
        let mut run = Run::new(Identity::of(execution), started_by);
        run.unadopted = true;
        self.add(run);
    }

    pub(super) fn adopt(&mut self, now: Now, id: RunId, fate: Fate, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if !std::mem::take(&mut run.unadopted) {
            return;
        }
        match (run.stage, fate) {
            (Stage::Settling, _) => {
                let record = Box::new(run.record(crate::Account::default()));
                actions.push(Action::Settle { run: id, record });
            }
            (Stage::Starting, Fate::Unmade) => self.adopt_unmade(now, id, actions),
            (Stage::Starting, Fate::Executed { pid, at, exit, empty }) => {
                run.exit = run.exit.take().or(exit);
                run.empty |= empty;
                self.spawned(now, id, (pid, at), actions);
            }
            (Stage::Running, Fate::Executed { exit, empty, .. }) => {
                self.adopt_running(now, id, exit.map(|exit| (exit, empty)), actions);
            }
            (Stage::Clearing, Fate::Executed { empty, .. } | Fate::Lost { empty, .. }) => {
                self.adopt_clearing(now, id, empty, actions);
            }
            (Stage::Clearing, Fate::Unmade) => self.adopt_clearing(now, id, true, actions),
            (Stage::Running, Fate::Unmade) => {
                let why = "it was running, and nothing is known of its process any more";
                self.lose(now, id, (why.to_owned(), true), actions);
            }
            (Stage::Starting | Stage::Running, Fate::Lost { why, empty }) => {
                self.lose(now, id, (why, empty), actions);
            }
        }
        self.look_after(id, actions);
        self.await_claim(now, id);
    }

    /// Its process was never made: that of a unit is made now, if it is wanted. Any other never was: who called it
    /// was not told of it, and may call again.
    fn adopt_unmade(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some((spec, belonging)) = run.spec.as_ref().zip(run.unit) else {
            let name = run.identity.name.clone();
            self.remove(id);
            self.free(&name, id);
            self.over.push(Keep::Gone(id));
            actions.push(Action::Forget { run: id });
            return;
        };
        if run.end != End::Unwanted {
            let message = "its daemon died before it had made the process".to_owned();
            let failure = StartFailure { stage: START_STAGE_CLONE, errno: 0, message };
            self.spawn_failed(now, id, failure, actions);
            return;
        }
        let Some(unit) = self.units.get(&run.identity.name) else { return };
        let told = unit.told(belonging.role);
        actions.push(Action::SpawnUnit {
            run: id,
            spec: Arc::clone(spec),
            role: belonging.role,
            told,
            origin: run.started_by.clone(),
        });
    }

    /// Its program was running. A signal or a kill that it was to get is sent again.
    fn adopt_running(
        &mut self,
        now: Now,
        id: RunId,
        ended: Option<(ProcessExit, bool)>,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let over = ended.is_some();
        if let Some((exit, empty)) = ended {
            (run.exit, run.empty) = (Some(exit), empty);
        }
        if !run.empty || !over {
            self.urge(now, id, actions);
        }
        if over {
            self.clear(now, id, actions);
        }
    }

    /// What its program left behind was being ended.
    fn adopt_clearing(&mut self, now: Now, id: RunId, empty: bool, actions: &mut Vec<Action>) {
        if empty {
            self.emptied(now, id, actions);
            return;
        }
        actions.push(Action::AwaitEmpty { run: id });
        self.urge(now, id, actions);
    }

    /// Sends again what it was sent last.
    fn urge(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id) else { return };
        match run.end {
            End::Unwanted | End::Pending(_) => {}
            End::Preparing(_) => {
                // Who has ended meanwhile is told nothing; what it left is asked to end.
                let listener = run.listener.clone().filter(|_| run.exit.is_none());
                actions.extend(listener.map(|listener| Action::Prepare { run: id, listener }));
            }
            End::Asked(signal) => self.reach(now, id, signal, actions),
            End::Killed(_) => self.kill_as_wanted(now, id, actions),
        }
    }

    /// Its main process has ended, and nobody can know how.
    pub(super) fn main_lost(
        &mut self,
        now: Now,
        id: RunId,
        (why, empty): (String, bool),
        actions: &mut Vec<Action>,
    ) {
        let waits = |run: &Run| run.stage == Stage::Running && run.exit.is_none();
        if self.runs.get(&id).is_some_and(waits) {
            self.lose(now, id, (why, empty), actions);
        }
    }

    /// What is known of it contradicts itself, or it ended unseen: its end is unknown, and what is left of it is ended.
    fn lose(
        &mut self,
        now: Now,
        id: RunId,
        (why, empty): (String, bool),
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.stage = Stage::Clearing;
        run.lost = Some(why);
        self.unit_main_lost(now, id, actions);
        if empty {
            self.settle(now, id, actions);
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.leftovers = Leftovers::Terminated;
        actions.push(Action::AwaitEmpty { run: id });
        match run.end {
            End::Unwanted => {
                let patience = run.patience(self.limits.leftover_timeout);
                self.ask(now, id, SIGTERM, patience, actions);
            }
            // Nobody is left who listens.
            End::Preparing(signal) => {
                let patience = run.patience(self.limits.leftover_timeout);
                self.ask(now, id, signal, patience, actions);
            }
            // The deadline stands.
            End::Pending(signal) => {
                run.end = End::Asked(signal);
                self.reach(now, id, signal, actions);
            }
            End::Asked(_) | End::Killed(_) => self.urge(now, id, actions),
        }
    }

    /// Who called it is gone with the daemon: it waits for somebody to name it.
    fn await_claim(&mut self, now: Now, id: RunId) {
        let patience = self.limits.claim_timeout;
        let Some(run) = self.runs.get_mut(&id) else { return };
        let wanted = run.unit.is_none() && run.stage == Stage::Running && run.end == End::Unwanted;
        if wanted && run.callers.is_empty() && !run.unclaimed {
            run.unclaimed = true;
            self.arm(id, now.monotonic.saturating_add(patience));
        }
    }

    /// Somebody names it.
    pub(super) fn claim(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.unclaimed) else { return };
        run.unclaimed = false;
        if run.end == End::Unwanted {
            self.disarm(id);
        }
    }

    pub(super) fn give_up_unclaimed(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let patience = self.limits.claim_timeout;
        let why = format!("its daemon died, and nobody reclaimed it within {patience:?}");
        self.end(now, id, StopHow::Signal(SIGTERM), &Origin::daemon(&why), actions);
    }
}
