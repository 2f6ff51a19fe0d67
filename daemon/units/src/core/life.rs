//! What happens to a run, from its beginning to its end.

use std::sync::Arc;

use super::{Action, Core, Now, started};
use crate::{
    Account, Leftovers, Origin, ProcessExit, RunId, StartFailure,
    order::Answer,
    run::{End, Run, SIGTERM, Stage},
};

impl Core {
    /// A run whose daemon died is ended, as long as nobody can take it up again.
    pub(super) fn inherit(&mut self, now: Now, mut run: Run, actions: &mut Vec<Action>) {
        let id = run.identity.run;
        if self.runs.contains_key(&id) || self.ended.get(id).is_some() {
            return;
        }
        run.stage =
            if run.exit.is_some() || run.pid == 0 { Stage::Clearing } else { Stage::Running };
        let over = run.empty && run.stage == Stage::Clearing;
        if !run.empty {
            if run.exit.is_some() {
                run.leftovers = Leftovers::Terminated;
            } else {
                let why = "its daemon died, and it cannot be taken up again";
                run.stopped_by = Some(Origin::daemon(why));
            }
        }
        self.add(run);
        if over {
            self.settle(now, id, actions);
        } else {
            actions.push(Action::AwaitEmpty { run: id });
            self.ask(now, id, SIGTERM, self.limits.leftover_timeout, actions);
        }
    }

    pub(super) fn spawned(&mut self, now: Now, id: RunId, pid: i32, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.stage != Stage::Starting {
            return;
        }
        run.stage = Stage::Running;
        (run.pid, run.started_at) = (pid, now.wall);
        for ticket in &run.callers {
            actions.extend(started(&run.identity, pid).map(|it| Action::Reply(*ticket, it)));
        }
        let exited = run.exit.is_some();
        match run.end {
            End::Unwanted => self.disarm(id),
            End::Pending(signal) => {
                run.end = End::Asked(signal);
                actions.push(Action::Signal { run: id, signal });
            }
            End::Asked(_) | End::Killed(_) => self.kill(now, id, actions),
        }
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
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.stage = Stage::Clearing;
        if run.empty {
            self.settle(now, id, actions);
            return;
        }
        actions.push(Action::AwaitEmpty { run: id });
        match run.end {
            End::Unwanted | End::Pending(_) => {
                run.leftovers = Leftovers::Terminated;
                self.ask(now, id, SIGTERM, self.limits.leftover_timeout, actions);
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
    fn settle(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        self.disarm(id);
        if let Some(run) = self.runs.get_mut(&id) {
            run.stage = Stage::Settling;
            run.gone_at = now.wall;
            let record = Box::new(run.record(Account::default()));
            actions.push(Action::Settle { run: id, record });
        }
    }

    pub(super) fn settled(&mut self, id: RunId, account: Account, actions: &mut Vec<Action>) {
        if self.runs.get(&id).is_none_or(|run| run.stage != Stage::Settling) {
            return;
        }
        let Some(run) = self.runs.remove(&id) else { return };
        let record = Arc::new(run.record(account));
        self.free(&run.identity.name, id);
        for ticket in run.callers {
            self.close(ticket);
            actions.push(Action::Reply(ticket, Answer::Ended(Arc::clone(&record))));
        }
        self.ended.push(run.identity, Arc::clone(&record));
        actions.push(Action::Release { run: id, record });
        self.answer_shut_down(actions);
    }
}
