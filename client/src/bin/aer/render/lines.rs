//! Lines of logs: cut from pieces, with names, in colours, and without anything that a terminal obeys.
//!
//! What passes through unchanged is the output of one source where it goes to no terminal, and whatever is asked for as `cat`.
//! Everything else is shown line by line. Of what a terminal obeys only colours are left, and they end with the line.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env,
    io::{self, IsTerminal},
};

use api::observe::{LogChannelType, LogChunk, LogGap};

use super::{harmless, is_obeyed, readable::readable};
use crate::arguments::Form;

/// Bytes of a line before it comes in pieces: what `-g` sees of it.
const LONGEST: usize = 16 << 20;
/// Bytes of all unfinished lines together.
const HELD: usize = 64 << 20;
/// Unfinished lines that are kept back.
const MOST: usize = 1024;
/// Characters of a run's id that are shown.
const RUN: usize = 8;
/// Stands for the beginning of a line that is missing.
const CUT: &str = "\u{2026}";
/// What names are shown in: they are told apart on a dark and on a bright ground.
const COLOURS: [u8; 10] = [31, 32, 33, 34, 35, 36, 91, 92, 94, 95];
const PLAIN: &str = "\x1b[0m";

/// Whose output it is.
pub(crate) type Whose = (String, i32);

/// A line, as a piece that has nothing else; or a part of one that is too long to be held.
pub(crate) struct Line {
    pub(crate) chunk: LogChunk,
    /// Parts of it came before.
    pub(crate) begun: bool,
    /// Parts of it are to come.
    pub(crate) continued: bool,
}

impl Line {
    /// What it says.
    pub(crate) fn text(&self) -> &[u8] {
        self.chunk.data.strip_suffix(b"\n").unwrap_or(&self.chunk.data)
    }

    /// Whether its beginning is missing: it is the rest of a line.
    pub(crate) fn is_cut(&self) -> bool {
        self.chunk.continues
    }

    /// Whose it is.
    pub(crate) fn whose(&self) -> Whose {
        (self.chunk.run_id.clone(), self.chunk.channel)
    }
}

/// A line that no newline has ended yet.
struct Open {
    name: String,
    timestamp: i64,
    data: Vec<u8>,
    begun: bool,
    /// Its beginning is missing.
    cut: bool,
}

impl Open {
    fn line(self, (run_id, channel): Whose, continued: bool) -> Line {
        let Self { name, timestamp, data, begun, cut: continues } = self;
        let chunk = LogChunk { run_id, channel, timestamp, data: data.into(), name, continues };
        Line { chunk, begun, continued }
    }
}

/// Cuts pieces into lines, each run's and output's for itself.
#[derive(Default)]
pub(crate) struct Cutter {
    unfinished: BTreeMap<Whose, Open>,
    /// What comes next of these is the rest of a line: a gap has cut off its beginning.
    torn: BTreeSet<Whose>,
    /// Their bytes.
    held: usize,
}

impl Cutter {
    /// Lines that are not complete.
    pub(crate) fn open_lines(&self) -> usize {
        self.unfinished.len()
    }

    /// The lines that this piece completes.
    pub(crate) fn push(&mut self, chunk: &LogChunk) -> Vec<Line> {
        let whose = (chunk.run_id.clone(), chunk.channel);
        let mut lines = Vec::new();
        let torn = self.torn.remove(&whose) || chunk.continues;
        let new = |begun, cut| Open {
            name: chunk.name.clone(),
            timestamp: chunk.timestamp,
            data: Vec::new(),
            begun,
            cut,
        };
        let mut open = self.take(&whose).unwrap_or_else(|| new(false, torn));
        for part in chunk.data.split_inclusive(|byte| *byte == b'\n') {
            open.data.extend_from_slice(part);
            let whole = part.ends_with(b"\n");
            if whole || open.data.len() >= LONGEST {
                let full = std::mem::replace(&mut open, new(!whole, false));
                lines.push(full.line(whose.clone(), !whole));
            }
        }
        if !open.data.is_empty() || open.begun {
            if self.unfinished.len() >= MOST {
                lines.extend(self.rest());
            }
            self.held += open.data.len();
            self.unfinished.insert(whose, open);
        }
        if self.held > HELD {
            self.give_longest(&mut lines);
        }
        lines
    }

    fn take(&mut self, whose: &Whose) -> Option<Open> {
        let open = self.unfinished.remove(whose)?;
        self.held = self.held.saturating_sub(open.data.len());
        Some(open)
    }

