//! What the next core must know of a unit, and the unit made of it again. Left out are who waits and the last changes,
//! which are kept by themselves.

use std::sync::Arc;

use super::{Failure, Part, StartWindow, Unit};
use crate::{
    kept::KeptUnit,
    unit::{
        spec::Role,
        state::{Change, UnitResult},
    },
};

impl Unit {
    /// The unit as an earlier core kept it, with its last changes.
    pub(crate) fn resumed(kept: &Arc<KeptUnit>, history: Vec<Arc<Change>>) -> Self {
        let one = KeptUnit::clone(kept);
        let failure = one.failure.map(|(why, record)| Box::new(Failure { why, record }));
        Self {
            spec: one.spec,
            desired: one.desired,
            state: one.state,
            since: one.since,
            result: one.result,
            failure,
            first_run: one.first_run,
            main: one.main,
            control: one.control,
            last: one.last,
            ran: one.ran,
            said_ready: one.said_ready,
            unready: one.unready,
            overdue: one.overdue,
            up_since: one.up_since,
            by: one.by,
            how: one.how,
            asked: one.asked,
            next: one.next,
            restarts: one.restarts,
            streak: one.streak,
            window: StartWindow::from_kept(one.window),
            timer: one.timer,
            armed: one.timer,
            waiting: Vec::new(),
            status_text: one.status_text,
            started: one.started,
            history: history.into(),
            kept: Some(Arc::clone(kept)),
        }
    }

    /// What is to be kept of it, if that has changed.
    pub(crate) fn keep_anew(&mut self) -> Option<Arc<KeptUnit>> {
        let now = self.now();
        if self.kept.as_deref() == Some(&now) {
            return None;
        }
        let now = Arc::new(now);
        self.kept = Some(Arc::clone(&now));
        Some(now)
    }

    fn now(&self) -> KeptUnit {
        let failure = self.failure.as_ref();
        KeptUnit {
            spec: Arc::clone(&self.spec),
            desired: self.desired.clone(),
            state: self.state,
            since: self.since,
            result: self.result,
            failure: failure.map(|failure| (failure.why.clone(), failure.record.clone())),
            first_run: self.first_run,
            main: self.main,
            control: self.control,
            last: self.last.clone(),
            ran: self.ran,
            said_ready: self.said_ready,
            unready: self.unready,
            overdue: self.overdue,
            up_since: self.up_since,
            by: self.by.clone(),
            how: self.how,
            asked: self.asked,
            next: self.next.clone(),
            restarts: self.restarts,
            streak: self.streak,
            window: self.window.to_keep(),
            timer: self.timer,
            status_text: self.status_text.clone(),
            started: self.started,
        }
    }

    /// Its live runs.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        self.main.into_iter().chain(self.control)
    }

    /// What a command that plays this role is told: the main process of the program, and on stop what came of it.
    pub(crate) fn told(&self, role: Role) -> (i32, Option<UnitResult>) {
        match role {
            Role::Main => (0, None),
            Role::Before(_) | Role::After(_) | Role::OnReload(_) => (self.main_pid(), None),
            Role::OnStop(_) => (self.main_pid(), Some(self.result)),
        }
    }

    fn main_pid(&self) -> i32 {
        self.main.map_or(0, |main| main.pid)
    }
}
