//! Words of the core as numbers, and back. A number that is none of them gives nothing.

use std::time::Duration;

use units::{
    Leftovers, Role, StopHow, UnitResult, UnitState, Wanted,
    kept::{End, Stage},
};

use super::wire::Word;

/// A word without a number.
const fn plain(word: u32) -> Word {
    Word { word, number: 0 }
}

fn counted(word: u32, number: usize) -> Word {
    Word { word, number: i64::try_from(number).unwrap_or(i64::MAX) }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn from_state(state: UnitState) -> Word {
    match state {
        UnitState::Inactive => plain(1),
        UnitState::Before(index) => counted(2, index),
        UnitState::Starting => plain(3),
        UnitState::After(index) => counted(4, index),
        UnitState::Running => plain(5),
        UnitState::Reloading => plain(6),
        UnitState::Exited => plain(7),
        UnitState::Stopping => plain(8),
        UnitState::Waiting => plain(9),
        UnitState::Failed => plain(10),
    }
}

pub(super) fn to_state(word: Word) -> Option<UnitState> {
    let index = || usize::try_from(word.number).ok();
    Some(match word.word {
        1 => UnitState::Inactive,
        2 => UnitState::Before(index()?),
        3 => UnitState::Starting,
        4 => UnitState::After(index()?),
        5 => UnitState::Running,
        6 => UnitState::Reloading,
        7 => UnitState::Exited,
        8 => UnitState::Stopping,
        9 => UnitState::Waiting,
        10 => UnitState::Failed,
        _ => return None,
    })
}

pub(super) fn from_role(role: Role) -> Word {
    match role {
        Role::Main => plain(1),
        Role::Before(index) => counted(2, index),
        Role::After(index) => counted(3, index),
        Role::OnStop(index) => counted(4, index),
        Role::OnReload(index) => counted(5, index),
    }
}

pub(super) fn to_role(word: Word) -> Option<Role> {
    let index = || usize::try_from(word.number).ok();
    Some(match word.word {
        1 => Role::Main,
        2 => Role::Before(index()?),
        3 => Role::After(index()?),
        4 => Role::OnStop(index()?),
        5 => Role::OnReload(index()?),
        _ => return None,
    })
}

pub(super) fn from_how(how: StopHow) -> Word {
    match how {
        StopHow::Usual => plain(1),
        StopHow::Signal(signal) => Word { word: 2, number: signal.into() },
        StopHow::Kill => plain(3),
    }
}

pub(super) fn to_how(word: Word) -> Option<StopHow> {
    Some(match word.word {
        1 => StopHow::Usual,
        2 => StopHow::Signal(i32::try_from(word.number).ok()?),
        3 => StopHow::Kill,
        _ => return None,
    })
}

pub(super) fn from_end(end: End) -> Word {
    match end {
        End::Unwanted => plain(1),
        End::Pending(signal) => Word { word: 2, number: signal.into() },
        End::Asked(signal) => Word { word: 3, number: signal.into() },
        End::Preparing(signal) => Word { word: 5, number: signal.into() },
        End::Killed(pause) => {
            Word { word: 4, number: i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX) }
        }
    }
}

pub(super) fn to_end(word: Word) -> Option<End> {
    let signal = || i32::try_from(word.number).ok();
    Some(match word.word {
        1 => End::Unwanted,
        2 => End::Pending(signal()?),
        3 => End::Asked(signal()?),
        5 => End::Preparing(signal()?),
        4 => End::Killed(Duration::from_nanos(u64::try_from(word.number).ok()?)),
        _ => return None,
    })
}

pub(super) const fn from_stage(stage: Stage) -> u32 {
    match stage {
        Stage::Starting => 1,
        Stage::Running => 2,
        Stage::Clearing => 3,
        Stage::Settling => 4,
    }
}

pub(super) const fn to_stage(number: u32) -> Option<Stage> {
    Some(match number {
        1 => Stage::Starting,
        2 => Stage::Running,
        3 => Stage::Clearing,
        4 => Stage::Settling,
        _ => return None,
    })
}

pub(super) const fn from_leftovers(leftovers: Leftovers) -> u32 {
    match leftovers {
        Leftovers::None => 1,
        Leftovers::Terminated => 2,
        Leftovers::Killed => 3,
        Leftovers::Left => 4,
    }
}

pub(super) const fn to_leftovers(number: u32) -> Option<Leftovers> {
    Some(match number {
        1 => Leftovers::None,
        2 => Leftovers::Terminated,
        3 => Leftovers::Killed,
        4 => Leftovers::Left,
        _ => return None,
    })
}

pub(super) const fn from_wanted(wanted: Wanted) -> u32 {
    match wanted {
        Wanted::Up => 1,
        Wanted::Down => 2,
    }
}

pub(super) const fn to_wanted(number: u32) -> Option<Wanted> {
    Some(match number {
        1 => Wanted::Up,
        2 => Wanted::Down,
        _ => return None,
    })
}

pub(super) const fn from_result(result: UnitResult) -> u32 {
    match result {
        UnitResult::Success => 1,
        UnitResult::ExitCode => 2,
        UnitResult::Signal => 3,
        UnitResult::CoreDump => 4,
        UnitResult::OutOfMemory => 5,
        UnitResult::Timeout => 6,
        UnitResult::StartLimitHit => 7,
        UnitResult::Protocol => 8,
        UnitResult::Resources => 9,
    }
}

pub(super) const fn to_result(number: u32) -> Option<UnitResult> {
    Some(match number {
        1 => UnitResult::Success,
        2 => UnitResult::ExitCode,
        3 => UnitResult::Signal,
        4 => UnitResult::CoreDump,
        5 => UnitResult::OutOfMemory,
        6 => UnitResult::Timeout,
        7 => UnitResult::StartLimitHit,
        8 => UnitResult::Protocol,
        9 => UnitResult::Resources,
        _ => return None,
    })
}
