//! A run as it happens: started, output, exit.

use std::sync::Arc;

use api::runtime::{OutputGap, RunFrame, RunStarted, run_frame::Frame};
use logs::{Filter, GapReason, Item, LogName, Position, Stream};
use tokio::sync::{mpsc, watch};
use tonic::Status;
use units::ExitRecord;

use super::{
    exec,
    follow::{Follow, blocking, gap_in_words, position},
    record::record as on_the_wire,
    status::unanswered,
};
use crate::doors::{Call, Core, Step};

/// What moves a run's output to its caller.
pub(super) struct Pump {
    pub(super) core: Core,
    pub(super) closed: watch::Receiver<bool>,
    pub(super) call: Call,
    pub(super) frames: mpsc::Sender<Result<RunFrame, Status>>,
    /// Bytes that gaps have told of.
    pub(super) missing: u64,
    /// The cursor of the last frame that the client has; empty where it has none.
    pub(super) cursor: String,
}

/// The client is gone.
struct Gone;

impl Pump {
    /// From the first step to the exit. When this returns early, the call is dropped, and the run with it.
    pub(super) async fn run(mut self, first: Step, log: LogName) -> Result<(), Status> {
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
                // Where that cannot be read, what is to be shown cannot either, and says so itself.
                let first = located.ok().flatten().map_or(Position(0), |located| located.first);
                let first = match &*self.cursor {
                    "" => first,
                    cursor => position(cursor, &log)?,
                };
                let filter = Filter { run: Some(run), stream: None };
                let closed = self.closed.clone();
                let follow = Follow::new(&self.core.logs, (log, first), filter, closed);
                match self.output(follow).await? {
                    Some(record) => record,
                    None => return Ok(()),
                }
            }
        };
        // Where even the gap could not be written, the account has it.
        let lost = record.account.lost.saturating_sub(self.missing);
        if lost > 0 {
            let message = gap_in_words(GapReason::NotWritten).to_owned();
            if self.send(Frame::Gap(OutputGap { bytes: lost, message })).await.is_err() {
                return Ok(());
            }
        }
        self.send(Frame::Exit(on_the_wire(&record))).await.ok();
        Ok(())
    }

    /// Sends output until the run's end; nothing where the client is gone.
    async fn output(&mut self, mut follow: Follow) -> Result<Option<Arc<ExitRecord>>, Status> {
        let mut ended = None;
        loop {
            let items = match follow.batch().await {
                Ok(items) => items,
                Err(why) => return self.go_without(ended, &why).await,
            };
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
                if let Item::Gap { bytes, .. } = &item {
                    self.missing = self.missing.saturating_add(*bytes);
                }
                if let Some(frame) = frame(item, &follow)
                    && self.frames.send(Ok(frame)).await.is_err()
                {
                    return Ok(None);
                }
            }
        }
    }

    /// What the program prints cannot be read. It goes on all the same, and how it ends is what its caller waits for: so
    /// that is told as ever, and before it what is missing.
    async fn go_without(
        &mut self,
        ended: Option<Arc<ExitRecord>>,
        why: &Status,
    ) -> Result<Option<Arc<ExitRecord>>, Status> {
        let message = exec::unshown(why);
        if self.send(Frame::Gap(OutputGap { bytes: 0, message })).await.is_err() {
            return Ok(None);
        }
        if ended.is_some() {
            return Ok(ended);
        }
        tokio::select! {
            record = self.call.end() => record.map(Some).map_err(|why| unanswered(&why)),
            () = self.frames.closed() => Ok(None),
        }
    }

    async fn send(&self, frame: Frame) -> Result<(), Gone> {
        let frame = RunFrame { frame: Some(frame), ..RunFrame::default() };
        self.frames.send(Ok(frame)).await.map_err(|_| Gone)
    }
}

/// What a log has, as a frame; its marks of begin and end are told by the core instead.
pub(super) fn frame(item: Item, follow: &Follow) -> Option<RunFrame> {
    let (frame, cursor) = match item {
        Item::Chunk { stream, bytes, position_after, .. } => {
            let frame = match stream {
                Stream::Stdout => Frame::Stdout(bytes.into()),
                Stream::Stderr => Frame::Stderr(bytes.into()),
            };
            (frame, follow.cursor_at(position_after))
        }
        Item::Gap { bytes, reason, .. } => {
            let message = gap_in_words(reason).to_owned();
            (Frame::Gap(OutputGap { bytes, message }), String::new())
        }
        Item::Start { .. } | Item::End { .. } => return None,
    };
    Some(RunFrame { frame: Some(frame), cursor })
}
