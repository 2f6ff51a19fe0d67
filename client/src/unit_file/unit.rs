//! The keys of a unit, and their way to the wire and back.

use std::fmt::Write;

use api::{meta::AuraeMeta, runtime::Executable};
use serde::Deserialize;
use toml::Spanned;

use super::{UnitFileError, Unwritable, fault_at};

/// A unit with every key that there is, in the order in which they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    pub(super) name: Spanned<String>,
    /// Of a unit among many only.
    pub(super) enabled: Option<Spanned<bool>>,
    comment: Option<String>,
    /// Exclusive with argv.
    command: Option<Spanned<String>>,
    /// Exclusive with command.
    argv: Option<Spanned<Vec<String>>>,
}

/// What is wrong with a unit whose keys have the right types.
pub(super) struct Wrong {
    offset: usize,
    key: String,
    fault: &'static str,
}

impl Wrong {
    /// The same, as a place in a file.
    pub(super) fn at(&self, content: &[u8]) -> UnitFileError {
        fault_at(content, self.offset, Some(&self.key), self.fault)
    }
}

impl Unit {
    /// What the unit is on the wire. `table` is where it begins in its file, `path` what stands before its
    /// keys in a message.
    pub(super) fn executable(self, table: usize, path: &str) -> Result<Executable, Wrong> {
        let wrong = |offset, key, fault| Wrong { offset, key: format!("{path}{key}"), fault };
        let nothing = "write command = \"PROGRAM ARG\" or argv = [\"PROGRAM\", \"ARG\"]";
        let (command, argv) = match (self.command, self.argv) {
            (Some(command), None) if command.get_ref().is_empty() => {
                return Err(wrong(command.span().start, "command", "it is empty; write a program"));
            }
            (None, Some(argv)) if argv.get_ref().is_empty() => {
                return Err(wrong(argv.span().start, "argv", "it is empty; write a program"));
            }
            (Some(_), Some(argv)) => {
                let fault = "there is a command too; keep one of them";
                return Err(wrong(argv.span().start, "argv", fault));
            }
            (None, None) => return Err(wrong(table, "command", nothing)),
            (Some(command), None) => (command.into_inner(), Vec::new()),
            (None, Some(argv)) => (String::new(), argv.into_inner()),
        };
        let name = self.name.into_inner();
        Ok(Executable {
            meta: Some(AuraeMeta { name, ..AuraeMeta::default() }),
            command,
            comment: self.comment.unwrap_or_default(),
            argv,
            // A run has an id; what is registered has none.
            run_id: String::new(),
        })
    }

    /// The unit of what came over the wire.
    pub(super) fn of(executable: &Executable, enabled: Option<bool>) -> Result<Self, Unwritable> {
        let name = executable.meta.as_ref().map_or("", |meta| meta.name.as_str());
        if name.is_empty() {
            return Err(Unwritable::Nameless);
        }
        let command = Some(&executable.command).filter(|command| !command.is_empty());
        let argv = Some(&executable.argv).filter(|argv| command.is_none() && !argv.is_empty());
        if command.is_none() && argv.is_none() {
            return Err(Unwritable::NothingToExecute);
        }
        Ok(Self {
            name: written(name.to_owned()),
            enabled: enabled.map(written),
            comment: Some(executable.comment.clone()).filter(|comment| !comment.is_empty()),
            command: command.cloned().map(written),
            argv: argv.cloned().map(written),
        })
    }

    /// Its keys, one to a line.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |key: &str, value: &str| {
            lines.push_str(key);
            lines.push_str(" = ");
            lines.push_str(value);
            lines.push('\n');
        };
        line("name", &quoted(self.name.get_ref()));
        if let Some(enabled) = &self.enabled {
            line("enabled", &enabled.get_ref().to_string());
        }
        if let Some(comment) = &self.comment {
            line("comment", &quoted(comment));
        }
        if let Some(command) = &self.command {
            line("command", &quoted(command.get_ref()));
        }
        if let Some(argv) = &self.argv {
            line("argv", &array(argv.get_ref()));
        }
        lines
    }
}

/// A value that stands in no file yet.
fn written<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// A basic string of TOML, always on one line. Not toml's own writer: that lets through the control
/// characters beyond ASCII, which command terminals, and puts long texts on many lines.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                write!(quoted, "\\u{:04X}", u32::from(control)).ok();
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

fn array(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}
