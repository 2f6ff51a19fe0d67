//! Logs on their way to a client, in batches, as they were written: of one log, or of several as one.

use std::collections::HashMap;

use api::{
    observe::{LogBatch, LogChannelType, LogChunk, LogFailure, LogGap},
    runtime,
};
use logs::{Item, Located, LogName, Merge, Merged, Place, ReadError, Stream};
use tokio::sync::{mpsc, watch};
use tonic::Status;
use units::{Origin, RunId, Target};

use super::{
    follow::{BATCH, ITEMS, gap_in_words, reading},
    output::end_of,
    status::unreadable,
};
use crate::{clock, doors::Core};

/// Names of runs of the common log that are remembered.
const NAMES: usize = 1024;

/// When there is no more.
#[derive(Clone, Copy)]
pub(super) struct Until {
    /// At this time, in nanoseconds since 1970.
    pub(super) time: Option<u64>,
    /// Not at the end of what is there.
    pub(super) follow: bool,
    /// Not when all runs have ended that were asked for.
    pub(super) endless: bool,
}

/// What a client is sent.
pub(super) struct Following {
    /// None while a thread reads.
    merge: Option<Merge>,
    awaited: Vec<Awaited>,
    names: HashMap<RunId, String>,
    /// To be told in the first batch.
    run_ids: Option<Vec<String>>,
    until: Until,
    /// There was more than a batch, so there is much to read.
    much: bool,
    /// What cannot be read is told, and the others are read.
    partial: bool,
    /// To be told in the next batch.
    failures: Vec<LogFailure>,
}

/// A run whose end is to be told.
struct Awaited {
    run: Located,
    /// Its end, while its last output may still have to be read.
    over: Option<runtime::ExitRecord>,
    told: bool,
}

/// What was read.
enum Step {
    Chunk {
        log: LogName,
        run: RunId,
        stream: Stream,
        time: u64,
        continues: bool,
        bytes: Vec<u8>,
    },
    /// With the cursor of what lies before.
    Gap {
        log: LogName,
        run: Option<RunId>,
        gap: LogGap,
        before: String,
    },
    /// With the cursor of what lies behind.
    End {
        run: RunId,
        end: logs::End,
        behind: String,
    },
}

/// A batch's worth.
struct Read {
    steps: Vec<Step>,
    cursor: String,
    /// There is no more for now.
    dry: bool,
    /// There will be no more.
    over: bool,
    /// What could not be read.
    failures: Vec<(LogName, ReadError)>,
    /// Nothing could.
    failed: bool,
}

impl Following {
    /// From this merge, with the ends of these runs.
    pub(super) fn new(
        merge: Merge,
        awaited: Vec<Located>,
        names: HashMap<RunId, String>,
        run_ids: Option<Vec<String>>,
        until: Until,
    ) -> Self {
        let awaited = awaited.into_iter().map(|run| Awaited { run, over: None, told: false });
        let (awaited, merge) = (awaited.collect(), Some(merge));
        let (much, partial, failures) = (false, false, Vec::new());
        Self { merge, awaited, names, run_ids, until, much, partial, failures }
    }

    /// One that goes on with the others where a log cannot be read, as these could not.
    pub(super) fn partial(self, failures: Vec<LogFailure>) -> Self {
        Self { partial: true, failures, ..self }
    }

