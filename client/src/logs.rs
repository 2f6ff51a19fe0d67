//! Logs, from a cursor on.

use std::fmt;

use api::observe::{
    LogBatch, LogChannelType, LogSource as WireSource, LogsRequest, log_source::Of,
    logs_request::Source,
};
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::{Client, ClientError};

/// Whose output is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// Every run of this name.
    Name(String),
    /// One run.
    Run(Uuid),
    /// The newest run whose main process had this pid.
    ProcessId(i64),
    /// The daemon's own log.
    Daemon,
    /// Who changed what, and why.
    Audit,
    /// The newest run of this name.
    Newest(String),
    /// The run of this name before the newest.
    Previous(String),
}

impl fmt::Display for LogSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{name}"),
            Self::Run(run_id) => write!(formatter, "run {run_id}"),
            Self::ProcessId(process_id) => write!(formatter, "process {process_id}"),
            Self::Daemon => write!(formatter, "the daemon"),
            Self::Audit => write!(formatter, "changes"),
            Self::Newest(name) => write!(formatter, "the newest run of {name}"),
            Self::Previous(name) => write!(formatter, "the run of {name} before the newest"),
        }
    }
}

/// Which logs are read, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsQuery {
    /// Whose output.
    pub sources: Vec<LogSource>,
    /// Also all that programs print, under names to come too.
    pub every: bool,
    /// Go on after the batch that carried this cursor; empty: from the beginning.
    pub cursor: String,
    /// Go on at the end: of runs until their exits, otherwise for ever.
    pub follow: bool,
    /// Only these outputs; empty: all.
    pub channels: Vec<LogChannelType>,
    /// From this time on, in nanoseconds since 1970.
    pub since: Option<u64>,
    /// Up to this time.
    pub until: Option<u64>,
    /// Only the last so many lines of each log.
    pub last: Option<u64>,
    /// A log that cannot be read is told, and the others are read.
    pub partial: bool,
}

impl LogsQuery {
    /// Everything there is.
    #[must_use]
    pub fn all(source: LogSource) -> Self {
        Self { sources: vec![source], ..Self::default() }
    }

    /// What is read, in words.
    fn attempt(&self) -> String {
        match self.sources.as_slice() {
            [] => "reading all logs".to_owned(),
            [only] => format!("reading the log of {only}"),
            [first, rest @ ..] => format!("reading the logs of {first} and {} more", rest.len()),
        }
    }
}

impl From<LogSource> for Of {
    fn from(source: LogSource) -> Self {
        match source {
            LogSource::Name(name) => Self::Name(name),
            LogSource::Run(run_id) => Self::RunId(run_id.to_string()),
            LogSource::ProcessId(process_id) => Self::ProcessId(process_id),
            LogSource::Daemon => Self::Daemon(true),
            LogSource::Audit => Self::Audit(true),
            LogSource::Newest(name) => Self::Newest(name),
            LogSource::Previous(name) => Self::Previous(name),
        }
    }
}

impl From<LogsQuery> for LogsRequest {
    fn from(query: LogsQuery) -> Self {
        let time = |time: Option<u64>| i64::try_from(time.unwrap_or(0)).unwrap_or(i64::MAX);
        let mut request = Self {
            cursor: query.cursor,
            follow: query.follow,
            channels: query.channels.into_iter().map(i32::from).collect(),
            all: query.every,
            since: time(query.since),
            until: time(query.until),
            last: query.last,
            partial: query.partial,
            ..Self::default()
        };
        // What an older daemon knows is said in its words.
        request.source = match query.sources.as_slice() {
            [LogSource::Name(name)] if !query.every => Some(Source::Name(name.clone())),
            [LogSource::Run(run_id)] if !query.every => Some(Source::RunId(run_id.to_string())),
            [LogSource::ProcessId(pid)] if !query.every => Some(Source::ProcessId(*pid)),
            [LogSource::Daemon] if !query.every => Some(Source::Daemon(true)),
            _ => None,
        };
        if request.source.is_none() {
            let sources = query.sources.into_iter();
            request.sources = sources.map(|of| WireSource { of: Some(of.into()) }).collect();
        }
        request
    }
}

/// A log that is read.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    attempt: String,
    /// What is asked for when the connection breaks: from where it stood.
    query: LogsQuery,
    /// None while the connection is broken.
    batches: Option<Streaming<LogBatch>>,
    /// The run whose output came last.
    run: Option<Uuid>,
    /// The exit of the one run that was asked for has been told.
    exited: bool,
    /// The daemon has ended the stream.
    over: bool,
}

impl Client {
    /// Reads logs.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn logs(&self, query: LogsQuery) -> Result<LogStream, ClientError> {
        let attempt = query.attempt();
        let (client, exited, over) = (self.clone(), false, false);
        let mut stream =
            LogStream { client, attempt, query, batches: None, run: None, exited, over };
        stream.open().await?;
        Ok(stream)
    }
}

impl LogStream {
    /// The next pieces, in the order they were taken, each once; `None` at the end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<LogBatch>, ClientError> {
        while !self.over {
            let Some(batches) = &mut self.batches else {
                self.open().await?;
                continue;
            };
            match batches.message().await {
                Ok(Some(batch)) => {
                    self.note(&batch);
                    return Ok(Some(batch));
                }
                Ok(None) => self.over = true,
                Err(status) => {
                    let endpoint = self.client.endpoint();
                    let failure = ClientError::call(endpoint, &self.attempt, &status);
                    if self.exited && failure.is_broken() {
                        break;
                    }
                    self.client.reunite(failure).await?;
                    self.batches = None;
                }
            }
        }
        Ok(None)
    }

    /// Notes where to go on after this.
    fn note(&mut self, batch: &LogBatch) {
        if !batch.cursor.is_empty() {
            self.query.cursor.clone_from(&batch.cursor);
        }
        let last = batch.chunks.last().and_then(|chunk| chunk.run_id.parse().ok());
        self.run = last.or(self.run);
        self.exited |= batch.exit.is_some();
        // Another run may have the number by then, or be the newest.
        for (source, run) in self.query.sources.iter_mut().zip(&batch.run_ids) {
            if let Ok(run) = run.parse() {
                *source = LogSource::Run(run);
            }
        }
        if let ([source @ LogSource::ProcessId(_)], Some(run)) =
            (self.query.sources.as_mut_slice(), self.run)
        {
            *source = LogSource::Run(run);
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let batches = self.client.persist(async || {
            let request = self.client.request(self.query.clone().into());
            let answer =
                self.client.answer(&self.attempt, self.client.observe().logs(request).await);
            match (answer, self.run) {
                // A name that was made up is forgotten with its daemon; the log goes by the run.
                (Err(unknown), Some(run))
                    if unknown.code() == Some(Code::NotFound) && self.query.sources.len() == 1 =>
                {
                    let sources = vec![LogSource::Run(run)];
                    let query = LogsQuery { sources, ..self.query.clone() };
                    let request = self.client.request(query.into());
                    self.client.answer(&self.attempt, self.client.observe().logs(request).await)
                }
                (answer, _) => answer,
            }
        });
        self.batches = Some(batches.await?);
        Ok(())
    }
}
