//! The way up: before, program, after; and the reload of what is up.

use std::{sync::Arc, time::Duration};

use super::{Awaited, Turn, Unit};
use crate::{
    Answer, ExitRecord, Origin, Refusal,
    order::StopHow,
    refusal::shown,
    unit::{
        spec::{Kind, Role, UnitSpec},
        state::{ChangeCause, UnitResult, UnitState},
    },
};

/// How long a restart is put off that there is no room for.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);

impl Unit {
    /// Begins anew, as somebody ordered; nothing of it runs.
    pub(super) fn begin_by_hand(&mut self, turn: &mut Turn<'_>, spec: Arc<UnitSpec>, by: Origin) {
        (self.spec, self.next) = (spec, None);
        (self.restarts, self.streak) = (0, 0);
        if turn.room > 0 {
            self.begin(turn, by.clone(), ChangeCause::Order(by));
        } else {
            // There was room when it was ordered; others have taken it since.
            self.clear(by);
            self.fail_crowded(turn);
            self.down(turn, None);
        }
    }

    /// Waits for the next restart; one without a pause is begun at once.
    pub(super) fn wait_for_restart(
        &mut self,
        turn: &mut Turn<'_>,
        record: Option<Arc<ExitRecord>>,
    ) {
        let restart = &self.spec.restart;
        let luck = if restart.jitter.is_zero() { 0 } else { turn.draw.luck() };
        let pause = restart.pause(self.streak.saturating_add(1));
        let pause = pause.saturating_add(restart.chance(luck));
        let (number, result) = (self.restarts.saturating_add(1), self.result);
        let cause =
            ChangeCause::Policy(format!("restart {number} in {} after {result}", shown(pause)));
        self.enter(turn, UnitState::Waiting, cause, record);
        self.arm(turn, Some(pause));
        self.answer_start_failed(turn);
        if pause.is_zero() {
            self.begin_by_itself(turn);
        }
    }

    /// It is to begin, and nothing can be made: it waits for the next core, which begins it at once. What was ordered stays
    /// an order.
    pub(super) fn put_off(&mut self, turn: &mut Turn<'_>, record: Option<Arc<ExitRecord>>) {
        self.timer = None;
        let what = match &self.next {
            Some((_, by)) => format!("the start that {by} ordered"),
            None => format!("restart {} after {}", self.restarts.saturating_add(1), self.result),
        };
        let why = format!("{what} is due, and there is no keeper; start auraed again");
        self.enter(turn, UnitState::Waiting, ChangeCause::Policy(why), record);
        self.answer_start_failed(turn);
        let answer = self.down_answer();
        self.answer(turn, &[Awaited::Down], &answer);
    }

    /// Begins anew, as its own rules want.
    pub(super) fn begin_by_itself(&mut self, turn: &mut Turn<'_>) {
        if turn.keeper_lost {
            self.put_off(turn, None);
            return;
        }
        if turn.room == 0 {
            self.arm(turn, Some(CROWDED_PAUSE));
            return;
        }
        self.timer = None;
        if let Some((spec, by)) = self.next.take() {
            self.begin_by_hand(turn, spec, by);
            return;
        }
        let limit = self.spec.restart.start_limit;
        if let Some(again_in) = self.window.refuses(limit, turn.now.monotonic) {
            self.result = UnitResult::StartLimitHit;
            let why = format!(
                "it was started too often, its limit is {}; it can be started again {} after that, or at once when it is forgotten",
                limit.map_or_else(String::new, |it| format!(
                    "{} in {}",
                    it.starts,
                    shown(it.interval)
                )),
                shown(again_in)
            );
            self.rest(turn, UnitState::Failed, ChangeCause::Policy(why), None);
            return;
        }
        self.streak = self.streak.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        let why = format!("restart {} after {}", self.restarts, self.result);
        self.begin(turn, Origin::daemon(&why), ChangeCause::Policy(why.clone()));
    }

    fn begin(&mut self, turn: &mut Turn<'_>, by: Origin, cause: ChangeCause) {
        self.clear(by);
        let limit = self.spec.restart.start_limit;
        self.window.count(limit, turn.now.monotonic);
        self.started = turn.draw.start();
        self.before(turn, 0, cause, None);
    }

    /// Nothing is known of this start yet.
    fn clear(&mut self, by: Origin) {
        self.by = by;
        (self.result, self.failure) = (UnitResult::Success, None);
        (self.ran, self.said_ready, self.unready) = (false, false, false);
        (self.overdue, self.asked, self.how) = (false, false, StopHow::Usual);
        (self.up_since, self.status_text) = (None, None);
        self.wait_instead(Awaited::UpAgain, Awaited::Up);
    }

