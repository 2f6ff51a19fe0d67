//! From a request for logs to what is read of each log, and from where on.

use std::collections::{BTreeMap, HashMap};

use api::observe::{
    LogChannelType, LogFailure, LogSource, LogsRequest, log_source::Of, logs_request::Source,
};
use logs::{Located, LogName, Place, Position, Stream, Wanted};
use tonic::{Code, Request, Status};
use units::Origin;

use super::{
    batches::{Following, Until},
    follow::{Reading, blocking},
    origin, sources,
    status::{invalid, unreadable},
};
use crate::doors::Core;

/// Sources of one request.
const SOURCES: usize = 1024;

/// What is asked for of every log.
#[derive(Clone, Copy)]
struct Span {
    stream: Option<Stream>,
    since: Option<u64>,
    until: Option<u64>,
    last: Option<u64>,
}

/// What is wanted of one log: of these runs or of all, from there on.
struct Part {
    runs: Vec<Located>,
    whole: bool,
    from: Position,
}

/// What this request is to be sent.
pub(super) async fn following(
    core: &Core,
    request: Request<LogsRequest>,
) -> Result<Following, Status> {
    let origin = origin::of(&request)?;
    let request = request.into_inner();
    let span = Span {
        stream: stream(&request.channels)?,
        since: time("since", request.since)?,
        until: time("until", request.until)?,
        last: request.last,
    };
    if let (Some(since), Some(until)) = (span.since, span.until)
        && until <= since
    {
        return Err(invalid("until", "it is not later than since, so that nothing lies between"));
    }
    let tells_runs = !request.sources.is_empty();
    let (asked, partial) = (asked(&request)?, request.partial);
    let Found { readings, run_ids, mut failures } =
        find(core, asked, (partial, request.all), origin).await?;
    let run_ids = tells_runs.then_some(run_ids);
    let names = readings
        .iter()
        .filter_map(|reading| Some((reading.run.as_ref()?.run, reading.name.clone())));
    let names = names.collect();
    let mut awaited: Vec<Located> = Vec::new();
    for run in readings.iter().filter_map(|reading| reading.run.as_ref()) {
        if !awaited.iter().any(|other| other.run == run.run) {
            awaited.push(run.clone());
        }
    }
    let endless = request.all || readings.iter().any(|reading| reading.run.is_none());
    let parts = parts(readings);
    let every = request.all;
    let (logs, cursor) = (core.logs.clone(), request.cursor);
    let merge = blocking(move || {
        let failed = partial.then_some(&mut failures);
        let wanted = wanted(&logs, parts, &cursor, (every, span), failed)?;
        Ok::<_, Status>((logs.merge(wanted, span.stream, span.until, every), failures))
    });
    let (merge, failures) = merge.await??;
    let until = Until { time: span.until, follow: request.follow, endless };
    let following = Following::new(merge, awaited, names, run_ids, until);
    Ok(if partial { following.partial(failures) } else { following })
}

/// What was found of what is asked for.
#[derive(Default)]
struct Found {
    /// Each of them once, however often it was asked for.
    readings: Vec<Reading>,
    /// Of each that was asked for; empty where it means more than one run.
    run_ids: Vec<String>,
    failures: Vec<LogFailure>,
}

/// Finds the logs. What is asked for twice is looked for once.
async fn find(
    core: &Core,
    asked: Vec<Of>,
    (partial, every): (bool, bool),
    origin: Origin,
) -> Result<Found, Status> {
    let mut found = Found::default();
    let mut known: HashMap<Of, String> = HashMap::new();
    let mut first = None;
    for of in asked {
        if let Some(run_id) = known.get(&of) {
            found.run_ids.push(run_id.clone());
            continue;
        }
        let run_id = match sources::reading(core, of.clone(), origin.clone()).await {
            Ok(reading) => {
                let run = reading.run.as_ref().map(|run| run.run.to_string());
                found.readings.push(reading);
                run.unwrap_or_default()
            }
            Err(why) if partial && matches!(why.code(), Code::NotFound | Code::Internal) => {
                let (name, message) = (name_of(&of), why.message().to_owned());
                found.failures.push(LogFailure { name, message });
                first = first.or(Some(why));
                String::new()
            }
            Err(why) => return Err(why),
        };
        found.run_ids.push(run_id.clone());
        known.insert(of, run_id);
    }
    match first {
        Some(why) if found.readings.is_empty() && !every => Err(why),
        Some(_) | None => Ok(found),
    }
}

