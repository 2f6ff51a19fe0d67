//! An Exec's answer: the end of the run, with the first bytes that it printed.

use api::{
    meta::{AuraeMeta, ProcessMeta, Status as State},
    runtime::{ExecutableStatus, exit_record::Cause as WireCause},
};
use logs::{End, Filter, GapReason, Item, Located, LogName, Position, Stream};
use tonic::Status;
use units::{Cause, ExitRecord};

use super::{
    follow::{Follow, blocking, gap_in_words},
    record::{exit_code, from_log, record as on_the_wire},
    status::unreadable,
};
use crate::doors::Core;

/// Bytes of each stream in an Exec's answer (aurae-api: "each stream's first 512 KiB").
const ANSWERED: usize = 512 << 10;

/// The first bytes of each output.
#[derive(Default)]
pub(super) struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What is missing, in words.
    gaps: Vec<String>,
}

/// Reads them.
pub(super) async fn read_output(
    core: &Core,
    log: LogName,
    record: &ExitRecord,
) -> Result<Output, Status> {
    let account = &record.account;
    if account.stdout_total == 0 && account.stderr_total == 0 {
        return Ok(Output::default());
    }
    let filter = Filter { run: Some(record.run), stream: None };
    let mut reader = core.logs.reader(log, Position(account.log_first), filter);
    let end = account.log_end;
    let read = blocking(move || {
        let mut output = Output::default();
        while output.stdout.len() < ANSWERED || output.stderr.len() < ANSWERED {
            match reader.next(ANSWERED) {
                Ok(Some(Item::Chunk { stream, bytes, .. })) => output.keep(stream, &bytes),
                Ok(Some(Item::Gap { bytes, reason, .. })) => {
                    output.gaps.push(format!("{bytes} bytes: {}", gap_in_words(reason)));
                }
                Ok(Some(Item::Start { .. })) => {}
                Ok(Some(Item::End { .. }) | None) => break,
                // The program has run, and how it ended is known.
                Err(why) => {
                    output.gaps.push(unshown(&unreadable(&why)));
                    break;
                }
            }
            if reader.position().0 > end {
                break;
            }
        }
        output
    });
    read.await
}

/// What is told in the place of output that cannot be read.
pub(super) fn unshown(why: &Status) -> String {
    format!("the rest of it cannot be shown: {}", why.message())
}

/// The answer.
pub(super) fn answer(record: &ExitRecord, output: Output) -> ExecutableStatus {
    let (status, mut message) = match &record.cause {
        Cause::Exited(_) | Cause::Signalled { .. } => (State::Complete, String::new()),
        Cause::Failed(failure) => (State::Error, failure.message.clone()),
        Cause::Lost(what) => (State::Error, what.clone()),
    };
    let mut output = output;
    if output.gaps.is_empty() && record.account.lost > 0 {
        output.gaps.push(format!(
            "{} bytes: {}",
            record.account.lost,
            gap_in_words(GapReason::NotWritten)
        ));
    }
    if !output.gaps.is_empty() {
        message = format!("{message}output is missing: {}", output.gaps.join("; "));
    }
    let omitted = |total: u64, kept: &[u8]| {
        total.saturating_sub(u64::try_from(kept.len()).unwrap_or(u64::MAX))
    };
    let (stdout_omitted, stderr_omitted) = (
        omitted(record.account.stdout_total, &output.stdout),
        omitted(record.account.stderr_total, &output.stderr),
    );
    let (stdout, stdout_bytes) = text(output.stdout);
    let (stderr, stderr_bytes) = text(output.stderr);
    ExecutableStatus {
        meta: Some(AuraeMeta { name: record.name.to_string(), message }),
        proc: Some(ProcessMeta { pid: record.pid }),
        status: status.into(),
        stdout,
        stderr,
        exit_code: exit_code(&record.cause),
        exit: Some(on_the_wire(record)),
        run_id: record.run.to_string(),
        stdout_bytes,
        stderr_bytes,
        stdout_omitted,
        stderr_omitted,
    }
}

/// The answer about a run that only its log remembers.
pub(super) async fn answer_from_log(
    located: &Located,
    end: &End,
    mut follow: Follow,
) -> Result<ExecutableStatus, Status> {
    let mut exit = from_log(located.run, located.pid, located.started, end);
    let mut output = Output::default();
    let mut over = false;
    while !over {
        let items = follow.batch().await.unwrap_or_else(|why| {
            output.gaps.push(unshown(&why));
            Vec::new()
        });
        over = items.is_empty();
        for item in items {
            match item {
                Item::Chunk { stream, bytes, .. } => {
                    let total = match stream {
                        Stream::Stdout => &mut exit.stdout_total,
                        Stream::Stderr => &mut exit.stderr_total,
                    };
                    *total = total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    output.keep(stream, &bytes);
                }
                Item::Gap { bytes, reason, .. } => {
                    output.gaps.push(format!("{bytes} bytes: {}", gap_in_words(reason)));
                }
                Item::Start { .. } => {}
                Item::End { .. } => over = true,
            }
        }
    }
    let (status, exit_code) = match exit.cause {
        Some(WireCause::Code(code)) => (State::Complete, code.to_string()),
        Some(WireCause::Signal(signal)) => (State::Complete, (128 + signal).to_string()),
        Some(WireCause::Failure(_) | WireCause::Lost(_)) | None => (State::Error, String::new()),
    };
    let mut message = "only its log remembers it".to_owned();
    if !output.gaps.is_empty() {
        message = format!("{message}; output is missing: {}", output.gaps.join("; "));
    }
    let omitted = |total: u64, kept: &[u8]| {
        total.saturating_sub(u64::try_from(kept.len()).unwrap_or(u64::MAX))
    };
    let (stdout_omitted, stderr_omitted) =
        (omitted(exit.stdout_total, &output.stdout), omitted(exit.stderr_total, &output.stderr));
    let (stdout, stdout_bytes) = text(output.stdout);
    let (stderr, stderr_bytes) = text(output.stderr);
    Ok(ExecutableStatus {
        meta: Some(AuraeMeta { name: located.run.to_string(), message }),
        proc: Some(ProcessMeta { pid: exit.pid }),
        status: status.into(),
        run_id: located.run.to_string(),
        exit: Some(exit),
        exit_code,
        stdout,
        stderr,
        stdout_bytes,
        stderr_bytes,
        stdout_omitted,
        stderr_omitted,
    })
}

impl Output {
    /// Keeps these bytes, as far as there is room.
    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = ANSWERED.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

/// The text, and where it is not exact, the bytes.
fn text(bytes: Vec<u8>) -> (String, Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(not) => (String::from_utf8_lossy(not.as_bytes()).into_owned(), not.into_bytes()),
    }
}
