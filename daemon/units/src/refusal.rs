//! Why the core does not do what it is asked for.

use std::{sync::Arc, time::Duration};

use crate::{ExitRecord, Name, Origin, RunId, UnitResult, UnitState};

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is in use.
    #[error("the name {name} is taken by the live run {holder}; choose another, or stop that run")]
    NameTaken {
        /// The name.
        name: Name,
        /// The run that has it.
        holder: RunId,
    },
    /// The run id is another command's.
    #[error("the run id {run} belongs to another command; a run id names one execution, for ever")]
    RunTaken {
        /// The id.
        run: RunId,
    },
    /// No such run, or it is forgotten.
    #[error("no run {0} is known: none is alive, and none of the last runs to end was it")]
    NoSuchRun(String),
    /// As many runs as there can be.
    #[error("{live} runs are alive, and descriptors do not suffice for more (RLIMIT_NOFILE)")]
    TooManyRuns {
        /// How many there are.
        live: usize,
    },
    /// The caller's deadline had passed.
    #[error("the deadline passed before it was done")]
    DeadlinePassed,
    /// The daemon ends.
    #[error("the daemon is stopping and starts nothing any more")]
    ShuttingDown,
    /// The keeper is gone.
    #[error(
        "the keeper (auraed) was killed, and without it nothing can be started; what runs goes on. Start auraed again \
         with the same folders: it takes over"
    )]
    KeeperLost,
    /// What is begun could not be kept.
    #[error(
        "the runtime folder is full, so that the next daemon would not know of it; nothing was begun. Make room there: \
         what runs goes on, and can be stopped"
    )]
    NoRoom,
    /// It was done, and could not be kept.
    #[error(
        "it was done, but the runtime folder is full: should this daemon die now, the next one would not know of it. \
         Make room there, and ask again"
    )]
    NotKept,
    /// The name is a unit's.
    #[error(
        "the name {0} belongs to a unit; choose another, or forget the unit when it is dead (aer forget)"
    )]
    NameOfUnit(Name),
    /// No such unit is loaded.
    #[error(
        "no unit {0} is known: it was never started, or it is forgotten; aer list shows which are"
    )]
    NoSuchUnit(Name),
    /// A unit that is not dead cannot be forgotten.
    #[error("the unit {name} is {state}, and only a dead one can be forgotten; stop it first")]
    NotDead {
        /// Its name.
        name: Name,
        /// Where it stands.
        state: UnitState,
    },
    /// It has no process that could get a signal, or is not up, so that it cannot be reloaded.
    #[error("{name} is {state}, and this needs it to run; start it first")]
    NotRunning {
        /// Its name.
        name: Name,
        /// Where it stands.
        state: UnitState,
    },
    /// The run has no process that could get a signal.
    #[error("the main process of the run {0} does not live, or not yet; there is nobody to signal")]
    NoMainProcess(RunId),
    /// The unit has no commands on reload.
    #[error(
        "the unit {0} does not say how to reload it; give it a command (on_reload), or restart it"
    )]
    NothingToReload(Name),
    /// A command on reload failed; the unit goes on.
    #[error("cannot reload {name}: {why}; it goes on as before, if it runs")]
    ReloadFailed {
        /// The unit.
        name: Name,
        /// What went wrong.
        why: String,
    },
    /// The unit was started too often.
    #[error(
        "{name} was started {starts} times within {}, and that is its limit; try again in {}, \
         or forget the unit first", shown(*interval), shown(*again_in)
    )]
    StartLimit {
        /// The unit.
        name: Name,
        /// How often it may be started.
        starts: u32,
        /// In this time.
        interval: Duration,
        /// When it can be started again.
        again_in: Duration,
    },
    /// The start failed.
    #[error("cannot start {name}: {why} ({result}); its log may say more (aer logs)")]
    StartFailed {
        /// The unit.
        name: Name,
        /// What came of it.
        result: UnitResult,
        /// What went wrong.
        why: String,
        /// How the run ended that it failed by, where it was a run.
        record: Option<Arc<ExitRecord>>,
    },
    /// Somebody wanted the opposite meanwhile.
    #[error(
        "{name} was stopped before it was up, by order of {by}; start it again if that was not meant"
    )]
    Superseded {
        /// The unit.
        name: Name,
        /// Who.
        by: Origin,
    },
    /// A signal that cannot be sent.
    #[error("{0} is not the number of a signal: 1 to 64 are")]
    NoSuchSignal(i32),
}

/// A time for people, to a tenth of a second where it has seconds.
pub(crate) fn shown(time: Duration) -> String {
    // Rounded up: who waits so long has waited long enough.
    let tenths = time.as_millis().div_ceil(100);
    match time.as_millis() {
        0..1000 => format!("{}ms", time.as_nanos().div_ceil(1_000_000)),
        _ if tenths.is_multiple_of(10) => format!("{}s", tenths / 10),
        _ => format!("{}.{}s", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_never_too_short() {
        let shown = |microseconds| shown(Duration::from_micros(microseconds));
        assert_eq!(shown(0), "0ms");
        assert_eq!(shown(100_001), "101ms");
        assert_eq!(shown(10_000_000), "10s");
        assert_eq!(shown(9_734_793), "9.8s");
    }
}
