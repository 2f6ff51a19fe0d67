//! `runtime.Runtime`: executing, with the answer at the end or as it happens.

use std::sync::Arc;

use api::{
    meta::{AuraeMeta, ProcessMeta, Status as State},
    runtime::{
        Executable, ExecutableStatus, OutputGap, RunFrame, RunStarted, StopRequest, StopResponse,
        run_frame::Frame, runtime_server,
    },
};
use logs::{Filter, Item, LogName, Position, Stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use units::{Cause, ExitRecord, StopHow, Target};

use super::{
    follow::{Follow, blocking, gap_in_words},
    origin,
    record::{exit_code, record as on_the_wire},
    status::{invalid, invalid_definition, unanswered, unreadable},
};
use crate::{
    definition,
    doors::{Call, Core, Step},
    spawning::log_of,
};

/// Bytes of each stream in an Exec's answer (aurae-api: "each stream's first 512 KiB").
const ANSWERED: usize = 512 << 10;
/// Frames that may wait for a client; with a batch behind them that is all a call holds in memory.
const FRAMES: usize = 4;
/// SIGTERM's number (signal(7)).
const SIGTERM: i32 = 15;

/// The service.
pub(super) struct Runtime {
    core: Core,
    closed: watch::Receiver<bool>,
}

impl Runtime {
    /// Over this core.
    pub(super) fn new(core: Core, closed: watch::Receiver<bool>) -> Self {
        Self { core, closed }
    }

    /// Hands an executable in; the call, and where its output will be.
    async fn execute(
        &self,
        request: Request<Executable>,
        hears_start: bool,
    ) -> Result<(Call, LogName), Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let execution = definition::execution(request.into_inner(), &self.core.environment)
            .map_err(|why| invalid_definition(&why))?;
        if !execution.anonymous && self.core.schedule.holds(&execution.name).await {
            let name = &execution.name;
            let why = format!("the name {name} is registered; choose another, or destroy it first");
            return Err(Status::already_exists(why));
        }
        let log = log_of(&execution);
        let call = self.core.execute(execution, origin, patience, hears_start);
        Ok((call.map_err(|why| unanswered(&why))?, log))
    }
}

