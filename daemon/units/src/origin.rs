//! Who orders something, through which door, and why.

use std::{fmt, str::FromStr};

/// A way into the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The gRPC API.
    Grpc,
    /// The process manager of drunc.
    Drunc,
    /// dRPC, as DAOS speaks it.
    Drpc,
    /// The daemon itself.
    Daemon,
}

/// A text that names no door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no door {0:?}")]
pub struct UnknownDoor(pub String);

/// Who and why; part of every command and of every change that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it came in.
    pub door: Door,
    /// Who it was, as the door could tell: `uid:1000 pid:4711`.
    pub identity: String,
    /// Why, in that person's words; may be empty.
    pub reason: String,
}

impl Origin {
    /// The daemon's own doing, for this reason.
    #[must_use]
    pub fn daemon(reason: &str) -> Self {
        Self { door: Door::Daemon, identity: "daemon".to_owned(), reason: reason.to_owned() }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::Drunc => "drunc",
            Self::Drpc => "drpc",
            Self::Daemon => "daemon",
        })
    }
}

impl FromStr for Door {
    type Err = UnknownDoor;

    /// The opposite of its Display.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Grpc, Self::Drunc, Self::Drpc, Self::Daemon]
            .into_iter()
            .find(|door| door.to_string() == text)
            .ok_or_else(|| UnknownDoor(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.identity, self.door)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}
