//! Why a call was not carried out, before it is put in the form of its generation.

use units::Refusal;

use crate::doors::Unanswered;

/// Why a call was not carried out. The texts that drunc's own process manager has are its.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The caller may not.
    #[error("Unauthorised: {0}")]
    Unauthorised(String),
    /// The request is not of its form.
    #[error("{0}")]
    Form(String),
    /// Nothing is what was asked for.
    #[error("The process corresponding to the query doesn't exist")]
    NoProcess,
    /// One was to be, and more are.
    #[error("There are more than 1 processes corresponding to the query")]
    Several,
    /// It is dead, and was to live.
    #[error("The process {0} is already dead!")]
    Dead(String),
    /// A boot without a place.
    #[error("No allowed host provided! bailing")]
    NoHost,
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// Nobody does that here.
    #[error("{0} is not served here: what its answer is like is not known")]
    NotImplemented(&'static str),
}

impl Fault {
    /// In a word, for whoever tells faults apart by it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorised(_) => "UNAUTHORISED",
            Self::Form(_) => "BAD_REQUEST_FORMAT",
            Self::NoProcess => "NO_SUCH_PROCESS",
            Self::Several => "SEVERAL_PROCESSES",
            Self::Dead(_) => "PROCESS_IS_DEAD",
            Self::NoHost => "NO_ALLOWED_HOST",
            Self::Failed(_) => "FAILED",
            Self::NotImplemented(_) => "NOT_IMPLEMENTED",
        }
    }
}

impl From<Unanswered> for Fault {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Refused(Refusal::NoSuchUnit(_)) => Self::NoProcess,
            Unanswered::Refused(_) | Unanswered::Busy(_) | Unanswered::OutOfTurn => {
                Self::Failed(why.to_string())
            }
        }
    }
}
