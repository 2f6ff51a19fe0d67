//! What the ends of its runs say of a unit.

use std::sync::Arc;

use super::Unit;
use crate::{
    Cause, ExitRecord, Leftovers,
    order::StopHow,
    signal::SIGKILL,
    unit::{
        exit_set::LARGEST_EXIT_STATUS,
        spec::{Kind, Role},
        state::{UnitResult, UnitState},
    },
};

/// The wire's START_STAGE_DEADLINE.
pub(crate) const START_STAGE_DEADLINE: i32 = 302;
/// SIGHUP, SIGINT, SIGPIPE and SIGTERM: a service that dies of these has ended well.
const CLEAN_SIGNALS: [i32; 4] = [1, 2, 13, 15];

impl Unit {
    pub(super) fn fail_by(&mut self, role: Role, record: &Arc<ExitRecord>) {
        let why = format!("{}: {}", told(role), record.cause);
        self.fail(result_of(&record.cause), why, Some(Arc::clone(record)));
    }

    /// What the end of its program says of this start.
    pub(super) fn result_of(&self, record: &ExitRecord) -> UnitResult {
        // It was brought down before it ran, or left alive as it wants: nothing went wrong.
        let stopped = self.state == UnitState::Stopping && record.stopped_by.is_some();
        let on_order = match &record.cause {
            Cause::Failed(_) => stopped,
            Cause::Lost(_) => record.leftovers == Leftovers::Left,
            Cause::Exited(_) => false,
            Cause::Signalled { signal, core_dumped: _ } => stopped && *signal == self.sent(),
        };
        if on_order {
            return UnitResult::Success;
        }
        let killed = matches!(&record.cause, Cause::Signalled { signal: SIGKILL, .. });
        if killed && record.account.out_of_memory == Some(true) {
            return UnitResult::OutOfMemory;
        }
        let clean = match (&record.cause, self.spec.kind) {
            (Cause::Exited(status), _) => *status == 0,
            (Cause::Signalled { signal, core_dumped: _ }, Kind::Service) => {
                CLEAN_SIGNALS.contains(signal)
            }
            (Cause::Signalled { .. }, Kind::Oneshot { remain_after_exit: _ })
            | (Cause::Failed(_) | Cause::Lost(_), _) => false,
        };
        let wanted = self.spec.restart.success.contains(&record.cause);
        let ignored =
            self.spec.main.ignores_failure() && !matches!(&record.cause, Cause::Failed(_));
        if clean || wanted || ignored { UnitResult::Success } else { result_of(&record.cause) }
    }

    /// The signal that it was told to end by.
    fn sent(&self) -> i32 {
        match self.how {
            StopHow::Usual => self.spec.stop.signal,
            StopHow::Signal(signal) => signal,
            StopHow::Kill => SIGKILL,
        }
    }
}

/// What an end says that is not a success.
fn result_of(cause: &Cause) -> UnitResult {
    match cause {
        Cause::Exited(_) => UnitResult::ExitCode,
        Cause::Signalled { signal: _, core_dumped: true } => UnitResult::CoreDump,
        Cause::Signalled { signal: _, core_dumped: false } => UnitResult::Signal,
        Cause::Failed(failure) if failure.stage == START_STAGE_DEADLINE => UnitResult::Timeout,
        Cause::Failed(failure) if failure.stage <= LARGEST_EXIT_STATUS => UnitResult::ExitCode,
        Cause::Failed(_) | Cause::Lost(_) => UnitResult::Resources,
    }
}

/// A command, as people count.
pub(super) fn told(role: Role) -> String {
    match role {
        Role::Main => "its program".to_owned(),
        Role::Before(index) => format!("command {} before the program", index + 1),
        Role::After(index) => format!("command {} after the program", index + 1),
        Role::OnStop(index) => format!("command {} on stop", index + 1),
        Role::OnReload(index) => format!("command {} on reload", index + 1),
    }
}