    /// Too much is held: what there is of the longest line goes out as a part.
    fn give_longest(&mut self, lines: &mut Vec<Line>) {
        let longest = self.unfinished.iter().max_by_key(|(_, open)| open.data.len());
        let Some(whose) = longest.map(|(whose, _)| whose.clone()) else { return };
        let Some(open) = self.take(&whose) else { return };
        let (name, timestamp) = (open.name.clone(), open.timestamp);
        lines.push(open.line(whose.clone(), true));
        let rest = Open { name, timestamp, data: Vec::new(), begun: true, cut: false };
        self.unfinished.insert(whose, rest);
    }

    /// Those that nobody will finish.
    fn give_up(&mut self, is_cut: impl Fn(&Whose, &Open) -> bool) -> Vec<Line> {
        let cut: Vec<(Whose, Open)> =
            self.unfinished.extract_if(.., |whose, open| is_cut(whose, open)).collect();
        let bytes: usize = cut.iter().map(|(_, open)| open.data.len()).sum();
        self.held = self.held.saturating_sub(bytes);
        cut.into_iter().map(|(whose, open)| open.line(whose, false)).collect()
    }

    /// What a run has not finished, and will not.
    pub(crate) fn rest_of(&mut self, run_id: &str) -> Vec<Line> {
        self.give_up(|(run, _), _| run == run_id)
    }

    /// What a gap cuts off: of the run whose output is missing, or of everything under the log's name.
    pub(crate) fn rest_before(&mut self, gap: &LogGap) -> Vec<Line> {
        let cut = if gap.run_id.is_empty() {
            self.give_up(|_, open| gap.name.is_empty() || open.name == gap.name)
        } else {
            self.rest_of(&gap.run_id)
        };
        self.torn.extend(cut.iter().map(Line::whose).take(MOST.saturating_sub(self.torn.len())));
        cut
    }

    /// What nobody has finished.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        self.give_up(|_, _| true)
    }
}

/// How lines are shown.
pub(crate) struct Look {
    form: Form,
    names: bool,
    colours: bool,
    /// The colours that names have, of as many names as there are colours.
    given: RefCell<BTreeMap<String, u8>>,
    /// Of standard output and of standard error, whether they go to a terminal.
    terminals: [bool; 2],
}

impl Look {
    /// In this form, with names where there are several sources.
    pub(crate) fn new(form: Form, several: bool) -> Self {
        let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = io::stdout().is_terminal() && !refused;
        Self { form, names: several, colours, given: RefCell::default(), terminals }
    }

    /// Whether pieces of this output pass through as they are.
    pub(crate) fn is_unchanged(&self, channel: LogChannelType) -> bool {
        !self.names && self.is_raw(channel)
    }

    /// Whether lines of this output are given as they are, and not as whoever reads them sees them best.
    pub(crate) fn is_raw(&self, channel: LogChannelType) -> bool {
        let [stdout, stderr] = self.terminals;
        let terminal = match channel {
            LogChannelType::ChannelStdout => stdout,
            LogChannelType::ChannelStderr => stderr,
        };
        match self.form {
            Form::Cat => true,
            Form::Table => !self.names && !terminal,
            Form::Json | Form::Short | Form::Precise => false,
        }
    }

    /// A line as it is shown; a part that `follows` the one before it is joined to it.
    pub(crate) fn line(&self, line: &Line, follows: bool) -> Vec<u8> {
        let channel = line.chunk.channel();
        if self.is_raw(channel) {
            return line.chunk.data.to_vec();
        }
        let text = String::from_utf8_lossy(line.text());
        let text = readable(&text).map_or(text, Cow::Owned);
        let text = if self.colours { with_colours(&text) } else { harmless(&text) };
        let mut shown = match (self.form, self.names) {
            _ if follows => String::new(),
            (Form::Precise, _) => self.precise(line, channel),
            (Form::Table | Form::Short | Form::Cat | Form::Json, true) => {
                format!("{} ", self.name(&line.chunk.name))
            }
            (Form::Table | Form::Short | Form::Cat | Form::Json, false) => String::new(),
        };
        if line.is_cut() && !follows {
            shown.push_str(CUT);
        }
        shown.push_str(&text);
        if !line.continued {
            shown.push('\n');
        }
        shown.into_bytes()
    }

