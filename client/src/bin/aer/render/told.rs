//! What became of a verb: a sentence, or the daemon's answer as JSON.

use api::{
    meta::AuraeMeta,
    runtime::{
        ForgetResponse, RestartResponse, SignalResponse, StartResponse, StopResponse, WaitResponse,
    },
};
use serde::Serialize;

use super::{
    document, harmless, json,
    json::{Changed, Forgotten, Sent, Started, Stopped, Waited},
    words,
};
use crate::{arguments::Format, failure::Failure};

/// What became of one unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Enabled,
    Disabled,
    Destroyed,
    Reloaded,
    /// It is another one, and not enabled.
    Replaced,
    /// It is as it was.
    Kept,
}

/// Writes that a unit was changed.
pub(crate) fn changed(
    change: Change,
    name: &str,
    answer: Option<&AuraeMeta>,
    output: Format,
) -> Result<(), Failure> {
    let verb = match change {
        Change::Enabled => "enabled",
        Change::Disabled => "disabled",
        Change::Destroyed => "destroyed",
        Change::Reloaded => "reloaded",
        Change::Replaced => "changed",
        Change::Kept => "unchanged",
    };
    told(output, &format!("{verb} {name}"), &Changed::from(answer))
}

/// Writes that a unit is up. The daemon's name for it counts, since it may have made one up.
pub(crate) fn started(answer: &StartResponse, name: &str, output: Format) -> Result<(), Failure> {
    let verb = if answer.was_up { "already up:" } else { "started" };
    let sentence = up(verb, answer.meta.as_ref(), name, answer.pid);
    told(output, &sentence, &Started::from(answer))
}

/// Writes that a unit is up again.
pub(crate) fn restarted(
    answer: &RestartResponse,
    name: &str,
    output: Format,
) -> Result<(), Failure> {
    let sentence = up("restarted", answer.meta.as_ref(), name, answer.pid);
    told(output, &sentence, &Started::from(answer))
}

/// Writes that a unit is down, or that a run was told to end.
pub(crate) fn stopped(answer: &StopResponse, name: &str, output: Format) -> Result<(), Failure> {
    let sentence = match &answer.exit {
        Some(record) => format!("stopped {name}: {}", words::ended(record)),
        None if answer.run_id.is_empty() => format!("stopped {name}"),
        None => format!("stopping {name}"),
    };
    told(output, &sentence, &Stopped::from(answer))
}

/// Writes that a signal was sent.
pub(crate) fn signalled(
    answer: &SignalResponse,
    signal: i32,
    name: &str,
    output: Format,
) -> Result<(), Failure> {
    let sentence = format!("sent {} to {name}", words::signal(signal));
    told(output, &sentence, &Sent::from(answer))
}

/// Writes how it ended.
pub(crate) fn waited(answer: &WaitResponse, name: &str, output: Format) -> Result<(), Failure> {
    match (&answer.exit, output) {
        (Some(record), Format::Table) => {
            told(output, &format!("{name} {}", words::ended(record)), &Waited::from(answer))
        }
        // A failure says it.
        (None, Format::Table) => Ok(()),
        (_, Format::Json) => json(&Waited::from(answer)),
    }
}

/// Writes what was forgotten.
pub(crate) fn forgotten(answer: &ForgetResponse, output: Format) -> Result<(), Failure> {
    match output {
        Format::Table => {
            let lines = answer.names.iter().map(|name| format!("forgot {}\n", harmless(name)));
            document(lines.collect::<String>().as_bytes())
        }
        Format::Json => json(&Forgotten::from(answer)),
    }
}

fn up(verb: &str, meta: Option<&AuraeMeta>, name: &str, pid: i32) -> String {
    let told = meta.map(|meta| meta.name.as_str()).filter(|told| !told.is_empty());
    let process = Some(pid).filter(|pid| *pid > 0).map(|pid| format!(" (pid {pid})"));
    format!("{verb} {}{}", told.unwrap_or(name), process.unwrap_or_default())
}

fn told(output: Format, sentence: &str, answer: &impl Serialize) -> Result<(), Failure> {
    match output {
        Format::Table => document(format!("{}\n", harmless(sentence)).as_bytes()),
        Format::Json => json(answer),
    }
}
