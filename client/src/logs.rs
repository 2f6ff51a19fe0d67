//! Logs, from a cursor on.

use std::fmt;

use api::observe::{LogBatch, LogChannelType, LogsRequest, logs_request::Source};
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
}

impl fmt::Display for LogSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{name}"),
            Self::Run(run_id) => write!(formatter, "run {run_id}"),
            Self::ProcessId(process_id) => write!(formatter, "process {process_id}"),
            Self::Daemon => write!(formatter, "the daemon"),
        }
    }
}

/// Which log is read, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsQuery {
    /// Whose output.
    pub source: LogSource,
    /// Go on after the batch that carried this cursor; empty: from the beginning.
    pub cursor: String,
    /// Go on at the end: of one run until its exit, otherwise for ever.
    pub follow: bool,
    /// Only these outputs; empty: all.
    pub channels: Vec<LogChannelType>,
}

impl LogsQuery {
    /// Everything there is.
    #[must_use]
    pub fn all(source: LogSource) -> Self {
        Self { source, cursor: String::new(), follow: false, channels: Vec::new() }
    }
}

impl From<LogsQuery> for LogsRequest {
    fn from(query: LogsQuery) -> Self {
        let source = match query.source {
            LogSource::Name(name) => Source::Name(name),
            LogSource::Run(run_id) => Source::RunId(run_id.to_string()),
            LogSource::ProcessId(process_id) => Source::ProcessId(process_id),
            LogSource::Daemon => Source::Daemon(true),
        };
        Self {
            source: Some(source),
            cursor: query.cursor,
            follow: query.follow,
            channels: query.channels.into_iter().map(i32::from).collect(),
        }
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
        let attempt = format!("reading the log of {}", query.source);
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
        // Another run may have the number by then.
        if let (LogSource::ProcessId(_), Some(run)) = (&self.query.source, self.run) {
            self.query.source = LogSource::Run(run);
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let batches = self.client.persist(async || {
            let request = self.client.request(self.query.clone().into());
            let answer =
                self.client.answer(&self.attempt, self.client.observe().logs(request).await);
            match (answer, self.run) {
                // A name that was made up is forgotten with its daemon; the log goes by the run.
                (Err(unknown), Some(run)) if unknown.code() == Some(Code::NotFound) => {
                    let source = LogSource::Run(run);
                    let query = LogsQuery { source, ..self.query.clone() };
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
