//! The names of units and runs.

use std::{fmt, str::FromStr};

use crate::RunId;

/// A name that is safe as a file name, a cgroup name and a word on a command line, by construction:
/// 1 to 200 ASCII letters, digits and `_ - . @ : +`, beginning with a letter, a digit or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// More than [`Name::MAX_LENGTH`] bytes.
    #[error("the name is {length} bytes long; at most {max} are allowed", max = Name::MAX_LENGTH)]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A first character that would make it an option, a hidden file or a path.
    #[error("the name begins with {character:?}; a letter, a digit or '_' is expected")]
    BadStart {
        /// The character.
        character: char,
    },
    /// A character that is not allowed.
    #[error(
        "the name has {character:?} at column {column}; letters, digits and _ - . @ : + are allowed"
    )]
    BadCharacter {
        /// The character.
        character: char,
        /// Where, counted from 1 in characters.
        column: usize,
    },
}

impl Name {
    /// Bytes; leaves room for suffixes within the 255 bytes of a file name.
    pub const MAX_LENGTH: usize = 200;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.chars().next().ok_or(InvalidName::Empty)?;
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidName::TooLong { length: text.len() });
        }
        if !(first.is_ascii_alphanumeric() || first == '_') {
            return Err(InvalidName::BadStart { character: first });
        }
        let bad = |c: char| !(c.is_ascii_alphanumeric() || "_-.@:+".contains(c));
        match text.chars().enumerate().find(|&(_, c)| bad(c)) {
            Some((index, character)) => {
                Err(InvalidName::BadCharacter { character, column: index + 1 })
            }
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl From<RunId> for Name {
    /// The name of a run that has no other: a UUID is a name by construction.
    fn from(run: RunId) -> Self {
        Self(run.to_string())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
