//! What can go wrong with a call.
//!
//! An error's own text says what was tried; its source says why.

use std::{error, io, time::Duration};

use thiserror::Error;
use tonic::{Code, Status, transport};

use crate::{Endpoint, reason};

/// Why a call did not give what it should.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("connecting to {endpoint}")]
    Connect {
        /// Where a daemon was looked for.
        endpoint: String,
        /// What was in the way.
        #[source]
        obstacle: Obstacle,
    },
    /// The daemon answered, and the answer is no.
    #[error("{attempt}")]
    Refused {
        /// What was tried.
        attempt: String,
        /// What the daemon said.
        #[source]
        refusal: Refusal,
    },
    /// The connection ended before the answer was complete.
    #[error("{attempt}: the connection to the daemon broke ({cause})")]
    Broken {
        /// What was tried.
        attempt: String,
        /// The first cause, in the words of the one who saw it.
        cause: String,
    },
    /// A call that is always quick was not answered.
    #[error("{attempt}: no answer within {} s", .bound.as_secs())]
    Silent {
        /// What was tried.
        attempt: String,
        /// How long the answer was waited for.
        bound: Duration,
    },
    /// The stream of a run ended, and no exit record was in it.
    #[error("{attempt}: the daemon ended the stream before it told how the run ended")]
    NoExit {
        /// What was tried.
        attempt: String,
    },
    /// The daemon answered, and what was asked for is not in the answer.
    #[error("{attempt}: the daemon's answer has nothing in it that this client knows")]
    Empty {
        /// What was tried.
        attempt: String,
    },
    /// The new daemon was not healthy, and the one before is back.
    #[error("{attempt}: {why}")]
    GivenUp {
        /// What was tried.
        attempt: String,
        /// Why it was given up.
        why: String,
    },
    /// The reason is too long for a header.
    #[error("sending a reason of {length} bytes: at most {} are allowed", reason::LONGEST)]
    ReasonTooLong {
        /// Its length, encoded.
        length: usize,
    },
}

/// What was in the way of a connection.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Obstacle {
    /// The socket is not there.
    #[error("no daemon answers there, the socket does not exist")]
    Missing,
    /// The socket or the port is there, and nobody listens.
    #[error("no daemon answers there, the connection was refused")]
    Refused,
    /// The socket is there and this user may not use it.
    #[error("permission denied")]
    Denied,
    /// Something else; its first cause.
    #[error("{0}")]
    Other(String),
}

/// A gRPC status that the daemon sent.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}{}", sentence(*.code), if .message.is_empty() { String::new() } else { format!(": {}", .message) })]
pub struct Refusal {
    /// What kind of refusal it is.
    pub code: Code,
    /// The daemon's own words.
    pub message: String,
}

/// What a status code means to the one who made the call.
fn sentence(code: Code) -> &'static str {
    match code {
        Code::Ok => "the daemon says that all is well",
        Code::Cancelled => "the daemon gave the call up",
        Code::Unknown | Code::Internal | Code::DataLoss => "the daemon failed",
        Code::InvalidArgument | Code::OutOfRange => "the daemon does not take the request",
        Code::DeadlineExceeded => "the daemon did not do it in time",
        Code::NotFound => "there is no such thing",
        Code::AlreadyExists => "it is there already",
        Code::PermissionDenied | Code::Unauthenticated => "the daemon does not permit it",
        Code::ResourceExhausted => "it is beyond a limit",
        Code::FailedPrecondition | Code::Aborted => "it cannot be done as things are",
        Code::Unimplemented => "this daemon does not know the call",
        Code::Unavailable => "the daemon is not available",
    }
}

impl Obstacle {
    fn of(source: &(dyn error::Error + 'static)) -> Self {
        match find_io(source).map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => Self::Missing,
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::PermissionDenied) => Self::Denied,
            _ => Self::Other(first_cause(source)),
        }
    }
}

impl ClientError {
    pub(crate) fn connect(endpoint: &Endpoint, source: &transport::Error) -> Self {
        Self::Connect { endpoint: endpoint.to_string(), obstacle: Obstacle::of(source) }
    }

    /// A status with a source was made on this side, by the transport; one without came over the wire.
    pub(crate) fn call(endpoint: &Endpoint, attempt: &str, status: &Status) -> Self {
        let attempt = attempt.to_owned();
        let Some(source) = error::Error::source(status) else {
            let refusal = Refusal { code: status.code(), message: status.message().to_owned() };
            return Self::Refused { attempt, refusal };
        };
        match Obstacle::of(source) {
            Obstacle::Other(cause) => Self::Broken { attempt, cause },
            // The connection was lost earlier, and the channel could not make a new one.
            obstacle @ (Obstacle::Missing | Obstacle::Refused | Obstacle::Denied) => {
                Self::Connect { endpoint: endpoint.to_string(), obstacle }
            }
        }
    }

    /// The status code of a daemon's refusal.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.code),
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::NoExit { .. }
            | Self::Empty { .. }
            | Self::GivenUp { .. }
            | Self::ReasonTooLong { .. } => None,
        }
    }
}

fn find_io<'a>(error: &'a (dyn error::Error + 'static)) -> Option<&'a io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether a connection was broken by the other side while it was made.
pub(crate) fn was_broken(error: &(dyn error::Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let kind = find_io(error).map(io::Error::kind);
    kind.is_some_and(|kind| [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&kind))
}

fn first_cause(error: &(dyn error::Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(kind: io::ErrorKind) -> Obstacle {
        Obstacle::of(&io::Error::from(kind))
    }

    #[test]
    fn the_usual_obstacles_have_names() {
        assert_eq!(obstacle(io::ErrorKind::NotFound), Obstacle::Missing);
        assert_eq!(obstacle(io::ErrorKind::ConnectionRefused), Obstacle::Refused);
        assert_eq!(obstacle(io::ErrorKind::PermissionDenied), Obstacle::Denied);
        let other = obstacle(io::ErrorKind::InvalidInput).to_string();
        assert_eq!(other, "invalid input parameter");
    }

    #[test]
    fn a_refusal_says_what_its_code_means_and_what_the_daemon_said() {
        let refusal = Refusal { code: Code::AlreadyExists, message: "name \"a\" is taken".into() };
        assert_eq!(refusal.to_string(), "it is there already: name \"a\" is taken");
        let bare = Refusal { code: Code::Unimplemented, message: String::new() };
        assert_eq!(bare.to_string(), "this daemon does not know the call");
    }

    #[test]
    fn a_status_from_the_wire_is_a_refusal() {
        let endpoint = Endpoint::Socket("/x".into());
        let error = ClientError::call(&endpoint, "running a", &Status::not_found("no run"));
        assert_eq!(error.code(), Some(Code::NotFound));
        assert_eq!(error.to_string(), "running a");
    }
}
