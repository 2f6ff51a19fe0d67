//! A log as its writer has it.
//!
//! Invariant: whatever the disk does, a program is never blocked and a marker never lost. While a log cannot be written,
//! output is thrown away and counted, and starts, ends and gaps wait in memory until it can be written again.

use std::{
    fs::File,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::errno::Errno;
use units::RunId;

use crate::{
    backlog::Backlog,
    behind::Behind,
    clock::Moment,
    entry::{Entry, GapReason, Kind},
    index::read_at,
    name::{Position, Stream},
    overflow::Overflow,
    pipe::{Taken, copy, discard},
    published::Published,
    segment::{Segment, WriteError},
    write_end::WriteEnd,
};

/// Output is described anew at least this often, so that it can be found by time.
const DESCRIBED_FOR: Duration = Duration::from_millis(1);

/// When a segment is closed, and how bytes get there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) segment_bytes: u64,
    pub(crate) segment_entries: u64,
    pub(crate) copy: bool,
}

/// Whose the next byte would be, as the index has it.
#[derive(Clone, Copy, Debug)]
struct Described {
    base: u64,
    run: RunId,
    stream: Stream,
    time: u64,
}

/// The log cannot be written.
#[derive(Debug)]
struct Trouble {
    text: String,
    backlog: Backlog,
}

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    write_end: WriteEnd,
    described: Option<Described>,
    trouble: Option<Trouble>,
    copies: bool,
    published: Arc<Published>,
    /// Runs that write to it.
    pub(crate) runs: usize,
    /// When it was last of use, in uses of all logs.
    pub(crate) used: u64,
    /// Set when its trouble begins, or it turns to copying; all logs have the same.
    noteworthy: Arc<AtomicBool>,
}

impl Log {
    /// Touches no file yet: that comes with the first entry.
    pub(crate) fn new(
        write_end: WriteEnd,
        published: Arc<Published>,
        noteworthy: Arc<AtomicBool>,
    ) -> Self {
        let copies = write_end.copies();
        noteworthy.fetch_or(copies, Ordering::Relaxed);
        Self {
            write_end,
            described: None,
            trouble: None,
            copies,
            published,
            runs: 0,
            used: 0,
            noteworthy,
        }
    }

    /// Where it ends: where the next entry will stand, or a little before. Asked before the first bytes of each run, which may
    /// come before its start: they must not stand behind a hole that somebody has cut.
    pub(crate) fn end(&mut self) -> Position {
        self.described = None;
        if self.trouble.is_none()
            && let Err(error) = self.write_end.opened()
        {
            self.fail(&error);
        }
        self.written()
    }

    /// The last bytes before a place in the segment that is being written, at most so many of them.
    pub(crate) fn read_back(&self, from: u64, to: u64, most: u64) -> Option<Vec<u8>> {
        let segment = self.write_end.segment()?;
        let from = from.max(to.saturating_sub(most)).max(segment.base());
        let length = usize::try_from(to.checked_sub(from)?).ok()?;
        let mut text = vec![0; length];
        let count = read_at(segment.data(), &mut text, from.checked_sub(segment.base())?).ok()?;
        text.truncate(count);
        Some(text)
    }

    /// Where its last byte ends.
    pub(crate) fn written(&self) -> Position {
        self.write_end.segment().map_or(Position(0), Segment::end)
    }

    /// Where its last bytes lie.
    pub(crate) fn behind(&self) -> Option<Behind> {
        let segment = self.write_end.segment()?;
        Some(Behind { base: segment.base(), end: segment.end().0 })
    }

