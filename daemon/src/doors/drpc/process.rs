//! Module 16, which is ours: what runs on this machine. Each answer begins with a DER code, and says in words why not.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use api::drpc::{
    der,
    envelope::Status,
    method,
    process::{DoneResp, ListReq, ListResp, LogsReq, LogsResp, NameReq, SignalReq, Unit},
};
use prost::Message;
use schedule::{Change, Entry};
use tokio::time::timeout;
use units::{Answer, Name, Order, Origin, Refusal, StopHow, Target, UnitView, Whom};

use super::{answering::decoded, der::Undone, lines, session::Caller};
use crate::{
    clock,
    doors::{
        Core, Unanswered,
        registered::{self, tell_later},
    },
};

/// The longest reason, in bytes; gRPC's calls have the same bound.
const LONGEST_REASON: usize = 1024;
/// How long a call waits for what it has ordered; that goes on.
const LONGEST_CALL: Duration = Duration::from_secs(600);
/// Lines of an answer, where nobody says, and at most.
const USUAL_LINES: u32 = 100;
const MOST_LINES: u32 = 10_000;
/// What an answer has beside its units or lines.
const BESIDE: usize = 256;

/// Answers a call of this module.
pub(super) async fn answer(
    caller: &Caller<'_>,
    method: i32,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    match method {
        method::START | method::RESTART => {
            done(up(caller, decoded(body)?, method == method::RESTART)).await
        }
        method::STOP => done(stop(caller, decoded(body)?)).await,
        method::SIGNAL => done(signal(caller, decoded(body)?)).await,
        method::ENABLE => done(enable(caller, decoded(body)?)).await,
        method::DISABLE => done(disable(caller, decoded(body)?)).await,
        method::STATUS => {
            let told = status(caller, decoded(body)?).await;
            Ok(told.unwrap_or_else(|why| listed(Some(why))).encode_to_vec())
        }
        method::LIST => {
            let told = list(caller, decoded(body)?).await;
            Ok(told.unwrap_or_else(|why| listed(Some(why))).encode_to_vec())
        }
        method::LOGS => {
            let told = logs(caller, decoded(body)?).await.unwrap_or_else(|why| {
                let Undone { code: status, why: message } = why;
                LogsResp { status, message, lines: Vec::new() }
            });
            Ok(told.encode_to_vec())
        }
        _ => Err(Status::UnknownMethod),
    }
}

/// What came of an act.
async fn done(act: impl Future<Output = Result<DoneResp, Undone>>) -> Result<Vec<u8>, Status> {
    let done = act.await.unwrap_or_else(|Undone { code, why }| DoneResp {
        status: code,
        message: why,
        ..DoneResp::default()
    });
    Ok(done.encode_to_vec())
}

fn listed(why: Option<Undone>) -> ListResp {
    let (status, message) = why.map(|why| (why.code, why.why)).unwrap_or_default();
    ListResp { status, message, ..ListResp::default() }
}

/// Who asks for this, and why.
fn origin(caller: &Caller<'_>, reason: &str) -> Result<Origin, Undone> {
    if reason.len() > LONGEST_REASON {
        let why = format!("it has {} bytes; at most {LONGEST_REASON} are allowed", reason.len());
        return Err(Undone::invalid("reason", why));
    }
    // It is shown in logs and on terminals.
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Ok(caller.peer.origin(reason.chars().map(shown).collect()))
}

fn name_of(name: &str) -> Result<Name, Undone> {
    name.parse().map_err(|why| Undone::invalid("name", why))
}

