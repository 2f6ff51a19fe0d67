//! What is asked about units, and of what runs already.

use std::{sync::Arc, time::Duration};

use super::{Action, Core, Now, Waited, no_such_run};
use crate::{
    Name, Origin, Refusal, RunId, UnitView,
    kept::Keep,
    order::{Answer, Found, StopHow, Target, Ticket, Whom},
    run::Stage,
    signal::{SIGKILL, is_signal},
    unit::{Role, Unit},
};

impl Core {
    /// Stops a unit, or ends a run; the answer, unless it comes later.
    pub(super) fn stop_target(
        &mut self,
        now: Now,
        (ticket, deadline): (Ticket, Option<Duration>),
        (target, how): (&Target, StopHow),
        origin: &Origin,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Answer>, Refusal> {
        if let StopHow::Signal(signal) = how
            && !is_signal(signal)
        {
            return Err(Refusal::NoSuchSignal(signal));
        }
        let Some(name) = self.unit_meant(target) else {
            let (run, name) = self.stop(now, target, how, origin, actions)?;
            return Ok(Some(Answer::Stopping { run, name }));
        };
        self.await_unit(ticket, &name, deadline);
        self.turn(now, &name, actions, |unit, turn| unit.stop(turn, Some(ticket), how, origin));
        Ok(None)
    }

    /// The unit of this name, or whose program's live run this is.
    fn unit_meant(&self, target: &Target) -> Option<Name> {
        if let Target::Name(name) = target {
            return self.units.contains_key(name).then(|| name.clone());
        }
        let run = self.runs.get(&self.find(target)?.run)?;
        let program = run.unit.is_some_and(|belonging| belonging.role == Role::Main);
        program.then(|| run.identity.name.clone())
    }

    pub(super) fn reload(
        &mut self,
        now: Now,
        (ticket, deadline): (Ticket, Option<Duration>),
        name: &Name,
        origin: Origin,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.await_unit(ticket, name, deadline);
        let begun = self.turn(now, name, actions, |unit, turn| unit.reload(turn, ticket, origin));
        let done = begun.unwrap_or_else(|| Err(Refusal::NoSuchUnit(name.clone())));
        if done.is_err() {
            self.close(ticket);
        }
        done
    }

    pub(super) fn signal(
        &self,
        target: &Target,
        signal: i32,
        whom: Whom,
        actions: &mut Vec<Action>,
    ) -> Result<Answer, Refusal> {
        if !is_signal(signal) {
            return Err(Refusal::NoSuchSignal(signal));
        }
        let named = match target {
            Target::Name(name) => self.units.get(name),
            Target::Run(_) | Target::Pid(_) => None,
        };
        let run = match named {
            Some(unit) => unit.main.ok_or_else(|| unit.not_running())?.run,
            None => self.find(target).ok_or_else(|| no_such_run(target))?.run,
        };
        let reached = self.runs.get(&run).is_some_and(|live| match (&live.stage, whom) {
            (Stage::Running, Whom::Main | Whom::All) | (Stage::Clearing, Whom::All) => true,
            (Stage::Clearing, Whom::Main) | (Stage::Starting | Stage::Settling, _) => false,
        });
        if !reached {
            return Err(Refusal::NoMainProcess(run));
        }
        actions.push(match (signal, whom) {
            // The kernel's kill misses nobody who is being born.
            (SIGKILL, Whom::All) => Action::Kill { run },
            (signal, whom) => Action::Deliver { run, signal, whom },
        });
        Ok(Answer::Signalled { run })
    }

    /// Waits for the end of a unit or a run; the answer, unless it comes later.
    pub(super) fn wait_for_end(
        &mut self,
        now: Now,
        (ticket, deadline): (Ticket, Option<Duration>),
        target: &Target,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Answer>, Refusal> {
        if let Target::Name(name) = target
            && self.units.contains_key(name)
        {
            self.await_unit(ticket, name, deadline);
            self.turn(now, name, actions, |unit, turn| unit.wait(turn, ticket));
            return Ok(None);
        }
        let Found { run, ended, .. } = self.find(target).ok_or_else(|| no_such_run(target))?;
        if ended.is_none()
            && let Some(live) = self.runs.get_mut(&run)
        {
            live.watchers.push(ticket);
            self.enlist(ticket, Waited::End(run), deadline);
        }
        Ok(ended.map(Answer::Ended))
    }

    pub(super) fn list(&self, now: Now) -> Answer {
        let mut views: Vec<UnitView> = self.units.values().map(|unit| unit.view(now)).collect();
        views.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Answer::Units(views)
    }

    pub(super) fn inspect(&self, now: Now, name: &Name) -> Result<Answer, Refusal> {
        let unit = self.units.get(name).ok_or_else(|| Refusal::NoSuchUnit(name.clone()))?;
        Ok(Answer::Unit(Box::new(unit.detail(now))))
    }

    /// Forgets a unit that is dead, or all that are; their names are free at once.
    pub(super) fn forget(&mut self, which: Option<Name>) -> Result<Answer, Refusal> {
        let Some(name) = which else {
            let names = self.units.forget_dead();
            self.over.extend(names.iter().cloned().map(Keep::Forgotten));
            return Ok(Answer::Forgotten(names));
        };
        let state = self.units.get(&name).map(|unit| unit.state);
        match state {
            None => Err(Refusal::NoSuchUnit(name)),
            Some(state) if state.is_dead() => {
                self.units.remove(&name);
                self.over.push(Keep::Forgotten(name.clone()));
                Ok(Answer::Forgotten(vec![name]))
            }
            Some(state) => Err(Refusal::NotDead { name, state }),
        }
    }

    /// A unit's run, live or its program's last.
    pub(super) fn found_of_unit(&self, name: &Name, unit: &Unit) -> Option<Found> {
        let live = unit.live().map(|part| (part.run, part.pid, None));
        let over =
            || unit.last.as_ref().map(|record| (record.run, record.pid, Some(Arc::clone(record))));
        let (run, pid, ended): (RunId, _, _) = live.or_else(over)?;
        Some(Found { run, name: name.clone(), anonymous: false, pid, ended })
    }
}
