//! The last lines that a process has printed.

use std::collections::VecDeque;

use logs::{LogStore, ReadError};
use units::{Name, RunId};

use crate::doors::last_lines::{self, Told};

/// How many where nobody says.
const USUAL: i32 = 100;
/// Bytes in one answer: a client takes 4 MiB at most where it was not told otherwise.
const MOST: usize = 3 << 20;

/// How many lines are meant; none where that is no number of lines.
pub(super) fn wanted(how_far: i32) -> Option<u64> {
    u64::try_from(if how_far == 0 { USUAL } else { how_far }).ok()
}

/// The last lines of a run, with their newlines. May block.
pub(super) fn last(
    logs: &LogStore,
    (name, run): (&Name, RunId),
    wanted: u64,
) -> Result<Vec<String>, ReadError> {
    let mut tail = Tail::new(wanted);
    last_lines::tell(logs, (name, &[run]), wanted, |told| {
        tail.push(match told {
            Told::Line { line, whole } => {
                let mut text = String::from_utf8_lossy(&line.bytes).into_owned();
                if whole {
                    text.push('\n');
                }
                text
            }
            Told::Gap(bytes) => format!("[{bytes} bytes are missing here]\n"),
        });
    })?;
    Ok(tail.told())
}

/// So many lines, and no more than fit.
struct Tail {
    lines: VecDeque<String>,
    wanted: usize,
    bytes: usize,
    too_much: bool,
}

impl Tail {
    fn new(wanted: u64) -> Self {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Self { lines: VecDeque::new(), wanted, bytes: 0, too_much: false }
    }

    fn push(&mut self, line: String) {
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back(line);
        while self.lines.len() > self.wanted || (self.bytes > MOST && self.lines.len() > 1) {
            self.too_much |= self.lines.len() <= self.wanted;
            let gone = self.lines.pop_front().unwrap_or_default();
            self.bytes = self.bytes.saturating_sub(gone.len());
        }
    }

    fn told(mut self) -> Vec<String> {
        if self.too_much {
            let text = format!(
                "[earlier lines are left out: an answer has {MOST} bytes at most; aer logs has them]\n"
            );
            self.lines.push_front(text);
        }
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_is_a_number_of_lines() {
        assert_eq!((wanted(0), wanted(7), wanted(-1)), (Some(100), Some(7), None));
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut tail = Tail::new(2);
        (0..5).for_each(|line| tail.push(format!("{line}\n")));
        assert_eq!(tail.told(), ["3\n", "4\n"]);
        let mut tail = Tail::new(100_000);
        (0..100).for_each(|_| tail.push("x".repeat(64 << 10)));
        let told = tail.told();
        assert!(told[0].contains("left out"), "{}", told[0]);
        assert!(told.iter().map(String::len).sum::<usize>() <= MOST + 200);
    }
}
