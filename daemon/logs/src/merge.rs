//! Several logs read as one.
//!
//! What is there is given by time: always the oldest of what the logs have next. Within a log its own order holds, also where
//! the clock stepped back: no item counts as older than one before it. A log that has nothing more for now holds nobody up: a
//! follower gets what is there when it looks, by time, and then what comes, as it comes. So each item comes once, each log
//! is in its order, and what is read from files that do not grow is in the order of time.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use tokio::sync::watch;
use units::RunId;

use crate::{
    name::{LogName, Position, Stream},
    place::Place,
    reader::{Filter, Item, ReadError, Reader},
    shared::Shared,
    store::StoreClosed,
};

/// Bytes of output that are read ahead, of all logs together, and of one at least and at most.
const AHEAD: usize = 1 << 20;
const LEAST: usize = 1 << 10;
const MOST: usize = 64 << 10;

/// The wait for news of one log.
type Wait<'a> = Pin<Box<dyn Future<Output = Result<(), StoreClosed>> + Send + 'a>>;

/// One of the logs, and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub log: LogName,
    /// Of these runs; of all, where there are none.
    pub runs: Vec<RunId>,
    /// From here on.
    pub from: Place,
}

/// What a merge comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The number of the log.
    pub source: usize,
    /// Where that log was read before.
    pub before: Place,
    /// What.
    pub item: Item,
}

/// A cursor over several logs.
#[derive(Debug)]
pub struct Merge {
    shared: Arc<Shared>,
    stream: Option<Stream>,
    until: Option<u64>,
    sources: Vec<Source>,
    /// The next items of those that have one, the oldest on top.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// All logs of programs are wanted, also those to come.
    every: Option<watch::Receiver<usize>>,
    /// What could not be read, as far as it was not asked for yet.
    failures: Vec<(LogName, ReadError)>,
}

#[derive(Debug)]
struct Source {
    reader: Reader,
    runs: Vec<RunId>,
    /// Behind what was given.
    place: Place,
    /// What is given next.
    head: Option<Item>,
    /// The latest time so far.
    time: u64,
    /// It has been read for the first time.
    begun: bool,
    /// It has reached the end that was asked for, or as far as it can be read.
    over: bool,
    /// It could not be read any further.
    failed: bool,
}

