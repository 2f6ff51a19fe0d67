//! From `runtime.Executable`, the wire's definition of what can be executed, to what the core executes.

use api::runtime::Executable;
use units::{Argv, CommandLine, Execution, Name, RunId};

use crate::environment::Environment;

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
    executable: Executable,
    environment: &Environment,
) -> Result<Execution, Invalid> {
    let Executable { meta, command, comment, argv, run_id } = executable;
    let run = if run_id.is_empty() {
        RunId::from_bytes(uuid::Uuid::new_v4().into_bytes())
    } else {
        run_id.parse::<RunId>().map_err(|why| invalid("run_id", why))?
    };
    if comment.len() > LONGEST_COMMENT {
        let length = comment.len();
        let why = format!("it is {length} bytes long; at most {LONGEST_COMMENT} are allowed");
        return Err(invalid("comment", why));
    }
    if let Some(at) = comment.find('\0') {
        let why = format!("it has a NUL byte at {at}, which an environment cannot hold");
        return Err(invalid("comment", why));
    }
    let name = meta.unwrap_or_default().name;
    let anonymous = name.is_empty();
    let name = if anonymous {
        Name::from(run)
    } else {
        name.parse().map_err(|why| invalid("meta.name", why))?
    };
    let (program, argv) = words(&command, argv, environment, (run, &comment))?;
    Ok(Execution { run, name, anonymous, program, argv, comment })
}

/// Program and words, from `argv` as it stands or from `command` as it is parsed.
fn words(
    command: &str,
    argv: Vec<String>,
    environment: &Environment,
    (run, comment): (RunId, &str),
) -> Result<(Vec<u8>, Argv), Invalid> {
    match (command.is_empty(), argv.is_empty()) {
        (true, true) => Err(invalid("command", "there is none, and no argv; give one of them")),
        (false, false) => Err(invalid("argv", "there is a command too; give one of them")),
        (true, false) => {
            let words = argv.into_iter().map(String::into_bytes);
            let argv = Argv::new(words).map_err(|why| invalid("argv", why))?;
            let program = argv.words().first().cloned().unwrap_or_default();
            if program.contains(&b'/') && !program.starts_with(b"/") {
                let shown = String::from_utf8_lossy(&program).into_owned();
                let why = format!(
                    "{shown:?} is a relative path; give an absolute one, or a name without a slash"
                );
                return Err(invalid("argv", why));
            }
            Ok((program, argv))
        }
        (false, true) => {
            let line = CommandLine::parse(command).map_err(|why| invalid("command", why))?;
            for warning in line.warnings() {
                tracing::warn!(%run, %warning, "in a command");
            }
            let run = run.to_string();
            let expanded = line
                .expand(|variable| environment.value(variable, &run, comment))
                .map_err(|why| invalid("command", why))?;
            Ok((expanded.program, expanded.argv))
        }
    }
}
