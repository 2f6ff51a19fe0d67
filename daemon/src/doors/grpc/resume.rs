//! Going on with a run whose client has lost its connection, or its daemon: joining it as its caller where the core
//! knows it, and otherwise reading what its log has of it. Nothing is ever executed here.

use api::runtime::{Executable, ExecutableStatus, RunFrame, RunStarted, run_frame::Frame};
use logs::{Filter, Item, Located, LogName};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use units::{Refusal, RunId};

use super::{
    exec,
    follow::{Follow, blocking, position},
    origin,
    record::from_log,
    run::{Pump, frame},
    runtime::FRAMES,
    status::{invalid, unanswered, unreadable},
};
use crate::doors::{Call, Core, Step, Unanswered};

/// A run that is there.
enum Known {
    /// The core knows it: what it has told first, and what is still to come.
    Joined(Call, Step),
    /// It is over, and its log has its end.
    Logged(Located, logs::End),
}

/// The frames that follow the cursor.
pub(super) async fn run(
    core: &Core,
    request: Request<Executable>,
    closed: watch::Receiver<bool>,
) -> Result<ReceiverStream<Result<RunFrame, Status>>, Status> {
    let cursor = request.get_ref().resume.clone().unwrap_or_default();
    let (known, log) = find(core, &request).await?;
    let (frames, stream) = mpsc::channel(FRAMES);
    let core = core.clone();
    tokio::spawn(async move {
        let told = match known {
            Known::Joined(call, first) => {
                let frames = frames.clone();
                let pump = Pump { core, closed, call, frames, missing: 0, cursor };
                pump.run(first, log).await
            }
            Known::Logged(located, end) => {
                read(&core, (&located, &end), &cursor, closed, &frames).await
            }
        };
        if let Err(status) = told {
            // A client that is gone needs no status.
            drop(frames.send(Err(status)).await);
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// The whole answer.
pub(super) async fn exec(
    core: &Core,
    request: Request<Executable>,
    closed: watch::Receiver<bool>,
) -> Result<ExecutableStatus, Status> {
    match find(core, &request).await? {
        (Known::Joined(mut call, first), log) => {
            let record = match first {
                Step::Ended(record) => record,
                Step::Started { .. } => call.end().await.map_err(|why| unanswered(&why))?,
            };
            let output = exec::read_output(core, log, &record).await?;
            Ok(exec::answer(&record, output))
        }
        (Known::Logged(located, end), log) => {
            let filter = Filter { run: Some(located.run), stream: None };
            let follow = Follow::new(&core.logs, (log, located.first), filter, closed);
            exec::answer_from_log(&located, &end, follow).await
        }
    }
}

/// How a run ended that only its log remembers.
pub(super) async fn end_in_log(
    core: &Core,
    run: RunId,
) -> Result<Option<api::runtime::ExitRecord>, Status> {
    let located = locate(core, run).await?;
    Ok(located.and_then(|it| Some(from_log(it.run, it.pid, it.started, it.ended.as_ref()?))))
}

async fn locate(core: &Core, run: RunId) -> Result<Option<Located>, Status> {
    let logs = core.logs.clone();
    blocking(move || logs.locate(run)).await?.map_err(|why| unreadable(&why))
}

/// The run that is meant, and its log.
async fn find(core: &Core, request: &Request<Executable>) -> Result<(Known, LogName), Status> {
    let origin = origin::of(request)?;
    let patience = origin::patience(request.metadata());
    let run = request.get_ref().run_id.parse::<RunId>().map_err(|why| invalid("run_id", why))?;
    let mut call = core.join(run, origin, patience).map_err(|why| unanswered(&why))?;
    let first = call.step().await;
    let located = locate(core, run).await?;
    // Where it failed before it had a log there is nothing to read.
    let log = located.as_ref().map_or(LogName::Commands, |located| located.log.clone());
    match first {
        Ok(first) => Ok((Known::Joined(call, first), log)),
        Err(why @ Unanswered::Refused(Refusal::NoSuchRun(_))) => {
            let ended = located.and_then(|located| located.ended.map(|end| (located, end)));
            let (located, end) = ended.ok_or_else(|| unanswered(&why))?;
            Ok((Known::Logged(located, end), log))
        }
        Err(why) => Err(unanswered(&why)),
    }
}

/// Sends what a log has of a run that is over, from the cursor on, and its end.
async fn read(
    core: &Core,
    (located, end): (&Located, &logs::End),
    cursor: &str,
    closed: watch::Receiver<bool>,
    frames: &mpsc::Sender<Result<RunFrame, Status>>,
) -> Result<(), Status> {
    let from = match cursor {
        "" => located.first,
        cursor => position(cursor, &located.log)?,
    };
    let marked = |frame| RunFrame { frame: Some(frame), ..RunFrame::default() };
    let (run_id, pid) = (located.run.to_string(), located.pid.unwrap_or(0));
    let name = match &located.log {
        LogName::Unit(name) => name.to_string(),
        LogName::Commands | LogName::Daemon | LogName::Audit => run_id.clone(),
    };
    let mut sent = vec![marked(Frame::Started(RunStarted { run_id, pid, name }))];
    let filter = Filter { run: Some(located.run), stream: None };
    let mut follow = Follow::new(&core.logs, (located.log.clone(), from), filter, closed);
    let mut over = false;
    while !over {
        let items = follow.batch().await?;
        over = items.is_empty() || items.iter().any(|item| matches!(item, Item::End { .. }));
        sent.extend(items.into_iter().filter_map(|item| frame(item, &follow)));
        if over {
            let exit = from_log(located.run, located.pid, located.started, end);
            sent.push(marked(Frame::Exit(exit)));
        }
        for frame in sent.drain(..) {
            if frames.send(Ok(frame)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