    fn precise(&self, line: &Line, channel: LogChannelType) -> String {
        let stream = match channel {
            LogChannelType::ChannelStdout => "stdout",
            LogChannelType::ChannelStderr => "stderr",
        };
        let run = line.chunk.run_id.get(..RUN).unwrap_or(&line.chunk.run_id);
        let nanoseconds = u64::try_from(line.chunk.timestamp).unwrap_or(0);
        let moment = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds);
        let time = humantime::format_rfc3339_nanos(moment);
        format!("{time} {} [{}] {stream}: ", self.name(&line.chunk.name), harmless(run))
    }

    /// The colour of a name: its own, unless another that is shown has it, as long as there are others.
    fn colour(&self, name: &str) -> u8 {
        let mut given = self.given.borrow_mut();
        if let Some(colour) = given.get(name) {
            return *colour;
        }
        let mut tried = COLOURS.iter().copied().cycle().skip(first_colour(name));
        let own = tried.next().unwrap_or_default();
        let is_free = |colour: &u8| !given.values().any(|other| other == colour);
        let free = [own].into_iter().chain(tried.take(COLOURS.len())).find(is_free);
        match free {
            Some(colour) => *given.entry(name.to_owned()).or_insert(colour),
            None => own,
        }
    }

    /// A name in its colour.
    fn name(&self, name: &str) -> String {
        let shown = harmless(name);
        if self.colours { format!("\x1b[{}m{shown}{PLAIN}", self.colour(name)) } else { shown }
    }
}

/// Where the colours of a name begin to be tried: the same wherever and whenever it is shown (FNV-1a).
fn first_colour(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let colours = u64::try_from(COLOURS.len()).unwrap_or(1);
    usize::try_from(hash % colours).unwrap_or(0)
}

/// The text on one line, and of what a terminal obeys only colours, which end with it.
fn with_colours(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text;
    while let Some(at) = rest.find(is_obeyed) {
        let Some((before, sequence)) = rest.split_at_checked(at) else { break };
        shown.push_str(before);
        let length = colours_length(sequence);
        coloured |= length > 0;
        let taken =
            if length > 0 { length } else { sequence.chars().next().map_or(0, char::len_utf8) };
        let Some((sequence, after)) = sequence.split_at_checked(taken) else { break };
        if length > 0 {
            shown.push_str(sequence)
        } else {
            shown.push_str(&harmless(sequence))
        }
        rest = after;
    }
    shown.push_str(rest);
    if coloured {
        shown.push_str(PLAIN);
    }
    shown
}

