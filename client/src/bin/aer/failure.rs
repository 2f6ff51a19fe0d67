//! What a verb can fail with, and what the user can do about it.

use std::{error::Error as _, io, iter, path::PathBuf};

use client::{ClientError, DrpcError, Obstacle, unit_file::Unwritable};
use thiserror::Error;
use tonic::Code;
use uuid::Uuid;

use crate::{config::ConfigError, exit_status::NO_READER, file::FileError};

/// Why a verb did not do what it should. Its text says what was tried, its sources say why.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Drpc(#[from] DrpcError),
    /// dRPC has no word for it.
    #[error("{0} cannot be had by --drpc; use --socket or --address")]
    NotByDrpc(&'static str),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    /// A unit that could not be read again.
    #[error("{attempt}: {why}")]
    Unwritable { attempt: String, why: Unwritable },
    /// Something of the schedule that the daemon cannot read.
    #[error("exporting {}: {message}", if .name.is_empty() { "the schedule" } else { .name })]
    Damaged { name: String, message: String },
    /// The daemon is not heard of any more, and the run may go on or not.
    #[error("{error}")]
    OutOfSight { error: ClientError, run_id: Uuid },
    /// The program never ran; the sentence is the daemon's.
    #[error("{sentence}")]
    NotStarted { sentence: String, status: u8 },
    /// The daemon does not know how the run ended.
    #[error("run {run_id} is lost: {sentence}")]
    Lost { run_id: String, sentence: String },
    /// There is no end to tell of.
    #[error(
        "{name} is down and has not run: its start failed, or was ended before its program was executed"
    )]
    NeverRan { name: String },
    /// Nothing more is told of changes.
    #[error("watching the units: the daemon ended the watch")]
    WatchEnded,
    /// Nothing more is told of a run that goes on.
    #[error("following the run: the daemon ended the log before the run had ended")]
    FollowEnded,
    /// There is no such span of time.
    #[error("{0}")]
    Span(&'static str),
    /// There is no editor of this name.
    #[error("there is no editor {editor}")]
    NoEditor { editor: String },
    /// The unit could not be edited, or the editor failed.
    #[error("editing {}", .path.display())]
    Editor { path: PathBuf, source: io::Error },
    /// What was edited has another name.
    #[error("the name is {edited:?} now and was {name:?}")]
    Renamed { name: String, edited: String },
    /// What was edited was not taken.
    #[error("taking what was edited: {}", .failure.reason())]
    NotTaken { path: PathBuf, failure: Box<Failure> },
    /// The daemon said what it must not say.
    #[error("the daemon sent {0}")]
    Strange(String),
    #[error("writing {stream}")]
    Output { stream: &'static str, source: io::Error },
    #[error("listening for signals")]
    Signals(#[source] io::Error),
    #[error("starting the runtime")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// The exit status, where `otherwise` is the verb's own for failures.
    pub(crate) fn status(&self, otherwise: u8) -> u8 {
        match self {
            Self::NotStarted { status, .. } => *status,
            Self::Output { .. } if self.is_quiet() => NO_READER,
            Self::Client(_)
            | Self::Drpc(_)
            | Self::NotByDrpc(_)
            | Self::Config(_)
            | Self::File(_)
            | Self::Unwritable { .. }
            | Self::Damaged { .. }
            | Self::OutOfSight { .. }
            | Self::Lost { .. }
            | Self::NeverRan { .. }
            | Self::WatchEnded
            | Self::FollowEnded
            | Self::Span(_)
            | Self::NoEditor { .. }
            | Self::Editor { .. }
            | Self::Renamed { .. }
            | Self::NotTaken { .. }
            | Self::Strange(_)
            | Self::Output { .. }
            | Self::Signals(_)
            | Self::Runtime(_) => otherwise,
        }
    }

    /// A reader that has had enough (`aer … | head`) is no failure that anybody wants to read of.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What was tried: why; what to do.
    pub(crate) fn sentence(&self) -> String {
        let sentence = self.reason();
        match self.advice() {
            Some(advice) => format!("{sentence}; {advice}"),
            None => sentence,
        }
    }

    /// What was tried: why.
    fn reason(&self) -> String {
        let causes = iter::successors(self.source(), |cause| (*cause).source());
        let why = iter::once(self.to_string()).chain(causes.map(ToString::to_string));
        why.collect::<Vec<_>>().join(": ")
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Client(error) => of_error(error),
            // It says what to do itself.
            Self::Drpc(_) | Self::NotByDrpc(_) => "",
            Self::Config(_) => "correct the file, or name the socket with --socket",
            Self::File(FileError::Read { .. }) => "check its name and its permissions",
            Self::File(FileError::TooLarge { .. }) => "check that it is the right file",
            Self::File(FileError::Content { .. }) => "correct the file",
            Self::Unwritable { .. } => "-o json shows all that there is",
            Self::Damaged { .. } => "aer schedule repair keeps what can be read",
            Self::OutOfSight { run_id, .. } => {
                return Some(format!("what it printed: aer logs {run_id}"));
            }
            Self::NotStarted { status: 127, .. } => "check the program's name and its interpreter",
            Self::NotStarted { status: 126, .. } => {
                "check that it is a program and may be executed"
            }
            Self::NotStarted { .. } | Self::Strange(_) => "see aer logs --daemon",
            Self::Lost { run_id, .. } => {
                return Some(format!("what it printed: aer logs {run_id}"));
            }
            Self::NeverRan { name } => return Some(format!("aer inspect {name} tells why")),
            Self::WatchEnded => "check that auraed runs there, and watch again",
            Self::FollowEnded => "check that auraed runs there, and follow it again",
            Self::Span(_) => "check the times: they are UTC",
            Self::NoEditor { .. } => {
                "nothing was changed; install it, or name another with VISUAL or EDITOR"
            }
            Self::Editor { path, .. } => {
                return Some(format!(
                    "nothing was changed; what was written is in {}",
                    path.display()
                ));
            }
            Self::Renamed { .. } => "aer enable -f registers it under another name",
            Self::NotTaken { path, .. } => {
                let path = path.display();
                return Some(format!(
                    "nothing was changed; correct {path} and run aer enable -f {path}"
                ));
            }
            Self::Output { .. } => "check where the output goes",
            Self::Signals(_) | Self::Runtime(_) => "check the limits of this shell (ulimit -a)",
        };
        Some(advice).filter(|advice| !advice.is_empty()).map(str::to_owned)
    }
}

fn of_error(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect { obstacle: Obstacle::Missing | Obstacle::Refused, .. } => {
            "is auraed running? start it, or say where it is with --socket or AURAE_SOCKET"
        }
        ClientError::Connect { obstacle: Obstacle::Denied, .. } => {
            "run aer as auraed's user, or as a member of the socket's group"
        }
        ClientError::Connect { obstacle: Obstacle::Other(_), .. } => "check --socket or --address",
        // The daemon says itself what to do as a rule, behind a semicolon or in a sentence of its own.
        ClientError::Refused { refusal, .. } if advises(&refusal.message) => "",
        ClientError::Refused { refusal, .. } => of_code(refusal.code),
        ClientError::Broken { .. } => "check that auraed runs there, and try again",
        ClientError::Silent { .. } => "check auraed and restart it if it hangs",
        ClientError::NoExit { .. } => "see aer logs --daemon",
        ClientError::Empty { .. } => "use a newer aer",
        ClientError::GivenUp { .. } => "see aer logs --daemon; the daemon before goes on",
        ClientError::ReasonTooLong { .. } => "shorten --reason",
    }
}

