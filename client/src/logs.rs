//! Logs, from a cursor on.

use std::fmt;

use api::observe::{LogBatch, LogChannelType, LogsRequest, logs_request::Source};
use tonic::Streaming;
use uuid::Uuid;

use crate::{ClientError, Endpoint};

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
    endpoint: Endpoint,
    attempt: String,
    batches: Streaming<LogBatch>,
}

impl LogStream {
    pub(crate) fn new(endpoint: Endpoint, attempt: String, batches: Streaming<LogBatch>) -> Self {
        Self { endpoint, attempt, batches }
    }

    /// The next pieces, in the order they were taken; `None` at the end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<LogBatch>, ClientError> {
        let message = self.batches.message().await;
        message.map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))
    }
}
