//! What happens to a run, from its beginning to its end.

use std::sync::Arc;

use super::{Action, Core, Now, started};
use crate::{
    Account, Leftovers, ProcessExit, RunId, StartFailure,
    kept::{Keep, KeptEnd},
    order::Answer,
    run::{End, Stage},
    signal::SIGTERM,
    unit::KillMode,
};

impl Core {
    /// The program has been executed, by this main process and at this moment on the wall.
    pub(super) fn spawned(
        &mut self,
        now: Now,
        id: RunId,
        (pid, at): (i32, i64),
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.stage != Stage::Starting {
            return;
        }
        run.stage = Stage::Running;
        (run.pid, run.started_at) = (pid, at);
        for ticket in &run.callers {
            actions.extend(started(&run.identity, pid).map(|it| Action::Reply(*ticket, it)));
        }
        let (exited, end) = (run.exit.is_some(), run.end);
        if let End::Pending(signal) = end {
            run.end = End::Asked(signal);
        }
        self.note_pid(id, pid);
        match end {
            End::Unwanted => {
                self.disarm(id);
                self.look_after(id, actions);
            }
            End::Pending(signal) => self.reach_or_prepare(now, id, signal, actions),
            End::Preparing(_) | End::Asked(_) | End::Killed(_) => self.kill(now, id, actions),
        }
        self.unit_executed(now, id, pid, actions);
        if exited {
            self.clear(now, id, actions);
        }
    }

    pub(super) fn spawn_failed(
        &mut self,
        now: Now,
        id: RunId,
        failure: StartFailure,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.stage == Stage::Starting {
            run.failure.get_or_insert(failure);
            self.settle(now, id, actions);
        }
    }

    pub(super) fn main_exited(
        &mut self,
        now: Now,
        id: RunId,
        exit: ProcessExit,
        empty: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.exit.is_some() {
            return;
        }
        match run.stage {
            // It has overtaken the spawner's word, which tells whose exit this was.
            Stage::Starting => (run.exit, run.empty) = (Some(exit), empty),
            Stage::Running | Stage::Clearing => {
                (run.exit, run.empty) = (Some(exit), empty);
                self.clear(now, id, actions);
            }
            Stage::Settling => {}
        }
    }

    /// The main process has ended: what it left behind is to end too.
    pub(super) fn clear(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        self.unit_main_ended(now, id, actions);
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.stage != Stage::Settling) else {
            return;
        };
        run.stage = Stage::Clearing;
        if run.empty {
            self.settle(now, id, actions);
            return;
        }
        let Some(run) = self.runs.get(&id) else { return };
        match (self.kill_mode(run), self.final_kill(run)) {
            (KillMode::ControlGroup, _) => self.clear_all(now, id, actions),
            (KillMode::Mixed, true) => self.clear_by_kill(now, id, actions),
            (KillMode::Mixed, false) | (KillMode::Process | KillMode::None, _) => {
                self.let_go(now, id, actions);
            }
        }
    }

    /// What is left behind is killed.
    fn clear_by_kill(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        actions.push(Action::AwaitEmpty { run: id });
        self.kill(now, id, actions);
    }

    /// What is left behind is asked to end.
    fn clear_all(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        actions.push(Action::AwaitEmpty { run: id });
        match run.end {
            End::Unwanted | End::Pending(_) | End::Preparing(_) => {
                run.leftovers = Leftovers::Terminated;
                let patience = run.patience(self.limits.leftover_timeout);
                let signal = run.usual_signal();
                self.ask(now, id, signal, patience, actions);
            }
            End::Asked(SIGTERM) | End::Killed(_) => {}
            // A shell's background jobs, for one, ignore SIGINT. The deadline stands.
            End::Asked(_) => {
                run.end = End::Asked(SIGTERM);
                run.leftovers = Leftovers::Terminated;
                actions.push(Action::Signal { run: id, signal: SIGTERM });
            }
        }
    }

    pub(super) fn emptied(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        if self.runs.get(&id).is_some_and(|run| run.stage == Stage::Clearing) {
            self.settle(now, id, actions);
        }
    }

    /// No process is left: everything that can be known is asked for.
    pub(super) fn settle(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        self.disarm(id);
        if let Some(run) = self.runs.get_mut(&id) {
            run.stage = Stage::Settling;
            (run.gone_at, run.unadopted) = (now.wall, false);
            let record = Box::new(run.record(Account::default()));
            actions.push(Action::Settle { run: id, record });
        }
    }

    pub(super) fn settled(
        &mut self,
        now: Now,
        id: RunId,
        account: Account,
        actions: &mut Vec<Action>,
    ) {
        if self.runs.get(&id).is_none_or(|run| run.stage != Stage::Settling) {
            return;
        }
        let Some(run) = self.remove(id) else { return };
        let record = Arc::new(run.record(account));
        for ticket in run.callers.iter().chain(&run.watchers).copied() {
            self.close(ticket);
            actions.push(Action::Reply(ticket, Answer::Ended(Arc::clone(&record))));
        }
        let role = run.unit.map(|belonging| belonging.role);
        let identity = run.identity.clone();
        let ended = if role.is_some() { &mut self.ended_of_units } else { &mut self.ended };
        ended.push(identity.clone(), Arc::clone(&record));
        let of_unit = role.is_some();
        self.over.push(Keep::Ended(KeptEnd { identity, record: Arc::clone(&record), of_unit }));
        actions.push(Action::Release { run: id, record: Arc::clone(&record) });
        match role {
            Some(role) => self.unit_run_over(now, role, &record, actions),
            None => self.free(&record.name, id),
        }
        self.answer_shut_down(actions);
    }
}
