//! What logs, streams and places in a log are called.

use std::{fmt, path::PathBuf};

use units::Name;

/// A log: one ordered sequence of bytes that holds the output of many runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogName {
    /// The daemon's own log.
    Daemon,
    /// Who changed what, and why: a line of JSON for each change.
    Audit,
    /// The log that all runs without a unit share.
    Commands,
    /// The log of a unit: all its runs.
    Unit(Name),
}

impl LogName {
    /// Its folder below the root of the store.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Daemon => PathBuf::from("daemon"),
            Self::Audit => PathBuf::from("audit"),
            Self::Commands => PathBuf::from("commands"),
            Self::Unit(name) => PathBuf::from("units").join(name.as_str()),
        }
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("daemon"),
            Self::Audit => f.write_str("audit"),
            Self::Commands => f.write_str("commands"),
            Self::Unit(name) => write!(f, "units/{name}"),
        }
    }
}

/// Which of a run's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, in the order in which they are numbered.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];
}

/// A place in a log: before the byte with this number, counted from the first byte that the log ever had.
///
/// Positions never decrease and are never given twice. They are dense, with one exception: a segment that was closed
/// while it held no byte (only marks of silent runs) takes up one position, since segments are named by where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
