//! How runs are brought to their end: orders, deadlines, and the end of everything.

use std::time::Duration;

use super::{Action, Core, Now, Waited, no_such_run};
use crate::{
    Leftovers, Name, Origin, Refusal, RunId, StartFailure,
    order::{Answer, StopHow, Target, Ticket},
    run::{End, FIRST_KILL_PAUSE, LONGEST_KILL_PAUSE, Run, Stage},
    signal::{SIGKILL, SIGTERM},
    unit::{KillMode, START_STAGE_DEADLINE},
};

/// The end of everything, once ordered; nothing is started any more.
#[derive(Debug)]
pub(super) struct ShutDown {
    /// Who waits for it.
    tickets: Vec<Ticket>,
    /// When all that is left is killed; none where that is done, or nothing was left.
    pub(super) bound: Option<Duration>,
}

impl Core {
    pub(super) fn stop(
        &mut self,
        now: Now,
        target: &Target,
        how: StopHow,
        origin: &Origin,
        actions: &mut Vec<Action>,
    ) -> Result<(RunId, Name), Refusal> {
        let found = self.find(target).ok_or_else(|| no_such_run(target))?;
        if found.ended.is_none() {
            self.end(now, found.run, how, origin, actions);
        }
        Ok((found.run, found.name))
    }

    /// Orders a run's end, or makes an end that is ordered harder.
    pub(super) fn end(
        &mut self,
        now: Now,
        id: RunId,
        how: StopHow,
        by: &Origin,
        actions: &mut Vec<Action>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.exit.is_none() && matches!(run.stage, Stage::Starting | Stage::Running) {
            run.stopped_by.get_or_insert_with(|| by.clone());
        }
        let signal = match how {
            StopHow::Usual => run.usual_signal(),
            StopHow::Signal(signal) => signal,
            StopHow::Kill => {
                if let Some(belonging) = &mut run.unit {
                    belonging.entirely = true;
                }
                if run.stage != Stage::Settling {
                    self.kill(now, id, actions);
                }
                return;
            }
        };
        let patience = run.patience(self.limits.stop_timeout);
        match (&run.stage, run.end) {
            (Stage::Settling, _)
            | (Stage::Starting, End::Preparing(_) | End::Asked(_) | End::Killed(_)) => {}
            (Stage::Starting, End::Unwanted) => {
                run.end = End::Pending(signal);
                let patience = now.monotonic.saturating_add(patience);
                let at = run.timer.map_or(patience, |start| start.min(patience));
                self.arm(id, at);
            }
            (Stage::Starting, End::Pending(_)) => run.end = End::Pending(signal),
            (Stage::Running | Stage::Clearing, End::Unwanted | End::Pending(_)) => {
                self.prepare(now, id, signal, patience, actions);
            }
            // The deadline stands: asking again must not put the end off.
            (Stage::Running | Stage::Clearing, End::Preparing(_)) => {
                run.end = End::Preparing(signal);
            }
            (Stage::Running | Stage::Clearing, End::Asked(_)) => {
                run.end = End::Asked(signal);
                self.reach(now, id, signal, actions);
            }
            (Stage::Running | Stage::Clearing, End::Killed(_)) => {
                self.reach(now, id, signal, actions);
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Now,
        id: RunId,
        signal: i32,
        patience: Duration,
        actions: &mut Vec<Action>,
    ) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.end = End::Asked(signal);
            self.arm(id, now.monotonic.saturating_add(patience));
            self.reach(now, id, signal, actions);
        }
    }

    /// Whom the end of this run reaches; the end of everything spares nobody, nor does that of a run of which it is not
    /// known whether its main process lives.
    pub(super) fn kill_mode(&self, run: &Run) -> KillMode {
        match (run.kill_mode(), self.shut_down.is_some()) {
            (KillMode::Mixed | KillMode::Process, _) if run.lost.is_some() => {
                KillMode::ControlGroup
            }
            (KillMode::Process, true) => KillMode::Mixed,
            (KillMode::None, true) => KillMode::ControlGroup,
            (mode, _) => mode,
        }
    }

    /// Whether what does not heed its signal is killed.
    pub(super) fn final_kill(&self, run: &Run) -> bool {
        run.final_kill() || self.shut_down.is_some()
    }

