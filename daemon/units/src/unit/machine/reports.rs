//! What the runs of a unit tell, and the clock.

use std::sync::Arc;

use super::{Deed, Turn, Unit, outcome::told};
use crate::{
    Cause, ExitRecord, Origin, RunId,
    order::StopHow,
    unit::{
        spec::{CommandSpec, Kind, Readiness, Role},
        state::{ChangeCause, UnitResult, UnitState},
    },
};

/// How much is kept of what a program says about itself, in characters.
const STATUS_TEXT: usize = 1024;

impl Unit {
    /// A run's program has been executed.
    pub(crate) fn executed(&mut self, turn: &mut Turn<'_>, run: RunId, pid: i32) {
        let kept = &mut *self.kept;
        for part in [&mut kept.main, &mut kept.control].into_iter().flatten() {
            if part.run == run {
                part.pid = pid;
            }
        }
        self.look_ready(turn);
    }

    /// A run's program says that it is ready; perhaps before it is known to have been executed.
    /// Where it is to say so otherwise it has not said so.
    pub(crate) fn ready(&mut self, turn: &mut Turn<'_>, run: RunId, said: Readiness) {
        if self.spec.readiness == said && self.main.is_some_and(|main| main.run == run) {
            self.said_ready = true;
            self.look_ready(turn);
        }
    }

    /// The program is ready, if it is being waited for and is so.
    fn look_ready(&mut self, turn: &mut Turn<'_>) {
        let executed = self.main.is_some_and(|main| main.pid != 0);
        let ready = match (self.spec.kind, self.spec.readiness) {
            (Kind::Service, Readiness::Executed) => executed,
            (Kind::Service, Readiness::Notify | Readiness::Drpc) => executed && self.said_ready,
            (Kind::Oneshot { remain_after_exit: _ }, _) => false,
        };
        if ready && self.state == UnitState::Starting {
            self.after(turn, 0, ChangeCause::Readiness, None);
        }
    }

    /// A run's program says something about itself.
    pub(crate) fn notified(&mut self, run: RunId, text: &str) {
        let text: String = text.chars().take(STATUS_TEXT).collect();
        // Some say the same again and again, which is not worth keeping.
        if self.main.is_some_and(|main| main.run == run) && self.status_text.as_ref() != Some(&text)
        {
            self.status_text = Some(text);
        }
    }

    /// The main process of the program has ended; what it left behind may live on for a while.
    pub(crate) fn main_ended(&mut self, turn: &mut Turn<'_>, run: RunId, cause: &Cause) {
        if self.main.is_none_or(|main| main.run != run) {
            return;
        }
        self.make_up(turn);
        match (self.state, self.spec.kind) {
            (UnitState::Starting, Kind::Oneshot { remain_after_exit: _ }) => {}
            (UnitState::Starting, Kind::Service) => {
                self.unready = self.spec.readiness != Readiness::Executed;
                self.wind_up(turn, ChangeCause::Exit(cause.to_string()), None);
            }
            (UnitState::After(_) | UnitState::Running | UnitState::Reloading, _) => {
                self.wind_up(turn, ChangeCause::Exit(cause.to_string()), None);
            }
            (
                UnitState::Inactive
                | UnitState::Before(_)
                | UnitState::Exited
                | UnitState::Stopping
                | UnitState::Waiting
                | UnitState::Failed,
                _,
            ) => {}
        }
    }

    /// Its program is left alive, and nothing more is heard of it.
    pub(crate) fn main_let_go(&mut self, turn: &Turn<'_>, run: RunId) {
        if self.main.is_some_and(|main| main.run == run) {
            self.make_up(turn);
        }
    }

    /// A run that was stable makes up for the failures before it.
    fn make_up(&mut self, turn: &Turn<'_>) {
        let stable = self.spec.restart.reset_after;
        if self.up_since.is_some_and(|at| at.saturating_add(stable) <= turn.now.monotonic) {
            self.streak = 0;
        }
    }

    /// The run of its program is over.
    pub(crate) fn main_over(&mut self, turn: &mut Turn<'_>, record: &Arc<ExitRecord>) {
        if self.main.take_if(|main| main.run == record.run).is_none() {
            return;
        }
        (self.last, self.ran) = (Some(Arc::clone(record)), true);
        let exit = || ChangeCause::Exit(record.cause.to_string());
        match self.result_of(record) {
            UnitResult::Success if self.unready => {
                let how = if self.spec.readiness == Readiness::Drpc {
                    "NotifyReady of dRPC"
                } else {
                    "READY=1"
                };
                let why = format!("it ended before it said that it is ready ({how})");
                self.fail(UnitResult::Protocol, why, Some(Arc::clone(record)));
            }
            UnitResult::Success => {}
            result @ (UnitResult::ExitCode
            | UnitResult::Signal
            | UnitResult::CoreDump
            | UnitResult::OutOfMemory
            | UnitResult::Timeout
            | UnitResult::StartLimitHit
            | UnitResult::Protocol
            | UnitResult::Resources) => {
                self.fail(result, record.cause.to_string(), Some(Arc::clone(record)));
            }
        }
        self.fail_overdue();
        match self.state {
            UnitState::Starting => match (self.spec.kind, self.result) {
                (Kind::Oneshot { remain_after_exit: _ }, UnitResult::Success) => {
                    self.after(turn, 0, exit(), Some(Arc::clone(record)));
                }
                (Kind::Oneshot { remain_after_exit: _ } | Kind::Service, _) => {
                    self.down(turn, Some(Arc::clone(record)));
                }
            },
            UnitState::After(_) | UnitState::Running | UnitState::Reloading => {
                self.wind_up(turn, exit(), Some(Arc::clone(record)));
                self.look_down(turn, record);
            }
            UnitState::Stopping => self.look_down(turn, record),
            UnitState::Inactive
            | UnitState::Before(_)
            | UnitState::Exited
            | UnitState::Waiting
            | UnitState::Failed => {}
        }
    }

