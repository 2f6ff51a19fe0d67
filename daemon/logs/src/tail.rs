//! Where the last lines of a log begin.
//!
//! Read backwards, by the index: of output that is not wanted nothing but its entries is read, and of the rest no more than
//! the lines take. So it costs what the lines cost, and not what the log does; a run or a stream that has said little costs
//! the index that lies behind its lines, 64 bytes for each piece of output.
//!
//! A line is one output's, and ends with its newline or where nothing more of that output is there yet. Those that ended last
//! are the last lines.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Slot},
    fs::File,
};

use units::RunId;

use crate::{
    backward::{Backward, Before},
    folder::Folder,
    index::read_at,
    name::{Position, Stream},
    open,
    place::{Place, Trim},
    reader::ReadError,
};

/// Bytes read at a time.
const BLOCK: u64 = 64 << 10;
/// How far it is looked for the beginnings of lines when all ends were found: bytes, and pieces. A line that begins further
/// back comes without its beginning.
const BEYOND_BYTES: u64 = 64 << 20;
const BEYOND_PIECES: u64 = 1 << 16;
/// Pieces that are looked at behind the start of a run: it can be faster than the word of its start.
const BEFORE_START: u64 = 64;
/// More outputs than this are not told apart: then a little more comes than was asked for.
const OUTPUTS: usize = 256;

/// An output of which a line was counted.
struct Seen {
    /// Where the first of its lines begins, or as far back as was looked.
    begin: u64,
    /// That it begins there is not known yet.
    open: bool,
}

struct Tail<'a> {
    folder: &'a Folder,
    wanted: u64,
    met: u64,
    outputs: HashMap<(RunId, Stream), Seen>,
    /// How many of them are open.
    open: usize,
    /// Runs whose start was met, and after how many pieces.
    started: VecDeque<(RunId, u64)>,
    /// Runs of which nothing lies before.
    begun: usize,
    pieces: u64,
    /// What was looked at since the last end was found.
    beyond: (u64, u64),
    data: Option<(u64, File)>,
}

/// Where the last `count` lines begin of these runs, or of all, and of one stream, or of both.
pub(crate) fn last_lines(
    folder: &Folder,
    (runs, only): (&[RunId], Option<Stream>),
    count: u64,
) -> Result<Place, ReadError> {
    let end = folder.end()?;
    let mut tail = Tail {
        folder,
        wanted: count,
        met: 0,
        outputs: HashMap::new(),
        open: 0,
        started: VecDeque::new(),
        begun: 0,
        pieces: 0,
        beyond: (0, 0),
        data: None,
    };
    let mut back = Backward::new(folder, end)?;
    while !tail.is_done() && (runs.is_empty() || tail.begun < runs.len()) {
        let Some(before) = back.next()? else { break };
        let (Before::Output { run, .. } | Before::Start(run) | Before::End(run)) = before;
        let wanted = runs.is_empty() || runs.contains(&run);
        match before {
            Before::Start(run) if wanted => tail.started.push_back((run, tail.pieces)),
            Before::Start(_) | Before::End(_) => {}
            Before::Output { run, stream, base, from, to } => {
                if wanted && only.is_none_or(|only| only == stream) {
                    tail.output((run, stream), base, (from, to))?;
                }
                tail.count_piece();
            }
        }
    }
    Ok(tail.place(end))
}

impl Tail<'_> {
    fn is_done(&self) -> bool {
        let (pieces, bytes) = self.beyond;
        self.met >= self.wanted
            && (self.open == 0 || pieces > BEYOND_PIECES || bytes > BEYOND_BYTES)
    }

    /// A piece lies behind us: maybe nothing lies before of a run that had begun some pieces ago.
    fn count_piece(&mut self) {
        self.pieces = self.pieces.saturating_add(1);
        if self.met >= self.wanted {
            self.beyond.0 = self.beyond.0.saturating_add(1);
        }
        while let Some((run, at)) = self.started.front().copied()
            && self.pieces.saturating_sub(at) > BEFORE_START
        {
            self.started.pop_front();
            self.begun = self.begun.saturating_add(1);
            for stream in Stream::BOTH {
                if let Some(seen) = self.outputs.get_mut(&(run, stream)) {
                    self.open = self.open.saturating_sub(usize::from(seen.open));
                    seen.open = false;
                }
            }
        }
    }

    /// Takes a piece of output, from its end to its beginning.
    fn output(
        &mut self,
        whose: (RunId, Stream),
        base: u64,
        (from, to): (u64, u64),
    ) -> Result<(), ReadError> {
        let mut to = to;
        while from < to {
            let begins_or_counts =
                self.met < self.wanted || self.outputs.get(&whose).is_some_and(|seen| seen.open);
            if !begins_or_counts {
                return Ok(());
            }
            let at = from.max(to.saturating_sub(BLOCK));
            let bytes = self.read(base, (at, to))?;
            if self.met >= self.wanted {
                self.beyond.1 = self.beyond.1.saturating_add(to.saturating_sub(at));
            }
            self.block(whose, at, &bytes);
            to = at;
        }
        Ok(())
    }

    fn block(&mut self, whose: (RunId, Stream), at: u64, bytes: &[u8]) {
        if let (Slot::Vacant(_), Some(last)) = (self.outputs.entry(whose), bytes.last())
            && *last != b'\n'
        {
            let end = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
            self.line_ends(whose, end);
        }
        let mut rest = bytes;
        while let Some(newline) = rest.iter().rposition(|&byte| byte == b'\n') {
            let begin = u64::try_from(newline).unwrap_or(0).saturating_add(at).saturating_add(1);
            if let Some(seen) = self.outputs.get_mut(&whose)
                && std::mem::take(&mut seen.open)
            {
                seen.begin = begin;
                self.open = self.open.saturating_sub(1);
            }
            if self.met >= self.wanted {
                return;
            }
            self.line_ends(whose, begin);
            rest = rest.get(..newline).unwrap_or_default();
        }
        if let Some(seen) = self.outputs.get_mut(&whose).filter(|seen| seen.open) {
            seen.begin = at;
        }
    }

    /// A line ends before this.
    fn line_ends(&mut self, whose: (RunId, Stream), end: u64) {
        self.met = self.met.saturating_add(1);
        self.open = self.open.saturating_add(1);
        self.outputs.insert(whose, Seen { begin: end, open: true });
    }

    fn read(&mut self, base: u64, (from, to): (u64, u64)) -> Result<Vec<u8>, ReadError> {
        let path = self.folder.data(base);
        let failed = |source| ReadError { path: path.clone(), source };
        let file = match self.data.take() {
            Some((open, file)) if open == base => file,
            Some(_) | None => match open::read(&path) {
                Ok(file) => file,
                // Removed meanwhile: nothing of it is among the last lines any more.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            },
        };
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let mut bytes = vec![0; length];
        let count = read_at(&file, &mut bytes, from.saturating_sub(base)).map_err(failed)?;
        bytes.truncate(count);
        self.data = Some((base, file));
        Ok(bytes)
    }

    fn place(self, end: u64) -> Place {
        let mut outputs: Vec<_> = self
            .outputs
            .into_iter()
            .map(|((run, stream), seen)| (run, stream, seen.begin))
            .collect();
        outputs.sort_unstable_by_key(|(_, _, begin)| *begin);
        let first = outputs.first().map_or(end, |(_, _, begin)| *begin);
        let trim =
            (first < end && outputs.len() <= OUTPUTS).then_some(Trim { others: end, outputs });
        Place { position: Position(first), trim }
    }
}
