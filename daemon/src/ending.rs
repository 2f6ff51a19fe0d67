//! What the end of everything waits for, told while it does: a line for each unit that takes its time, on standard error,
//! which is the console of a machine, and in the log.

use std::time::Duration;

use units::{Answer, Order, Origin, UnitState, UnitView};

use crate::{clock, doors::Core};

/// How often it is told; who ends sooner is not spoken of.
const EVERY: Duration = Duration::from_secs(3);
/// So many lines at a time; a console is slow.
const MOST_LINES: usize = 10;

/// Tells, until this daemon has ended.
pub(crate) async fn tell_of_slow(core: Core) {
    loop {
        tokio::time::sleep(EVERY).await;
        let origin = Origin::daemon("telling what is still to end");
        let Ok(Answer::Units(units)) = core.ask(Order::List, origin).await else { return };
        let now = clock::now().wall;
        let lines: Vec<String> = units.iter().filter_map(|unit| line(unit, now)).collect();
        for line in lines.iter().take(MOST_LINES) {
            tracing::warn!("{line}");
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            tracing::warn!("and {more} more");
        }
    }
}

/// What is said of one that still has something to end.
fn line(unit: &UnitView, now: i64) -> Option<String> {
    match unit.state {
        UnitState::Inactive | UnitState::Failed | UnitState::Exited | UnitState::Waiting => None,
        UnitState::Before(_)
        | UnitState::Starting
        | UnitState::After(_)
        | UnitState::Running
        | UnitState::Reloading
        | UnitState::Stopping => {
            let since = u64::try_from(now.saturating_sub(unit.since)).unwrap_or(0);
            // To the nearest: the timer that tells it may be a moment early.
            let since = Duration::from_nanos(since).as_secs_f32().round();
            let bound = unit.spec.stop.timeout.as_secs_f32();
            Some(format!("stopping {}, {since} s of {bound} s", unit.name))
        }
    }
}
