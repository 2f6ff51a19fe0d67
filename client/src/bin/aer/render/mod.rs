//! Everything that aer prints, and nothing else.
//!
//! Answers go to standard output; what goes wrong goes to standard error, one line each. Text that a daemon
//! or a user wrote is made harmless first: it can neither break the line nor command the terminal. What
//! programs have printed passes through unchanged, but for the lines of logs that are shown to people.

mod daemon;
mod inspected;
mod json;
mod lines;
mod listing;
mod outputs;
mod readable;
mod repair;
mod table;
mod terminal;
mod told;
mod units;
mod words;

use std::{
    borrow::Cow,
    io::{self, Write},
    process::ExitCode,
};

use api::runtime::WatchGap;
use serde::Serialize;

pub(crate) use self::{
    daemon::{Daemon, LogLevel, Power, log_level, power, replaced},
    inspected::{change, inspected},
    json::{
        Chunk, Executed, ExitLine, ExportLine, FailureLine, GapLine, Imported, Inspected, Listed,
        Registration, Repaired, Status, WatchLine,
    },
    lines::{Cutter, Line, Look, Whose},
    listing::UnitTable,
    outputs::Outputs,
    repair::{imported, repaired},
    table::status as status_table,
    terminal::width,
    told::{Change, changed, forgotten, restarted, signalled, started, stopped, waited},
    units::{EXPORT_HEADER, exported_damage, exported_unit, unit},
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

/// Says that a part of an output is not there any more; whose, where that is not plain.
pub(crate) fn missing(of: Option<&str>, (bytes, entries): (u64, u64), why: &str) {
    let sentence = missing_sentence(bytes, entries, why);
    match of.filter(|name| !name.is_empty()) {
        Some(name) => complain(&format!("{name}: {sentence}")),
        None => complain(&sentence),
    }
}

/// Says that what comes next is the rest of a line.
pub(crate) fn without_beginning() {
    complain("what follows is the rest of a line: its beginning is missing");
}

/// Says that one of several logs cannot be read.
pub(crate) fn unread(name: &str, why: &str) {
    complain(&format!("{name}: {why}; what the other logs have is shown"));
}

/// Says that lines were looked for in a part of the logs only.
pub(crate) fn looked_no_further(lines: u64) {
    complain(&format!(
        "fewer lines match than were asked for in the last {lines} lines of each log, and it was looked no further back; \
         without -n all of it is searched"
    ));
}

/// Says that changes of units cannot be told.
pub(crate) fn missing_changes(gap: &WatchGap) {
    let which = match (gap.first, gap.last) {
        (0, 0) => "changes".to_owned(),
        (first, last) if first == last => format!("change {first}"),
        (first, last) => format!("changes {first} to {last}"),
    };
    complain(&format!("{which} missing here: {}", gap.message));
}

/// Says that nothing is known of a unit that is watched.
pub(crate) fn unknown_yet(name: &str) {
    complain(&format!(
        "no unit {name} has been started yet; its changes are told when it is (aer list tells the names)"
    ));
}

fn missing_sentence(bytes: u64, entries: u64, why: &str) -> String {
    let amount = match (bytes, entries) {
        (0, 0) => "output".to_owned(),
        (0, 1) => "1 entry of output".to_owned(),
        (0, entries) => format!("{entries} entries of output"),
        (1, _) => "1 byte of output".to_owned(),
        (bytes, _) => format!("{bytes} bytes of output"),
    };
    format!("{amount} missing here: {why}")
}

/// Writes help or the version.
pub(crate) fn help(wanted: &clap::Error) -> ExitCode {
    let status = match wanted.print() {
        Ok(()) => 0,
        Err(source) => {
            let unwritten = Failure::Output { stream: STDOUT, source };
            failure(&unwritten);
            unwritten.status(1)
        }
    };
    ExitCode::from(status)
}

/// Writes what is wrong with the command line.
pub(crate) fn mistake(sentence: &str, status: i32) -> ExitCode {
    complain(sentence);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

fn complain(sentence: &str) {
    let line = format!("aer: {}\n", bounded(&harmless(sentence)));
    // In one write, so that lines of several programs do not mix; and where even this fails, nobody is left
    // to be told.
    drop(io::stderr().write_all(line.as_bytes()));
}

/// The text without its middle, where it is too long for anybody to read: what was tried stands at its
/// beginning, and what to do at its end.
fn bounded(text: &str) -> Cow<'_, str> {
    const HEAD: usize = 1500;
    const TAIL: usize = 500;
    let last = TAIL.saturating_sub(1);
    let head = text.char_indices().nth(HEAD).map(|(end, _)| end);
    let tail = text.char_indices().rev().nth(last).map(|(start, _)| start);
    match (head, tail) {
        (Some(end), Some(start)) if end < start => {
            let beginning = text.get(..end).unwrap_or_default();
            let end = text.get(start..).unwrap_or_default();
            Cow::Owned(format!("{beginning}…{end}"))
        }
        (_, _) => Cow::Borrowed(text),
    }
}

/// Whether a terminal obeys it instead of showing it: controls, what turns the direction of the text around (so that
/// `gpj.exe` is read where `exe.jpg` stands), and the two that some take for the end of a line.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text on one line, without anything that a terminal obeys.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
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
        assert_eq!(
            harmless("\u{202e}gpj\u{2066}ש\u{200d}\u{2028}"),
            "\\u{202e}gpj\\u{2066}ש\u{200d}\\u{2028}"
        );
    }

    #[test]
    fn a_gap_says_how_much_is_missing_and_why() {
        assert_eq!(missing_sentence(7, 1, "evicted"), "7 bytes of output missing here: evicted");
        assert_eq!(missing_sentence(0, 1, "x"), "1 entry of output missing here: x");
        assert_eq!(missing_sentence(1, 1, "x"), "1 byte of output missing here: x");
        assert_eq!(missing_sentence(0, 3, "x"), "3 entries of output missing here: x");
        assert_eq!(missing_sentence(0, 0, "x"), "output missing here: x");
    }

    #[test]
    fn a_line_that_nobody_would_read_loses_its_middle() {
        let text = |length| "ä".repeat(length);
        assert_eq!(bounded(&text(2000)), text(2000));
        assert_eq!(bounded(&text(2001)), format!("{}…{}", text(1500), text(500)));
    }

    proptest! {
        #[test]
        fn any_text_fits_on_one_line(text in any::<String>()) {
            prop_assert!(!harmless(&text).contains(is_obeyed));
        }
    }
}