#[tonic::async_trait]
impl runtime_server::Runtime for Runtime {
    async fn exec(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableStatus>, Status> {
        let (mut call, log) = self.execute(request, false).await?;
        let record = call.end().await.map_err(|why| unanswered(&why))?;
        let output = read_output(&self.core, log, &record).await?;
        Ok(Response::new(answer(&record, output)))
    }

    type RunStream = ReceiverStream<Result<RunFrame, Status>>;

    async fn run(&self, request: Request<Executable>) -> Result<Response<Self::RunStream>, Status> {
        let (mut call, log) = self.execute(request, true).await?;
        // A refusal is the call's own status.
        let first = call.step().await.map_err(|why| unanswered(&why))?;
        let (frames, stream) = mpsc::channel(FRAMES);
        let pump = Pump { core: self.core.clone(), closed: self.closed.clone(), call, frames };
        tokio::spawn(async move {
            let frames = pump.frames.clone();
            if let Err(status) = pump.run(first, log).await {
                // A client that is gone needs no status.
                drop(frames.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let origin = origin::of(&request)?;
        let StopRequest { meta, run_id, signal, kill } = request.into_inner();
        let name = meta.unwrap_or_default().name;
        let target = match (name.is_empty(), run_id.is_empty()) {
            (true, true) => return Err(invalid("run_id", "there is none, and no name; give one")),
            (false, false) => return Err(invalid("run_id", "there is a name too; give one")),
            (true, false) => Target::Run(run_id.parse().map_err(|why| invalid("run_id", why))?),
            (false, true) => Target::Name(name.parse().map_err(|why| invalid("meta.name", why))?),
        };
        let how = match (kill, signal) {
            (true, _) => StopHow::Kill,
            (false, 0) => StopHow::Signal(SIGTERM),
            (false, signal) => StopHow::Signal(signal),
        };
        let stopped = self.core.stop(target, how, origin).await;
        let (run, name) = stopped.map_err(|why| unanswered(&why))?;
        let meta = AuraeMeta { name: name.to_string(), message: String::new() };
        Ok(Response::new(StopResponse { meta: Some(meta), run_id: run.to_string() }))
    }
}

/// The first bytes of each output.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What is missing, in words.
    gaps: Vec<String>,
}

async fn read_output(core: &Core, log: LogName, record: &ExitRecord) -> Result<Output, Status> {
    let account = &record.account;
    if account.stdout_total == 0 && account.stderr_total == 0 {
        return Ok(Output::default());
    }
    let filter = Filter { run: Some(record.run), stream: None };
    let mut reader = core.logs.reader(log, Position(account.log_first), filter);
    let end = account.log_end;
    let read = blocking(move || {
        let mut output = Output::default();
        while output.stdout.len() < ANSWERED || output.stderr.len() < ANSWERED {
            match reader.next(ANSWERED)? {
                Some(Item::Chunk { stream, bytes, .. }) => {
                    let kept = match stream {
                        Stream::Stdout => &mut output.stdout,
                        Stream::Stderr => &mut output.stderr,
                    };
                    let room = ANSWERED.saturating_sub(kept.len()).min(bytes.len());
                    kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
                }
                Some(Item::Gap { bytes, reason, .. }) => {
                    output.gaps.push(format!("{bytes} bytes: {}", gap_in_words(reason)));
                }
                Some(Item::Start { .. }) => {}
                Some(Item::End { .. }) | None => break,
            }
            if reader.position().0 > end {
                break;
            }
        }
        Ok(output)
    });
    read.await?.map_err(|why: logs::ReadError| unreadable(&why))
}

/// An Exec's answer.
fn answer(record: &ExitRecord, output: Output) -> ExecutableStatus {
    let (status, mut message) = match &record.cause {
        Cause::Exited(_) | Cause::Signalled { .. } => (State::Complete, String::new()),
        Cause::Failed(failure) => (State::Error, failure.message.clone()),
        Cause::Lost(what) => (State::Error, what.clone()),
    };
    if !output.gaps.is_empty() {
        message = format!("{message}output is missing: {}", output.gaps.join("; "));
    }
    let omitted = |total: u64, kept: &[u8]| {
        total.saturating_sub(u64::try_from(kept.len()).unwrap_or(u64::MAX))
    };
    let (stdout_omitted, stderr_omitted) = (
        omitted(record.account.stdout_total, &output.stdout),
        omitted(record.account.stderr_total, &output.stderr),
    );
    let (stdout, stdout_bytes) = text(output.stdout);
    let (stderr, stderr_bytes) = text(output.stderr);
    ExecutableStatus {
        meta: Some(AuraeMeta { name: record.name.to_string(), message }),
        proc: Some(ProcessMeta { pid: record.pid }),
        status: status.into(),
        stdout,
        stderr,
        exit_code: exit_code(&record.cause),
        exit: Some(on_the_wire(record)),
        run_id: record.run.to_string(),
        stdout_bytes,
        stderr_bytes,
        stdout_omitted,
        stderr_omitted,
    }
}

/// The text, and where it is not exact, the bytes.
fn text(bytes: Vec<u8>) -> (String, Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(not) => (String::from_utf8_lossy(not.as_bytes()).into_owned(), not.into_bytes()),
    }
}

/// What moves a run's output to its caller.
struct Pump {
    core: Core,
    closed: watch::Receiver<bool>,
    call: Call,
    frames: mpsc::Sender<Result<RunFrame, Status>>,
}

/// The client is gone.
struct Gone;

impl Pump {
    /// From the first step to the exit. When this returns early, the call is dropped, and the run with it.
    async fn run(mut self, first: Step, log: LogName) -> Result<(), Status> {
        let record = match first {
            Step::Ended(record) => record,
            Step::Started { run, name, pid } => {
                let (run_id, name) = (run.to_string(), name.to_string());
                let started = Frame::Started(RunStarted { run_id, pid, name });
                if self.send(started).await.is_err() {
                    return Ok(());
                }
                let logs = self.core.logs.clone();
                let located = blocking(move || logs.locate(run)).await?;
                let located = located.map_err(|why| unreadable(&why))?;
                let first = located.map_or(Position(0), |located| located.first);
                let filter = Filter { run: Some(run), stream: None };
                let closed = self.closed.clone();
                let follow = Follow::new(&self.core.logs, (log, first), filter, closed);
                match self.output(follow).await? {
                    Some(record) => record,
                    None => return Ok(()),
                }
            }
        };
        self.send(Frame::Exit(on_the_wire(&record))).await.ok();
        Ok(())
    }

    /// Sends output until the run's end; nothing where the client is gone.
    async fn output(&mut self, mut follow: Follow) -> Result<Option<Arc<ExitRecord>>, Status> {
        let mut ended = None;
        loop {
            let items = follow.batch().await?;
            if items.is_empty() {
                // The core tells the end when all output is in the log, so what was not there is not.
                if ended.is_some() {
                    return Ok(ended);
                }
                tokio::select! {
                    record = self.call.end() => ended = Some(record.map_err(|why| unanswered(&why))?),
                    _ = follow.more() => {}
                    () = self.frames.closed() => return Ok(None),
                }
                continue;
            }
            for item in items {
                if let Item::End { .. } = item {
                    return match ended {
                        Some(record) => Ok(Some(record)),
                        None => self.call.end().await.map(Some).map_err(|why| unanswered(&why)),
                    };
                }
                if let Some(frame) = frame(item)
                    && self.send(frame).await.is_err()
                {
                    return Ok(None);
                }
            }
        }
    }

    async fn send(&self, frame: Frame) -> Result<(), Gone> {
        self.frames.send(Ok(RunFrame { frame: Some(frame) })).await.map_err(|_| Gone)
    }
}

/// What a log has, as a frame; its marks of begin and end are told by the core instead.
fn frame(item: Item) -> Option<Frame> {
    match item {
        Item::Chunk { stream: Stream::Stdout, bytes, .. } => Some(Frame::Stdout(bytes.into())),
        Item::Chunk { stream: Stream::Stderr, bytes, .. } => Some(Frame::Stderr(bytes.into())),
        Item::Gap { bytes, reason, .. } => {
            Some(Frame::Gap(OutputGap { bytes, message: gap_in_words(reason).to_owned() }))
        }
        Item::Start { .. } | Item::End { .. } => None,
    }
}
