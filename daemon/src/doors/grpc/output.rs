//! A log's output on its way to a client: line by line, or in batches as it was written.

use api::{
    observe::{LogBatch, LogChannelType, LogChunk, LogGap, LogItem},
    runtime,
};
use logs::{Item, Line, LineCutter, Located, Stream};
use tokio::sync::mpsc;
use tonic::Status;
use units::{Found, Origin, RunId, Target};

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
            Item::Chunk { run, stream, time, bytes, .. } => {
                self.cutter.push(run, stream, time, &bytes)
            }
            Item::End { run, .. } => self.cutter.finish(run),
            Item::Gap { bytes, entries, reason, .. } => {
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
    }
}

fn gap_item(name: &str, bytes: u64, entries: u64, why: &str) -> LogItem {
    let missing = if entries > 0 { format!("{entries} lines") } else { format!("{bytes} bytes") };
    LogItem {
        channel: name.to_owned(),
        line: format!("[{missing} are missing here: {why}]"),
        gap: Some(LogGap { bytes, entries, message: why.to_owned() }),
        ..LogItem::default()
    }
}

/// Sends batches from a reading, until its end; with `forever`, also what is still to come.
pub(super) async fn send_batches(
    core: Core,
    mut follow: Follow,
    (reading, forever): (Reading, bool),
    batches: &mpsc::Sender<Result<LogBatch, Status>>,
) -> Result<(), Status> {
    let mut over = None;
    loop {
        let from = follow.cursor();
        let items = follow.batch().await?;
        let nothing_more = items.is_empty();
        let (mut sent, end) = gather(items, from, &follow);
        if let Some(run) = &reading.run {
            if end.is_some() {
                sent.last_mut().exit = end_of(&core, run, end.as_ref()).await;
            } else if nothing_more && over.is_none() {
                // What came since we looked is still to be read, before the exit is told.
                over = end_of(&core, run, None).await;
                if over.is_some() {
                    continue;
                }
            } else if nothing_more {
                sent.last_mut().exit = over.take();
            }
        }
        sent.last_mut().cursor = follow.cursor();
        let finished = sent.last_mut().exit.is_some();
        for batch in sent.into_batches() {
            if batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
        if finished || (nothing_more && !forever) {
            return Ok(());
        }
        if nothing_more {
            tokio::select! {
                more = follow.more() => if !more { return Ok(()) },
                () = batches.closed() => return Ok(()),
            }
        }
    }
}

/// Batches in their order: a gap stands at the head of one.
#[derive(Default)]
struct Gathered {
    before: Vec<LogBatch>,
    last: LogBatch,
}

impl Gathered {
    fn last_mut(&mut self) -> &mut LogBatch {
        &mut self.last
    }

    /// Begins the next one; `cursor` leads to it.
    fn begin(&mut self, gap: Option<LogGap>, cursor: String) {
        let next = LogBatch { gap, ..LogBatch::default() };
        let full = std::mem::replace(&mut self.last, next);
        self.before.push(LogBatch { cursor, ..full });
    }

    /// Those that say something.
    fn into_batches(self) -> impl Iterator<Item = LogBatch> {
        let says_something =
            |b: &LogBatch| !b.chunks.is_empty() || b.gap.is_some() || b.exit.is_some();
        self.before.into_iter().chain([self.last]).filter(says_something)
    }
}

/// Makes batches of what was read from this cursor on.
fn gather(items: Vec<Item>, from: String, follow: &Follow) -> (Gathered, Option<logs::End>) {
    let mut gathered = Gathered::default();
    let mut ended = None;
    let mut at = None;
    for item in items {
        match item {
            Item::Chunk { run, stream, time, bytes, position_after } => {
                at = Some(position_after);
                gathered.last.chunks.push(chunk(run, stream, time, bytes));
            }
            Item::Gap { bytes, entries, reason, .. } => {
                let message = gap_in_words(reason).to_owned();
                // A client that goes on before the gap is told of it, maybe twice, and never misses it.
                let cursor = at.map_or_else(|| from.clone(), |at| follow.cursor_at(at));
                gathered.begin(Some(LogGap { bytes, entries, message }), cursor);
            }
            Item::End { end, .. } => ended = Some(end),
            Item::Start { .. } => {}
        }
    }
    (gathered, ended)
}

fn chunk(run: RunId, stream: Stream, time: u64, bytes: Vec<u8>) -> LogChunk {
    let channel = match stream {
        Stream::Stdout => LogChannelType::ChannelStdout,
        Stream::Stderr => LogChannelType::ChannelStderr,
    };
    LogChunk {
        run_id: run.to_string(),
        channel: channel.into(),
        timestamp: i64::try_from(time).unwrap_or(i64::MAX),
        data: bytes.into(),
    }
}

/// The end of a run, as the core knows it, or else as its log does.
async fn end_of(
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

#[cfg(test)]
mod tests {
    use logs::{Filter, GapReason, LogName, LogStore, Position};
    use tokio::sync::watch;

    use super::*;

    /// A client whose connection breaks between two batches of one reading goes on after the first.
    #[test]
    fn each_batch_of_a_reading_has_the_cursor_of_its_own_end() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogStore::open_with(folder.path(), logs::Options::default(), Box::new(|_| {}));
        let (_closing, closed) = watch::channel(false);
        let filter = Filter { run: None, stream: None };
        let at = (LogName::Commands, Position(3));
        let follow = Follow::new(&logs.unwrap(), at, filter, closed);
        let gap = || Item::Gap { run: None, bytes: 1, entries: 0, reason: GapReason::Damaged };
        let chunk = |end: u64| Item::Chunk {
            run: RunId::from_bytes([1; 16]),
            stream: Stream::Stdout,
            time: 1,
            bytes: vec![b'x'],
            position_after: Position(end),
        };
        let items = vec![gap(), chunk(8), gap(), chunk(10), chunk(12), gap()];
        let (gathered, end) = gather(items, "commands@3".to_owned(), &follow);
        assert_eq!(end, None);
        let told: Vec<_> = gathered.before.iter().map(|b| (b.chunks.len(), &*b.cursor)).collect();
        assert_eq!(told, [(0, "commands@3"), (1, "commands@8"), (2, "commands@c")]);
        assert_eq!((gathered.last.chunks.len(), gathered.last.gap.is_some()), (0, true));
    }
}
