//! Where the reading of a log goes on, and how that is written.
//!
//! A place is a position, and where the reading began in the middle of things also what of the bytes behind it is not
//! wanted: lines of several outputs lie between each other, so the last ten lines are no straight piece of the log. All of
//! that is in the text of a place, so that whoever goes on from it reads what he would have read without a break.
//!
//! # The text
//! `LOG@POSITION`, the position in hexadecimal. Where something is not wanted there follows `!POSITION`, from where on every
//! output is, and for each output that is wanted earlier or later `!RUN.STREAM.POSITION`, with `o` or `e` for the stream.
//! Several logs are joined by commas. None of these characters but `@` can be in a name, and the last `@` counts.

use std::fmt::Write as _;

use units::RunId;

use crate::name::{LogName, Position, Stream};

/// Where the reading of a log goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Nothing before this is wanted.
    pub position: Position,
    /// What of the rest is not.
    pub(crate) trim: Option<Trim>,
}

/// What is wanted of each output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trim {
    /// From where on, where nothing else is said.
    pub(crate) others: u64,
    /// From where on of these.
    pub(crate) outputs: Vec<(RunId, Stream, u64)>,
}

/// The text is not that of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none that a batch carried")]
pub struct NoPlace;

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { position, trim: None }
    }
}

impl Place {
    /// How many of these bytes at the front, which begin at `at`, are not wanted.
    pub(crate) fn unwanted(&self, run: RunId, stream: Stream, at: u64) -> u64 {
        let Some(trim) = &self.trim else { return 0 };
        let own = trim.outputs.iter().find(|(r, s, _)| (*r, *s) == (run, stream));
        own.map_or(trim.others, |(_, _, from)| *from).saturating_sub(at)
    }

    /// Goes on to there. What says nothing about the bytes behind is forgotten.
    pub(crate) fn advance(&mut self, position: Position) {
        self.position = position;
        let furthest = self
            .trim
            .as_ref()
            .map(|trim| trim.outputs.iter().map(|(_, _, from)| *from).fold(trim.others, u64::max));
        if furthest.is_some_and(|furthest| furthest <= position.0) {
            self.trim = None;
        }
    }

    /// The later of the two: what neither leaves out is wanted.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if self.position >= other.position { self } else { other }
    }

    /// Its text.
    #[must_use]
    pub fn cursor(&self, log: &LogName) -> String {
        let mut text = format!("{log}@{:x}", self.position.0);
        if let Some(trim) = &self.trim {
            // Writing to a String does not fail.
            write!(text, "!{:x}", trim.others).ok();
            for (run, stream, from) in &trim.outputs {
                write!(text, "!{run}.{}.{from:x}", letter(*stream)).ok();
            }
        }
        text
    }

    /// The place that this text means, and the name of its log.
    ///
    /// # Errors
    /// If it is no such text.
    pub fn parse(text: &str) -> Result<(&str, Self), NoPlace> {
        let (log, rest) = text.rsplit_once('@').ok_or(NoPlace)?;
        let mut parts = rest.split('!');
        let position = hexadecimal(parts.next().unwrap_or_default())?;
        let Some(others) = parts.next() else {
            return Ok((log, Self { position: Position(position), trim: None }));
        };
        let others = hexadecimal(others)?;
        let outputs = parts.map(output).collect::<Result<_, _>>()?;
        let trim = Some(Trim { others, outputs });
        Ok((log, Self { position: Position(position), trim }))
    }
}

fn output(text: &str) -> Result<(RunId, Stream, u64), NoPlace> {
    let mut parts = text.splitn(3, '.');
    let mut part = || parts.next().ok_or(NoPlace);
    let run = part()?.parse().map_err(|_| NoPlace)?;
    let stream = match part()? {
        "o" => Stream::Stdout,
        "e" => Stream::Stderr,
        _ => return Err(NoPlace),
    };
    Ok((run, stream, hexadecimal(part()?)?))
}

fn letter(stream: Stream) -> char {
    match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
    }
}

/// `from_str_radix` alone would take a sign.
fn hexadecimal(text: &str) -> Result<u64, NoPlace> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || !digits {
        return Err(NoPlace);
    }
    u64::from_str_radix(text, 16).map_err(|_| NoPlace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_place() -> impl Strategy<Value = Place> {
        let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
        let output = (any::<[u8; 16]>().prop_map(RunId::from_bytes), stream, any::<u64>());
        let outputs = proptest::collection::vec(output, 0..4);
        let trim = (any::<u64>(), outputs).prop_map(|(others, outputs)| Trim { others, outputs });
        (any::<u64>(), proptest::option::of(trim))
            .prop_map(|(position, trim)| Place { position: Position(position), trim })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(place in any_place(), name in "[a-z][a-z@:.+-]{0,20}") {
            let log = LogName::Unit(name.parse().unwrap());
            let text = place.cursor(&log);
            prop_assert!(!text.contains(','));
            let name = log.to_string();
            prop_assert_eq!(Place::parse(&text), Ok((name.as_str(), place)));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[a-z@!.0-9oe-]{0,60}") {
            drop(Place::parse(&text));
            drop(Place::parse(&near));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "commands", "commands@", "commands@+1", "commands@1!", "commands@1!2!x"] {
            assert_eq!(Place::parse(text), Err(NoPlace), "{text}");
        }
        let plain = Place::from(Position(31)).cursor(&LogName::Commands);
        assert_eq!(plain, "commands@1f");
    }

    #[test]
    fn what_says_nothing_any_more_is_forgotten() {
        let run = RunId::from_bytes([1; 16]);
        let trim = Trim { others: 50, outputs: vec![(run, Stream::Stdout, 20)] };
        let mut place = Place { position: Position(20), trim: Some(trim) };
        assert_eq!(place.unwanted(run, Stream::Stdout, 20), 0);
        assert_eq!(place.unwanted(run, Stream::Stderr, 20), 30);
        place.advance(Position(49));
        assert!(place.trim.is_some());
        place.advance(Position(50));
        assert_eq!(place, Place::from(Position(50)));
    }
}