/// What a source was called by whoever asked for it.
fn name_of(of: &Of) -> String {
    match of {
        Of::Name(name) | Of::Newest(name) | Of::Previous(name) => name.clone(),
        Of::RunId(run) => run.clone(),
        Of::ProcessId(pid) => pid.to_string(),
        Of::Daemon(_) => LogName::Daemon.to_string(),
        Of::Audit(_) => LogName::Audit.to_string(),
    }
}

/// The sources, in the newest form.
fn asked(request: &LogsRequest) -> Result<Vec<Of>, Status> {
    let LogsRequest { source, sources, all, .. } = request;
    if sources.len() > SOURCES {
        let why = format!("there are {}; at most {SOURCES} are allowed", sources.len());
        return Err(invalid("sources", why));
    }
    let first = source.as_ref().map(|source| match source {
        Source::Name(name) => Of::Name(name.clone()),
        Source::RunId(run) => Of::RunId(run.clone()),
        Source::ProcessId(pid) => Of::ProcessId(*pid),
        Source::Daemon(daemon) => Of::Daemon(*daemon),
    });
    if first.is_some() && (*all || !sources.is_empty()) {
        return Err(invalid("source", "it stands alone; use sources for several"));
    }
    let said = |LogSource { of }: &LogSource| {
        let nothing = || invalid("sources", "one of them says nothing");
        of.clone().ok_or_else(nothing)
    };
    let asked: Result<Vec<Of>, Status> = sources.iter().map(said).collect();
    let mut asked = asked?;
    asked.extend(first);
    if asked.is_empty() && !all {
        return Err(invalid("source", "give a name, a run_id, a process_id, or daemon"));
    }
    Ok(asked)
}

/// What is wanted of each log.
fn parts(readings: Vec<Reading>) -> BTreeMap<LogName, Part> {
    let mut parts = BTreeMap::new();
    for Reading { log, from, run, .. } in readings {
        // One that failed before it had a log has none to read.
        if from == Position(u64::MAX) {
            continue;
        }
        let part =
            parts.entry(log).or_insert_with(|| Part { runs: Vec::new(), whole: false, from });
        part.from = part.from.min(from);
        part.whole |= run.is_none();
        part.runs.extend(run);
    }
    parts
}

/// Where each log begins. What cannot be read goes to `failures`, where there is such a place. May block.
fn wanted(
    logs: &logs::LogStore,
    mut parts: BTreeMap<LogName, Part>,
    cursor: &str,
    (every, span): (bool, Span),
    mut failures: Option<&mut Vec<LogFailure>>,
) -> Result<Vec<Wanted>, Status> {
    if every {
        for log in logs.programs().map_err(|why| unreadable(&why))? {
            let whole = || Part { runs: Vec::new(), whole: true, from: Position(0) };
            parts.entry(log).or_insert_with(whole).whole = true;
        }
    }
    // What a cursor names and cannot be found any more was told.
    let fewer = failures.as_ref().is_some_and(|failures| !failures.is_empty());
    let mut cursors = cursors(cursor, (&parts, every || fewer))?;
    let several = parts.len() > 1 || every;
    let with_cursor = !cursor.is_empty();
    let mut wanted = Vec::with_capacity(parts.len());
    for (log, part) in parts {
        let mut runs: Vec<_> = part.runs.iter().map(|run| run.run).collect();
        runs.sort_unstable();
        runs.dedup();
        if part.whole {
            runs.clear();
        }
        let from = match cursors.remove(&log) {
            Some(place) => place,
            // It came into being after the cursor.
            None if with_cursor => part.from.into(),
            None => {
                let whose = (runs.as_slice(), span.stream);
                let place = logs.place(&log, whose, span.since, span.last);
                match (place.map_err(|why| unreadable(&why)), &mut failures) {
                    (Ok(place), _) => place.unwrap_or_default().later(part.from.into()),
                    (Err(why), Some(failures)) if several => {
                        let (name, message) = (short_name(&log), why.message().to_owned());
                        failures.push(LogFailure { name, message });
                        continue;
                    }
                    (Err(why), _) => return Err(why),
                }
            }
        };
        wanted.push(Wanted { log, runs, from });
    }
    Ok(wanted)
}