/// How long the sequence is that sets colours (ECMA-48, SGR) and with which this text begins; 0 if there is none.
fn colours_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let length = parameters
        .bytes()
        .take(32)
        .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'))
        .count();
    if parameters.as_bytes().get(length) == Some(&b'm') { length + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(run: &str, data: &[u8]) -> LogChunk {
        LogChunk {
            run_id: run.into(),
            name: "web".into(),
            data: data.to_vec().into(),
            timestamp: 1_500_000_000,
            ..LogChunk::default()
        }
    }

    fn whole(chunk: LogChunk) -> Line {
        Line { chunk, begun: false, continued: false }
    }

    fn look(form: Form, names: bool, colours: bool) -> Look {
        Look { form, names, colours, given: RefCell::default(), terminals: [colours; 2] }
    }

    fn shown(look: &Look, text: &[u8]) -> String {
        String::from_utf8(look.line(&whole(chunk("0123456789", text)), false)).unwrap()
    }

    #[test]
    fn lines_are_shown_in_the_form_that_is_asked_for() {
        assert_eq!(shown(&look(Form::Table, true, false), b"x\n"), "web x\n");
        assert_eq!(shown(&look(Form::Short, false, false), b"x\x1b[2J"), "x\\u{1b}[2J\n");
        let precise = "1970-01-01T00:00:01.500000000Z web [01234567] stdout: x\n";
        assert_eq!(shown(&look(Form::Precise, false, false), b"x\n"), precise);
        let red = shown(&look(Form::Short, true, true), b"\x1b[31mx\x1b[2J\n");
        assert!(red.ends_with(" \x1b[31mx\\u{1b}[2J\x1b[0m\n"), "{red:?}");
        assert_eq!(
            look(Form::Cat, true, false).line(&whole(chunk("r", b"\x1b\xff")), false),
            b"\x1b\xff"
        );
    }

    #[test]
    fn what_goes_to_no_terminal_passes_through() {
        let out = LogChannelType::ChannelStdout;
        assert!(look(Form::Table, false, false).is_unchanged(out));
        assert!(!look(Form::Table, false, true).is_unchanged(out));
        assert!(!look(Form::Table, true, false).is_unchanged(out));
        assert!(look(Form::Cat, false, true).is_unchanged(out));
        assert!(!look(Form::Cat, true, true).is_unchanged(out));
    }

    #[test]
    fn a_long_line_is_one_up_to_the_bound_and_comes_in_marked_parts_beyond() {
        let mut cutter = Cutter::default();
        let piece = chunk("a", &[b'x'; 64 << 10]);
        for _ in 1..LONGEST / (64 << 10) {
            assert_eq!(cutter.push(&piece).len(), 0);
        }
        assert_eq!(cutter.push(&chunk("a", b"y")).len(), 0);
        let first = cutter.push(&piece).pop().unwrap();
        assert_eq!((first.begun, first.continued), (false, true));
        assert!(first.text().len() >= LONGEST);
        let look = look(Form::Short, true, false);
        assert!(look.line(&first, false).starts_with(b"web xxx"));
        assert!(look.line(&first, false).ends_with(b"x"));
        let last = cutter.push(&chunk("a", b"z\nnext\n"));
        assert_eq!((last[0].begun, last[0].continued, last[1].begun), (true, false, false));
        assert_eq!(look.line(&last[0], true), b"z\n");
        assert_eq!(look.line(&last[0], false), b"web z\n");
        assert_eq!(cutter.held, 0);
    }

    /// Many long lines at once: what is held stays bounded, and each byte comes.
    #[test]
    fn what_is_held_is_bounded() {
        let mut cutter = Cutter::default();
        let (mut given, mut pushed) = (0, 0);
        for number in 0..200 {
            for _ in 0..2 {
                let lines = cutter.push(&chunk(&format!("run{}", number % 20), &[b'x'; 1 << 20]));
                given += lines.iter().map(|line| line.chunk.data.len()).sum::<usize>();
                pushed += 1 << 20;
                assert!(cutter.held <= HELD);
            }
        }
        let rest = cutter.rest();
        given += rest.iter().map(|line| line.chunk.data.len()).sum::<usize>();
        assert_eq!((given, cutter.held), (pushed, 0));
    }

    #[test]
    fn the_rest_of_a_line_is_shown_as_one() {
        let look = look(Form::Short, true, false);
        let shown = |lines: Vec<Line>| -> Vec<String> {
            let shown = lines.iter().map(|line| look.line(line, false));
            shown.map(|line| String::from_utf8(line).unwrap()).collect()
        };
        let rest = |data: &[u8]| LogChunk { continues: true, ..chunk("a", data) };
        let mut cutter = Cutter::default();
        assert_eq!(shown(cutter.push(&rest(b"st\nnext\nbe"))), ["web \u{2026}st\n", "web next\n"]);
        // Its beginning is there.
        assert_eq!(shown(cutter.push(&rest(b"gun\n"))), ["web begun\n"]);
        cutter.push(&chunk("a", b"half"));
        let gap = LogGap { run_id: "a".into(), ..LogGap::default() };
        assert_eq!(shown(cutter.rest_before(&gap)), ["web half\n"]);
        let after = shown(cutter.push(&chunk("a", b"other\nwhole\n")));
        assert_eq!(after, ["web \u{2026}other\n", "web whole\n"]);
    }

    #[test]
    fn each_name_has_a_colour_of_its_own_while_there_are_some() {
        let (one, other) = (look(Form::Short, true, true), look(Form::Short, true, true));
        let names: Vec<String> = (0..30).map(|number| format!("u{number}")).collect();
        let colours: Vec<u8> = names.iter().map(|name| one.colour(name)).collect();
        let (first, _) = colours.split_at(COLOURS.len());
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), COLOURS.len());
        assert!(colours.iter().all(|colour| COLOURS.contains(colour)));
        assert_eq!(names.iter().map(|name| one.colour(name)).collect::<Vec<_>>(), colours);
        // And where nothing is in its way the same each time.
        assert_eq!(other.colour("u7"), COLOURS[first_colour("u7")]);
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_but_colours(text in "[\u{0}-\u{9f}m\\[;0-9\u{2020}-\u{2070}]{0,60}") {
            let shown = with_colours(&text);
            let mut rest = shown.as_str();
            while let Some(at) = rest.find(is_obeyed) {
                let length = colours_length(&rest[at..]);
                prop_assert!(length > 0, "{shown:?}");
                rest = &rest[at + length..];
            }
        }

        #[test]
        fn however_it_is_cut_each_byte_comes_once(
            pieces in proptest::collection::vec(("[ab]", "[x\n]{0,9}"), 0..20)
        ) {
            let mut cutter = Cutter::default();
            let mut lines = Vec::new();
            for (run, piece) in &pieces {
                lines.extend(cutter.push(&chunk(run, piece.as_bytes())));
            }
            for line in &lines {
                prop_assert_eq!(line.chunk.data.iter().filter(|byte| **byte == b'\n').count(), 1);
            }
            lines.extend(cutter.rest_of("a"));
            lines.extend(cutter.rest());
            for wanted in ["a", "b"] {
                let all: String = pieces.iter().filter(|(run, _)| run == wanted).map(|(_, piece)| piece.as_str()).collect();
                let told: Vec<u8> =
                    lines.iter().filter(|line| line.chunk.run_id == wanted).flat_map(|line| line.chunk.data.clone()).collect();
                prop_assert_eq!(told, all.into_bytes());
            }
        }
    }
}