    /// Why it cannot be written, while it cannot.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.text.as_str())
    }

    /// Whether bytes go through our memory.
    pub(crate) fn copies(&self) -> bool {
        self.copies
    }

    /// Writes a start, an end or a gap, now or when that is possible again. Gives where it stands.
    pub(crate) fn mark(&mut self, run: RunId, time: u64, kind: Kind) -> Position {
        let entry = Entry { position: Position(0), time, run: Some(run), kind };
        if self.trouble.is_none() {
            match self.try_mark(entry) {
                Ok(position) => {
                    self.publish();
                    return position;
                }
                Err(error) => self.fail(&error),
            }
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.backlog.push(entry);
        }
        self.written()
    }

    fn try_mark(&mut self, entry: Entry) -> Result<Position, WriteError> {
        self.described = None;
        let segment = self.write_end.opened()?;
        let position = segment.end();
        segment.write_entry(&Entry { position, ..entry })?;
        if matches!(entry.kind, Kind::Gap { .. }) {
            self.write_end.has_gap();
        }
        Ok(position)
    }

    /// Moves at most `most` bytes from a pipe. Call it only where something is in the pipe: the entry comes first.
    pub(crate) fn take(
        &mut self,
        pipe: &OwnedFd,
        (run, stream, behind): (RunId, Stream, Option<Behind>),
        most: usize,
        moment: Moment,
        null: &File,
    ) -> Taken {
        let taken = if self.trouble.is_some() {
            discard(pipe, null, most)
        } else {
            match self.try_take(pipe, (run, stream, behind), most, moment) {
                Ok(taken) => taken,
                Err(error) => {
                    self.fail(&error);
                    discard(pipe, null, most)
                }
            }
        };
        if let Taken::Moved { kept, lost } = taken {
            if let (1.., Some(trouble)) = (lost, &mut self.trouble) {
                trouble.backlog.lost(run, stream, bytes(lost), moment.time);
            }
            if kept > 0 {
                self.publish();
            }
        }
        taken
    }

    fn try_take(
        &mut self,
        pipe: &OwnedFd,
        (run, stream, behind): (RunId, Stream, Option<Behind>),
        most: usize,
        moment: Moment,
    ) -> Result<Taken, WriteError> {
        let copies = self.copies;
        let (segment, room) =
            self.describe(run, stream, moment.time, |segment| segment.is_within_line(behind))?;
        let most = most.min(room);
        let spliced = if copies { Err(Errno::EINVAL) } else { segment.splice(pipe, most) };
        match spliced {
            Ok(0) => Ok(Taken::Eof),
            Ok(kept) => Ok(Taken::Moved { kept, lost: 0 }),
            Err(Errno::EAGAIN) => Ok(Taken::Dry),
            Err(Errno::EINVAL) => {
                let (taken, error) = copy(pipe, segment, most);
                self.copies = true;
                self.noteworthy.fetch_or(!copies, Ordering::Relaxed);
                if let Some(error) = error {
                    self.fail(&error);
                }
                Ok(taken)
            }
            Err(errno) => Err(segment.data_error(errno.into())),
        }
    }

    /// Moves the next piece of an overflow file, at most so many bytes; or, where it cannot be read or the log cannot be
    /// written, gives up all that is left of it. [`Taken::Eof`] where nothing is left.
    pub(crate) fn take_overflow(
        &mut self,
        overflow: &mut Overflow,
        (run, stream, behind): (RunId, Stream, Option<Behind>),
        most: usize,
        time: u64,
    ) -> Taken {
        let Ok(piece) = overflow.read(most) else {
            let lost = overflow.give_up();
            let reason = GapReason::NotWritten;
            let gap = Kind::Gap { stream: Some(stream), bytes: lost, entries: 0, reason };
            if lost > 0 {
                self.mark(run, time, gap);
            }
            return taken(0, lost);
        };
        if piece.is_empty() {
            return Taken::Eof;
        }
        let before = overflow.source().offset;
        if self.trouble.is_none()
            && let Err(error) =
                self.try_take_overflow(overflow, &piece, (run, stream, behind), time)
        {
            self.fail(&error);
        }
        let kept = overflow.source().offset.saturating_sub(before);
        let mut lost = 0;
        if let Some(trouble) = &mut self.trouble {
            lost = overflow.give_up();
            trouble.backlog.lost(run, stream, lost, time);
        }
        self.publish();
        taken(kept, lost)
    }

    /// What the entry describes is all up to the next one, so nothing may follow it without one of its own.
    fn try_take_overflow(
        &mut self,
        overflow: &mut Overflow,
        piece: &[u8],
        (run, stream, behind): (RunId, Stream, Option<Behind>),
        time: u64,
    ) -> Result<(), WriteError> {
        self.described = None;
        let (segment, sizes) = self.write_end.writable()?;
        let room = WriteEnd::room(sizes, segment);
        let piece = usize::try_from(room).ok().and_then(|room| piece.get(..room)).unwrap_or(piece);
        let rest = segment.is_within_line(behind);
        let kind = Kind::Data { stream, source: Some(overflow.source()), rest };
        segment.write_entry(&Entry { position: segment.end(), time, run: Some(run), kind })?;
        let before = segment.length();
        let result = segment.append(piece);
        overflow.advance(segment.length().saturating_sub(before));
        result
    }

    /// Appends bytes from our memory.
    pub(crate) fn append(&mut self, run: RunId, text: &[u8], time: u64) {
        let mut rest = text;
        let mut within_line = false;
        while !rest.is_empty() && self.trouble.is_none() {
            let appended = self.try_append(run, rest, time, within_line);
            let count = *appended.as_ref().unwrap_or_else(|(count, _)| count);
            let (kept, left) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            (within_line, rest) = (!kept.ends_with(b"\n"), left);
            if let Err((_, error)) = appended {
                self.fail(&error);
            }
        }
        if let (false, Some(trouble)) = (rest.is_empty(), &mut self.trouble) {
            trouble.backlog.lost(run, Stream::Stdout, bytes(rest.len()), time);
        }
        self.publish();
    }

    fn try_append(
        &mut self,
        run: RunId,
        text: &[u8],
        time: u64,
        within_line: bool,
    ) -> Result<usize, (usize, WriteError)> {
        let (segment, room) = self
            .describe(run, Stream::Stdout, time, |_| within_line)
            .map_err(|error| (0, error))?;
        let text = text.get(..room).unwrap_or(text);
        let before = segment.length();
        match segment.append(text) {
            Ok(()) => Ok(text.len()),
            Err(error) => {
                let count = segment.length().saturating_sub(before);
                Err((usize::try_from(count).unwrap_or(usize::MAX), error))
            }
        }
    }

    /// Makes the index say whose the next bytes are. Gives where they go, and how many fit.
    fn describe(
        &mut self,
        run: RunId,
        stream: Stream,
        time: u64,
        within_line: impl FnOnce(&Segment) -> bool,
    ) -> Result<(&mut Segment, usize), WriteError> {
        let (segment, sizes) = self.write_end.writable()?;
        let base = segment.base();
        let still = self.described.is_some_and(|described| {
            let age = Duration::from_nanos(time.abs_diff(described.time));
            described.run == run
                && described.stream == stream
                && described.base == base
                && age < DESCRIBED_FOR
        });
        if !still {
            self.described = None;
            let kind = Kind::Data { stream, source: None, rest: within_line(segment) };
            segment.write_entry(&Entry { position: segment.end(), time, run: Some(run), kind })?;
            self.described = Some(Described { base, run, stream, time });
        }
        let room = WriteEnd::room(sizes, segment);
        Ok((segment, usize::try_from(room).unwrap_or(usize::MAX)))
    }

    fn publish(&self) {
        if let Some(segment) = self.write_end.segment() {
            self.published.tell(segment.base(), segment.end().0);
            self.write_end.was_written();
        }
    }

    fn fail(&mut self, error: &WriteError) {
        self.described = None;
        self.noteworthy.store(true, Ordering::Relaxed);
        self.write_end.has_no_room();
        self.trouble = Some(Trouble { text: trouble_text(error), backlog: Backlog::default() });
    }

    /// Closes the segment that is being written, if anything is in it.
    pub(crate) fn close_segment(&mut self) {
        self.described = None;
        self.unless_in_trouble(|end| end.replace_lost().and_then(|()| end.close_segment()));
    }

    /// Goes on in another segment where somebody has taken this one away.
    pub(crate) fn check(&mut self) {
        self.described = None;
        self.unless_in_trouble(WriteEnd::replace_lost);
    }

    fn unless_in_trouble(&mut self, act: impl FnOnce(&mut WriteEnd) -> Result<(), WriteError>) {
        if self.trouble.is_none()
            && let Err(error) = act(&mut self.write_end)
        {
            self.fail(&error);
        }
        self.publish();
    }

    /// Tries to write what waits. If all of it could be written, there is no trouble any more.
    pub(crate) fn retry(&mut self) {
        let Some(mut trouble) = self.trouble.take() else { return };
        if let Err(error) = self.write_backlog(&mut trouble.backlog) {
            trouble.text = trouble_text(&error);
            self.trouble = Some(trouble);
        }
        self.publish();
    }

    fn write_backlog(&mut self, backlog: &mut Backlog) -> Result<(), WriteError> {
        self.write_end.writable()?;
        while let Some(entry) = backlog.front() {
            self.try_mark(entry)?;
            backlog.pop();
        }
        Ok(())
    }
}

fn taken(kept: u64, lost: u64) -> Taken {
    let [kept, lost] = [kept, lost].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    if kept == 0 && lost == 0 { Taken::Eof } else { Taken::Moved { kept, lost } }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn trouble_text(error: &WriteError) -> String {
    format!("{error}; output is thrown away until it can be")
}
