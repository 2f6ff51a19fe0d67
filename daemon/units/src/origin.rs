//! Who orders something, through which door, and why.

use std::fmt;

/// A way into the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The gRPC API.
    Grpc,
    /// The daemon itself.
    Daemon,
}

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
            Self::Daemon => "daemon",
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.identity, self.door)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}
