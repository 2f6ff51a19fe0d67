//! `aer --drpc`: the verbs that module 16 of dRPC has, with the answers of the others (docs/drpc.md).

use std::path::Path;

use api::{
    drpc::process::Unit,
    meta::{AuraeMeta, Status as State},
    observe::{LogChannelType, LogChunk},
    runtime::{
        Executable, InspectResponse, RestartResponse, SignalResponse, StartResponse, StopResponse,
        UnitState, UnitView,
    },
    schedule::Registration,
};
use client::{DrpcClient, LogSource};
use tokio::sync::Mutex;

use crate::{
    arguments::{Arguments, Disable, Enable, Form, Format, List, Logs, Signal, Stop, Target, Verb},
    each,
    failure::Failure,
    list,
    render::{self, Change, Cutter, Line, Look, Outputs, UnitTable},
};

/// The session: verbs of many names make one call after the other.
type Session = Mutex<DrpcClient>;

pub(crate) async fn run(path: &Path, arguments: Arguments) -> Result<u8, Failure> {
    let Arguments { form, reason, verb, .. } = arguments;
    let (output, reason) = (form.format(), reason.unwrap_or_default());
    // What this module has not is said before anybody is called.
    let session = |lacking: Option<&'static str>| match lacking {
        Some(lacking) => Err(Failure::NotByDrpc(lacking)),
        None => Ok(Mutex::new(DrpcClient::connect(path)?.with_reason(&reason))),
    };
    match verb {
        Verb::Start(wanted) => {
            start(&session(definition_of(&wanted.names))?, &wanted.names, output).await
        }
        Verb::Restart(wanted) => {
            restart(&session(definition_of(&wanted.names))?, &wanted.names, output).await
        }
        Verb::Stop(wanted) => stop(&session(no_stop(&wanted))?, &wanted, output).await,
        Verb::Signal(wanted) => {
            let of_run = matches!(wanted.target, Target::Run(_)).then_some("a run's id");
            signal(&session(of_run)?, &wanted, output).await
        }
        Verb::Enable(wanted) => enable(&session(no_enable(&wanted))?, *wanted, output).await,
        Verb::Disable(wanted) => disable(&session(None)?, &wanted, output).await,
        Verb::Inspect(wanted) => {
            let unit = session(None)?.into_inner().status(&wanted.name).await?;
            inspected(&unit, output).map(|()| 0)
        }
        Verb::List(wanted) => {
            let units = session(None)?.into_inner().list().await?;
            listed(&units, &wanted, output).map(|()| 0)
        }
        Verb::Logs(wanted) => {
            let more = (!wanted.has_only_names_and_lines())
                .then_some("anything of logs but a unit's name and --lines");
            logs(&session(more)?, &wanted, form).await
        }
        Verb::Exec(_)
        | Verb::Status
        | Verb::Reload(_)
        | Verb::Wait(_)
        | Verb::Forget(_)
        | Verb::Watch(_)
        | Verb::Destroy(_)
        | Verb::Show(_)
        | Verb::Edit(_)
        | Verb::Schedule { .. }
        | Verb::Daemon { .. }
        | Verb::Power { .. }
        | Verb::Completions(_) => Err(Failure::NotByDrpc("this verb")),
    }
}

/// Without names it would be a definition that is started.
fn definition_of(names: &[String]) -> Option<&'static str> {
    names.is_empty().then_some("a definition")
}

fn no_stop(wanted: &Stop) -> Option<&'static str> {
    let of_run = wanted.names.is_empty().then_some("--run");
    wanted.signal.as_ref().map(|_| "--signal").or(of_run)
}

fn no_enable(wanted: &Enable) -> Option<&'static str> {
    let Enable { command, file, argv, comment, .. } = wanted;
    let has = command.is_some() || file.is_some() || !argv.is_empty() || comment.is_some();
    has.then_some("a definition")
}

fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() })
}

async fn start(client: &Session, names: &[String], output: Format) -> Result<u8, Failure> {
    each::name(names, async |name| {
        let done = client.lock().await.start(name).await?;
        let (run_id, pid, was_up) = (done.run_id, done.pid, done.was_up);
        render::started(&StartResponse { meta: meta(name), run_id, pid, was_up }, name, output)
    })
    .await
}

async fn restart(client: &Session, names: &[String], output: Format) -> Result<u8, Failure> {
    each::name(names, async |name| {
        let done = client.lock().await.restart(name).await?;
        let answer = RestartResponse { meta: meta(name), run_id: done.run_id, pid: done.pid };
        render::restarted(&answer, name, output)
    })
    .await
}

async fn signal(client: &Session, wanted: &Signal, output: Format) -> Result<u8, Failure> {
    let name = wanted.target.to_string();
    let done = client.lock().await.signal(&name, wanted.signal, wanted.all).await?;
    let answer = SignalResponse { meta: meta(&name), run_id: done.run_id };
    render::signalled(&answer, wanted.signal, &name, output).map(|()| 0)
}

