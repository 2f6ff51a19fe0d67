//! Variables of the environment: what may be one, and the files they are kept in.
//!
//! The files are read as systemd reads those of `EnvironmentFile=` (systemd.exec(5)): a line is
//! `NAME=VALUE`; `#` and `;` begin a comment; quotes and backslashes count as in a shell, and nothing is
//! expanded. Invariant: every text is read to its end. What means nothing is left out, with a warning that
//! names the line.

mod text;

pub use text::{EnvironmentText, EnvironmentWarning};

/// Why something is no variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// The name is none.
    #[error(
        "{name:?} is not the name of a variable; letters, digits and '_' are expected, no digit first"
    )]
    Name {
        /// The name, at most 64 characters of it.
        name: String,
    },
    /// NUL ends a variable for the kernel.
    #[error("the value of {name} has a NUL byte at offset {offset}; no variable can contain one")]
    Nul {
        /// The name.
        name: String,
        /// Which byte of the value, from 0.
        offset: usize,
    },
}

/// Sees that this can be a variable of an environment.
///
/// # Errors
/// [`InvalidVariable`] says what cannot be.
pub fn check_variable(name: &str, value: &str) -> Result<(), InvalidVariable> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = name.starts_with(|first: char| first.is_ascii_digit());
    if name.is_empty() || digit_first || !name.bytes().all(good) {
        return Err(InvalidVariable::Name { name: name.chars().take(64).collect() });
    }
    match value.bytes().position(|byte| byte == 0) {
        Some(offset) => Err(InvalidVariable::Nul { name: name.to_owned(), offset }),
        None => Ok(()),
    }
}
