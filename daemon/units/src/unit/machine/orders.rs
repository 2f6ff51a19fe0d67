//! What people want of a unit.

use std::sync::Arc;

use super::{Awaited, Turn, Unit};
use crate::{
    Answer, Origin, Refusal,
    order::{StopHow, Ticket},
    unit::{
        spec::{Role, UnitSpec},
        state::{ChangeCause, UnitState, Wanted},
    },
};

impl Unit {
    /// It is to be up.
    pub(crate) fn start(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        spec: Arc<UnitSpec>,
        by: Origin,
    ) -> Result<(), Refusal> {
        if turn.closing {
            return Err(Refusal::ShuttingDown);
        }
        match self.state {
            UnitState::Running | UnitState::Reloading | UnitState::Exited => {
                self.waiting.push((ticket, Awaited::Up));
                self.answer_up(turn, true);
            }
            UnitState::Before(_) | UnitState::Starting | UnitState::After(_) => {
                self.waiting.push((ticket, Awaited::Up));
            }
            UnitState::Stopping | UnitState::Inactive | UnitState::Waiting | UnitState::Failed
                if turn.keeper_lost =>
            {
                return Err(Refusal::KeeperLost);
            }
            UnitState::Stopping => {
                self.within_limit(turn, &spec)?;
                self.waiting.push((ticket, Awaited::UpAgain));
                self.want(turn, Wanted::Up, by.clone());
                self.next = Some((spec, by));
            }
            UnitState::Inactive | UnitState::Waiting | UnitState::Failed => {
                self.within_limit(turn, &spec)?;
                if turn.room == 0 {
                    return Err(Refusal::TooManyRuns { live: turn.live });
                }
                self.waiting.push((ticket, Awaited::UpAgain));
                self.want(turn, Wanted::Up, by.clone());
                self.begin_by_hand(turn, spec, by);
            }
        }
        Ok(())
    }

    /// It is to be down for a moment, and then up.
    pub(crate) fn restart(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        spec: Arc<UnitSpec>,
        by: Origin,
    ) -> Result<(), Refusal> {
        let is_up = match self.state {
            UnitState::Running | UnitState::Exited => true,
            UnitState::Before(_)
            | UnitState::Starting
            | UnitState::After(_)
            | UnitState::Reloading => false,
            UnitState::Stopping | UnitState::Inactive | UnitState::Waiting | UnitState::Failed => {
                return self.start(turn, ticket, spec, by);
            }
        };
        if turn.closing {
            return Err(Refusal::ShuttingDown);
        }
        if turn.keeper_lost {
            return Err(Refusal::KeeperLost);
        }
        // Refused now, rather than stopped and then not started.
        self.within_limit(turn, &spec)?;
        self.postpone_waiting();
        self.waiting.push((ticket, Awaited::UpAgain));
        self.want(turn, Wanted::Up, by.clone());
        self.next = Some((spec, by.clone()));
        self.stop_now(turn, StopHow::Usual, ChangeCause::Order(by.clone()), by, is_up);
        Ok(())
    }

    /// It is to be down. Without a ticket nobody waits for that.
    pub(crate) fn stop(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Option<Ticket>,
        how: StopHow,
        by: &Origin,
    ) {
        self.want(turn, Wanted::Down, by.clone());
        self.next = None;
        let refusal = if turn.closing {
            Refusal::ShuttingDown
        } else {
            Refusal::Superseded { name: self.name().clone(), by: by.clone() }
        };
        self.refuse(turn, &[Awaited::Up, Awaited::UpAgain], refusal);
        self.waiting.extend(ticket.map(|ticket| (ticket, Awaited::Down)));
        let cause = ChangeCause::Order(by.clone());
        match self.state {
            UnitState::Inactive | UnitState::Failed => {
                let answer = self.down_answer();
                self.answer(turn, &[Awaited::Down], &answer);
            }
            UnitState::Waiting => self.rest(turn, UnitState::Inactive, cause, None),
            UnitState::Running | UnitState::Exited => {
                self.stop_now(turn, how, cause, by.clone(), true);
            }
            UnitState::Before(_)
            | UnitState::Starting
            | UnitState::After(_)
            | UnitState::Reloading => {
                self.stop_now(turn, how, cause, by.clone(), false);
            }
            UnitState::Stopping => self.harden(turn, how, by),
        }
    }

    /// It is to read its configuration again.
    pub(crate) fn reload(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        by: Origin,
    ) -> Result<(), Refusal> {
        if turn.closing {
            return Err(Refusal::ShuttingDown);
        }
        if self.spec.on_reload.is_empty() {
            return Err(Refusal::NothingToReload(self.name().clone()));
        }
        if turn.keeper_lost {
            return Err(Refusal::KeeperLost);
        }
        match self.state {
            UnitState::Running | UnitState::Exited => {
                self.by = by;
                if !self.spawn(turn, Role::OnReload(0)) {
                    return Err(Refusal::TooManyRuns { live: turn.live });
                }
                self.waiting.push((ticket, Awaited::Reloaded));
                self.reloading(turn);
            }
            // What has begun may not see what has changed since.
            UnitState::Reloading => {
                self.by = by;
                self.waiting.push((ticket, Awaited::ReloadedAgain));
            }
            UnitState::Inactive
            | UnitState::Before(_)
            | UnitState::Starting
            | UnitState::After(_)
            | UnitState::Stopping
            | UnitState::Waiting
            | UnitState::Failed => return Err(self.not_running()),
        }
        Ok(())
    }

    /// Somebody waits until it rests.
    pub(crate) fn wait(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.waiting.push((ticket, Awaited::Rest));
        if self.state.is_dead() || self.state == UnitState::Exited {
            let answer = self.down_answer();
            self.answer(turn, &[Awaited::Rest], &answer);
        }
    }

    pub(crate) fn not_running(&self) -> Refusal {
        Refusal::NotRunning { name: self.name().clone(), state: self.state }
    }

    /// Answers those who wait for its start with its last run.
    pub(super) fn answer_up(&mut self, turn: &mut Turn<'_>, was_up: bool) {
        // A process that has ended is nobody's any more.
        let over = self.last.as_ref().map(|record| (record.run, 0));
        if let Some((run, pid)) = self.main.map(|main| (main.run, main.pid)).or(over) {
            let answer = Answer::Up { name: self.name().clone(), run, pid, was_up };
            self.answer(turn, &[Awaited::Up], &answer);
        }
    }

    pub(super) fn down_answer(&self) -> Answer {
        let record = self.last.clone();
        Answer::Down { name: self.name().clone(), state: self.state, record }
    }

    /// Whoever waits for this start waits for the next one.
    fn postpone_waiting(&mut self) {
        self.wait_instead(Awaited::Up, Awaited::UpAgain);
    }

    fn within_limit(&self, turn: &Turn<'_>, spec: &UnitSpec) -> Result<(), Refusal> {
        let limit = spec.restart.start_limit;
        match (limit, self.window.refuses(limit, turn.now.monotonic)) {
            (Some(limit), Some(again_in)) => Err(Refusal::StartLimit {
                name: self.name().clone(),
                starts: limit.starts,
                interval: limit.interval,
                again_in,
            }),
            (Some(_) | None, None) | (None, Some(_)) => Ok(()),
        }
    }
}
