//! Runs, live and ended, as the ledger has them, and back. What is missing something gives nothing.

use std::{sync::Arc, time::Duration};

use units::{
    Account, Cause, ExitRecord, Origin, ProcessExit, ProcessUsage, RunId, StartFailure,
    kept::{Identity, KeptBelonging, KeptEnd, KeptRun, Listener},
};

use super::{
    wire,
    words::{
        from_end, from_leftovers, from_role, from_stage, nanoseconds, to_end, to_leftovers,
        to_role, to_stage,
    },
};

pub(super) fn to_id(bytes: &[u8]) -> Option<RunId> {
    bytes.try_into().ok().map(RunId::from_bytes)
}

pub(super) fn from_origin(origin: &Origin) -> wire::Origin {
    let Origin { door, identity, reason } = origin;
    wire::Origin { door: door.to_string(), identity: identity.clone(), reason: reason.clone() }
}

pub(super) fn to_origin(origin: wire::Origin) -> Option<Origin> {
    let wire::Origin { door, identity, reason } = origin;
    Some(Origin { door: door.parse().ok()?, identity, reason })
}

/// Nothing where there is none; and what is there must be one.
pub(super) fn optional<T, U>(
    wire: Option<T>,
    to: impl FnOnce(T) -> Option<U>,
) -> Option<Option<U>> {
    match wire {
        None => Some(None),
        Some(wire) => to(wire).map(Some),
    }
}

fn from_failure(failure: &StartFailure) -> wire::Cause {
    let StartFailure { stage, errno, message } = failure;
    wire::Cause { how: 4, number: *stage, errno: *errno, text: message.clone() }
}

fn to_failure(cause: wire::Cause) -> Option<StartFailure> {
    let wire::Cause { how, number: stage, errno, text: message } = cause;
    (how == 4).then_some(StartFailure { stage, errno, message })
}

fn from_cause(cause: &Cause) -> wire::Cause {
    let of = |how, number| wire::Cause { how, number, errno: 0, text: String::new() };
    match cause {
        Cause::Exited(status) => of(1, *status),
        Cause::Signalled { signal, core_dumped: false } => of(2, *signal),
        Cause::Signalled { signal, core_dumped: true } => of(3, *signal),
        Cause::Failed(failure) => from_failure(failure),
        Cause::Lost(why) => wire::Cause { how: 5, number: 0, errno: 0, text: why.clone() },
    }
}

fn to_cause(cause: wire::Cause) -> Option<Cause> {
    Some(match cause.how {
        1 => Cause::Exited(cause.number),
        2 => Cause::Signalled { signal: cause.number, core_dumped: false },
        3 => Cause::Signalled { signal: cause.number, core_dumped: true },
        4 => Cause::Failed(to_failure(cause)?),
        5 => Cause::Lost(cause.text),
        _ => return None,
    })
}

fn from_exit(exit: &ProcessExit) -> wire::Exit {
    let ProcessExit { cause, at, usage: ProcessUsage { user_time, system_time } } = exit;
    let (user_time, system_time) = (*user_time, *system_time);
    wire::Exit { cause: Some(from_cause(cause)), at: *at, user_time, system_time }
}

fn to_exit(exit: wire::Exit) -> Option<ProcessExit> {
    let wire::Exit { cause, at, user_time, system_time } = exit;
    let usage = ProcessUsage { user_time, system_time };
    Some(ProcessExit { cause: to_cause(cause?)?, at, usage })
}

fn from_account(account: &Account) -> wire::Account {
    let Account { user_time, system_time, memory_peak, out_of_memory, last_line, .. } = account;
    let Account { read_bytes, written_bytes, stdout_total, stderr_total, .. } = account;
    let Account { lost, log_first, log_end, .. } = account;
    wire::Account {
        user_time: *user_time,
        system_time: *system_time,
        memory_peak: *memory_peak,
        out_of_memory: *out_of_memory,
        read_bytes: *read_bytes,
        written_bytes: *written_bytes,
        stdout_total: *stdout_total,
        stderr_total: *stderr_total,
        lost: *lost,
        log_first: *log_first,
        log_end: *log_end,
        last_line: last_line.clone(),
    }
}

fn to_account(account: wire::Account) -> Account {
    Account {
        user_time: account.user_time,
        system_time: account.system_time,
        memory_peak: account.memory_peak,
        out_of_memory: account.out_of_memory,
        read_bytes: account.read_bytes,
        written_bytes: account.written_bytes,
        stdout_total: account.stdout_total,
        stderr_total: account.stderr_total,
        lost: account.lost,
        log_first: account.log_first,
        log_end: account.log_end,
        last_line: account.last_line,
    }
}