    /// Runs this command before the program, or the program, where there is no such command.
    pub(super) fn before(
        &mut self,
        turn: &mut Turn<'_>,
        index: usize,
        cause: ChangeCause,
        record: Option<Arc<ExitRecord>>,
    ) {
        let (role, state) = if index < self.spec.before.len() {
            (Role::Before(index), UnitState::Before(index))
        } else {
            (Role::Main, UnitState::Starting)
        };
        if self.spawn(turn, role) {
            self.enter(turn, state, cause, record);
            self.arm(turn, self.spec.start_timeout);
        } else {
            self.fail_crowded(turn);
            self.down(turn, None);
        }
    }

    /// Runs this command after the program, or is up, where there is no such command.
    pub(super) fn after(
        &mut self,
        turn: &mut Turn<'_>,
        index: usize,
        cause: ChangeCause,
        record: Option<Arc<ExitRecord>>,
    ) {
        if index >= self.spec.after.len() {
            self.up(turn, cause, record);
        } else if self.spawn(turn, Role::After(index)) {
            self.enter(turn, UnitState::After(index), cause, record);
            self.arm(turn, self.spec.start_timeout);
        } else {
            let why = self.fail_crowded(turn);
            self.stop_by_itself(turn, ChangeCause::Policy(why), false);
        }
    }

    /// There is no room for another run.
    pub(super) fn fail_crowded(&mut self, turn: &Turn<'_>) -> String {
        let why = Refusal::TooManyRuns { live: turn.live }.to_string();
        self.fail(UnitResult::Resources, why.clone(), None);
        why
    }

    fn up(&mut self, turn: &mut Turn<'_>, cause: ChangeCause, record: Option<Arc<ExitRecord>>) {
        match self.spec.kind {
            Kind::Service => {
                self.up_since = Some(turn.now.monotonic);
                self.enter(turn, UnitState::Running, cause, record);
                self.arm(turn, self.spec.run_limit);
                self.answer_up(turn, false);
            }
            Kind::Oneshot { remain_after_exit: true } => {
                self.enter(turn, UnitState::Exited, cause, record);
                self.timer = None;
                self.answer_up(turn, false);
                let answer = self.down_answer();
                self.answer(turn, &[Awaited::Rest], &answer);
            }
            Kind::Oneshot { remain_after_exit: false } => {
                self.answer_up(turn, false);
                self.down(turn, record);
            }
        }
    }

    /// A reload has begun.
    pub(super) fn reloading(&mut self, turn: &mut Turn<'_>) {
        self.asked = false;
        self.enter(turn, UnitState::Reloading, ChangeCause::Order(self.by.clone()), None);
        self.arm(turn, self.spec.start_timeout);
    }

    /// Runs this command on reload; where there is no such command, the reload is over.
    pub(super) fn reload_on(
        &mut self,
        turn: &mut Turn<'_>,
        index: usize,
        record: &Arc<ExitRecord>,
    ) {
        if index >= self.spec.on_reload.len() {
            let answer = Answer::Reloaded { name: self.name().clone() };
            self.reloaded(turn, &answer, record);
        } else if self.spawn(turn, Role::OnReload(index)) {
            self.arm(turn, self.spec.start_timeout);
        } else {
            let why = Refusal::TooManyRuns { live: turn.live }.to_string();
            self.reload_failed(turn, why, record);
        }
    }

    /// A command on reload failed; it goes on as before.
    pub(super) fn reload_failed(
        &mut self,
        turn: &mut Turn<'_>,
        why: String,
        record: &Arc<ExitRecord>,
    ) {
        let refusal = Refusal::ReloadFailed { name: self.name().clone(), why };
        self.reloaded(turn, &Answer::Refused(refusal), record);
    }

    fn reloaded(&mut self, turn: &mut Turn<'_>, answer: &Answer, record: &Arc<ExitRecord>) {
        let cause = ChangeCause::Exit(record.cause.to_string());
        let state = if self.main.is_some() { UnitState::Running } else { UnitState::Exited };
        self.enter(turn, state, cause, Some(Arc::clone(record)));
        self.timer = self.up_since.zip(self.spec.run_limit).map(|(at, run)| at.saturating_add(run));
        self.answer(turn, &[Awaited::Reloaded], answer);
        if !self.wait_instead(Awaited::ReloadedAgain, Awaited::Reloaded) {
            return;
        }
        if self.spawn(turn, Role::OnReload(0)) {
            self.reloading(turn);
        } else {
            self.refuse(turn, &[Awaited::Reloaded], Refusal::TooManyRuns { live: turn.live });
        }
    }
}