    /// The run of a command is over.
    pub(crate) fn control_over(
        &mut self,
        turn: &mut Turn<'_>,
        role: Role,
        record: &Arc<ExitRecord>,
    ) {
        if self.control.take_if(|control| control.run == record.run).is_none() {
            return;
        }
        let ignored = self.spec.command(role).is_some_and(CommandSpec::ignores_failure);
        let well = ignored || record.cause == Cause::Exited(0);
        let cause = ChangeCause::Exit(record.cause.to_string());
        let kept = Some(Arc::clone(record));
        match (self.state, role) {
            (UnitState::Before(index), _) if well => self.before(turn, index + 1, cause, kept),
            (UnitState::Before(_), _) => {
                self.fail_by(role, record);
                self.down(turn, kept);
            }
            (UnitState::After(index), _) if well => self.after(turn, index + 1, cause, kept),
            (UnitState::After(_), _) => {
                self.fail_by(role, record);
                self.stop_by_itself(turn, cause, false);
            }
            (UnitState::Reloading, Role::OnReload(index)) if well && !self.asked => {
                self.reload_on(turn, index + 1, record);
            }
            (UnitState::Reloading, _) => {
                let late = if self.asked { "it took too long, " } else { "" };
                let why = format!("{}: {late}{}", told(role), record.cause);
                self.reload_failed(turn, why, record);
            }
            (UnitState::Stopping, Role::OnStop(index)) if well && !self.asked => {
                self.stop_on(turn, index + 1);
            }
            (UnitState::Stopping, _) if self.asked => self.look_down(turn, record),
            (UnitState::Stopping, _) => {
                self.fail_by(role, record);
                self.ask(turn);
            }
            (
                UnitState::Inactive
                | UnitState::Starting
                | UnitState::Running
                | UnitState::Exited
                | UnitState::Waiting
                | UnitState::Failed,
                _,
            ) => {}
        }
    }

    /// Its moment has come.
    pub(crate) fn out_of_time(&mut self, turn: &mut Turn<'_>) {
        self.timer = None;
        match self.state {
            UnitState::Before(_) | UnitState::Starting | UnitState::After(_) => {
                let bound = self.spec.start_timeout.unwrap_or_default();
                let step = if self.state == UnitState::Starting {
                    "its program was not ready"
                } else {
                    "a command of its start was not over"
                };
                self.late(turn, format!("{step} within {bound:?} (start_timeout)"), false);
            }
            UnitState::Running => {
                let bound = self.spec.run_limit.unwrap_or_default();
                self.late(turn, format!("it has run for {bound:?}, its limit (run_limit)"), true);
            }
            UnitState::Reloading => {
                self.asked = true;
                if let Some(control) = self.control {
                    let bound = self.spec.start_timeout.unwrap_or_default();
                    let by = Origin::daemon(&format!("its reload was not over within {bound:?}"));
                    turn.deeds.push(Deed::End { run: control.run, how: StopHow::Usual, by });
                }
            }
            UnitState::Stopping => {
                let bound = self.spec.stop.timeout;
                let why = format!("a command on stop was not over within {bound:?} (stop.timeout)");
                self.fail(UnitResult::Timeout, why, None);
                self.ask(turn);
            }
            UnitState::Waiting => self.begin_by_itself(turn),
            UnitState::Inactive | UnitState::Exited | UnitState::Failed => {}
        }
    }

    /// The run of its program did not end within the time that its signal had; of a main process that has
    /// ended, what it left behind. How that one ended comes first then.
    pub(crate) fn not_heard(&mut self, run: RunId, main_lives: bool) {
        if self.main.is_none_or(|main| main.run != run) {
            return;
        }
        self.overdue = true;
        if main_lives {
            self.fail_overdue();
        }
    }

    fn fail_overdue(&mut self) {
        if self.overdue {
            let bound = self.spec.stop.timeout;
            let why = format!("it had not ended {bound:?} after its signal (stop.timeout)");
            self.fail(UnitResult::Timeout, why, None);
        }
    }

    fn late(&mut self, turn: &mut Turn<'_>, why: String, is_up: bool) {
        self.fail(UnitResult::Timeout, why.clone(), None);
        self.stop_by_itself(turn, ChangeCause::Timeout(why), is_up);
    }

    /// It is down where nothing of it runs.
    fn look_down(&mut self, turn: &mut Turn<'_>, record: &Arc<ExitRecord>) {
        if self.main.is_none() && self.control.is_none() {
            self.down(turn, Some(Arc::clone(record)));
        }
    }
}
