//! Between units and their runs: what a unit wants becomes runs, what becomes of these it is told.

use std::{sync::Arc, time::Duration};

use super::{Action, Core, Now, Waited};
use crate::{
    Cause, ExitRecord, Name, Origin, Readiness, Refusal, RunId,
    kept::Keep,
    order::{StopHow, Ticket},
    run::Run,
    unit::{Deed, Role, Turn, Unit, UnitSpec},
};

impl Core {
    /// Lets a unit take a turn, and does what it wants.
    pub(super) fn turn<R>(
        &mut self,
        now: Now,
        name: &Name,
        actions: &mut Vec<Action>,
        take: impl FnOnce(&mut Unit, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let live = self.runs.len();
        let unit = self.units.get_mut(name)?;
        let mut turn = Turn {
            now,
            closing: self.shut_down.is_some(),
            keeper_lost: self.keeper_lost,
            live,
            room: self.limits.live_runs.saturating_sub(live),
            draw: &mut self.draw,
            deeds: Vec::new(),
        };
        let said = take(unit, &mut turn);
        let deeds = turn.deeds;
        let timer = unit.timer;
        let armed = std::mem::replace(&mut unit.armed, timer);
        let (spec, restarts) = (Arc::clone(&unit.spec), unit.restarts);
        if armed != timer {
            armed.into_iter().for_each(|at| {
                self.unit_timers.remove(&(at, name.clone()));
            });
            self.unit_timers.extend(timer.map(|at| (at, name.clone())));
        }
        for deed in deeds {
            self.perform(now, &spec, restarts, deed, actions);
        }
        Some(said)
    }

    fn perform(
        &mut self,
        now: Now,
        spec: &Arc<UnitSpec>,
        restarts: u32,
        deed: Deed,
        actions: &mut Vec<Action>,
    ) {
        match deed {
            Deed::Spawn { run, role, told, by } => {
                let made = Run::of_unit(run, (spec, role), restarts, by.clone());
                let spec = Arc::clone(spec);
                actions.push(Action::SpawnUnit { run, spec, role, told, origin: by });
                self.add(made);
                self.arm(run, now.monotonic.saturating_add(self.limits.start_timeout));
            }
            Deed::End { run, how, by } => self.end(now, run, how, &by, actions),
            Deed::Tell(change) => actions.push(Action::Tell(change)),
            Deed::Reply(ticket, answer) => {
                self.close(ticket);
                actions.push(Action::Reply(ticket, answer));
            }
        }
    }

    /// Starts or restarts a unit, which is loaded if it is not.
    pub(super) fn bring_up(
        &mut self,
        now: Now,
        (ticket, deadline): (Ticket, Option<Duration>),
        (spec, again, run): (Arc<UnitSpec>, bool, Option<RunId>),
        origin: Origin,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if self.shut_down.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        let name = spec.name.clone();
        if let Some(holder) = self.holder(&name) {
            return Err(Refusal::NameTaken { name, holder });
        }
        if self.no_room {
            return Err(Refusal::NoRoom);
        }
        let loaded = self.units.contains_key(&name);
        if !loaded {
            let forgotten = self.units.forget_nameless();
            self.over.extend(forgotten.into_iter().map(Keep::Forgotten));
            let mut unit = Unit::new(Arc::clone(&spec), origin.clone(), now);
            unit.first_run = run;
            self.units.insert(name.clone(), unit);
        }
        self.await_unit(ticket, &name, deadline);
        let begun = self.turn(now, &name, actions, |unit, turn| {
            if again {
                unit.restart(turn, ticket, spec, origin)
            } else {
                unit.start(turn, ticket, spec, origin)
            }
        });
        let refused = begun.transpose().err();
        if refused.is_some() {
            self.close(ticket);
            if !loaded {
                self.units.remove(&name);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Notes that somebody waits for something of a unit.
    pub(super) fn await_unit(&mut self, ticket: Ticket, name: &Name, deadline: Option<Duration>) {
        self.enlist(ticket, Waited::Unit(name.clone()), deadline);
    }

    /// Stops all units, the last to start first.
    pub(super) fn stop_units(
        &mut self,
        now: Now,
        how: StopHow,
        by: &Origin,
        actions: &mut Vec<Action>,
    ) {
        let mut units: Vec<(u64, Name)> =
            self.units.values().map(|unit| (unit.started, unit.spec.name.clone())).collect();
        units.sort_unstable_by(|one, other| other.cmp(one));
        for (_, name) in units {
            self.turn(now, &name, actions, |unit, turn| unit.stop(turn, None, how, by));
        }
    }

    pub(super) fn units_out_of_time(&mut self, now: Now, actions: &mut Vec<Action>) {
        let due = self.unit_timers.iter().take_while(|(at, _)| *at <= now.monotonic);
        let due: Vec<Name> = due.map(|(_, name)| name.clone()).collect();
        for name in due {
            self.turn(now, &name, actions, Unit::out_of_time);
        }
    }

    pub(super) fn unit_executed(
        &mut self,
        now: Now,
        id: RunId,
        pid: i32,
        actions: &mut Vec<Action>,
    ) {
        if let Some(name) = self.unit_of(id) {
            self.turn(now, &name, actions, |unit, turn| unit.executed(turn, id, pid));
        }
    }

    pub(super) fn unit_ready(
        &mut self,
        now: Now,
        (id, said): (RunId, Readiness),
        actions: &mut Vec<Action>,
    ) {
        if let Some(name) = self.unit_of(id) {
            self.turn(now, &name, actions, |unit, turn| unit.ready(turn, id, said));
        }
    }

    pub(super) fn unit_notified(&mut self, id: RunId, status: &str) {
        if let Some(name) = self.unit_of(id)
            && let Some(unit) = self.units.get_mut(&name)
        {
            unit.notified(id, status);
        }
    }

    pub(super) fn unit_outputs_lost(&mut self, id: RunId, why: String) {
        if let Some(name) = self.unit_of(id)
            && let Some(unit) = self.units.get_mut(&name)
        {
            unit.complain(why);
        }
    }

    pub(super) fn unit_main_ended(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let exit = self.runs.get(&id).and_then(|run| run.exit.as_ref());
        let cause = exit.map(|exit| exit.cause.clone());
        if let Some((name, cause)) = self.unit_of(id).zip(cause) {
            self.turn(now, &name, actions, |unit, turn| unit.main_ended(turn, id, &cause));
        }
    }

    /// The program is left alive: nothing more is heard of it.
    pub(super) fn unit_let_go(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        if let Some(name) = self.unit_of(id) {
            self.turn(now, &name, actions, |unit, turn| unit.main_let_go(turn, id));
        }
    }

    /// The end of a run is unknown.
    pub(super) fn unit_main_lost(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let why = self.runs.get(&id).and_then(|run| run.lost.clone());
        if let Some((name, why)) = self.unit_of(id).zip(why) {
            let cause = Cause::Lost(why);
            self.turn(now, &name, actions, |unit, turn| unit.main_ended(turn, id, &cause));
        }
    }

    pub(super) fn unit_not_heard(&mut self, id: RunId, main_lives: bool) {
        if let Some(name) = self.unit_of(id)
            && let Some(unit) = self.units.get_mut(&name)
        {
            unit.not_heard(id, main_lives);
        }
    }

    pub(super) fn unit_run_over(
        &mut self,
        now: Now,
        role: Role,
        record: &Arc<ExitRecord>,
        actions: &mut Vec<Action>,
    ) {
        self.turn(now, &record.name, actions, |unit, turn| match role {
            Role::Main => unit.main_over(turn, record),
            Role::Before(_) | Role::After(_) | Role::OnStop(_) | Role::OnReload(_) => {
                unit.control_over(turn, role, record);
            }
        });
    }

    /// The unit of this run, if it is a unit's.
    fn unit_of(&self, id: RunId) -> Option<Name> {
        let run = self.runs.get(&id).filter(|run| run.unit.is_some())?;
        Some(run.identity.name.clone())
    }
}