fn advises(message: &str) -> bool {
    [";", ". "].iter().any(|mark| message.contains(mark))
}

fn of_code(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument | Code::OutOfRange => "correct it and try again; --help tells more",
        Code::NotFound => "check the name or id",
        Code::AlreadyExists => "choose another, or wait until it has ended",
        Code::PermissionDenied | Code::Unauthenticated => "ask whoever runs the daemon",
        Code::Unimplemented => "use a newer auraed",
        Code::FailedPrecondition => "mend that, and try again",
        Code::ResourceExhausted
        | Code::Aborted
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled => "try again later",
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => "see aer logs --daemon",
    }
}

#[cfg(test)]
mod tests {
    use client::Refusal;

    use super::*;

    #[test]
    fn a_sentence_says_what_was_tried_why_and_what_to_do() {
        let failure = Failure::from(ClientError::Connect {
            endpoint: "/run/x".into(),
            obstacle: Obstacle::Missing,
        });
        assert_eq!(
            failure.sentence(),
            "connecting to /run/x: no daemon answers there, the socket does not exist; \
             is auraed running? start it, or say where it is with --socket or AURAE_SOCKET"
        );
        let refusal = Refusal { code: Code::InvalidArgument, message: "argv[0]: empty".into() };
        let failure = Failure::from(ClientError::Refused { attempt: "running ls".into(), refusal });
        assert_eq!(
            failure.sentence(),
            "running ls: the daemon does not take the request: argv[0]: empty; \
             correct it and try again; --help tells more"
        );
    }

    #[test]
    fn there_is_one_advice() {
        let refused = |message: &str| {
            let refusal = Refusal { code: Code::AlreadyExists, message: message.into() };
            Failure::from(ClientError::Refused { attempt: "running ls".into(), refusal }).sentence()
        };
        assert!(
            refused("the name a is taken; choose another, or stop that run")
                .ends_with("stop that run")
        );
        assert!(refused("the folder is full. Make room").ends_with("Make room"));
        assert!(refused("it is there").ends_with("; choose another, or wait until it has ended"));
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_has_the_status_of_sigpipe() {
        let output = |kind| Failure::Output { stream: "x", source: io::Error::from(kind) };
        assert!(output(io::ErrorKind::BrokenPipe).is_quiet());
        assert_eq!(output(io::ErrorKind::BrokenPipe).status(125), 141);
        assert!(!output(io::ErrorKind::StorageFull).is_quiet());
        assert_eq!(output(io::ErrorKind::StorageFull).status(125), 125);
    }
}
