//! How runs are brought to their end: orders, deadlines, and the end of everything.

use std::time::Duration;

use super::{Action, Core, Now, no_such_run};
use crate::{
    Leftovers, Name, Origin, RunId, StartFailure,
    order::{Answer, Refusal, StopHow, Target, Ticket},
    run::{End, FIRST_KILL_PAUSE, LONGEST_KILL_PAUSE, SIGTERM, Stage},
};

/// The largest signal number (signal(7), SIGRTMAX).
const LARGEST_SIGNAL: i32 = 64;
/// The wire's START_STAGE_DEADLINE.
const START_STAGE_DEADLINE: i32 = 302;

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
        if let StopHow::Signal(signal) = how
            && !(1..=LARGEST_SIGNAL).contains(&signal)
        {
            return Err(Refusal::NoSuchSignal(signal));
        }
        let found = self.find(target).ok_or_else(|| no_such_run(target))?;
        if found.ended.is_none() {
            self.end(now, found.run, how, origin, actions);
        }
        Ok((found.run, found.name))
    }

    /// Orders a run's end, or makes an end that is ordered harder.
    fn end(&mut self, now: Now, id: RunId, how: StopHow, by: &Origin, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.exit.is_none() && run.stage != Stage::Settling {
            run.stopped_by.get_or_insert_with(|| by.clone());
        }
        let patience = now.monotonic.saturating_add(self.limits.stop_timeout);
        match (&run.stage, how) {
            (Stage::Settling, StopHow::Signal(_) | StopHow::Kill) => {}
            (Stage::Starting | Stage::Running | Stage::Clearing, StopHow::Kill) => {
                self.kill(now, id, actions);
            }
            (Stage::Starting, StopHow::Signal(signal)) => match run.end {
                End::Unwanted => {
                    run.end = End::Pending(signal);
                    let at = run.timer.map_or(patience, |start| start.min(patience));
                    self.arm(id, at);
                }
                End::Pending(_) => run.end = End::Pending(signal),
                End::Asked(_) | End::Killed(_) => {}
            },
            (Stage::Running | Stage::Clearing, StopHow::Signal(signal)) => match run.end {
                End::Unwanted | End::Pending(_) => {
                    self.ask(now, id, signal, self.limits.stop_timeout, actions);
                }
                // The deadline stands: asking again must not put the end off.
                End::Asked(_) => {
                    run.end = End::Asked(signal);
                    actions.push(Action::Signal { run: id, signal });
                }
                End::Killed(_) => actions.push(Action::Signal { run: id, signal }),
            },
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
            actions.push(Action::Signal { run: id, signal });
            self.arm(id, now.monotonic.saturating_add(patience));
        }
    }

    pub(super) fn kill(&mut self, now: Now, id: RunId, actions: &mut Vec<Action>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let pause = match run.end {
            End::Killed(pause) => pause.saturating_mul(2).min(LONGEST_KILL_PAUSE),
            End::Unwanted | End::Pending(_) | End::Asked(_) => FIRST_KILL_PAUSE,
        };
        run.end = End::Killed(pause);
        if run.stage == Stage::Clearing {
            run.leftovers = Leftovers::Killed;
        }
        actions.push(Action::Kill { run: id });
        self.arm(id, now.monotonic.saturating_add(pause));
    }

    pub(super) fn caller_gone(&mut self, now: Now, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(id) = self.close(ticket) else { return };
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
        self.end_all(now, StopHow::Signal(SIGTERM), origin, actions);
        self.answer_shut_down(actions);
    }

    fn end_all(&mut self, now: Now, how: StopHow, by: &Origin, actions: &mut Vec<Action>) {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
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
        let Some(run) = self.runs.get_mut(&id) else { return };
        let starting = run.stage == Stage::Starting;
        if starting && run.end == End::Unwanted {
            let bound = self.limits.start_timeout;
            run.failure = Some(StartFailure {
                stage: START_STAGE_DEADLINE,
                errno: 0,
                message: format!(
                    "the program was not executed within {bound:?}; is its file on a filesystem that hangs?"
                ),
            });
        }
        let forgotten = starting && run.exit.is_some();
        self.kill(now, id, actions);
        if forgotten {
            // The spawner has nobody left to tell about.
            self.clear(now, id, actions);
        }
    }
}
