//! The last lines of a unit's log.

use std::collections::VecDeque;

use api::drpc::process::Line;
use logs::{LogStore, ReadError, Stream};
use prost::Message;
use units::Name;

use crate::doors::last_lines::{self, Told};

/// What a line costs in an answer beside itself.
const BESIDE: usize = 8;

/// So many lines, and no more than fit: the oldest go.
struct Tail {
    lines: VecDeque<Line>,
    most: (usize, usize),
    bytes: usize,
}

impl Tail {
    fn push(&mut self, line: Line) {
        let size = |line: &Line| line.encoded_len().saturating_add(BESIDE);
        self.bytes = self.bytes.saturating_add(size(&line));
        self.lines.push_back(line);
        while self.lines.len() > self.most.0 || self.bytes > self.most.1 {
            let Some(gone) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(size(&gone));
        }
    }
}

/// So many lines of all its runs, in so many bytes. May block.
pub(super) fn last(
    logs: &LogStore,
    name: &Name,
    most: (usize, usize),
) -> Result<Vec<Line>, ReadError> {
    let mut tail = Tail { lines: VecDeque::new(), most, bytes: 0 };
    let wanted = u64::try_from(most.0).unwrap_or(u64::MAX);
    last_lines::tell(logs, (name, &[]), wanted, |told| {
        tail.push(match told {
            Told::Line { line: logs::Line { stream, time, mut bytes, .. }, whole } => {
                if whole {
                    bytes.push(b'\n');
                }
                let time = i64::try_from(time).unwrap_or(i64::MAX);
                Line { time, stderr: stream == Stream::Stderr, text: bytes }
            }
            Told::Gap(bytes) => {
                let text = format!("[{bytes} bytes are missing here]\n").into_bytes();
                Line { text, ..Line::default() }
            }
        });
    })?;
    Ok(tail.lines.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_bounded() {
        let mut tail = Tail { lines: VecDeque::new(), most: (3, 1000), bytes: 0 };
        for length in [10, 20, 900, 30, 40, 2000, 50] {
            tail.push(Line { text: vec![b'x'; length], ..Line::default() });
            let all: usize = tail.lines.iter().map(|it| it.encoded_len() + BESIDE).sum();
            assert_eq!(tail.bytes, all);
            assert!(all <= 1000 && tail.lines.len() <= 3);
        }
        assert_eq!(tail.lines.len(), 1);
    }
}
