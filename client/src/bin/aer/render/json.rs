//! Answers for programs. Names are those of the .proto files and stay as they are; 64-bit integers are
//! numbers, enumerations lower-case words, moments nanoseconds since the Unix epoch. A key whose value is not
//! known is null; of an exit's causes only the one that applies is there, and `…_bytes` (base64) only where
//! the text beside it had to replace bytes that are not UTF-8.

mod executable;
mod schedule;
mod units;

use api::{
    meta, observe,
    runtime::{self, exit_record},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::lines::Line;

pub(crate) use self::{
    schedule::{Changed, ExportLine, Imported, Registration, Repaired},
    units::{Forgotten, Inspected, Listed, Sent, Started, Stopped, Waited, WatchLine},
};

#[derive(Serialize)]
struct Meta {
    name: String,
    message: String,
}

#[derive(Serialize)]
struct Process {
    pid: i32,
}

/// The answer of Observe.Status.
#[derive(Serialize)]
pub(crate) struct Status {
    meta: Option<Meta>,
    version: String,
    healthy: bool,
    problems: Vec<String>,
    daemon_pid: i32,
    keeper_pid: i32,
    started_at: i64,
    daemon_starts: u32,
    runs_live: u64,
    runs_total: u64,
    spawn_method: String,
    tracking: String,
    cgroup: String,
    previous_daemon: String,
    enabled: u64,
    disabled: u64,
}

/// The answer of Runtime.Exec.
#[derive(Serialize)]
pub(crate) struct Executed {
    meta: Option<Meta>,
    proc: Option<Process>,
    status: String,
    stdout: String,
    stderr: String,
    exit_code: String,
    exit: Option<Exit>,
    run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_bytes: Option<String>,
    stdout_omitted: u64,
    stderr_omitted: u64,
}

/// How a run ended.
#[derive(Serialize)]
struct Exit {
    run_id: String,
    name: String,
    pid: i32,
    #[serde(flatten)]
    cause: Option<Cause>,
    core_dumped: bool,
    out_of_memory: Option<bool>,
    started_at: i64,
    ended_at: i64,
    usage: Option<Usage>,
    stdout_total: u64,
    stderr_total: u64,
    leftovers: String,
    stopped_by: Option<Origin>,
    started_by: Option<Origin>,
    comment: String,
    restarts: u32,
    last_line: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line_bytes: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Code(i32),
    Signal(i32),
    Failure { stage: String, error_number: i32, message: String },
    Lost(String),
}

#[derive(Serialize)]
struct Usage {
    user_time_ns: Option<u64>,
    system_time_ns: Option<u64>,
    memory_peak_bytes: Option<u64>,
    largest_resident_bytes: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Origin {
    door: String,
    identity: String,
    reason: String,
}

/// A piece of a log.
#[derive(Serialize)]
pub(crate) struct Chunk {
    name: String,
    run_id: String,
    channel: String,
    timestamp: i64,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_bytes: Option<String>,
    /// It goes on with a line of a piece before: who has not got that has the rest of one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    /// A part of a line of which more is to come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continued: bool,
}

/// A line that says what is missing in a log.
#[derive(Serialize)]
pub(crate) struct GapLine {
    gap: Gap,
}

#[derive(Serialize)]
struct Gap {
    bytes: u64,
    entries: u64,
    message: String,
    name: String,
    run_id: String,
}

/// A line that says which of several logs cannot be read.
#[derive(Serialize)]
pub(crate) struct FailureLine {
    failure: Unread,
}

#[derive(Serialize)]
struct Unread {
    name: String,
    message: String,
}

/// The last line of a run's log.
#[derive(Serialize)]
pub(crate) struct ExitLine {
    exit: Exit,
}

// === impl From ===

impl From<&meta::AuraeMeta> for Meta {
    fn from(meta: &meta::AuraeMeta) -> Self {
        Self { name: meta.name.clone(), message: meta.message.clone() }
    }
}

impl From<&observe::StatusResponse> for Status {
    fn from(answer: &observe::StatusResponse) -> Self {
        Self {
            meta: answer.meta.as_ref().map(Meta::from),
            version: answer.version.clone(),
            healthy: answer.healthy,
            problems: answer.problems.clone(),
            daemon_pid: answer.daemon_pid,
            keeper_pid: answer.keeper_pid,
            started_at: answer.started_at,
            daemon_starts: answer.daemon_starts,
            runs_live: answer.runs_live,
            runs_total: answer.runs_total,
            spawn_method: answer.spawn_method.clone(),
            tracking: answer.tracking.clone(),
            cgroup: answer.cgroup.clone(),
            previous_daemon: answer.previous_daemon.clone(),
            enabled: answer.enabled,
            disabled: answer.disabled,
        }
    }
}

impl From<&runtime::ExecutableStatus> for Executed {
    fn from(answer: &runtime::ExecutableStatus) -> Self {
        Self {
            meta: answer.meta.as_ref().map(Meta::from),
            proc: answer.proc.as_ref().map(|process| Process { pid: process.pid }),
            status: word("STATUS_", answer.status, |number| {
                meta::Status::try_from(number).ok().map(|status| status.as_str_name())
            }),
            stdout: answer.stdout.clone(),
            stderr: answer.stderr.clone(),
            exit_code: answer.exit_code.clone(),
            exit: answer.exit.as_ref().map(Exit::from),
            run_id: answer.run_id.clone(),
            stdout_bytes: base64_unless_empty(&answer.stdout_bytes),
            stderr_bytes: base64_unless_empty(&answer.stderr_bytes),
            stdout_omitted: answer.stdout_omitted,
            stderr_omitted: answer.stderr_omitted,
        }
    }
}

impl From<&runtime::ExitRecord> for Exit {
    fn from(record: &runtime::ExitRecord) -> Self {
        Self {
            run_id: record.run_id.clone(),
            name: record.name.clone(),
            pid: record.pid,
            cause: record.cause.as_ref().map(Cause::from),
            core_dumped: record.core_dumped,
            out_of_memory: record.out_of_memory,
            started_at: record.started_at,
            ended_at: record.ended_at,
            usage: record.usage.as_ref().map(Usage::from),
            stdout_total: record.stdout_total,
            stderr_total: record.stderr_total,
            leftovers: word("LEFTOVERS_", record.leftovers, |number| {
                runtime::Leftovers::try_from(number).ok().map(|left| left.as_str_name())
            }),
            stopped_by: record.stopped_by.as_ref().map(Origin::from),
            started_by: record.started_by.as_ref().map(Origin::from),
            comment: record.comment.clone(),
            restarts: record.restarts,
            last_line: String::from_utf8_lossy(&record.last_line).into_owned(),
            last_line_bytes: base64_unless_text(&record.last_line),
        }
    }
}

impl From<&exit_record::Cause> for Cause {
    fn from(cause: &exit_record::Cause) -> Self {
        match cause {
            exit_record::Cause::Code(code) => Self::Code(*code),
            exit_record::Cause::Signal(signal) => Self::Signal(*signal),
            exit_record::Cause::Failure(failure) => Self::Failure {
                stage: word("START_STAGE_", failure.stage, |number| {
                    runtime::StartStage::try_from(number).ok().map(|stage| stage.as_str_name())
                }),
                error_number: failure.error_number,
                message: failure.message.clone(),
            },
            exit_record::Cause::Lost(sentence) => Self::Lost(sentence.clone()),
        }
    }
}

impl From<&runtime::ResourceUsage> for Usage {
    fn from(usage: &runtime::ResourceUsage) -> Self {
        Self {
            user_time_ns: usage.user_time_ns,
            system_time_ns: usage.system_time_ns,
            memory_peak_bytes: usage.memory_peak_bytes,
            largest_resident_bytes: usage.largest_resident_bytes,
            read_bytes: usage.read_bytes,
            written_bytes: usage.written_bytes,
        }
    }
}

impl From<&runtime::Origin> for Origin {
    fn from(origin: &runtime::Origin) -> Self {
        Self {
            door: origin.door.clone(),
            identity: origin.identity.clone(),
            reason: origin.reason.clone(),
        }
    }
}

impl From<&observe::LogChunk> for Chunk {
    fn from(chunk: &observe::LogChunk) -> Self {
        Self {
            name: chunk.name.clone(),
            run_id: chunk.run_id.clone(),
            channel: word("CHANNEL_", chunk.channel, |number| {
                let channel = observe::LogChannelType::try_from(number).ok();
                channel.map(|channel| channel.as_str_name())
            }),
            timestamp: chunk.timestamp,
            data: String::from_utf8_lossy(&chunk.data).into_owned(),
            data_bytes: base64_unless_text(&chunk.data),
            continues: chunk.continues,
            continued: false,
        }
    }
}

impl From<&Line> for Chunk {
    fn from(line: &Line) -> Self {
        Self { continued: line.continued, ..Self::from(&line.chunk) }
    }
}

impl From<&observe::LogGap> for GapLine {
    fn from(gap: &observe::LogGap) -> Self {
        let observe::LogGap { bytes, entries, message, name, run_id } = gap.clone();
        Self { gap: Gap { bytes, entries, message, name, run_id } }
    }
}

impl From<&observe::LogFailure> for FailureLine {
    fn from(failure: &observe::LogFailure) -> Self {
        let observe::LogFailure { name, message } = failure.clone();
        Self { failure: Unread { name, message } }
    }
}

impl From<&runtime::ExitRecord> for ExitLine {
    fn from(record: &runtime::ExitRecord) -> Self {
        Self { exit: Exit::from(record) }
    }
}

/// `CHANNEL_STDOUT` as `stdout`, `UNIT_RESULT_EXIT_CODE` as `exit-code`, as on the command line and in files; a number that this client does not know yet as `unknown_7`.
pub(super) fn word(
    prefix: &str,
    number: i32,
    name: impl Fn(i32) -> Option<&'static str>,
) -> String {
    name(number).map_or_else(
        || format!("unknown_{number}"),
        |name| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', "-"),
    )
}

fn base64_unless_empty(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| BASE64_STANDARD.encode(bytes))
}

fn base64_unless_text(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).is_err().then(|| BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests;
