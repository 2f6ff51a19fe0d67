//! `aer logs`: what units, runs and the daemon have printed.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use api::{
    observe::{LogBatch, LogChannelType, LogChunk},
    runtime::ExitRecord,
};
use client::{Client, LogsQuery};
use regex::bytes::Regex;

use crate::{
    arguments::{Form, Logs},
    exit_status,
    failure::Failure,
    render::{self, Cutter, Line, Look, Outputs},
};

pub(crate) async fn run(client: &Client, wanted: Logs, form: Form) -> Result<u8, Failure> {
    let query = query(&wanted)?;
    let several = query.every || query.sources.len() > 1;
    let mut batches = client.logs(query).await?;
    let look = Look::new(form, several);
    let mut view = View {
        form,
        several,
        look,
        grep: wanted.grep,
        cutter: Cutter::default(),
        outputs: Outputs::new(),
        waiting: (LogChannelType::ChannelStdout, Vec::new()),
        open: BTreeSet::new(),
    };
    let mut exit = None;
    while let Some(batch) = batches.next().await? {
        view.batch(&batch).await?;
        exit = batch.exit.or(exit);
    }
    for line in view.cutter.rest() {
        view.line(&line).await?;
    }
    view.flush().await?;
    match (wanted.wait, exit) {
        (false, _) => Ok(0),
        (true, Some(record)) => exit_status::of_record(&record),
        (true, None) => Err(Failure::FollowEnded),
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
    })
}

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "what \"5m ago\" means is known at the edge")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What is shown, and how.
struct View {
    form: Form,
    /// Whether several sources are shown.
    several: bool,
    look: Look,
    grep: Option<Regex>,
    cutter: Cutter,
    outputs: Outputs,
    /// What goes to one of them next, together: a system call for each line would cost more than all else.
    waiting: (LogChannelType, Vec<u8>),
    /// Where what passed through unchanged ended without a newline.
    open: BTreeSet<LogChannelType>,
}

impl View {
    async fn batch(&mut self, batch: &LogBatch) -> Result<(), Failure> {
        if let Some(gap) = &batch.gap {
            // What stands before it and what comes after are no one line.
            for line in self.cutter.rest_before(gap) {
                self.line(&line).await?;
            }
            for channel in std::mem::take(&mut self.open) {
                self.put(channel, b"\n").await?;
            }
            self.flush().await?;
            match self.form {
                Form::Json => render::json(&render::GapLine::from(gap))?,
                Form::Table | Form::Short | Form::Cat | Form::Precise => {
                    let of = Some(gap.name.as_str()).filter(|_| self.several);
                    render::missing(of, (gap.bytes, gap.entries), &gap.message);
                }
            }
        }
        for chunk in &batch.chunks {
            self.chunk(chunk).await?;
        }
        if let Some(exit) = &batch.exit {
            self.exit(exit).await?;
        }
        self.flush().await
    }

    async fn chunk(&mut self, chunk: &LogChunk) -> Result<(), Failure> {
        if self.grep.is_none() {
            if self.form == Form::Json {
                return render::json(&render::Chunk::from(chunk));
            }
            if self.look.is_unchanged(chunk.channel()) {
                match chunk.data.last() {
                    Some(b'\n') | None => self.open.remove(&chunk.channel()),
                    Some(_) => self.open.insert(chunk.channel()),
                };
                return self.put(chunk.channel(), &chunk.data).await;
            }
        }
        for line in self.cutter.push(chunk) {
            self.line(&line).await?;
        }
        Ok(())
    }

    /// What the run has left without a newline is shown before its end.
    async fn exit(&mut self, exit: &ExitRecord) -> Result<(), Failure> {
        for line in self.cutter.rest_of(&exit.run_id) {
            self.line(&line).await?;
        }
        match self.form {
            Form::Json => render::json(&render::ExitLine::from(exit)),
            Form::Table | Form::Short | Form::Cat | Form::Precise => Ok(()),
        }
    }

    async fn line(&mut self, line: &Line) -> Result<(), Failure> {
        let text = line.text();
        if self.grep.as_ref().is_some_and(|grep| !grep.is_match(text)) {
            return Ok(());
        }
        match self.form {
            Form::Json => render::json(&render::Chunk::from(&line.0)),
            Form::Table | Form::Short | Form::Cat | Form::Precise => {
                let shown = self.look.line(line);
                self.put(line.0.channel(), &shown).await
            }
        }
    }

    async fn put(&mut self, channel: LogChannelType, bytes: &[u8]) -> Result<(), Failure> {
        if self.waiting.0 != channel {
            self.flush().await?;
            self.waiting.0 = channel;
        }
        self.waiting.1.extend_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let (channel, bytes) = &mut self.waiting;
        let bytes = std::mem::take(bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        match channel {
            LogChannelType::ChannelStdout => self.outputs.stdout(&bytes).await,
            LogChannelType::ChannelStderr => self.outputs.stderr(&bytes).await,
        }
    }
}
