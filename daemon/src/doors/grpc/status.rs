//! The one table from our errors to gRPC's status codes.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use units::Refusal;

use crate::{
    definition::Invalid,
    doors::{Unanswered, registered::NoUnit},
    succession::Stay,
};

/// What a client sent wrong: names the field, in words and as google.rpc.BadRequest.
pub(super) fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    let sentence = format!("{field}: {why}");
    let details = ErrorDetails::with_bad_request_violation(field, why.to_string());
    Status::with_error_details(Code::InvalidArgument, sentence, details)
}

/// A definition that has a field which cannot be as it is.
pub(super) fn invalid_definition(why: &Invalid) -> Status {
    invalid(why.field, &why.why)
}

/// A name, or a definition, that is no unit which can be brought up.
pub(super) fn no_unit(why: &NoUnit) -> Status {
    let code = match why {
        NoUnit::Name(why) => return invalid("name", why),
        NoUnit::Invalid(why) => return invalid_definition(why),
        NoUnit::Unanswered(why) => return unanswered(why),
        NoUnit::Unreadable { .. } => Code::DataLoss,
        NoUnit::Limits(_) => Code::FailedPrecondition,
        NoUnit::Unknown(_) => Code::NotFound,
        NoUnit::Schedule { .. } => Code::Unavailable,
    };
    Status::new(code, why.to_string())
}

/// An order that was not carried out.
pub(super) fn unanswered(why: &Unanswered) -> Status {
    let code = match why {
        Unanswered::Busy(_) => Code::ResourceExhausted,
        Unanswered::OutOfTurn => Code::Internal,
        Unanswered::Refused(refusal) => match refusal {
            Refusal::NameTaken { .. } | Refusal::RunTaken { .. } | Refusal::NameOfUnit(_) => {
                Code::AlreadyExists
            }
            Refusal::NoSuchRun(_) | Refusal::NoSuchUnit(_) => Code::NotFound,
            Refusal::TooManyRuns { .. }
            | Refusal::StartLimit { .. }
            | Refusal::NoRoom
            | Refusal::NotKept => Code::ResourceExhausted,
            Refusal::NotDead { .. }
            | Refusal::KeeperLost
            | Refusal::NotRunning { .. }
            | Refusal::NoMainProcess(_)
            | Refusal::NothingToReload(_)
            | Refusal::ReloadFailed { .. }
            | Refusal::StartFailed { .. } => Code::FailedPrecondition,
            Refusal::Superseded { .. } => Code::Aborted,
            Refusal::DeadlinePassed => Code::DeadlineExceeded,
            Refusal::ShuttingDown => Code::Unavailable,
            Refusal::NoSuchSignal(_) => return invalid("signal", why),
        },
    };
    Status::new(code, why.to_string())
}

/// A daemon that stays, though another is wanted.
pub(super) fn staying(why: Stay) -> Status {
    let code = match why {
        Stay::OnTrial | Stay::KeeperLost => Code::FailedPrecondition,
        Stay::Leaving => Code::Aborted,
    };
    Status::new(code, why.to_string())
}

/// A log that cannot be read.
pub(super) fn unreadable(why: &logs::ReadError) -> Status {
    let source = std::error::Error::source(why).map(|source| format!(": {source}"));
    let why = format!("{why}{}", source.unwrap_or_default());
    Status::new(Code::Internal, format!("{why}; check who may read it, and the disk it is on"))
}