pub(super) fn from_record(record: &ExitRecord) -> wire::Record {
    let exit = wire::Exit {
        cause: Some(from_cause(&record.cause)),
        at: record.ended_at,
        user_time: record.usage.user_time,
        system_time: record.usage.system_time,
    };
    wire::Record {
        run: record.run.to_bytes().to_vec(),
        name: record.name.to_string(),
        comment: record.comment.clone(),
        pid: record.pid,
        end: Some(exit),
        started_at: record.started_at,
        account: Some(from_account(&record.account)),
        leftovers: from_leftovers(record.leftovers),
        restarts: record.restarts,
        started_by: Some(from_origin(&record.started_by)),
        stopped_by: record.stopped_by.as_ref().map(from_origin),
    }
}

pub(super) fn to_record(record: wire::Record) -> Option<Arc<ExitRecord>> {
    let ProcessExit { cause, at: ended_at, usage } = to_exit(record.end?)?;
    Some(Arc::new(ExitRecord {
        run: to_id(&record.run)?,
        name: record.name.parse().ok()?,
        comment: record.comment,
        pid: record.pid,
        cause,
        started_at: record.started_at,
        ended_at,
        usage,
        account: to_account(record.account?),
        leftovers: to_leftovers(record.leftovers)?,
        restarts: record.restarts,
        started_by: to_origin(record.started_by?)?,
        stopped_by: optional(record.stopped_by, to_origin)?,
    }))
}

fn from_identity(identity: &Identity) -> wire::Identity {
    let Identity { run, name, anonymous, comment, fingerprint } = identity;
    wire::Identity {
        run: run.to_bytes().to_vec(),
        name: name.to_string(),
        anonymous: *anonymous,
        comment: comment.clone(),
        fingerprint: *fingerprint,
    }
}

fn to_identity(identity: wire::Identity) -> Option<Identity> {
    let wire::Identity { run, name, anonymous, comment, fingerprint } = identity;
    Some(Identity { run: to_id(&run)?, name: name.parse().ok()?, anonymous, comment, fingerprint })
}

pub(super) fn from_ended(end: &KeptEnd) -> wire::Ended {
    let identity = Some(from_identity(&end.identity));
    wire::Ended { identity, record: Some(from_record(&end.record)) }
}

pub(super) fn to_ended(end: wire::Ended, of_unit: bool) -> Option<KeptEnd> {
    let (identity, record) = (to_identity(end.identity?)?, to_record(end.record?)?);
    Some(KeptEnd { identity, record, of_unit })
}

fn from_listener(listener: &Listener) -> wire::Listener {
    let Listener { socket, rank, chunked } = listener;
    wire::Listener { socket: socket.clone(), rank: *rank, chunked: *chunked }
}

fn to_listener(listener: wire::Listener) -> Listener {
    let wire::Listener { socket, rank, chunked } = listener;
    Listener { socket, rank, chunked }
}

pub(super) fn from_run(run: &KeptRun) -> wire::Run {
    wire::Run {
        identity: Some(from_identity(&run.identity)),
        started_by: Some(from_origin(&run.started_by)),
        stopped_by: run.stopped_by.as_ref().map(from_origin),
        stage: from_stage(run.stage),
        end: Some(from_end(run.end)),
        pid: run.pid,
        started_at: run.started_at,
        exit: run.exit.as_ref().map(from_exit),
        empty: run.empty,
        gone_at: run.gone_at,
        failure: run.failure.as_ref().map(from_failure),
        lost: run.lost.clone(),
        leftovers: from_leftovers(run.leftovers),
        timer: run.timer.map(nanoseconds),
        unclaimed: run.unclaimed,
        listener: run.listener.as_ref().map(from_listener),
        role: run.unit.map(|unit| from_role(unit.role)),
        restarts: run.unit.map_or(0, |unit| unit.restarts),
        entirely: run.unit.is_some_and(|unit| unit.entirely),
    }
}

pub(super) fn to_run(run: wire::Run) -> Option<KeptRun> {
    let (restarts, entirely) = (run.restarts, run.entirely);
    let role = optional(run.role, to_role)?;
    Some(KeptRun {
        identity: to_identity(run.identity?)?,
        started_by: to_origin(run.started_by?)?,
        stopped_by: optional(run.stopped_by, to_origin)?,
        stage: to_stage(run.stage)?,
        end: to_end(run.end?)?,
        pid: run.pid,
        started_at: run.started_at,
        exit: optional(run.exit, to_exit)?,
        empty: run.empty,
        gone_at: run.gone_at,
        failure: optional(run.failure, to_failure)?,
        lost: run.lost,
        leftovers: to_leftovers(run.leftovers)?,
        timer: run.timer.map(Duration::from_nanos),
        unclaimed: run.unclaimed,
        listener: run.listener.map(to_listener),
        unit: role.map(|role| KeptBelonging { role, restarts, entirely }),
    })
}