impl Merge {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: Option<Stream>,
        until: Option<u64>,
        every: bool,
    ) -> Self {
        let every = every.then(|| {
            let mut opened = shared.news.logs_opened();
            // The first look finds what was opened since somebody made a list.
            opened.mark_changed();
            opened
        });
        let (sources, next, failures) = (Vec::new(), BinaryHeap::new(), Vec::new());
        Self { shared, stream, until, sources, next, every, failures }
    }

    pub(crate) fn add(&mut self, wanted: Wanted) {
        let Wanted { log, runs, from } = wanted;
        let run = if let [run] = runs.as_slice() { Some(*run) } else { None };
        let filter = Filter { run, stream: self.stream };
        let reader = Reader::new(&self.shared.root, log, from.position, filter, &self.shared.news);
        let (begun, over) = (false, false);
        let (head, failed) = (None, false);
        self.sources.push(Source { reader, runs, place: from, head, time: 0, begun, over, failed });
    }

    /// Looks which logs have grown. What they have comes by [`Self::next_item`].
    ///
    /// # Errors
    /// If it cannot be found out which logs there are.
    pub fn look(&mut self) -> Result<(), ReadError> {
        if let Some(every) = &mut self.every
            && every.has_changed().unwrap_or(false)
        {
            every.mark_unchanged();
            self.add_new_logs()?;
        }
        for number in 0..self.sources.len() {
            self.fill(number, true);
        }
        Ok(())
    }

    /// What could not be read since this was asked last. Such a log is over where it stands; the others go on.
    pub fn take_failures(&mut self) -> Vec<(LogName, ReadError)> {
        std::mem::take(&mut self.failures)
    }

    /// Whether none of the logs can be read any further, and each of them failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.is_over() && self.sources.iter().all(|source| source.failed)
    }

    fn add_new_logs(&mut self) -> Result<(), ReadError> {
        for log in self.shared.programs()? {
            if !self.sources.iter().any(|source| *source.reader.log() == log) {
                self.add(Wanted { log, runs: Vec::new(), from: Place::default() });
            }
        }
        Ok(())
    }

    /// The next item; none where there is nothing more for now, until [`Self::look`].
    ///
    /// # Errors
    /// If one of the logs cannot be read: once for each of them. The others go on with the next call.
    pub fn next_item(&mut self) -> Result<Option<Merged>, ReadError> {
        match self.failures.pop() {
            Some((_, why)) => Err(why),
            None => Ok(self.next_readable()),
        }
    }

    /// The same, of those that can be read; the others are told by [`Self::take_failures`].
    pub fn next_readable(&mut self) -> Option<Merged> {
        let Reverse((_, number)) = self.next.pop()?;
        let merged = self.sources.get_mut(number).and_then(|source| {
            let (before, item) = (source.place.clone(), source.head.take()?);
            source.place.advance(source.reader.position());
            Some(Merged { source: number, before, item })
        });
        self.fill(number, false);
        merged
    }

    /// Reads the next item of a log that has none at hand; after a look only where there is news.
    fn fill(&mut self, number: usize, look: bool) {
        let piece = (AHEAD / self.sources.len().max(1)).clamp(LEAST, MOST);
        let until = self.until;
        let Some(source) = self.sources.get_mut(number) else { return };
        let idle = look && source.begun && !source.reader.has_news();
        if source.over || source.head.is_some() || idle {
            return;
        }
        source.begun = true;
        match source.read(piece, until) {
            Ok(true) => self.next.push(Reverse((source.time, number))),
            Ok(false) => {}
            Err(why) => {
                (source.over, source.failed) = (true, true);
                self.failures.push((source.reader.log().clone(), why));
            }
        }
    }

    /// Where to go on, in the order of the logs.
    pub fn places(&self) -> impl Iterator<Item = (&LogName, &Place)> {
        self.sources.iter().map(|source| (source.reader.log(), &source.place))
    }

    /// The log of this number.
    #[must_use]
    pub fn log(&self, source: usize) -> Option<&LogName> {
        self.sources.get(source).map(|source| source.reader.log())
    }

    /// Whether all logs have reached the end that was asked for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.every.is_none()
            && !self.sources.is_empty()
            && self.sources.iter().all(|source| source.over)
    }

    /// Waits until [`Self::look`] may find more.
    ///
    /// # Errors
    /// If the store was closed: more will not come.
    pub async fn changed(&mut self) -> Result<(), StoreClosed> {
        if let (None, [source]) = (&self.every, self.sources.as_mut_slice()) {
            return source.reader.changed().await;
        }
        let mut waiting: Vec<Wait<'_>> = Vec::with_capacity(self.sources.len());
        for source in self.sources.iter_mut().filter(|source| !source.over) {
            waiting.push(Box::pin(source.reader.changed()));
        }
        if let Some(every) = &mut self.every {
            waiting.push(Box::pin(async {
                every.changed().await.map_err(|_| StoreClosed)?;
                every.mark_changed();
                Ok(())
            }));
        }
        poll_fn(|context| {
            for one in &mut waiting {
                if let Poll::Ready(changed) = one.as_mut().poll(context) {
                    return Poll::Ready(changed);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Source {
    /// Reads up to the next item that is wanted; whether there is one.
    fn read(&mut self, piece: usize, until: Option<u64>) -> Result<bool, ReadError> {
        while let Some(mut item) = self.reader.next(piece)? {
            let (run, time) = match &item {
                Item::Chunk { run, time, .. } | Item::Start { run, time, .. } => {
                    (Some(*run), Some(*time))
                }
                Item::End { run, end } => (Some(*run), Some(end.time)),
                Item::Gap { run, .. } => (*run, None),
            };
            if let (Some(time), Some(until)) = (time, until)
                && time >= until
            {
                self.over = true;
                return Ok(false);
            }
            let ours = run.is_none_or(|run| self.runs.is_empty() || self.runs.contains(&run));
            if ours && self.trim(&mut item) {
                self.time = self.time.max(time.unwrap_or(0));
                self.head = Some(item);
                return Ok(true);
            }
            self.place.advance(self.reader.position());
        }
        // Nothing wanted lies before this.
        self.place.advance(self.reader.position());
        Ok(false)
    }

    /// Takes off what is not wanted; whether something is left.
    fn trim(&self, item: &mut Item) -> bool {
        let Item::Chunk { run, stream, continues, bytes, position_after: Position(after), .. } =
            item
        else {
            return true;
        };
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        let unwanted = self.place.unwanted(*run, *stream, after.saturating_sub(length));
        if unwanted > 0 {
            let unwanted = usize::try_from(unwanted).unwrap_or(usize::MAX).min(bytes.len());
            bytes.drain(..unwanted);
            *continues = false;
        }
        !bytes.is_empty()
    }
}
