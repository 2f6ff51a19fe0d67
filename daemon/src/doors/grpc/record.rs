//! From the core's records to the wire's.

use api::runtime::{
    self, Leftovers as WireLeftovers, ResourceUsage, StartFailure as WireFailure,
    UnitState as WireState, exit_record,
};
use units::{Cause, ExitRecord, Leftovers, Origin, UnitState};

/// Microseconds to nanoseconds.
const NANOSECONDS: u64 = 1000;

/// The record as the wire has it.
pub(super) fn record(record: &ExitRecord) -> runtime::ExitRecord {
    let usage = &record.usage;
    let account = &record.account;
    let ran = !matches!(record.cause, Cause::Failed(_));
    // The cgroup counts all processes; without one, the main process and what it waited for.
    let own = |value: u64| ran.then_some(value);
    let nanoseconds = |value: u64| value.saturating_mul(NANOSECONDS);
    let (cause, core_dumped) = cause(&record.cause);
    runtime::ExitRecord {
        run_id: record.run.to_string(),
        name: record.name.to_string(),
        comment: record.comment.clone(),
        pid: record.pid,
        core_dumped,
        out_of_memory: account.out_of_memory,
        started_at: record.started_at,
        ended_at: record.ended_at,
        usage: Some(ResourceUsage {
            user_time_ns: account.user_time.or(own(usage.user_time)).map(nanoseconds),
            system_time_ns: account.system_time.or(own(usage.system_time)).map(nanoseconds),
            memory_peak_bytes: account.memory_peak,
            // Unknown: a process is born sharing our memory, and at execve(2) the kernel counts the peak of
            // that as its own (exec_mmap, setmax_mm_hiwater_rss), so ru_maxrss tells of us.
            largest_resident_bytes: None,
            read_bytes: account.read_bytes,
            written_bytes: account.written_bytes,
        }),
        stdout_total: account.stdout_total,
        stderr_total: account.stderr_total,
        leftovers: match record.leftovers {
            Leftovers::None => WireLeftovers::None,
            Leftovers::Terminated => WireLeftovers::Terminated,
            Leftovers::Killed => WireLeftovers::Killed,
            Leftovers::Left => WireLeftovers::Left,
        }
        .into(),
        stopped_by: record.stopped_by.as_ref().map(origin),
        started_by: Some(origin(&record.started_by)),
        cause: Some(cause),
        restarts: record.restarts,
        last_line: account.last_line.clone().unwrap_or_default(),
    }
}

/// Where a unit stands.
pub(super) fn state(state: UnitState) -> WireState {
    match state {
        UnitState::Inactive => WireState::Inactive,
        UnitState::Before(_) => WireState::Before,
        UnitState::Starting => WireState::Starting,
        UnitState::After(_) => WireState::After,
        UnitState::Running => WireState::Running,
        UnitState::Reloading => WireState::Reloading,
        UnitState::Exited => WireState::Exited,
        UnitState::Stopping => WireState::Stopping,
        UnitState::Waiting => WireState::Waiting,
        UnitState::Failed => WireState::Failed,
    }
}

fn cause(cause: &Cause) -> (exit_record::Cause, bool) {
    match cause {
        Cause::Exited(status) => (exit_record::Cause::Code(*status), false),
        Cause::Signalled { signal, core_dumped } => {
            (exit_record::Cause::Signal(*signal), *core_dumped)
        }
        Cause::Failed(failure) => {
            let failure = WireFailure {
                stage: failure.stage,
                error_number: failure.errno,
                message: failure.message.clone(),
            };
            (exit_record::Cause::Failure(failure), false)
        }
        Cause::Lost(what) => (exit_record::Cause::Lost(what.clone()), false),
    }
}

pub(super) fn origin(origin: &Origin) -> runtime::Origin {
    runtime::Origin {
        door: origin.door.to_string(),
        identity: origin.identity.clone(),
        reason: origin.reason.clone(),
    }
}

/// The end of a run that only its log remembers.
pub(super) fn from_log(
    run: units::RunId,
    pid: Option<i32>,
    started: Option<u64>,
    end: &logs::End,
) -> runtime::ExitRecord {
    let time = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let (cause, core_dumped) = match end.cause {
        logs::Cause::Exited => (exit_record::Cause::Code(end.value), false),
        logs::Cause::Killed => (exit_record::Cause::Signal(end.value), false),
        logs::Cause::Dumped => (exit_record::Cause::Signal(end.value), true),
        logs::Cause::Failed => {
            let message = "its log has no more than the stage that failed".to_owned();
            let failure = WireFailure { stage: end.value, error_number: 0, message };
            (exit_record::Cause::Failure(failure), false)
        }
        logs::Cause::Lost => (exit_record::Cause::Lost("its daemon died".to_owned()), false),
    };
    runtime::ExitRecord {
        run_id: run.to_string(),
        pid: pid.unwrap_or(0),
        core_dumped,
        started_at: started.map_or(0, time),
        ended_at: time(end.time),
        cause: Some(cause),
        ..runtime::ExitRecord::default()
    }
}

/// `exit_code` as the wire wants it: the bare status, 128 + signal, or nothing.
pub(super) fn exit_code(cause: &Cause) -> String {
    match cause {
        Cause::Exited(status) => status.to_string(),
        Cause::Signalled { signal, .. } => (128 + signal).to_string(),
        Cause::Failed(_) | Cause::Lost(_) => String::new(),
    }
}