    /// Sends a signal to those whom the end of the run reaches.
    pub(super) fn reach(&mut self, now: Now, id: RunId, signal: i32, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id) else { return };
        match (self.kill_mode(run), run.exit.is_some()) {
            (KillMode::ControlGroup, _) => actions.push(Action::Signal { run: id, signal }),
            (KillMode::Mixed | KillMode::Process, false) => {
                actions.push(Action::SignalMain { run: id, signal });
            }
            (KillMode::Mixed | KillMode::Process, true) => {}
            (KillMode::None, _) => self.let_go(now, id, actions),
        }
    }

    /// What is left of a run is left alive.
    pub(super) fn let_go(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let (lives, known) = (run.exit.is_none(), run.lost.is_none());
        if lives || !run.empty {
            run.leftovers = Leftovers::Left;
        }
        if lives && known {
            self.unit_let_go(now, id, actions);
        }
        self.settle(now, id, actions);
    }

    pub(super) fn kill(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        actions.push(Action::Kill { run: id });
        self.killed(now, id);
    }

    /// A run has been killed; it will be again, where something is left.
    fn killed(&mut self, now: Now, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let pause = match run.end {
            End::Killed(pause) => pause.saturating_mul(2).min(LONGEST_KILL_PAUSE),
            End::Unwanted | End::Pending(_) | End::Preparing(_) | End::Asked(_) => FIRST_KILL_PAUSE,
        };
        run.end = End::Killed(pause);
        if run.stage == Stage::Clearing {
            run.leftovers = Leftovers::Killed;
        }
        self.arm(id, now.monotonic.saturating_add(pause));
    }

    pub(super) fn caller_gone(&mut self, now: Now, ticket: Ticket, actions: &mut Vec<Action>) {
        let id = match self.close(ticket) {
            None => return,
            Some(Waited::Run(id)) => id,
            Some(Waited::End(id)) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.watchers.retain(|watcher| *watcher != ticket);
                }
                return;
            }
            Some(Waited::Unit(name)) => {
                if let Some(unit) = self.units.get_mut(&name) {
                    unit.forget_ticket(ticket);
                }
                return;
            }
        };
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.callers.retain(|caller| *caller != ticket);
        if run.callers.is_empty() {
            let mut origin = run.started_by.clone();
            "the call ended before the run did".clone_into(&mut origin.reason);
            self.end(now, id, StopHow::Signal(SIGTERM), &origin, actions);
        }
    }

    pub(super) fn shut_down(
        &mut self,
        now: Now,
        ticket: Ticket,
        origin: &Origin,
        actions: &mut Vec<Action>,
    ) {
        let bound = Some(now.monotonic.saturating_add(self.limits.shut_down_timeout));
        let shut_down =
            self.shut_down.get_or_insert_with(|| ShutDown { tickets: Vec::new(), bound });
        shut_down.tickets.push(ticket);
        self.end_all(now, StopHow::Usual, origin, actions);
        self.answer_shut_down(actions);
    }

    fn end_all(&mut self, now: Now, how: StopHow, by: &Origin, actions: &mut Vec<Action>) {
        self.stop_units(now, how, by, actions);
        let plain = self.runs.iter().filter(|(_, run)| run.unit.is_none());
        let ids: Vec<RunId> = plain.map(|(id, _)| *id).collect();
        for id in ids {
            self.end(now, id, how, by, actions);
        }
    }

    /// Says that everything has ended, if it was ordered and is so.
    pub(super) fn answer_shut_down(&mut self, actions: &mut Vec<Action>) {
        if self.runs.is_empty()
            && let Some(ShutDown { tickets, bound }) = &mut self.shut_down
        {
            *bound = None;
            let answer = |ticket| Action::Reply(ticket, Answer::AllEnded);
            actions.extend(tickets.drain(..).map(answer));
        }
    }

    pub(super) fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        let due = |at: Duration| at <= now.monotonic;
        let runs: Vec<RunId> =
            self.timers.iter().take_while(|(at, _)| due(*at)).map(|(_, id)| *id).collect();
        for id in runs {
            self.out_of_time(now, id, actions);
        }
        self.units_out_of_time(now, actions);
        let calls: Vec<Ticket> = self
            .call_deadlines
            .iter()
            .take_while(|(at, _)| due(*at))
            .map(|(_, ticket)| *ticket)
            .collect();
        for ticket in calls {
            actions.push(Action::Reply(ticket, Answer::Refused(Refusal::DeadlinePassed)));
            self.caller_gone(now, ticket, actions);
        }
        if let Some(shut_down) = &mut self.shut_down
            && shut_down.bound.is_some_and(due)
        {
            shut_down.bound = None;
            self.end_all(now, StopHow::Kill, &Origin::daemon("out of time"), actions);
        }
    }

    /// A start that hangs, a signal that was not heard, a kill that left something.
    fn out_of_time(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.stage == Stage::Starting {
            self.start_out_of_time(now, id, actions);
            return;
        }
        if run.unclaimed && run.end == End::Unwanted {
            self.give_up_unclaimed(now, id, actions);
            return;
        }
        if let End::Preparing(_) = run.end {
            self.prepared(now, id, actions);
            return;
        }
        let main_lives = run.exit.is_none() && run.lost.is_none();
        let kills = self.final_kill(run);
        let first = match run.end {
            End::Killed(_) => false,
            End::Unwanted | End::Pending(_) | End::Preparing(_) | End::Asked(_) => true,
        };
        if first {
            self.unit_not_heard(id, main_lives);
        }
        if first && !kills {
            self.let_go(now, id, actions);
        } else {
            self.kill_as_wanted(now, id, actions);
        }
    }

    /// Kills whom its end reaches.
    pub(super) fn kill_as_wanted(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get(&id) else { return };
        if self.kill_mode(run) == KillMode::Process && run.exit.is_none() {
            self.kill_main(now, id, actions);
        } else {
            self.kill(now, id, actions);
        }
    }

    fn kill_main(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        actions.push(Action::SignalMain { run: id, signal: SIGKILL });
        self.killed(now, id);
    }

    fn start_out_of_time(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.end == End::Unwanted {
            let bound = self.limits.start_timeout;
            run.failure = Some(StartFailure {
                stage: START_STAGE_DEADLINE,
                errno: 0,
                message: format!(
                    "the program was not executed within {bound:?}; is its file on a filesystem that hangs?"
                ),
            });
        }
        let forgotten = run.exit.is_some();
        self.kill(now, id, actions);
        if forgotten {
            // The spawner has nobody left to tell about.
            self.clear(now, id, actions);
        }
    }
}
