//! Programs that listen to us: they are looked after, and told that they are to end before they are asked to by a signal.
//!
//! To be told is a favour, and no part of the end that others depend on: who cannot be told, or does not answer in time,
//! gets the signal all the same, with the whole time that a signal has.

use std::time::Duration;

use super::{Action, Core, Now};
use crate::{
    Readiness, RunId,
    kept::Listener,
    run::{End, Run, Stage},
    unit::KillMode,
};

impl Core {
    /// The program of this run says that it serves, and perhaps where it listens.
    pub(super) fn serves(
        &mut self,
        now: Now,
        id: RunId,
        listener: Option<Listener>,
        actions: &mut Vec<Action>,
    ) {
        // It may say so before the spawner's word has come that it has been executed.
        let lives = |run: &&mut Run| match run.stage {
            Stage::Starting => run.exit.is_none(),
            Stage::Running => run.exit.is_none() && run.end == End::Unwanted,
            Stage::Clearing | Stage::Settling => false,
        };
        if let Some((run, listener)) = self.runs.get_mut(&id).filter(lives).zip(listener)
            && run.listener.as_ref() != Some(&listener)
        {
            run.listener = Some(listener);
            self.look_after(id, actions);
        }
        self.unit_ready(now, (id, Readiness::Drpc), actions);
    }

    /// The program of a run is known to have been executed, or to be adopted, and may have said before that it listens.
    pub(super) fn look_after(&self, id: RunId, actions: &mut Vec<Action>) {
        let lives = |run: &&Run| {
            run.stage == Stage::Running && run.exit.is_none() && run.end == End::Unwanted
        };
        let listener = self.runs.get(&id).filter(lives).and_then(|run| run.listener.clone());
        actions.extend(listener.map(|listener| Action::Probe { run: id, listener }));
    }

    /// Asks a run to end by this signal; a program that listens is told first.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        id: RunId,
        signal: i32,
        patience: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get(&id) else { return };
        let is_asked = run.stage == Stage::Running && self.kill_mode(run) != KillMode::None;
        let Some(listener) = run.listener.clone().filter(|_| is_asked) else {
            self.ask(now, id, signal, patience, actions);
            return;
        };
        if let Some(run) = self.runs.get_mut(&id) {
            run.end = End::Preparing(signal);
        }
        self.arm(id, now.monotonic.saturating_add(self.limits.prepare_timeout));
        actions.push(Action::Prepare { run: id, listener });
    }

    /// Asks a run to end that was to be asked as soon as its program had been executed. The deadline stands where it is not
    /// told first.
    pub(super) fn reach_or_prepare(
        &mut self,
        now: Now,
        id: RunId,
        signal: i32,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.listener.is_some() && run.exit.is_none() && self.kill_mode(run) != KillMode::None {
            let patience = run.patience(self.limits.stop_timeout);
            self.prepare(now, id, signal, patience, actions);
        } else {
            self.reach(now, id, signal, actions);
        }
    }

    /// It has been told, or its time for that is over.
    pub(super) fn prepared(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id).filter(|run| run.stage == Stage::Running) else {
            return;
        };
        if let End::Preparing(signal) = run.end {
            let patience = run.patience(self.limits.stop_timeout);
            self.ask(now, id, signal, patience, actions);
        }
    }
}
