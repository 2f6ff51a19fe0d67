//! Sets of exits, as `SuccessExitStatus=` and its kin list them.

use std::{collections::BTreeSet, str::FromStr};

use crate::{Cause, signal_number};

/// The largest number of a step that a child can name by an exit status; the wire's greater ones are ours.
pub(crate) const LARGEST_EXIT_STATUS: i32 = 255;

/// Exit statuses and signals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitSet {
    /// Exit statuses.
    pub codes: BTreeSet<u8>,
    /// Numbers of signals.
    pub signals: BTreeSet<i32>,
}

/// A word that is neither an exit status nor a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is neither an exit status nor a signal; 0 to 255 is expected, or a name such as SIGTERM \
     or TERM"
)]
pub struct InvalidExitWord {
    /// The word, at most 64 characters of it.
    pub word: String,
}

impl ExitSet {
    /// Whether this end is in the set. A step of the start that failed counts as the exit status that
    /// systemd has for it, such as 203 where the program could not be executed.
    #[must_use]
    pub fn contains(&self, cause: &Cause) -> bool {
        let code = |status: i32| u8::try_from(status).is_ok_and(|code| self.codes.contains(&code));
        match cause {
            Cause::Exited(status) => code(*status),
            Cause::Signalled { signal, core_dumped: _ } => self.signals.contains(signal),
            Cause::Failed(failure) => failure.stage <= LARGEST_EXIT_STATUS && code(failure.stage),
            Cause::Lost(_) => false,
        }
    }
}

impl FromStr for ExitSet {
    type Err = InvalidExitWord;

    /// Words between spaces; a number is an exit status, a name is a signal's.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::default();
        for word in text.split_ascii_whitespace() {
            let invalid = || InvalidExitWord { word: word.chars().take(64).collect() };
            if word.bytes().all(|byte| byte.is_ascii_digit()) {
                set.codes.insert(word.parse().map_err(|_| invalid())?);
            } else {
                set.signals.insert(signal_number(word).ok_or_else(invalid)?);
            }
        }
        Ok(set)
    }
}
