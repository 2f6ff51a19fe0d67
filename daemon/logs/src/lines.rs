//! Lines, cut from chunks of output by those who read them.

use units::RunId;

use crate::name::Stream;

/// A line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub run: RunId,
    /// Which output.
    pub stream: Stream,
    /// When its first byte was moved, in nanoseconds since 1970.
    pub time: u64,
    /// Its bytes, without the newline.
    pub bytes: Vec<u8>,
    /// It goes on in the next piece of the same run and stream.
    pub continued: bool,
    /// Its beginning is missing: it is the rest of a line.
    pub cut: bool,
}

/// Cuts chunks into lines, with bounded memory.
#[derive(Debug)]
pub struct LineCutter {
    /// Unfinished lines, the one that was begun first in front.
    partial: Vec<Line>,
    /// What comes next of these is the rest of a line.
    torn: Vec<(RunId, Stream)>,
    longest: usize,
    most: usize,
}

impl Default for LineCutter {
    fn default() -> Self {
        Self::new(Self::LONGEST, Self::MOST)
    }
}

impl LineCutter {
    /// Bytes of a line before it is cut in pieces.
    pub const LONGEST: usize = 64 * 1024;
    /// Unfinished lines at a time: with [`Self::LONGEST`], at most 4 MiB.
    pub const MOST: usize = 64;

    /// A cutter with bounds of its own: lines are cut in pieces of at most `longest` bytes, and at most `most` lines
    /// are unfinished at a time; where there are more, the one begun first is given out as `continued`.
    /// Either bound is at least 1.
    #[must_use]
    pub fn new(longest: usize, most: usize) -> Self {
        Self { partial: Vec::new(), torn: Vec::new(), longest: longest.max(1), most: most.max(1) }
    }

    /// What is pushed next of this output begins within a line. Unless its beginning was pushed before, the rest is marked.
    pub fn continues(&mut self, run: RunId, stream: Stream) {
        let is_open = self.partial.iter().any(|line| (line.run, line.stream) == (run, stream));
        // It is forgotten with the next piece, which comes at once.
        if !is_open && self.torn.len() < self.most {
            self.torn.push((run, stream));
        }
    }

    /// Takes a chunk; gives the lines that it completes.
    pub fn push(&mut self, run: RunId, stream: Stream, time: u64, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let cut = self.torn.extract_if(.., |torn| *torn == (run, stream)).count() > 0;
        let open = self.partial.iter().position(|l| l.run == run && l.stream == stream);
        let (place, mut line) = match open {
            Some(place) => (place, self.partial.remove(place)),
            None => (
                self.partial.len(),
                Line { run, stream, time, bytes: Vec::new(), continued: false, cut },
            ),
        };
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.extend(&mut line, time, text, &mut lines);
            if whole {
                let next =
                    Line { run, stream, time, bytes: Vec::new(), continued: false, cut: false };
                lines.push(std::mem::replace(&mut line, next));
            }
        }
        if !line.bytes.is_empty() {
            self.keep(place, line, &mut lines);
        }
        lines
    }

    /// Adds text that has no newline, giving out full pieces.
    fn extend(&self, line: &mut Line, time: u64, mut text: &[u8], lines: &mut Vec<Line>) {
        loop {
            let room = self.longest.saturating_sub(line.bytes.len());
            let Some((head, rest)) = text.split_at_checked(room) else { break };
            if rest.is_empty() {
                break;
            }
            line.bytes.extend_from_slice(head);
            let next = Line { bytes: Vec::new(), time, cut: false, ..*line };
            lines.push(Line { continued: true, ..std::mem::replace(line, next) });
            text = rest;
        }
        line.bytes.extend_from_slice(text);
    }

    fn keep(&mut self, place: usize, line: Line, lines: &mut Vec<Line>) {
        if self.partial.len() >= self.most {
            lines.push(Line { continued: true, ..self.partial.remove(0) });
        }
        self.partial.insert(place.min(self.partial.len()), line);
    }

    /// The run printed all it will: gives its unfinished lines.
    pub fn finish(&mut self, run: RunId) -> Vec<Line> {
        self.partial.extract_if(.., |line| line.run == run).collect()
    }

    /// Something is missing of this run, or of all: gives the lines that it cuts off, whose rest is marked.
    pub fn tear(&mut self, run: Option<RunId>) -> Vec<Line> {
        let is_torn = |line: &mut Line| run.is_none_or(|run| line.run == run);
        let torn: Vec<Line> = self.partial.extract_if(.., is_torn).collect();
        torn.iter().for_each(|line| self.continues(line.run, line.stream));
        torn
    }

    /// Nothing more comes of any run: gives all unfinished lines.
    pub fn finish_all(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.partial)
    }
}
