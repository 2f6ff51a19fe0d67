//! The values of a file of units that are more than TOML's own: quantities, words, commands, input.
//!
//! Each is checked where it is read, so that a fault has the value's line and key.

use std::{fmt, marker::PhantomData};

use api::runtime::{StandardInput, Step, standard_input::From};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Unexpected, Visitor, value},
};

use crate::{
    quantity::{
        QuantityError, exit_word, parse_bound, parse_mask, parse_percent, parse_size, parse_time,
        signal_number,
    },
    word::Word,
};

/// A quantity as a file has it.
pub(super) trait Quantity: Sized {
    /// How it is written, for people.
    const EXPECTED: &'static str;

    fn of_text(text: &str) -> Result<Self, QuantityError>;

    /// The quantity of a bare number, where that says what is meant.
    fn of_number(number: u64) -> Option<Self>;
}

/// Milliseconds.
pub(super) struct Time(pub(super) u64);

/// Milliseconds, 0 where there is no bound.
pub(super) struct Bound(pub(super) u64);

/// Bytes.
pub(super) struct Size(pub(super) u64);

/// Per cent of one processor.
pub(super) struct Percent(pub(super) u32);

/// A mask of permissions.
pub(super) struct Mask(pub(super) u32);

/// The number of a signal.
pub(super) struct SignalNumber(pub(super) i32);

/// An exit status or a signal, as the wire has it.
pub(super) struct ExitWord(pub(super) String);

impl Quantity for Time {
    const EXPECTED: &'static str = "a time, \"1min 30s\" or a number of seconds";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        parse_time(text).map(Self)
    }

    fn of_number(number: u64) -> Option<Self> {
        number.checked_mul(1000).map(Self)
    }
}

impl Quantity for Bound {
    const EXPECTED: &'static str = "a time, \"1min 30s\" or a number of seconds, or \"infinity\"";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        parse_bound(text).map(Self)
    }

    fn of_number(number: u64) -> Option<Self> {
        number.checked_mul(1000).filter(|milliseconds| *milliseconds > 0).map(Self)
    }
}

impl Quantity for Size {
    const EXPECTED: &'static str = "a size, \"512M\" or a number of bytes";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        parse_size(text).map(Self)
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Quantity for Percent {
    const EXPECTED: &'static str = "a share of processors, \"150%\"";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        parse_percent(text).map(Self)
    }

    fn of_number(_: u64) -> Option<Self> {
        None
    }
}

impl Quantity for Mask {
    // TOML does not tell 022 from 22 or 0o22 once it is read.
    const EXPECTED: &'static str = "a mask of permissions, octal digits in quotes, \"0022\"";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        parse_mask(text).map(Self)
    }

    fn of_number(_: u64) -> Option<Self> {
        None
    }
}

impl Quantity for SignalNumber {
    const EXPECTED: &'static str = "a signal, \"SIGTERM\" or a number from 1 to 64";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        signal_number(text).map(Self)
    }

    fn of_number(number: u64) -> Option<Self> {
        signal_number(&number.to_string()).ok().map(Self)
    }
}

impl Quantity for ExitWord {
    const EXPECTED: &'static str = "a status from 0 to 255, or a signal's name, \"SIGUSR1\"";

    fn of_text(text: &str) -> Result<Self, QuantityError> {
        exit_word(text).map(Self)
    }

    fn of_number(number: u64) -> Option<Self> {
        exit_word(&number.to_string()).ok().map(Self)
    }
}

/// A [`Quantity`] in a file.
pub(super) struct Said<Q>(pub(super) Q);

struct QuantityVisitor<Q>(PhantomData<Q>);

impl<'de, Q: Quantity> Deserialize<'de> for Said<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor(PhantomData))
    }
}

impl<Q: Quantity> Visitor<'_> for QuantityVisitor<Q> {
    type Value = Said<Q>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Q::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Said<Q>, E> {
        Q::of_text(text).map(Said).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Said<Q>, E> {
        let quantity = u64::try_from(number).ok().and_then(Q::of_number).map(Said);
        quantity.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

/// A [`Word`] in a file, as the wire's number.
pub(super) struct Choice<W>(pub(super) i32, PhantomData<W>);

impl<'de, W: Word> Deserialize<'de> for Choice<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = W::of_word(&text).map_err(D::Error::custom)?;
        Ok(Self(value.into(), PhantomData))
    }
}

/// A command beside the main one: a line, or an array of words.
pub(super) struct Command(pub(super) Step);

struct CommandVisitor;

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandVisitor)
    }
}

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a command, \"PROGRAM ARG\" or [\"PROGRAM\", \"ARG\"]")
    }

    fn visit_str<E: Error>(self, command: &str) -> Result<Command, E> {
        if command.is_empty() {
            return Err(E::custom("a command is empty; write a program"));
        }
        Ok(Command(Step { command: command.to_owned(), argv: Vec::new() }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Command, A::Error> {
        let argv = Vec::<String>::deserialize(value::SeqAccessDeserializer::new(words))?;
        if argv.is_empty() {
            return Err(A::Error::custom("a command is empty; write a program"));
        }
        Ok(Command(Step { command: String::new(), argv }))
    }
}

/// Variables: `["NAME=VALUE"]` or a table of them.
pub(super) struct Environment(pub(super) Vec<String>);

struct EnvironmentVisitor;

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvironmentVisitor)
    }
}

impl<'de> Visitor<'de> for EnvironmentVisitor {
    type Value = Environment;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("variables, [\"NAME=VALUE\"] or { NAME = \"VALUE\" }")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, variables: A) -> Result<Environment, A::Error> {
        Vec::deserialize(value::SeqAccessDeserializer::new(variables)).map(Environment)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Environment, A::Error> {
        let mut variables = Vec::new();
        while let Some((name, value)) = table.next_entry::<String, String>()? {
            variables.push(format!("{name}={value}"));
        }
        Ok(Environment(variables))
    }
}

/// Where standard input comes from.
pub(super) struct Input(pub(super) StandardInput);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputTable {
    file: Option<String>,
    data: Option<String>,
    data_base64: Option<String>,
}

struct InputVisitor;

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "\"null\", { file = \"/PATH\" }, { data = \"TEXT\" } or { data_base64 = \"BYTES\" }",
        )
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Input, E> {
        if word == "null" {
            return Ok(Input(StandardInput { from: None }));
        }
        Err(E::invalid_value(Unexpected::Str(word), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Input, A::Error> {
        let table = InputTable::deserialize(value::MapAccessDeserializer::new(table))?;
        let from = match (table.file, table.data, table.data_base64) {
            (Some(path), None, None) => From::File(path),
            (None, Some(text), None) => From::Data(text.into_bytes()),
            (None, None, Some(bytes)) => {
                let wrong = |error| format!("data_base64 is no base64 ({error}); correct it");
                From::Data(BASE64_STANDARD.decode(bytes).map_err(wrong).map_err(A::Error::custom)?)
            }
            (_, _, _) => return Err(A::Error::custom("write one of file, data and data_base64")),
        };
        Ok(Input(StandardInput { from: Some(from) }))
    }
}