async fn enable(client: &Session, wanted: Enable, output: Format) -> Result<u8, Failure> {
    let name = wanted.name.unwrap_or_default();
    client.lock().await.enable(&name).await?;
    render::changed(Change::Enabled, &name, meta(&name).as_ref(), output)?;
    if wanted.now { start(client, &[name], output).await } else { Ok(0) }
}

async fn stop(client: &Session, wanted: &Stop, output: Format) -> Result<u8, Failure> {
    each::name(&wanted.names, async |name| {
        client.lock().await.stop(name, wanted.kill).await?;
        // How it ended the answer does not say, and the run is over.
        let answer = StopResponse { meta: meta(name), ..StopResponse::default() };
        render::stopped(&answer, name, output)
    })
    .await
}

async fn disable(client: &Session, wanted: &Disable, output: Format) -> Result<u8, Failure> {
    let disabled = each::name(&wanted.names, async |name| {
        client.lock().await.disable(name).await?;
        render::changed(Change::Disabled, name, meta(name).as_ref(), output)
    })
    .await?;
    if !wanted.now {
        return Ok(disabled);
    }
    let stop = Stop { names: wanted.names.clone(), run: None, signal: None, kill: false };
    Ok(disabled.max(self::stop(client, &stop, output).await?))
}

/// A unit as the other calls tell it, as far as this one does.
fn known(unit: &Unit) -> (Option<Registration>, Option<UnitView>) {
    let registration = unit.registered.then(|| {
        let status = if unit.enabled { State::Standby } else { State::Passive };
        let executable = Executable { meta: meta(&unit.name), ..Executable::default() };
        let status = status.into();
        Registration { executable: Some(executable), status, ..Registration::default() }
    });
    let state = format!("UNIT_STATE_{}", unit.state.to_ascii_uppercase());
    let view = UnitView {
        meta: meta(&unit.name),
        state: UnitState::from_str_name(&state).unwrap_or(UnitState::Unknown).into(),
        run_id: unit.run_id.clone(),
        pid: unit.pid,
        restarts: unit.restarts,
        ..UnitView::default()
    };
    (registration, Some(view))
}

fn inspected(unit: &Unit, output: Format) -> Result<(), Failure> {
    let unit = known(unit).1;
    let answer = InspectResponse { unit, ..InspectResponse::default() };
    match output {
        Format::Table => render::document(render::inspected(&answer).as_bytes()),
        Format::Json => render::json(&render::Inspected::from(&answer)),
    }
}

fn listed(units: &[Unit], wanted: &List, output: Format) -> Result<(), Failure> {
    let mut table = UnitTable::default();
    for unit in units {
        let (registration, view) = known(unit);
        let is_other = (wanted.enabled && !unit.enabled)
            || (wanted.disabled && (unit.enabled || !unit.registered));
        if is_other || !list::is_wanted(wanted, view.as_ref()) {
            continue;
        }
        match output {
            Format::Table => table.add(&unit.name, registration.as_ref(), view.as_ref()),
            Format::Json => {
                let (registration, view) = (registration.as_ref(), view.as_ref());
                render::json(&render::Listed::of(&unit.name, registration, view))?;
            }
        }
    }
    match output {
        Format::Table => render::document(table.text(render::width()).as_bytes()),
        Format::Json => Ok(()),
    }
}

async fn logs(client: &Session, wanted: &Logs, form: Form) -> Result<u8, Failure> {
    // Module 16 takes none for its usual number.
    if wanted.lines == Some(0) {
        return Ok(0);
    }
    let lines = u32::try_from(wanted.lines.unwrap_or(0)).unwrap_or(u32::MAX);
    let sources = wanted.sources();
    let look = Look::new(form, sources.len() > 1);
    let (mut outputs, mut cutter) = (Outputs::new(), Cutter::default());
    for source in sources {
        let LogSource::Name(name) = source else { continue };
        for line in client.lock().await.logs(&name, lines).await? {
            let channel = if line.stderr {
                LogChannelType::ChannelStderr
            } else {
                LogChannelType::ChannelStdout
            };
            let chunk = LogChunk {
                channel: channel.into(),
                data: line.text.into(),
                timestamp: line.time,
                name: name.clone(),
                ..LogChunk::default()
            };
            if form == Form::Json {
                render::json(&render::Chunk::from(&chunk))?;
            } else if look.is_unchanged(channel) {
                put(&mut outputs, channel, &chunk.data).await?;
            } else {
                let mut whole: Vec<Line> = cutter.push(&chunk);
                whole.extend(cutter.rest());
                for line in whole {
                    put(&mut outputs, channel, &look.line(&line, line.begun)).await?;
                }
            }
        }
    }
    Ok(0)
}

async fn put(outputs: &mut Outputs, channel: LogChannelType, bytes: &[u8]) -> Result<(), Failure> {
    match channel {
        LogChannelType::ChannelStdout => outputs.stdout(bytes).await,
        LogChannelType::ChannelStderr => outputs.stderr(bytes).await,
    }
}
