//! `observe.Observe`: status, and logs.

use std::time::Duration;

use api::{
    meta::AuraeMeta,
    observe::{
        GetAuraeDaemonLogStreamRequest, GetSubProcessStreamRequest, LogBatch, LogItem, LogsRequest,
        StatusRequest, StatusResponse, observe_server,
    },
};
use logs::{Filter, LogName, Stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    asked,
    follow::{Follow, Reading, blocking},
    origin,
    output::Lines,
    sources,
    status::{unanswered, unreadable},
};
use crate::doors::Core;

/// Lines that may wait for a client; with a batch behind them that is all a call holds in memory.
const ITEMS: usize = 16;
/// Batches that may wait for a client, beside one that is under way; the next is read when there is none.
const BATCHES: usize = 1;

/// How long a status waits for the schedule to be opened.
const SCHEDULE: Duration = Duration::from_secs(1);

/// The service.
pub(super) struct Observe {
    core: Core,
    closed: watch::Receiver<bool>,
}

impl Observe {
    /// Over this core.
    pub(super) fn new(core: Core, closed: watch::Receiver<bool>) -> Self {
        Self { core, closed }
    }

    fn stream_lines(
        &self,
        reading: Reading,
        stream: Option<Stream>,
    ) -> Response<ReceiverStream<Result<LogItem, Status>>> {
        let (sender, receiver) = mpsc::channel(ITEMS);
        let filter = Filter { run: reading.run.as_ref().map(|run| run.run), stream };
        let at = (reading.log.clone(), reading.from);
        let follow = Follow::new(&self.core.logs, at, filter, self.closed.clone());
        let follow = follow.giving_way(self.core.bulk.clone());
        let core = self.core.clone();
        tokio::spawn(async move {
            if let Err(status) = Lines::new(core, reading, sender.clone()).send(follow).await {
                sender.send(Err(status)).await.ok();
            }
        });
        Response::new(ReceiverStream::new(receiver))
    }
}

#[tonic::async_trait]
impl observe_server::Observe for Observe {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let origin = origin::of(&request)?;
        let counted = self.core.count(origin).await;
        let (live, total) = counted.map_err(|why| unanswered(&why))?;
        let who = &self.core.identity;
        // What is enabled is known by then, as a rule; who asks for the status must not wait for a lock.
        drop(tokio::time::timeout(SCHEDULE, self.core.schedule.opened()).await);
        let problems = self.core.problems();
        let (enabled, disabled) = self.core.schedule.count();
        let healthy = problems.is_empty();
        let state = if healthy { "healthy" } else { "not healthy" };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let tracking = &who.tracking;
        let message = format!(
            "auraed {version}, {state}, {live} runs alive of {total}, {enabled} enabled, tracking: {tracking}"
        );
        Ok(Response::new(StatusResponse {
            meta: Some(AuraeMeta { name: who.node.clone(), message }),
            version,
            healthy,
            problems,
            daemon_pid: std::process::id().try_into().unwrap_or(0),
            keeper_pid: who.keeper,
            started_at: who.began,
            daemon_starts: who.starts,
            runs_live: u64::try_from(live).unwrap_or(u64::MAX),
            runs_total: total,
            spawn_method: who.method.clone(),
            tracking: who.tracking.clone(),
            cgroup: who.cgroup.clone(),
            previous_daemon: who.previous.clone(),
            enabled,
            disabled,
        }))
    }

    type GetAuraeDaemonLogStreamStream = ReceiverStream<Result<LogItem, Status>>;

    async fn get_aurae_daemon_log_stream(
        &self,
        _: Request<GetAuraeDaemonLogStreamRequest>,
    ) -> Result<Response<Self::GetAuraeDaemonLogStreamStream>, Status> {
        let logs = self.core.logs.clone();
        let end = blocking(move || logs.end(&LogName::Daemon)).await?;
        let from = end.map_err(|why| unreadable(&why))?;
        let (log, name) = (LogName::Daemon, "daemon".to_owned());
        Ok(self.stream_lines(Reading { log, from, run: None, name }, None))
    }

    type GetSubProcessStreamStream = ReceiverStream<Result<LogItem, Status>>;

    async fn get_sub_process_stream(
        &self,
        request: Request<GetSubProcessStreamRequest>,
    ) -> Result<Response<Self::GetSubProcessStreamStream>, Status> {
        let origin = origin::of(&request)?;
        let GetSubProcessStreamRequest { channel_type, process_id } = request.into_inner();
        let stream = asked::channel(channel_type)?;
        let reading = sources::of_run(&self.core, sources::pid_target(process_id)?, origin).await?;
        Ok(self.stream_lines(reading, Some(stream)))
    }

    type LogsStream = ReceiverStream<Result<LogBatch, Status>>;

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let following = asked::following(&self.core, request).await?;
        let (sender, receiver) = mpsc::channel(BATCHES);
        let (core, closed) = (self.core.clone(), self.closed.clone());
        tokio::spawn(async move {
            if let Err(status) = following.send(core, closed, &sender).await {
                sender.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
