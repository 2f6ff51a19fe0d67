//! `observe.Observe`: status, and logs.

use std::{sync::atomic::Ordering, time::Duration};

use api::{
    meta::AuraeMeta,
    observe::{
        GetAuraeDaemonLogStreamRequest, GetSubProcessStreamRequest, LogBatch, LogChannelType,
        LogItem, LogsRequest, StatusRequest, StatusResponse, logs_request::Source, observe_server,
    },
};
use logs::{Filter, Located, LogName, Position, Stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use units::{Origin, RunId, Target};

use super::{
    follow::{Follow, Reading, blocking, position},
    origin,
    output::{Lines, send_batches},
    status::{invalid, unanswered, unreadable},
};
use crate::doors::Core;

/// Items that may wait for a client; with a batch behind them that is all a call holds in memory.
const ITEMS: usize = 16;

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

    /// A run by what the core knows of it, or else its log.
    async fn run(&self, target: Target, origin: Origin) -> Result<Reading, Status> {
        let found = self.core.find(target.clone(), origin).await.map_err(|why| unanswered(&why))?;
        let run = found.as_ref().map(|found| found.run);
        let logs = self.core.logs.clone();
        let looked_for = target.clone();
        let located = blocking(move || match (run, looked_for) {
            (Some(run), _) | (None, Target::Run(run)) => logs.locate(run),
            (None, Target::Pid(pid)) => logs.locate_pid(pid),
            (None, Target::Name(_)) => Ok(None),
        });
        let located = located.await?.map_err(|why| unreadable(&why))?;
        match (located, found) {
            (Some(located), found) => {
                let name = match (&located.log, found) {
                    (_, Some(found)) => found.name.to_string(),
                    (LogName::Unit(name), None) => name.to_string(),
                    (LogName::Commands | LogName::Daemon | LogName::Audit, None) => {
                        located.run.to_string()
                    }
                };
                let (log, from) = (located.log.clone(), located.first);
                Ok(Reading { log, from, run: Some(located), name })
            }
            // It failed before it had a log: there is nothing to read, but its end to tell.
            (None, Some(found)) => {
                let log = LogName::Commands;
                let run = Located {
                    run: found.run,
                    log: log.clone(),
                    first: Position(u64::MAX),
                    pid: None,
                    started: None,
                    ended: None,
                };
                let name = found.name.to_string();
                Ok(Reading { log, from: Position(u64::MAX), run: Some(run), name })
            }
            (None, None) => Err(Status::not_found(match target {
                Target::Run(run) => format!("run_id: no run {run} is known, and no log has it"),
                Target::Pid(pid) => {
                    format!(
                        "process_id: no run with the main process {pid} is known, and no log has it"
                    )
                }
                Target::Name(name) => format!("name: nothing of the name {name} has run here"),
            })),
        }
    }

    async fn reading(&self, source: Option<Source>, origin: Origin) -> Result<Reading, Status> {
        match source {
            None => Err(invalid("source", "give a name, a run_id, a process_id, or daemon")),
            Some(Source::Daemon(false)) => {
                Err(invalid("daemon", "true is the only value it takes"))
            }
            Some(Source::Daemon(true)) => {
                let (log, name) = (LogName::Daemon, "daemon".to_owned());
                Ok(Reading { log, from: Position(0), run: None, name })
            }
            Some(Source::RunId(run)) => {
                let run = run.parse::<RunId>().map_err(|why| invalid("run_id", why))?;
                self.run(Target::Run(run), origin).await
            }
            Some(Source::ProcessId(pid)) => self.run(pid_target(pid)?, origin).await,
            Some(Source::Name(name)) => {
                let name: units::Name = name.parse().map_err(|why| invalid("name", why))?;
                let log = LogName::Unit(name.clone());
                let (logs, looked_for) = (self.core.logs.clone(), log.clone());
                let newest = blocking(move || logs.locate_newest(&looked_for)).await?;
                match newest.map_err(|why| unreadable(&why))? {
                    Some(_) => {
                        let (from, name) = (Position(0), name.to_string());
                        Ok(Reading { log, from, run: None, name })
                    }
                    // A made-up name is one run's.
                    None => self.run(Target::Name(name), origin).await,
                }
            }
        }
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
        let logs = self.core.logs.problems().into_iter();
        let logs =
            logs.map(|problem| format!("log {}: {}", problem.log.folder().display(), problem.text));
        let keeper = self.core.keeper.problem().into_iter();
        let ledger = self.core.ledger_fails.load(Ordering::Relaxed).then(|| {
            "the ledger in the runtime folder cannot be written: should this daemon die, the next one would not know what \
             happened since; make room there"
                .to_owned()
        });
        let schedule = self.core.schedule.problems();
        let problems: Vec<String> = keeper.chain(ledger).chain(logs).chain(schedule).collect();
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
        let stream = channel(channel_type)?;
        let reading = self.run(pid_target(process_id)?, origin).await?;
        Ok(self.stream_lines(reading, Some(stream)))
    }

    type LogsStream = ReceiverStream<Result<LogBatch, Status>>;

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let origin = origin::of(&request)?;
        let LogsRequest { source, cursor, follow: forever, channels } = request.into_inner();
        let mut streams = Vec::new();
        for wanted in channels {
            let stream = channel(wanted)?;
            if !streams.contains(&stream) {
                streams.push(stream);
            }
        }
        let stream = match streams.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let mut reading = self.reading(source, origin).await?;
        if !cursor.is_empty() {
            reading.from = position(&cursor, &reading.log)?;
        }
        let (sender, receiver) = mpsc::channel(ITEMS);
        let filter = Filter { run: reading.run.as_ref().map(|run| run.run), stream };
        let at = (reading.log.clone(), reading.from);
        let follow = Follow::new(&self.core.logs, at, filter, self.closed.clone());
        let core = self.core.clone();
        tokio::spawn(async move {
            if let Err(status) = send_batches(core, follow, (reading, forever), &sender).await {
                sender.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn pid_target(pid: i64) -> Result<Target, Status> {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => Ok(Target::Pid(pid)),
        Ok(_) | Err(_) => Err(invalid("process_id", format!("{pid} is not the id of a process"))),
    }
}

fn channel(number: i32) -> Result<Stream, Status> {
    match LogChannelType::try_from(number) {
        Ok(LogChannelType::ChannelStdout) => Ok(Stream::Stdout),
        Ok(LogChannelType::ChannelStderr) => Ok(Stream::Stderr),
        Err(_) => Err(invalid("channel_type", format!("{number} is neither stdout nor stderr"))),
    }
}