/// Passes on what came of looking at a request, and tells the audit log where it was refused.
fn looked_at<T, E: Into<Undone>>(
    core: &Core,
    (action, name): (&'static str, &str),
    by: &Origin,
    result: Result<T, E>,
) -> Result<T, Undone> {
    result.map_err(|why| {
        let why = why.into();
        core.tell_refused((action, name), by, &why.why);
        why
    })
}

/// Orders something and waits for its answer, but not for ever: the session would be occupied.
async fn ask(core: &Core, order: Order, origin: Origin) -> Result<Answer, Undone> {
    let asked = timeout(LONGEST_CALL, core.ask_within(order, origin, Some(LONGEST_CALL))).await;
    let answer = asked.map_err(|_| Undone {
        code: der::TIMEDOUT,
        why: format!(
            "it was ordered and is not done within {}s; it goes on, and the unit's status tells what comes of it",
            LONGEST_CALL.as_secs()
        ),
    })?;
    Ok(answer?)
}

fn out_of_turn(answer: &Answer) -> Undone {
    tracing::error!(?answer, "the core answered something else");
    Unanswered::OutOfTurn.into()
}

async fn up(caller: &Caller<'_>, request: NameReq, is_restart: bool) -> Result<DoneResp, Undone> {
    let (core, action) = (caller.core, if is_restart { "restart" } else { "start" });
    let origin = origin(caller, &request.reason)?;
    let spec = registered::by_name(core, &request.name).await;
    let spec = looked_at(core, (action, &request.name), &origin, spec)?;
    let order = if is_restart { Order::Restart { spec } } else { Order::Start { spec, run: None } };
    let answer = ask(core, order, origin).await?;
    let Answer::Up { run, pid, was_up, .. } = answer else { return Err(out_of_turn(&answer)) };
    Ok(DoneResp { run_id: run.to_string(), pid, was_up, ..DoneResp::default() })
}

async fn stop(caller: &Caller<'_>, request: NameReq) -> Result<DoneResp, Undone> {
    let origin = origin(caller, &request.reason)?;
    let name = name_of(&request.name);
    let name = looked_at(caller.core, ("stop", &request.name), &origin, name)?;
    let how = if request.force { StopHow::Kill } else { StopHow::Usual };
    let order = Order::Stop { target: Target::Name(name), how };
    let answer = ask(caller.core, order, origin).await?;
    let run_id = if let Answer::Stopping { run, .. } = answer {
        run.to_string()
    } else if let Answer::Down { record, .. } = answer {
        record.map_or_else(String::new, |record| record.run.to_string())
    } else {
        return Err(out_of_turn(&answer));
    };
    Ok(DoneResp { run_id, ..DoneResp::default() })
}

async fn signal(caller: &Caller<'_>, request: SignalReq) -> Result<DoneResp, Undone> {
    let origin = origin(caller, &request.reason)?;
    let name = name_of(&request.name);
    let name = looked_at(caller.core, ("signal", &request.name), &origin, name)?;
    let whom = if request.all { Whom::All } else { Whom::Main };
    let order = Order::Signal { target: Target::Name(name), signal: request.signal, whom };
    let answer = ask(caller.core, order, origin).await?;
    let Answer::Signalled { run } = answer else { return Err(out_of_turn(&answer)) };
    Ok(DoneResp { run_id: run.to_string(), ..DoneResp::default() })
}

async fn enable(caller: &Caller<'_>, request: NameReq) -> Result<DoneResp, Undone> {
    let (core, by) = (caller.core, origin(caller, &request.reason)?);
    let entry = registered_as(core, &request.name).await;
    let entry = looked_at(core, ("enable", &request.name), &by, entry)?;
    // Two who change it at the same time: the last counts, as with every enable.
    let (name, definition) = (entry.name.clone(), entry.definition.clone());
    let at = clock::now().wall;
    let change = Change::Enable { name: name.clone(), definition, at, by: by.clone() };
    registered::change(core, change).await?;
    tell_later(name, by, "enabled: it starts at boot");
    Ok(DoneResp::default())
}

/// What is registered under a name.
async fn registered_as(core: &Core, name: &str) -> Result<Arc<Entry>, Undone> {
    let name = name_of(name)?;
    let entry = core.schedule.entry(&name).await.map_err(|why| Undone::from(why.as_ref()))?;
    entry.ok_or_else(|| Undone {
        code: der::NONEXIST,
        why: format!(
            "nothing is registered under the name {name}; register it by aer enable, which takes its definition"
        ),
    })
}

async fn disable(caller: &Caller<'_>, request: NameReq) -> Result<DoneResp, Undone> {
    let (core, by) = (caller.core, origin(caller, &request.reason)?);
    let name = looked_at(core, ("disable", &request.name), &by, name_of(&request.name))?;
    let at = clock::now().wall;
    let change = Change::Disable { name: name.clone(), at, by: by.clone() };
    registered::change(core, change).await?;
    tell_later(name, by, "disabled: it does not start at boot");
    Ok(DoneResp::default())
}

/// What is registered, by name; nothing where the schedule cannot be read: what runs is told all the same.
async fn entries(core: &Core) -> BTreeMap<Name, Arc<Entry>> {
    let entries = core.schedule.entries().await.unwrap_or_default();
    entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect()
}

async fn status(caller: &Caller<'_>, request: ListReq) -> Result<ListResp, Undone> {
    let name = name_of(&request.name)?;
    let entry = entries(caller.core).await.remove(&name);
    let origin = caller.peer.origin(String::new());
    let view = match registered::inspect(caller.core, name.clone(), origin).await {
        Ok(detail) => Some(detail.view),
        Err(Unanswered::Refused(Refusal::NoSuchUnit(_))) if entry.is_some() => None,
        Err(why) => return Err(why.into()),
    };
    Ok(ListResp { units: vec![unit(&name, view.as_ref(), entry.as_deref())], ..listed(None) })
}

async fn list(caller: &Caller<'_>, request: ListReq) -> Result<ListResp, Undone> {
    if !request.name.is_empty() {
        let why = "this call tells all units; leave it out, or call 1605 for one";
        return Err(Undone::invalid("name", why));
    }
    let after = match request.after.as_str() {
        "" => None,
        text => Some(text.parse::<Name>().map_err(|why| Undone::invalid("after", why))?),
    };
    let entries = entries(caller.core).await;
    let answer = caller.core.ask(Order::List, caller.peer.origin(String::new())).await?;
    let Answer::Units(views) = answer else { return Err(out_of_turn(&answer)) };
    let views: BTreeMap<&Name, &UnitView> = views.iter().map(|view| (&view.name, view)).collect();
    let mut names: Vec<&Name> = views.keys().copied().chain(entries.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let (mut told, mut left) = (listed(None), room(caller));
    for name in names {
        if after.as_ref().is_some_and(|after| name <= after) {
            continue;
        }
        let view = views.get(name).copied();
        let unit = unit(name, view, entries.get(name).map(Arc::as_ref));
        let Some(rest) = left.checked_sub(unit.encoded_len().saturating_add(8)) else {
            told.more = true;
            break;
        };
        left = rest;
        told.units.push(unit);
    }
    Ok(told)
}

/// Bytes for units or lines in an answer.
fn room(caller: &Caller<'_>) -> usize {
    caller.framing.largest_answer().saturating_sub(BESIDE)
}

fn unit(name: &Name, view: Option<&UnitView>, entry: Option<&Entry>) -> Unit {
    let last = view.and_then(|view| view.last.as_ref());
    Unit {
        name: name.to_string(),
        state: view.map_or_else(|| "inactive".to_owned(), |view| view.state.to_string()),
        pid: view.map_or(0, |view| view.pid),
        run_id: view.and_then(|view| view.run).map_or_else(String::new, |run| run.to_string()),
        restarts: view.map_or(0, |view| view.restarts),
        registered: entry.is_some(),
        enabled: entry.is_some_and(|entry| entry.enabled),
        last_exit: last.map_or_else(String::new, |last| last.cause.to_string()),
    }
}

async fn logs(caller: &Caller<'_>, request: LogsReq) -> Result<LogsResp, Undone> {
    let name = name_of(&request.name)?;
    let lines = match request.lines {
        0 => USUAL_LINES,
        lines if lines > MOST_LINES => {
            let why = format!("{lines} are wanted; at most {MOST_LINES} are told");
            return Err(Undone::invalid("lines", why));
        }
        lines => lines,
    };
    let (store, of) = (caller.core.logs.clone(), name.clone());
    let most = (usize::try_from(lines).unwrap_or(usize::MAX), room(caller));
    let failed = |why: String| Undone { code: der::MISC, why };
    let read = caller.core.bulk.spawn(move || lines::last(&store, &of, most)).await;
    let read = read.map_err(|why| failed(format!("cannot read the log of {name}: {why}")))?;
    let lines = read.map_err(|why| failed(told(&why)))?;
    // It has printed nothing, where there is one.
    if lines.is_empty() && !caller.core.schedule.holds(&name).await {
        registered::inspect(caller.core, name, caller.peer.origin(String::new())).await?;
    }
    Ok(LogsResp { lines, ..LogsResp::default() })
}

fn told(why: &logs::ReadError) -> String {
    let source = std::error::Error::source(why).map(|source| format!(": {source}"));
    format!("{why}{}", source.unwrap_or_default())
}
