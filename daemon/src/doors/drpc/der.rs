//! The one table from our errors to DAOS's codes (DER); the words go along.

use api::drpc::der;
use schedule::{ChangeError, OpenError};
use units::Refusal;

use crate::{
    doors::{
        Unanswered,
        registered::{NoUnit, NotChanged},
    },
    scheduling::{Unchanged, cause},
};

/// What was not done, in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undone {
    /// DAOS's.
    pub(super) code: i32,
    /// In words.
    pub(super) why: String,
}

impl Undone {
    /// A field of a request that cannot be as it is.
    pub(super) fn invalid(field: &str, why: impl std::fmt::Display) -> Self {
        Self { code: der::INVAL, why: format!("{field}: {why}") }
    }
}

fn of_refusal(why: &Refusal) -> i32 {
    match why {
        Refusal::NameTaken { .. } | Refusal::RunTaken { .. } | Refusal::NameOfUnit(_) => der::EXIST,
        Refusal::NoSuchRun(_) | Refusal::NoSuchUnit(_) => der::NONEXIST,
        Refusal::TooManyRuns { .. } | Refusal::NoRoom | Refusal::NotKept => der::NOMEM,
        Refusal::DeadlinePassed => der::TIMEDOUT,
        Refusal::StartLimit { .. }
        | Refusal::ShuttingDown
        | Refusal::KeeperLost
        | Refusal::NotDead { .. }
        | Refusal::NotRunning { .. }
        | Refusal::NoMainProcess(_)
        | Refusal::Superseded { .. } => der::BUSY,
        Refusal::NothingToReload(_) => der::NOSYS,
        Refusal::NoSuchSignal(_) => der::INVAL,
        Refusal::ReloadFailed { .. } | Refusal::StartFailed { .. } => der::MISC,
    }
}

fn of_unanswered(why: &Unanswered) -> i32 {
    match why {
        Unanswered::Refused(refusal) => of_refusal(refusal),
        Unanswered::Busy(_) => der::BUSY,
        Unanswered::OutOfTurn => der::MISC,
    }
}

fn of_unopened(why: &OpenError) -> i32 {
    match why {
        OpenError::Locked { .. } => der::BUSY,
        OpenError::Newer { .. } => der::NOSYS,
        OpenError::Io { .. } | OpenError::Damaged { .. } => der::MISC,
    }
}

impl From<Unanswered> for Undone {
    fn from(why: Unanswered) -> Self {
        Self { code: of_unanswered(&why), why: why.to_string() }
    }
}

impl From<NoUnit> for Undone {
    fn from(why: NoUnit) -> Self {
        let code = match &why {
            NoUnit::Name(why) => return Self::invalid("name", why),
            NoUnit::Invalid(_) => der::INVAL,
            NoUnit::Unreadable { .. } => der::MISC,
            NoUnit::Limits(_) => der::NOSYS,
            NoUnit::Unknown(_) => der::NONEXIST,
            NoUnit::Schedule { why } => of_unopened(why),
            NoUnit::Unanswered(why) => of_unanswered(why),
        };
        Self { code, why: why.to_string() }
    }
}

impl From<NotChanged> for Undone {
    fn from(why: NotChanged) -> Self {
        let code = match &why {
            NotChanged::Unchanged(Unchanged::Unusable { why }) => of_unopened(why),
            NotChanged::Unchanged(Unchanged::Busy | Unchanged::Ending) => der::BUSY,
            NotChanged::Unmade(ChangeError::Unknown(_)) => der::NONEXIST,
            NotChanged::Unchanged(Unchanged::Commit { .. })
            | NotChanged::Unmade(ChangeError::Unreadable { .. })
            | NotChanged::NoAnswer => der::MISC,
        };
        Self { code, why: why.to_string() }
    }
}

impl From<&OpenError> for Undone {
    fn from(why: &OpenError) -> Self {
        Self { code: of_unopened(why), why: format!("{why}{}", cause(why)) }
    }
}
