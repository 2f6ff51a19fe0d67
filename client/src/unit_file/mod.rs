//! Units as TOML: what people write for `aer enable -f`, and what `aer schedule export` keeps.
//!
//! A file of one unit has its keys at the top; a file of many has a table `[[unit]]` for each, with `enabled`
//! beside the other keys. The keys are the fields of `runtime.Executable` without the units in their names, since the
//! values have units: `delay = "1min 30s"`, `memory_max = "512M"`. `unit.rs` reads them, `written.rs` writes them; a
//! field more of the wire builds only when both know it.
//!
//! Invariants: what is written is read back as it was, whatever characters are in it; nothing that is written
//! has a control character other than the line's end, so it commands no terminal; reading never panics, and
//! each fault of a file has a line, a column and, where there is one, a key.

mod place;
mod unit;
mod value;
mod written;

use std::collections::HashSet;

use api::{meta::Status, runtime::Executable, schedule::Registration};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

pub use self::place::place;
use self::unit::Unit;

/// What is wrong with a file of units.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}{}: {fault}", with_key(.key.as_deref()))]
pub struct UnitFileError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// The key, from the top of the file: `unit.name`. None where the text is no TOML.
    pub key: Option<String>,
    /// What is wrong there.
    pub fault: String,
}

/// Why a unit cannot be written so that it could be read again. Only a daemon that is newer or broken sends
/// such a unit.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unwritable {
    /// Nothing is there to be written.
    #[error("the daemon sent no executable for it")]
    Empty,
    /// It has no name.
    #[error("it has no name")]
    Nameless,
    /// There is nothing to execute.
    #[error("it has neither a command nor an argv")]
    NothingToExecute,
    /// It is neither enabled nor disabled.
    #[error("its status is neither standby nor passive but {0}")]
    Status(i32),
    /// A key would have a value that this program does not know.
    #[error("its {key} is {value:?}, which this aer does not know")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, or the wire's number for it.
        value: String,
    },
}

/// A file of many units.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    #[serde(default)]
    unit: Vec<Spanned<Unit>>,
}

/// Reads the file of one unit.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read_unit(content: &[u8]) -> Result<Executable, UnitFileError> {
    let unit: Unit = parse(content)?;
    if let Some(enabled) = &unit.enabled {
        let fault = "only a [[unit]] of aer schedule import has it; remove it";
        return Err(fault_at(content, enabled.span().start, Some("enabled"), fault));
    }
    // The table of a whole file has no place of its own.
    unit.executable(0, "").map_err(|wrong| wrong.at(content))
}

/// Reads a file of many units, each enabled or disabled, in the order of the file.
///
/// # Errors
/// The first thing that is wrong with it, and where.
pub fn read_units(content: &[u8]) -> Result<Vec<Registration>, UnitFileError> {
    let units: Units = parse(content)?;
    let mut names = HashSet::new();
    let mut registrations = Vec::with_capacity(units.unit.len());
    for unit in units.unit {
        let table = unit.span().start;
        let unit = unit.into_inner();
        let name = &unit.name;
        if !names.insert(name.get_ref().clone()) {
            let fault = format!("{:?} is there twice; remove one of them", name.get_ref());
            return Err(fault_at(content, name.span().start, Some("unit.name"), &fault));
        }
        let Some(enabled) = unit.enabled.as_ref().map(|enabled| *enabled.get_ref()) else {
            let fault = "missing; write enabled = true or enabled = false";
            return Err(fault_at(content, table, Some("unit.enabled"), fault));
        };
        let status = if enabled { Status::Standby } else { Status::Passive };
        let executable = unit.executable(table, "unit.").map_err(|wrong| wrong.at(content))?;
        registrations.push(Registration {
            executable: Some(executable),
            status: status.into(),
            ..Registration::default()
        });
    }
    Ok(registrations)
}

/// Writes the file of one unit. Where there are both a command and an argv, the command is written: it says
/// all that the argv says, and its prefixes and variables too.
///
/// # Errors
/// Why it cannot be written.
pub fn write_unit(executable: &Executable) -> Result<String, Unwritable> {
    written::unit(executable, None, "")
}

/// Writes one table of a file of many units.
///
/// # Errors
/// Why it cannot be written.
pub fn write_registration(registration: &Registration) -> Result<String, Unwritable> {
    let executable = registration.executable.as_ref().ok_or(Unwritable::Empty)?;
    let enabled = match Status::try_from(registration.status) {
        Ok(Status::Standby) => true,
        Ok(Status::Passive) => false,
        Ok(Status::Unknown | Status::Active | Status::Error | Status::Complete) | Err(_) => {
            return Err(Unwritable::Status(registration.status));
        }
    };
    let unit = written::unit(executable, Some(enabled), "unit.")?;
    Ok(format!("[[unit]]\n{unit}"))
}

fn with_key(key: Option<&str>) -> String {
    key.map(|key| format!(", key {key}")).unwrap_or_default()
}

fn parse<T: for<'de> Deserialize<'de>>(content: &[u8]) -> Result<T, UnitFileError> {
    let text = str::from_utf8(content).map_err(|error| {
        fault_at(content, error.valid_up_to(), None, "a byte that is not UTF-8; save it as UTF-8")
    })?;
    toml::from_str(text).map_err(|mut error| {
        let span = error.span().unwrap_or_default();
        let fault = error.message().to_owned();
        let own = own_key(&fault, text.get(span.clone()).unwrap_or_default());
        let keys = [table_of(&mut error), own.map(str::to_owned)];
        let path = keys.into_iter().flatten().collect::<Vec<_>>().join(".");
        let key = Some(path.as_str()).filter(|path| !path.is_empty());
        fault_at(content, span.start, key, &fault)
    })
}

/// The key itself, where an error is about one that should be there or should not; the error has the table
/// then. `marked` is the text that it marks.
fn own_key<'a>(fault: &'a str, marked: &'a str) -> Option<&'a str> {
    let missing = fault.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let at_the_key = fault.starts_with("unknown field") || fault == "duplicate key";
    missing.or_else(|| at_the_key.then_some(marked))
}

/// The keys that lead to what an error is about. The library tells them only in the text that it writes where
/// it does not have the document.
fn table_of(error: &mut toml::de::Error) -> Option<String> {
    error.set_input(None);
    let text = error.to_string();
    let after = text.strip_prefix(error.message())?.strip_prefix("\nin `")?;
    after.strip_suffix("`\n").map(str::to_owned)
}

fn fault_at(content: &[u8], offset: usize, key: Option<&str>, fault: &str) -> UnitFileError {
    let (line, column) = place(content, offset);
    UnitFileError { line, column, key: key.map(str::to_owned), fault: fault.to_owned() }
}

#[cfg(test)]
mod tests;
