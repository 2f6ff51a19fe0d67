//! From `runtime.Executable`, the wire's definition of what can be executed, to what the core takes: an [`Execution`]
//! for Exec and Run, a [`units::UnitSpec`] for Start and Enable. Each field is looked at, and a wrong one is named.

mod surroundings;
mod unit;

use api::runtime::Executable;
use units::{Argv, CommandLine, CommandSpec, Execution, Name, RunId};

pub(crate) use unit::{Usual, unit, unit_of_door};

use crate::{
    environment::Environment,
    setting::{self, Circumstances},
};

/// The longest comment, in bytes.
const LONGEST_COMMENT: usize = 4096;

/// A field that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(crate) struct Invalid {
    /// Which, as the wire names it.
    pub(crate) field: &'static str,
    /// Why.
    pub(crate) why: String,
}

fn invalid(field: &'static str, why: impl std::fmt::Display) -> Invalid {
    Invalid { field, why: why.to_string() }
}

/// What to execute. An empty name is made up; an empty run id too.
pub(crate) fn execution(
    mut executable: Executable,
    environment: &Environment,
) -> Result<Execution, Invalid> {
    unit::refuse_what_only_units_say(&executable)?;
    let run = match executable.run_id.as_str() {
        "" => RunId::from_bytes(uuid::Uuid::new_v4().into_bytes()),
        chosen => chosen.parse::<RunId>().map_err(|why| invalid("run_id", why))?,
    };
    let comment = comment(std::mem::take(&mut executable.comment))?;
    let name = executable.meta.take().unwrap_or_default().name;
    let anonymous = name.is_empty();
    let name = if anonymous { Name::from(run) } else { parse_name(&name)? };
    let setting = surroundings::setting(&mut executable)?;
    let command =
        command(("command", "argv"), &executable.command, std::mem::take(&mut executable.argv))?;
    let (program, argv) = match command {
        CommandSpec::Argv(argv) => (argv.words().first().cloned().unwrap_or_default(), argv),
        CommandSpec::Line(line) => {
            for warning in line.warnings() {
                tracing::warn!(%run, %warning, "in a command");
            }
            let circumstances = Circumstances::of(run, &comment);
            let variables = setting::variables_but_files(&setting, environment, &circumstances);
            let expanded = variables.expand(&line).map_err(|why| invalid("command", why))?;
            (expanded.program, expanded.argv)
        }
    };
    Ok(Execution { run, name, anonymous, program, argv, comment, setting: setting.into() })
}

/// A definition as it is answered: with both, a command and words, where they can be told from one another.
pub(crate) fn complete(mut executable: Executable) -> Executable {
    if executable.command.is_empty() {
        let words: Vec<Vec<u8>> = executable.argv.iter().cloned().map(String::into_bytes).collect();
        executable.command = units::command::quote(&words).unwrap_or_default();
    }
    executable
}

fn parse_name(name: &str) -> Result<Name, Invalid> {
    name.parse().map_err(|why| invalid("meta.name", why))
}

fn comment(comment: String) -> Result<String, Invalid> {
    if comment.len() > LONGEST_COMMENT {
        let length = comment.len();
        let why = format!("it is {length} bytes long; at most {LONGEST_COMMENT} are allowed");
        return Err(invalid("comment", why));
    }
    if let Some(at) = comment.find('\0') {
        let why = format!("it has a NUL byte at {at}, which an environment cannot hold");
        return Err(invalid("comment", why));
    }
    Ok(comment)
}

/// A command, from words as they stand or from a line that is parsed. `line_field` and `words_field` are what the wire
/// calls them.
fn command(
    (line_field, words_field): (&'static str, &'static str),
    line: &str,
    words: Vec<String>,
) -> Result<CommandSpec, Invalid> {
    match (line.is_empty(), words.is_empty()) {
        (true, true) => Err(invalid(
            line_field,
            format!("there is none, and no {words_field}; give one of them"),
        )),
        (false, false) => {
            Err(invalid(words_field, format!("there is a {line_field} too; give one of them")))
        }
        (true, false) => {
            let argv = Argv::new(words.into_iter().map(String::into_bytes))
                .map_err(|why| invalid(words_field, why))?;
            let program = argv.words().first().map(Vec::as_slice).unwrap_or_default();
            if program.contains(&b'/') && !program.starts_with(b"/") {
                let shown = String::from_utf8_lossy(program).into_owned();
                let why = format!(
                    "{shown:?} is a relative path; give an absolute one, or a name without a slash"
                );
                return Err(invalid(words_field, why));
            }
            Ok(CommandSpec::Argv(argv))
        }
        (false, true) => {
            CommandLine::parse(line).map(CommandSpec::Line).map_err(|why| invalid(line_field, why))
        }
    }
}
