//! The last lines that match. The daemon gives the last lines there are, whatever they say: it is asked for more of them
//! until enough match, or there are no more.
//!
//! Invariant: the work is bounded. Each attempt looks eight times as far as the one before, so that all of them together
//! cost no more than a seventh more than the last one, and none looks further than [`FURTHEST`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::{
    observe::{LogBatch, LogFailure, LogGap},
    runtime::ExitRecord,
};
use client::{Client, LogSource, LogsQuery};
use regex::bytes::Regex;

use super::{Told, view::is_wanted};
use crate::{
    failure::Failure,
    render::{Cutter, Line, Whose},
};

/// Lines of each log that are looked at first.
const NEAREST: u64 = 1024;
/// And at the most.
const FURTHEST: u64 = 1 << 20;
/// How many times as many the next time.
const FACTOR: u64 = 8;

/// What is to be shown, in its order.
pub(super) enum Event {
    Line(Line),
    Gap(LogGap),
    Exit(Box<ExitRecord>),
}

/// What was found.
pub(super) struct Found {
    pub(super) kept: Kept,
    /// What is asked for next, where it goes on.
    pub(super) behind: LogsQuery,
    pub(super) told: Told,
}

/// The last of what matches.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) events: VecDeque<Event>,
    pub(super) failures: Vec<LogFailure>,
    pub(super) cutter: Cutter,
    pub(super) matched: BTreeSet<Whose>,
    /// So many lines of each log were looked at, and that was not all.
    pub(super) searched: Option<u64>,
    /// Matching lines by their name, and lines in all.
    lines: BTreeMap<String, u64>,
    seen: u64,
}

/// Finds the last `count` lines of each name that match.
pub(super) async fn matching(
    client: &Client,
    query: &LogsQuery,
    count: u64,
    grep: &Regex,
) -> Result<Found, Failure> {
    let mut behind = query.clone();
    let mut look = count.saturating_mul(FACTOR).clamp(NEAREST, FURTHEST.max(count));
    loop {
        let (mut kept, mut told) = (Kept::default(), Told::default());
        let now = LogsQuery { follow: false, last: Some(look), ..behind.clone() };
        let mut batches = client.logs(now).await?;
        let mut cursor = String::new();
        while let Some(batch) = batches.next().await? {
            // Whoever was the newest stays it.
            for (source, run) in behind.sources.iter_mut().zip(&batch.run_ids) {
                if let Ok(run) = run.parse() {
                    *source = LogSource::Run(run);
                }
            }
            if !batch.cursor.is_empty() {
                cursor.clone_from(&batch.cursor);
            }
            told.note(&batch);
            kept.batch(batch, grep);
        }
        if !query.follow || told.has_all(&behind) {
            kept.finish(grep);
        }
        let enough = !kept.lines.is_empty() && kept.lines.values().all(|lines| *lines >= count);
        // Who counts the lines counts those too of which the end has not come.
        let open = u64::try_from(kept.cutter.open_lines()).unwrap_or(u64::MAX);
        let all = kept.seen.saturating_add(open) < look;
        if enough || all || look >= FURTHEST {
            kept.searched = (!enough && !all).then_some(look);
            kept.cut(count);
            (behind.cursor, behind.last) = (cursor, None);
            return Ok(Found { kept, behind, told });
        }
        look = look.saturating_mul(FACTOR).min(FURTHEST);
    }
}

impl Kept {
    fn batch(&mut self, batch: LogBatch, grep: &Regex) {
        self.failures.extend(batch.failures);
        if let Some(gap) = batch.gap {
            let cut = self.cutter.rest_before(&gap);
            self.take(cut, grep);
            self.events.push_back(Event::Gap(gap));
        }
        for chunk in &batch.chunks {
            let lines = self.cutter.push(chunk);
            self.take(lines, grep);
        }
        if let Some(exit) = batch.exit {
            let rest = self.cutter.rest_of(&exit.run_id);
            self.take(rest, grep);
            self.events.push_back(Event::Exit(Box::new(exit)));
        }
    }

    fn take(&mut self, lines: Vec<Line>, grep: &Regex) {
        for line in lines {
            let first = u64::from(!line.begun);
            self.seen = self.seen.saturating_add(first);
            let lines = self.lines.entry(line.chunk.name.clone()).or_default();
            if is_wanted(Some(grep), &mut self.matched, &line) {
                *lines = lines.saturating_add(first);
                self.events.push_back(Event::Line(line));
            }
        }
    }

    /// Nothing more comes.
    fn finish(&mut self, grep: &Regex) {
        let rest = self.cutter.rest();
        self.take(rest, grep);
    }

    /// Takes off what is too much of each name, and what was missing before it.
    fn cut(&mut self, count: u64) {
        let mut surplus = std::mem::take(&mut self.lines);
        surplus.values_mut().for_each(|lines| *lines = lines.saturating_sub(count));
        let mut going = BTreeSet::new();
        self.events.retain(|event| match event {
            Event::Line(line) => {
                if line.begun {
                    // The parts of a line go together.
                    return !going.contains(&line.whose());
                }
                let goes = surplus.get_mut(&line.chunk.name).filter(|left| **left > 0);
                match goes {
                    Some(left) => {
                        *left -= 1;
                        going.insert(line.whose());
                        false
                    }
                    None => {
                        going.remove(&line.whose());
                        true
                    }
                }
            }
            Event::Gap(gap) => surplus.get(&gap.name).is_none_or(|left| *left == 0),
            Event::Exit(_) => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use api::observe::LogChunk;
    use proptest::prelude::*;

    use super::*;

    fn batch(name: &str, text: &str) -> LogBatch {
        let chunk = LogChunk {
            run_id: name.to_owned(),
            name: name.to_owned(),
            data: text.to_owned().into_bytes().into(),
            ..LogChunk::default()
        };
        LogBatch { chunks: vec![chunk], ..LogBatch::default() }
    }

    proptest! {
        /// What is kept of each name are the last lines that match, in the order in which they came.
        #[test]
        fn the_last_that_match_are_kept(
            lines in proptest::collection::vec(("[ab]", "[xy]{1,3}"), 0..40), count in 0..9_u64,
        ) {
            let grep = Regex::new("x").unwrap();
            let mut kept = Kept::default();
            for (name, line) in &lines {
                kept.batch(batch(name, &format!("{line}\n")), &grep);
            }
            prop_assert_eq!(kept.seen, lines.len() as u64);
            kept.finish(&grep);
            kept.cut(count);
            let mut left = BTreeMap::from([("a", count), ("b", count)]);
            let mut expected: Vec<String> = Vec::new();
            for (name, line) in lines.iter().rev().filter(|(_, line)| line.contains('x')) {
                let left = left.get_mut(name.as_str()).unwrap();
                if *left > 0 {
                    *left -= 1;
                    expected.push(format!("{name}{line}"));
                }
            }
            expected.reverse();
            let told = kept.events.iter().map(|event| match event {
                Event::Line(line) => {
                    format!("{}{}", line.chunk.name, String::from_utf8_lossy(line.text()))
                }
                Event::Gap(_) | Event::Exit(_) => panic!("there is none"),
            });
            prop_assert_eq!(told.collect::<Vec<_>>(), expected);
        }
    }
}
