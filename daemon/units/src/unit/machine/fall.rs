//! The way down, and what comes after it.

use std::sync::Arc;

use super::{Awaited, Deed, Part, Turn, Unit};
use crate::{
    ExitRecord, Origin, Refusal,
    order::StopHow,
    unit::{
        spec::Role,
        state::{ChangeCause, UnitResult, UnitState, Wanted},
    },
};

impl Unit {
    /// Begins to bring it down. Commands on stop are run where it is up, and not to be killed.
    pub(super) fn stop_now(
        &mut self,
        turn: &mut Turn<'_>,
        how: StopHow,
        cause: ChangeCause,
        by: Origin,
        is_up: bool,
    ) {
        (self.how, self.by, self.asked, self.timer) = (how, by, false, None);
        self.enter(turn, UnitState::Stopping, cause, None);
        self.abandon_reloads(turn);
        if is_up && how != StopHow::Kill {
            self.stop_on(turn, 0);
        } else {
            self.ask(turn);
        }
    }

    /// The same, as its own rules want.
    pub(super) fn stop_by_itself(&mut self, turn: &mut Turn<'_>, cause: ChangeCause, is_up: bool) {
        let by = Origin::daemon(&cause.to_string());
        self.stop_now(turn, StopHow::Usual, cause, by, is_up);
    }

    /// Its program has ended by itself; a command beside it is to end too.
    pub(super) fn wind_up(
        &mut self,
        turn: &mut Turn<'_>,
        cause: ChangeCause,
        record: Option<Arc<ExitRecord>>,
    ) {
        let by = Origin::daemon(&cause.to_string());
        (self.how, self.by, self.asked, self.timer) = (StopHow::Usual, by, true, None);
        self.enter(turn, UnitState::Stopping, cause, record);
        self.abandon_reloads(turn);
        self.end(turn, self.control);
    }

    /// Runs this command on stop; where there is no such command, what is alive is told to end.
    pub(super) fn stop_on(&mut self, turn: &mut Turn<'_>, index: usize) {
        if index >= self.spec.on_stop.len() {
            self.ask(turn);
        } else if self.spawn(turn, Role::OnStop(index)) {
            self.arm(turn, Some(self.spec.stop.timeout));
        } else {
            self.fail_crowded(turn);
            self.ask(turn);
        }
    }

    /// What is alive is told to end.
    pub(super) fn ask(&mut self, turn: &mut Turn<'_>) {
        (self.asked, self.timer) = (true, None);
        self.end(turn, self.control);
        self.end(turn, self.main);
        if self.main.is_none() && self.control.is_none() {
            self.down(turn, None);
        }
    }

    fn end(&self, turn: &mut Turn<'_>, part: Option<Part>) {
        let Some(part) = part else { return };
        let how = match (part.role, self.how) {
            (Role::Main, how) => how,
            (_, StopHow::Kill) => StopHow::Kill,
            (
                Role::Before(_) | Role::After(_) | Role::OnStop(_) | Role::OnReload(_),
                StopHow::Usual | StopHow::Signal(_),
            ) => StopHow::Usual,
        };
        turn.deeds.push(Deed::End { run: part.run, how, by: self.by.clone() });
    }

    /// It is on the way down, and somebody orders that again.
    pub(super) fn harden(&mut self, turn: &mut Turn<'_>, how: StopHow, by: &Origin) {
        match (how, self.how) {
            (StopHow::Usual, _) | (StopHow::Signal(_), StopHow::Kill) => {}
            (StopHow::Signal(_), StopHow::Usual | StopHow::Signal(_)) => {
                self.how = how;
                if self.asked {
                    self.by = by.clone();
                    self.end(turn, self.main);
                }
            }
            (StopHow::Kill, _) => {
                (self.how, self.by) = (how, by.clone());
                self.ask(turn);
            }
        }
    }

    /// Nothing of it runs any more.
    pub(super) fn down(&mut self, turn: &mut Turn<'_>, record: Option<Arc<ExitRecord>>) {
        self.timer = None;
        if turn.keeper_lost && self.next.is_some() {
            self.put_off(turn, record);
            self.refuse(turn, &[Awaited::UpAgain], Refusal::KeeperLost);
            return;
        }
        if let Some((spec, by)) = self.next.take() {
            self.enter(turn, UnitState::Inactive, ChangeCause::Order(by.clone()), record);
            self.answer_start_failed(turn);
            let answer = self.down_answer();
            self.answer(turn, &[Awaited::Down], &answer);
            self.begin_by_hand(turn, spec, by);
            return;
        }
        let cause = self.ran.then(|| self.last.as_ref().map(|record| &record.cause)).flatten();
        let wanted = self.desired.wanted == Wanted::Up && !turn.closing;
        if wanted && self.spec.restart.applies(self.result, cause) {
            self.wait_for_restart(turn, record);
            return;
        }
        let state = match self.result {
            UnitResult::Success => UnitState::Inactive,
            UnitResult::ExitCode
            | UnitResult::Signal
            | UnitResult::CoreDump
            | UnitResult::OutOfMemory
            | UnitResult::Timeout
            | UnitResult::StartLimitHit
            | UnitResult::Protocol
            | UnitResult::Resources => UnitState::Failed,
        };
        let cause = match (self.result, self.desired.wanted) {
            (UnitResult::OutOfMemory, _) => ChangeCause::OutOfMemory,
            (_, Wanted::Down) => ChangeCause::Order(self.desired.by.clone()),
            (result, Wanted::Up) => ChangeCause::Policy(format!("no restart after {result}")),
        };
        self.rest(turn, state, cause, record);
    }

    /// It is down for good.
    pub(super) fn rest(
        &mut self,
        turn: &mut Turn<'_>,
        state: UnitState,
        cause: ChangeCause,
        record: Option<Arc<ExitRecord>>,
    ) {
        self.timer = None;
        if self.desired.wanted == Wanted::Up {
            // Nobody wants it up any more that could bring it up.
            self.want(turn, Wanted::Down, Origin::daemon(&cause.to_string()));
        }
        self.enter(turn, state, cause, record);
        self.answer_start_failed(turn);
        let answer = self.down_answer();
        self.answer(turn, &[Awaited::Down, Awaited::Rest], &answer);
    }

    /// Tells those who wait for the start what became of it.
    pub(super) fn answer_start_failed(&mut self, turn: &mut Turn<'_>) {
        if self.waiting.iter().all(|(_, awaited)| *awaited != Awaited::Up) {
            return;
        }
        let (why, record) = self.failure.as_ref().map_or_else(
            || ("it ended before it was up".to_owned(), self.last.clone().filter(|_| self.ran)),
            |failure| (failure.why.clone(), failure.record.clone()),
        );
        let (name, result) = (self.name().clone(), self.result);
        let refusal = Refusal::StartFailed { name, result, why, record };
        self.refuse(turn, &[Awaited::Up], refusal);
    }

    fn abandon_reloads(&mut self, turn: &mut Turn<'_>) {
        let why = "it is on the way down".to_owned();
        let refusal = Refusal::ReloadFailed { name: self.name().clone(), why };
        self.refuse(turn, &[Awaited::Reloaded, Awaited::ReloadedAgain], refusal);
    }
}