    /// Sends all that there is; with `follow`, also what is still to come.
    pub(super) async fn send(
        mut self,
        core: Core,
        mut closed: watch::Receiver<bool>,
        batches: &mpsc::Sender<Result<LogBatch, Status>>,
    ) -> Result<(), Status> {
        loop {
            // Nothing is read for who has not taken what was read before: that would wait in memory, of each such client.
            let Ok(room) = batches.reserve().await else { return Ok(()) };
            let Read { steps, cursor, dry, over, failures, failed } = self.read(&core).await?;
            let fatal = self.note(failures, failed);
            let mut sent = self.gather(&core, steps).await;
            let again = dry && self.look_for_ends(&core).await;
            if dry && !again {
                self.tell_ends(&mut sent, &cursor);
            }
            sent.last.cursor = cursor;
            sent.first_mut().run_ids = self.run_ids.take().unwrap_or_default();
            sent.first_mut().failures = std::mem::take(&mut self.failures);
            let mut sent = sent.into_batches();
            // Who has nothing to send waits for more without holding a place.
            match sent.next() {
                Some(batch) => room.send(Ok(batch)),
                None => drop(room),
            }
            for batch in sent {
                if batches.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
            // What was there before it comes first.
            if let Some(status) = fatal {
                return Err(status);
            }
            let all_told = !self.until.endless && self.awaited.iter().all(|awaited| awaited.told);
            let passed = self.until.time.is_some_and(|until| clock::wall() >= until);
            if all_told || over || (dry && !again && (!self.until.follow || passed)) {
                return Ok(());
            }
            if dry && !again {
                let Some(merge) = &mut self.merge else { return Ok(()) };
                tokio::select! {
                    more = merge.changed() => if more.is_err() { return Ok(()) },
                    _ = closed.wait_for(|closed| *closed) => return Ok(()),
                    () = batches.closed() => return Ok(()),
                    () = moment(self.until.time) => {}
                }
            }
        }
    }

    /// Notes what is to be told of logs that cannot be read; gives what ends the reading.
    fn note(&mut self, failures: Vec<(LogName, ReadError)>, failed: bool) -> Option<Status> {
        if !self.partial || failed {
            return failures.first().map(|(_, why)| unreadable(why));
        }
        self.failures.extend(failures.into_iter().map(|(log, why)| LogFailure {
            name: own_name(&log).unwrap_or_else(|| log.to_string()),
            message: unreadable(&why).message().to_owned(),
        }));
        None
    }

    /// What is there, up to a batch.
    async fn read(&mut self, core: &Core) -> Result<Read, Status> {
        let Some(mut merge) = self.merge.take() else {
            return Ok(Read {
                steps: Vec::new(),
                cursor: String::new(),
                dry: true,
                over: true,
                failures: Vec::new(),
                failed: false,
            });
        };
        let ends = !self.awaited.is_empty();
        let work = move || {
            let read = read(&mut merge, ends);
            (read, merge)
        };
        let (read, merge) = reading(self.much.then_some(&core.bulk), work).await?;
        self.merge = Some(merge);
        let read = read.map_err(|why| unreadable(&why))?;
        self.much = !read.dry;
        Ok(read)
    }

    /// Makes batches of what was read.
    async fn gather(&mut self, core: &Core, steps: Vec<Step>) -> Gathered {
        let mut gathered = Gathered::default();
        for step in steps {
            match step {
                Step::Chunk { log, run, stream, time, continues, bytes } => {
                    let name = self.name(core, log, run).await;
                    let chunk = chunk((run, name), stream, (time, continues), bytes);
                    gathered.last.chunks.push(chunk);
                }
                // A client that goes on before the gap is told of it, maybe twice, and never misses it.
                Step::Gap { log, run, mut gap, before } => {
                    gap.run_id = run.map_or_else(String::new, |run| run.to_string());
                    gap.name = match run {
                        Some(run) => self.name(core, log, run).await,
                        None => own_name(&log).unwrap_or_default(),
                    };
                    gathered.begin(Some(gap), before);
                }
                Step::End { run, end, behind } => {
                    let ended = |awaited: &&mut Awaited| awaited.run.run == run && !awaited.told;
                    if let Some(awaited) = self.awaited.iter_mut().find(ended) {
                        awaited.told = true;
                        gathered.last.exit = end_of(core, &awaited.run, Some(&end)).await;
                        gathered.begin(None, behind);
                    }
                }
            }
        }
        gathered
    }

    /// The name that a run's output has.
    async fn name(&mut self, core: &Core, log: LogName, run: RunId) -> String {
        if let Some(name) = own_name(&log).or_else(|| self.names.get(&run).cloned()) {
            return name;
        }
        let origin = Origin::daemon("a log is read");
        let found = core.find(Target::Run(run), origin).await.ok().flatten();
        let name = found.map_or_else(|| run.to_string(), |found| found.name.to_string());
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(run, name.clone());
        name
    }

    /// Looks which runs have ended without an end in a log so far: what of their output was not there when the core told
    /// their end is not coming, and what came since we looked is still to be read. Whether there is such a one.
    async fn look_for_ends(&mut self, core: &Core) -> bool {
        let mut found = false;
        for awaited in self.awaited.iter_mut().filter(|one| !one.told && one.over.is_none()) {
            awaited.over = end_of(core, &awaited.run, None).await;
            found |= awaited.over.is_some();
        }
        found
    }

    fn tell_ends(&mut self, gathered: &mut Gathered, cursor: &str) {
        for awaited in self.awaited.iter_mut().filter(|awaited| !awaited.told) {
            if let Some(exit) = awaited.over.take() {
                awaited.told = true;
                gathered.last.exit = Some(exit);
                gathered.begin(None, cursor.to_owned());
            }
        }
    }
}

/// The name of all that is in a log; none where several names share it.
fn own_name(log: &LogName) -> Option<String> {
    match log {
        LogName::Unit(name) => Some(name.to_string()),
        LogName::Daemon | LogName::Audit => Some(log.to_string()),
        LogName::Commands => None,
    }
}

/// At this time; never, where there is none.
async fn moment(time: Option<u64>) {
    match time {
        Some(time) => {
            let left = time.saturating_sub(clock::wall());
            tokio::time::sleep(std::time::Duration::from_nanos(left)).await;
        }
        None => std::future::pending().await,
    }
}

fn read(merge: &mut Merge, ends: bool) -> Result<Read, ReadError> {
    merge.look()?;
    let mut steps = Vec::new();
    let (mut bytes, mut dry) = (0, false);
    while bytes < BATCH && steps.len() < ITEMS {
        let Some(Merged { source, before, item }) = merge.next_readable() else {
            dry = true;
            break;
        };
        match item {
            Item::Chunk { run, stream, time, continues, bytes: piece, .. } => {
                bytes += piece.len();
                let log = merge.log(source).cloned().unwrap_or(LogName::Commands);
                steps.push(Step::Chunk { log, run, stream, time, continues, bytes: piece });
            }
            Item::Gap { run, bytes, entries, reason, .. } => {
                let message = gap_in_words(reason).to_owned();
                let before = cursor(merge, Some((source, &before)));
                let gap = LogGap { bytes, entries, message, ..LogGap::default() };
                let log = merge.log(source).cloned().unwrap_or(LogName::Commands);
                steps.push(Step::Gap { log, run, gap, before });
            }
            Item::End { run, end } if ends => {
                steps.push(Step::End { run, end, behind: cursor(merge, None) });
            }
            Item::End { .. } | Item::Start { .. } => {}
        }
    }
    let (failures, failed) = (merge.take_failures(), merge.has_failed());
    Ok(Read { steps, cursor: cursor(merge, None), dry, over: merge.is_over(), failures, failed })
}

/// Where to go on, with one of the places exchanged.
fn cursor(merge: &Merge, exchanged: Option<(usize, &Place)>) -> String {
    let places = merge.places().enumerate().map(|(number, (log, place))| match exchanged {
        Some((other, before)) if other == number => before.cursor(log),
        Some(_) | None => place.cursor(log),
    });
    places.collect::<Vec<String>>().join(",")
}

/// Batches in their order: a gap stands at the head of one, an exit at the end.
#[derive(Default)]
struct Gathered {
    before: Vec<LogBatch>,
    last: LogBatch,
}

impl Gathered {
    /// Begins the next one; `cursor` leads to it.
    fn begin(&mut self, gap: Option<LogGap>, cursor: String) {
        let next = LogBatch { gap, ..LogBatch::default() };
        let full = std::mem::replace(&mut self.last, next);
        self.before.push(LogBatch { cursor, ..full });
    }

