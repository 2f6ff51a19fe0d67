//! Looking for runs in the indexes on disk: the newest segments first.

use units::RunId;

use crate::{
    behind::Behind,
    entry::{End, Entry, Kind},
    folder::Folder,
    index::{Index, Slot},
    name::{Position, Stream},
    open,
    overflow::Source,
    reader::ReadError,
};

/// What the indexes of a log say of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) first: Position,
    pub(crate) started: Option<Started>,
    pub(crate) ended: Option<End>,
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
    /// Where the last pieces from overflow files end, of stdout and of stderr.
    pub(crate) overflows: [Option<Source>; 2],
    /// Where its last bytes lie, of stdout and of stderr.
    pub(crate) behind: [Option<Behind>; 2],
}

/// A start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) run: RunId,
    pub(crate) pid: i32,
    pub(crate) time: u64,
}

/// What is in this log of the run, if anything.
pub(crate) fn trace(folder: &Folder, run: RunId) -> Result<Option<Trace>, ReadError> {
    let mut trace = None;
    let mut started_later = false;
    for base in folder.bases()?.into_iter().rev() {
        let mut here: Option<Trace> = None;
        walk(folder, base, |entry, bytes| {
            if entry.run == Some(run) {
                let first = Trace { first: entry.position, ..Trace::default() };
                here.get_or_insert(first).add(base, entry, bytes);
            }
        })?;
        trace = match (here, trace) {
            (Some(earlier), Some(later)) => Some(earlier.and_then(later)),
            (earlier, later) => earlier.or(later),
        };
        // Output may stand before the start, but by moments only: one segment further back at the most.
        if started_later {
            break;
        }
        started_later = here.is_some_and(|here| here.started.is_some());
    }
    Ok(trace)
}

impl Trace {
    fn add(&mut self, base: u64, entry: &Entry, bytes: u64) {
        match (entry.kind, entry.run) {
            (Kind::Start { pid }, Some(run)) => {
                self.started = Some(Started { run, pid, time: entry.time });
            }
            (Kind::Data { stream, source, rest: _ }, _) => {
                let ([out, err], [out_behind, err_behind]) =
                    (&mut self.overflows, &mut self.behind);
                let (total, last, behind) = match stream {
                    Stream::Stdout => (&mut self.stdout, out, out_behind),
                    Stream::Stderr => (&mut self.stderr, err, err_behind),
                };
                if bytes > 0 {
                    *behind = Some(Behind { base, end: entry.position.0.saturating_add(bytes) });
                }
                *total = total.saturating_add(bytes);
                if let Some(Source { file, offset }) = source {
                    *last = Some(Source { file, offset: offset.saturating_add(bytes) });
                }
            }
            (Kind::End { cause, value, .. }, _) => {
                self.ended = Some(End { cause, value, time: entry.time });
            }
            (Kind::Gap { .. } | Kind::Start { .. }, _) => {}
        }
    }

    fn and_then(self, later: Self) -> Self {
        Self {
            first: self.first,
            started: self.started.or(later.started),
            ended: later.ended.or(self.ended),
            stdout: self.stdout.saturating_add(later.stdout),
            stderr: self.stderr.saturating_add(later.stderr),
            overflows: [
                later.overflows[0].or(self.overflows[0]),
                later.overflows[1].or(self.overflows[1]),
            ],
            behind: [later.behind[0].or(self.behind[0]), later.behind[1].or(self.behind[1])],
        }
    }
}

/// The last start in this log that is wanted.
pub(crate) fn last_start(
    folder: &Folder,
    wanted: impl Fn(Started) -> bool,
) -> Result<Option<Started>, ReadError> {
    for base in folder.bases()?.into_iter().rev() {
        let mut last = None;
        walk(folder, base, |entry, _| {
            if let (Kind::Start { pid }, Some(run)) = (entry.kind, entry.run) {
                let started = Started { run, pid, time: entry.time };
                last = Some(started).filter(|&started| wanted(started)).or(last);
            }
        })?;
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// Visits the good entries of a segment, each with how many bytes it describes.
fn walk(folder: &Folder, base: u64, mut visit: impl FnMut(&Entry, u64)) -> Result<(), ReadError> {
    let end = base.saturating_add(folder.length(base)?);
    let path = folder.index(base);
    let failed = |source| ReadError { path: path.clone(), source };
    let file = match open::read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut index = Index::new(file);
    let mut number = 0;
    let mut before: Option<Entry> = None;
    loop {
        let slot = index.slot(number).map_err(failed)?;
        let until = match slot {
            Slot::Entry(entry) => entry.position.0.min(end),
            Slot::Absent => end,
            // Whose the bytes before a bad entry are is not known.
            Slot::Bad => 0,
        };
        if let Some(entry) = before.take() {
            visit(&entry, until.saturating_sub(entry.position.0));
        }
        match slot {
            Slot::Entry(entry) => before = Some(entry),
            Slot::Bad => {}
            Slot::Absent => return Ok(()),
        }
        number = number.saturating_add(1);
    }
}
