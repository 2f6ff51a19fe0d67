//! `aer logs`: what units, runs and the daemon have printed.

mod last;
mod view;

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use api::{
    observe::{LogBatch, LogChannelType},
    runtime::ExitRecord,
};
use client::{Client, LogSource, LogsQuery};

use self::view::View;
use crate::{
    arguments::{Form, Logs},
    exit_status,
    failure::Failure,
};

pub(crate) async fn run(client: &Client, wanted: Logs, form: Form) -> Result<u8, Failure> {
    let mut query = query(&wanted)?;
    let mut view = View::new(form, &query, wanted.grep.clone());
    let mut told = Told::default();
    // The daemon counts lines, and which of them match is known here.
    if let (Some(count), Some(grep)) = (query.last, &wanted.grep) {
        let found = last::matching(client, &query, count, grep).await?;
        (query, told) = (found.behind, found.told);
        view.show(found.kept).await?;
        if !query.follow || told.has_all(&query) {
            return end(view, &told, wanted.wait).await;
        }
    }
    let mut batches = client.logs(query).await?;
    while let Some(batch) = batches.next().await? {
        view.batch(&batch).await?;
        told.note(&batch);
    }
    end(view, &told, wanted.wait).await
}

/// Shows what is left, and gives the exit status.
async fn end(mut view: View, told: &Told, wait: bool) -> Result<u8, Failure> {
    view.rest().await?;
    match (wait, &told.exit) {
        // Some of what was asked for was not shown.
        (false, _) => Ok(u8::from(view.is_partial())),
        (true, Some(record)) => exit_status::of_record(record),
        (true, None) => Err(Failure::FollowEnded),
    }
}

/// What was told of the ends of runs.
#[derive(Default)]
struct Told {
    exit: Option<ExitRecord>,
    ended: BTreeSet<String>,
}

impl Told {
    fn note(&mut self, batch: &LogBatch) {
        if let Some(exit) = &batch.exit {
            self.ended.insert(exit.run_id.clone());
            self.exit = Some(exit.clone());
        }
    }

    /// Whether all runs have ended that are read, and nothing else is: then there is nothing to follow.
    fn has_all(&self, query: &LogsQuery) -> bool {
        let has_ended = |source: &LogSource| match source {
            LogSource::Run(run) => self.ended.contains(&run.to_string()),
            LogSource::Name(_)
            | LogSource::ProcessId(_)
            | LogSource::Daemon
            | LogSource::Audit
            | LogSource::Newest(_)
            | LogSource::Previous(_) => false,
        };
        !query.every && query.sources.iter().all(has_ended)
    }
}

fn query(wanted: &Logs) -> Result<LogsQuery, Failure> {
    let now = now();
    let since = wanted.since.map(|since| since.at(now));
    let until = wanted.until.map(|until| until.at(now));
    if since.is_some_and(|since| since > now) {
        return Err(Failure::Span("--since lies in the future, and nothing was printed there yet"));
    }
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        return Err(Failure::Span("--until is not later than --since, and nothing lies between"));
    }
    let mut channels = Vec::new();
    if wanted.stdout {
        channels.push(LogChannelType::ChannelStdout);
    }
    if wanted.stderr {
        channels.push(LogChannelType::ChannelStderr);
    }
    Ok(LogsQuery {
        sources: wanted.sources(),
        every: wanted.all,
        cursor: String::new(),
        follow: wanted.follow || wanted.wait,
        channels,
        since: since.map(|since| since.max(1)),
        until: until.map(|until| until.max(1)),
        last: wanted.lines,
        partial: true,
    })
}

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what \"5m ago\" means is known at the edge")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