    fn first_mut(&mut self) -> &mut LogBatch {
        self.before.first_mut().unwrap_or(&mut self.last)
    }

    /// Those that say something.
    fn into_batches(self) -> impl Iterator<Item = LogBatch> {
        let says_something = |b: &LogBatch| {
            let tells = b.gap.is_some() || b.exit.is_some();
            tells || !b.chunks.is_empty() || !b.run_ids.is_empty() || !b.failures.is_empty()
        };
        self.before.into_iter().chain([self.last]).filter(says_something)
    }
}

fn chunk(
    (run, name): (RunId, String),
    stream: Stream,
    (time, continues): (u64, bool),
    bytes: Vec<u8>,
) -> LogChunk {
    let channel = match stream {
        Stream::Stdout => LogChannelType::ChannelStdout,
        Stream::Stderr => LogChannelType::ChannelStderr,
    };
    LogChunk {
        run_id: run.to_string(),
        channel: channel.into(),
        timestamp: i64::try_from(time).unwrap_or(i64::MAX),
        data: bytes.into(),
        name,
        continues,
    }
}

#[cfg(test)]
mod tests {
    use logs::{LogStore, Options, Position, Wanted};

    use super::*;

    /// A client whose connection breaks between two batches of one reading goes on after the first.
    #[test]
    fn each_batch_of_a_reading_has_the_cursor_of_its_own_end() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogStore::open_with(folder.path(), Options::default(), Box::new(|_| {}));
        let logs = logs.unwrap();
        let run = RunId::from_bytes([1; 16]);
        for _ in 0..2 {
            logs.append(&LogName::Daemon, run, b"one", 1);
        }
        logs.close();
        let from = Position(99).into();
        let wanted = Wanted { log: LogName::Daemon, runs: Vec::new(), from };
        let mut merge = logs.merge(vec![wanted], None, None, false);
        let Read { steps, cursor, dry, over, .. } = read(&mut merge, false).unwrap();
        let [Step::Gap { before, .. }] = steps.as_slice() else { panic!("no gap") };
        assert_eq!((before.as_str(), cursor.as_str()), ("daemon@63", "daemon@8"));
        assert_eq!((dry, over), (true, false));
        let mut gathered = Gathered::default();
        gathered.last.chunks.push(chunk(
            (run, "daemon".into()),
            Stream::Stdout,
            (1, false),
            vec![b'x'],
        ));
        gathered.begin(Some(LogGap::default()), "daemon@1".into());
        gathered.begin(None, "daemon@2".into());
        let told: Vec<_> = gathered.into_batches().map(|b| (b.chunks.len(), b.cursor)).collect();
        assert_eq!(told, [(1, "daemon@1".to_owned()), (0, "daemon@2".to_owned())]);
    }
}
