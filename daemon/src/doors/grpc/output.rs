//! A log's output on its way to a client, line by line.

use api::{
    observe::{LogGap, LogItem},
    runtime,
};
use logs::{Item, Line, LineCutter, Located, Stream};
use tokio::sync::mpsc;
use tonic::Status;
use units::{Found, Origin, Target};

use super::{
    follow::{Follow, Reading, gap_in_words},
    record::{from_log, record as on_the_wire},
};
use crate::doors::Core;

/// The client is gone; nobody needs to be told.
struct Gone;

/// What sends lines.
pub(super) struct Lines {
    core: Core,
    reading: Reading,
    items: mpsc::Sender<Result<LogItem, Status>>,
    cutter: LineCutter,
}

impl Lines {
    /// From this reading to this client.
    pub(super) fn new(
        core: Core,
        reading: Reading,
        items: mpsc::Sender<Result<LogItem, Status>>,
    ) -> Self {
        Self { core, reading, items, cutter: LineCutter::default() }
    }

    /// Sends until the run that was asked for ends, the daemon does, or the client goes.
    pub(super) async fn send(mut self, mut follow: Follow) -> Result<(), Status> {
        let mut over = false;
        loop {
            let batch = follow.batch().await?;
            let nothing_more = batch.is_empty();
            for item in batch {
                let is_end = matches!(item, Item::End { .. }) && self.reading.run.is_some();
                if self.send_item(item).await.is_err() || is_end {
                    return Ok(());
                }
            }
            if !nothing_more {
                continue;
            }
            if over {
                break;
            }
            // A run that never had a log has no end in one. What of a run's output is not in the log when the core
            // tells its end, is not coming; what came since we looked is still to be read.
            over = self.run_is_over().await;
            if over {
                continue;
            }
            tokio::select! {
                more = follow.more() => if !more { break },
                () = self.items.closed() => return Ok(()),
            }
        }
        let rest = self.cutter.finish_all();
        self.send_lines(rest).await.ok();
        Ok(())
    }

    async fn run_is_over(&self) -> bool {
        match &self.reading.run {
            Some(run) => end_of(&self.core, run, None).await.is_some(),
            None => false,
        }
    }

    async fn send_item(&mut self, item: Item) -> Result<(), Gone> {
        let lines = match item {
            Item::Chunk { run, stream, time, continues, bytes, .. } => {
                if continues {
                    self.cutter.continues(run, stream);
                }
                self.cutter.push(run, stream, time, &bytes)
            }
            Item::End { run, .. } => self.cutter.finish(run),
            Item::Gap { run, bytes, entries, reason, .. } => {
                // What stands before it and what comes after are no one line.
                let cut = self.cutter.tear(run);
                self.send_lines(cut).await?;
                let gap = gap_item(&self.reading.name, bytes, entries, gap_in_words(reason));
                return self.items.send(Ok(gap)).await.map_err(|_| Gone);
            }
            Item::Start { .. } => return Ok(()),
        };
        self.send_lines(lines).await
    }

    async fn send_lines(&self, lines: Vec<Line>) -> Result<(), Gone> {
        for line in lines {
            self.items.send(Ok(line_item(&self.reading.name, line))).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}

fn line_item(name: &str, line: Line) -> LogItem {
    let channel = match (name, line.stream) {
        ("daemon", _) => name.to_owned(),
        (_, Stream::Stdout) => format!("{name}.stdout"),
        (_, Stream::Stderr) => format!("{name}.stderr"),
    };
    let (text, line_bytes) = match String::from_utf8(line.bytes) {
        Ok(text) => (text, Vec::new()),
        Err(not) => (String::from_utf8_lossy(not.as_bytes()).into_owned(), not.into_bytes()),
    };
    LogItem {
        channel,
        line: text,
        timestamp: i64::try_from(line.time).unwrap_or(i64::MAX),
        line_bytes,
        gap: None,
        continued: line.continued,
        cut: line.cut,
    }
}

fn gap_item(name: &str, bytes: u64, entries: u64, why: &str) -> LogItem {
    let missing = if entries > 0 { format!("{entries} lines") } else { format!("{bytes} bytes") };
    LogItem {
        channel: name.to_owned(),
        line: format!("[{missing} are missing here: {why}]"),
        gap: Some(LogGap { bytes, entries, message: why.to_owned(), ..LogGap::default() }),
        ..LogItem::default()
    }
}

/// The end of a run, as the core knows it, or else as its log does.
pub(super) async fn end_of(
    core: &Core,
    located: &Located,
    end: Option<&logs::End>,
) -> Option<runtime::ExitRecord> {
    let origin = Origin::daemon("a log is read to its end");
    let found = core.find(Target::Run(located.run), origin).await;
    if let Ok(Some(Found { ended: Some(record), .. })) = found {
        return Some(on_the_wire(&record));
    }
    end.map(|end| from_log(located.run, located.pid, located.started, end))
}
