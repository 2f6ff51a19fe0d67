//! A run whose output is being kept, as the writer has it.

use units::RunId;

use crate::{
    behind::Behind,
    entry::{End, Kind},
    log::Log,
    name::{LogName, Position, Stream},
    recent::Recent,
    store::Finished,
    trace::Trace,
};

/// Bytes of the last line that are told.
const LAST_LINE: u64 = 256;

/// A live run.
#[derive(Debug)]
pub(crate) struct LiveRun {
    id: RunId,
    pub(crate) log: LogName,
    /// The tokens of its pipes that are open.
    pub(crate) pipes: Vec<u64>,
    first: Option<Position>,
    stdout: u64,
    stderr: u64,
    lost: u64,
    /// Its start is in the index.
    started: bool,
    /// An end is in the index, and nothing was moved since: a predecessor died after it had written it.
    ended: bool,
    /// Where its last bytes are.
    last: (u64, u64),
    /// Where the last bytes of each of its outputs lie.
    behind: [Option<Behind>; 2],
    problem: Option<String>,
}

impl LiveRun {
    pub(crate) fn new(id: RunId, log: LogName, pipes: Vec<u64>) -> Self {
        Self {
            id,
            log,
            pipes,
            first: None,
            stdout: 0,
            stderr: 0,
            lost: 0,
            started: false,
            ended: false,
            last: (0, 0),
            behind: [None; 2],
            problem: None,
        }
    }

    /// What a predecessor wrote of it counts.
    pub(crate) fn resume(&mut self, trace: Trace, recent: &Recent) {
        self.first = Some(trace.first);
        (self.stdout, self.stderr) = (trace.stdout, trace.stderr);
        self.ended = trace.ended.is_some();
        self.behind = trace.behind;
        recent.begins(self.id, trace.first);
        if let Some(started) = trace.started {
            self.started = true;
            recent.started(self.id, started.pid, started.time);
        }
    }

    /// Something about it went wrong.
    pub(crate) fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Something of it is about to be written.
    pub(crate) fn begin(&mut self, log: &mut Log, recent: &Recent) {
        if self.first.is_none() {
            let first = log.end();
            self.first = Some(first);
            recent.begins(self.id, first);
        }
    }

    pub(crate) fn start(&mut self, pid: i32, time: u64, log: &mut Log, recent: &Recent) {
        if !std::mem::replace(&mut self.started, true) {
            self.begin(log, recent);
            log.mark(self.id, time, Kind::Start { pid });
        }
    }

    /// Where the last bytes of this output lie.
    pub(crate) fn behind(&self, stream: Stream) -> Option<Behind> {
        let [stdout, stderr] = self.behind;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    /// Bytes of it were moved.
    pub(crate) fn count(&mut self, stream: Stream, kept: usize, lost: usize, log: &Log) {
        let [kept, lost] = [kept, lost].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let [out_behind, err_behind] = &mut self.behind;
        let (total, behind) = match stream {
            Stream::Stdout => (&mut self.stdout, out_behind),
            Stream::Stderr => (&mut self.stderr, err_behind),
        };
        *total = total.saturating_add(kept);
        if kept > 0 {
            *behind = log.behind();
        }
        self.ended = false;
        if lost > 0 {
            self.lost = self.lost.saturating_add(lost);
            self.note(log.trouble().unwrap_or_default().to_owned());
        }
        if kept > 0 {
            let to = log.written().0;
            let from = to.saturating_sub(kept);
            let joins = self.last.1 == from;
            self.last = (if joins { self.last.0 } else { from }, to);
        }
    }

    /// Its pipes are empty: writes the end.
    pub(crate) fn end(mut self, end: End, log: &mut Log, recent: &Recent) -> Finished {
        self.begin(log, recent);
        let End { cause, value, time } = end;
        let kind = Kind::End { cause, value, stdout: self.stdout, stderr: self.stderr };
        let stands = if self.ended { log.end() } else { log.mark(self.id, time, kind) };
        self.so_far(stands, log)
    }

    /// All that is known of it when its pipes have ended, with the place of its end, or where that will not lie before.
    pub(crate) fn so_far(&mut self, stands: Position, log: &mut Log) -> Finished {
        if let Some(trouble) = log.trouble() {
            let trouble = trouble.to_owned();
            self.note(trouble);
        }
        let lost = self.lost;
        let problem = self.problem.clone().map(|problem| match lost {
            0 => problem,
            lost => format!("{lost} bytes of output are lost: {problem}"),
        });
        let (from, to) = self.last;
        // Twice as much, for the newlines at the end.
        let tail = if to > from { log.read_back(from, to, 2 * LAST_LINE) } else { None };
        Finished {
            run: self.id,
            log: self.log.clone(),
            stdout_total: self.stdout,
            stderr_total: self.stderr,
            first: self.first.unwrap_or(stands),
            end: stands,
            last_line: tail.as_deref().and_then(last_line),
            problem,
            lost,
        }
    }
}

/// The last line that is not blank, or its last bytes.
fn last_line(tail: &[u8]) -> Option<Vec<u8>> {
    let line = tail.trim_ascii_end().rsplit(|&byte| byte == b'\n').next()?;
    let most = usize::try_from(LAST_LINE).unwrap_or(usize::MAX);
    let line = line.get(line.len().saturating_sub(most)..)?;
    (!line.is_empty()).then(|| line.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        assert_eq!(last_line(b"one\ntwo\n"), Some(b"two".to_vec()));
        assert_eq!(last_line(b"one\ntwo\r\n\n \n"), Some(b"two".to_vec()));
        assert_eq!(last_line(b"one\ntw"), Some(b"tw".to_vec()));
        assert_eq!(last_line(b"\n\n"), None);
        assert_eq!(last_line(&[b'x'; 500]), Some(vec![b'x'; 256]));
    }
}
