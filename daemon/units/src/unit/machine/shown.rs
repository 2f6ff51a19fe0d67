//! A unit, as it is shown.

use super::{Now, Part, Unit};
use crate::unit::{
    state::UnitState,
    view::{UnitDetail, UnitView},
};

impl Unit {
    /// The unit in a line.
    pub(crate) fn view(&self, now: Now) -> UnitView {
        let until = self.timer.filter(|_| self.state == UnitState::Waiting);
        let left = until.map(|at| at.saturating_sub(now.monotonic));
        let left = left.map(|left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX));
        UnitView {
            name: self.name().clone(),
            comment: self.spec.comment.clone(),
            kind: self.spec.kind,
            state: self.state,
            since: self.since,
            desired: self.desired.clone(),
            result: self.result,
            run: self.main.map(|main| main.run),
            pid: self.main.map_or(0, |main| main.pid),
            restarts: self.restarts,
            restart_at: left.map(|left| now.wall.saturating_add(left)),
            status_text: self.status_text.clone(),
            last: self.last.clone(),
            failure: self.failure.as_ref().map(|failure| failure.why.clone()),
            limits: self.spec.setting.limits,
            spec: std::sync::Arc::clone(&self.spec),
        }
    }

    /// All about the unit.
    pub(crate) fn detail(&self, now: Now) -> UnitDetail {
        UnitDetail {
            view: self.view(now),
            spec: std::sync::Arc::clone(&self.spec),
            control: self.control.map(|control| (control.role, control.run)),
            changes: self.history.iter().cloned().collect(),
        }
    }

    /// Its live run: of its program, or else of a command.
    pub(crate) fn live(&self) -> Option<Part> {
        self.main.or(self.control)
    }
}
