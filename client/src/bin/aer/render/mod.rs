//! Everything that aer prints, and nothing else.
//!
//! Answers go to standard output; what goes wrong goes to standard error, one line each. Text that a daemon
//! or a user wrote is made harmless first: it can neither break the line nor command the terminal. What
//! programs have printed is the exception: it passes through unchanged.

mod json;
mod outputs;
mod table;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

pub(crate) use self::{
    json::{Chunk, Executed, ExitLine, GapLine, Status},
    outputs::Outputs,
    table::status as status_table,
};
use crate::failure::Failure;

const STDOUT: &str = "standard output";
const STDERR: &str = "standard error";

/// Writes a whole answer.
pub(crate) fn document(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|source| Failure::Output { stream: STDOUT, source })
}

/// Writes one JSON object on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value)
        .map_err(|source| Failure::Output { stream: STDOUT, source: source.into() })?;
    line.push(b'\n');
    document(&line)
}

/// Writes what went wrong.
pub(crate) fn failure(failure: &Failure) {
    if !failure.is_quiet() {
        complain(&failure.sentence());
    }
}

/// Says that a part of an output is not there any more.
pub(crate) fn missing(bytes: u64, entries: u64, why: &str) {
    complain(&missing_sentence(bytes, entries, why));
}

fn missing_sentence(bytes: u64, entries: u64, why: &str) -> String {
    let amount = match (bytes, entries) {
        (0, 0) => "output".to_owned(),
        (0, entries) => format!("{entries} entries of output"),
        (bytes, _) => format!("{bytes} bytes of output"),
    };
    format!("{amount} missing here: {why}")
}

/// Writes help, the version, or what is wrong with the command line.
pub(crate) fn usage(usage: &clap::Error) -> ExitCode {
    let status = match usage.print() {
        Ok(()) => u8::try_from(usage.exit_code()).unwrap_or(1),
        Err(source) => {
            let stream = if usage.use_stderr() { STDERR } else { STDOUT };
            let unwritten = Failure::Output { stream, source };
            failure(&unwritten);
            unwritten.status(1)
        }
    };
    ExitCode::from(status)
}

fn complain(sentence: &str) {
    let line = format!("aer: {}\n", harmless(sentence));
    // In one write, so that lines of several programs do not mix; and where even this fails, nobody is left
    // to be told.
    drop(io::stderr().write_all(line.as_bytes()));
}

/// The text on one line, without anything that a terminal obeys.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(harmless("a\nb\x1b[31mä\u{9b}"), "a\\nb\\u{1b}[31mä\\u{9b}");
    }

    #[test]
    fn a_gap_says_how_much_is_missing_and_why() {
        assert_eq!(missing_sentence(7, 1, "evicted"), "7 bytes of output missing here: evicted");
        assert_eq!(missing_sentence(0, 3, "x"), "3 entries of output missing here: x");
        assert_eq!(missing_sentence(0, 0, "x"), "output missing here: x");
    }

    proptest! {
        #[test]
        fn any_text_fits_on_one_line(text in any::<String>()) {
            prop_assert!(!harmless(&text).contains(char::is_control));
        }
    }
}