/// A log as people call it.
fn short_name(log: &LogName) -> String {
    match log {
        LogName::Unit(name) => name.to_string(),
        LogName::Daemon | LogName::Audit | LogName::Commands => log.to_string(),
    }
}

/// The places that the cursor names; those of logs that are not asked for are a mistake. Where all are asked for, such a log
/// has been removed since.
fn cursors(
    cursor: &str,
    (parts, every): (&BTreeMap<LogName, Part>, bool),
) -> Result<BTreeMap<LogName, Place>, Status> {
    let mut places = BTreeMap::new();
    let by_text: BTreeMap<String, &LogName> =
        parts.keys().map(|log| (log.to_string(), log)).collect();
    for text in cursor.split(',').filter(|text| !text.is_empty()) {
        let (name, place) = Place::parse(text).map_err(|why| invalid("cursor", why))?;
        let Some(log) = by_text.get(name) else {
            if every {
                continue;
            }
            let asked: Vec<&str> = by_text.keys().map(String::as_str).take(4).collect();
            let why = format!("it is one of the log {name}, and {} is asked for", asked.join(", "));
            return Err(invalid("cursor", why));
        };
        places.insert((*log).clone(), place);
    }
    Ok(places)
}

fn time(field: &str, time: i64) -> Result<Option<u64>, Status> {
    let before =
        |_| invalid(field, "it is a time before 1970; nanoseconds since then are expected");
    let time = u64::try_from(time).map_err(before)?;
    Ok((time > 0).then_some(time))
}

/// The one output that is wanted, where it is one.
fn stream(channels: &[i32]) -> Result<Option<Stream>, Status> {
    let mut streams = Vec::new();
    for wanted in channels {
        let stream = channel(*wanted)?;
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    Ok(match streams.as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

/// Which output a number is.
pub(super) fn channel(number: i32) -> Result<Stream, Status> {
    match LogChannelType::try_from(number) {
        Ok(LogChannelType::ChannelStdout) => Ok(Stream::Stdout),
        Ok(LogChannelType::ChannelStderr) => Ok(Stream::Stderr),
        Err(_) => Err(invalid("channel_type", format!("{number} is neither stdout nor stderr"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts_of(logs: &[LogName]) -> BTreeMap<LogName, Part> {
        let part = || Part { runs: Vec::new(), whole: true, from: Position(0) };
        logs.iter().map(|log| (log.clone(), part())).collect()
    }

    proptest! {
        #[test]
        fn any_cursor_is_read_without_harm(cursor in ".{0,40}", place in any::<u64>()) {
            let parts = parts_of(&[LogName::Commands, LogName::Unit("a@b".parse().unwrap())]);
            drop(cursors(&cursor, (&parts, false)));
            let cursor = format!("units/a@b@{place:x},commands@1");
            let places = cursors(&cursor, (&parts, false)).unwrap();
            prop_assert_eq!(&places[&LogName::Commands], &Place::from(Position(1)));
            prop_assert_eq!(places.len(), 2);
            let fewer = parts_of(&[LogName::Commands]);
            prop_assert!(cursors(&cursor, (&fewer, false)).is_err());
            prop_assert_eq!(cursors(&cursor, (&fewer, true)).unwrap().len(), 1);
        }
    }
}
