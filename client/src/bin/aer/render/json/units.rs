//! Answers about units, for programs.

use api::{meta, runtime, schedule};
use client::WatchEvent;
use serde::Serialize;

use super::{Exit, Meta, Origin, executable::Executable, schedule::Registration, word};

/// The answer of Start or Restart.
#[derive(Serialize)]
pub(crate) struct Started {
    meta: Option<Meta>,
    run_id: String,
    pid: i32,
    was_up: bool,
}

/// The answer of Stop.
#[derive(Serialize)]
pub(crate) struct Stopped {
    meta: Option<Meta>,
    run_id: String,
    exit: Option<Exit>,
}

/// The answer of Signal.
#[derive(Serialize)]
pub(crate) struct Sent {
    meta: Option<Meta>,
    run_id: String,
}

/// The answer of Wait.
#[derive(Serialize)]
pub(crate) struct Waited {
    meta: Option<Meta>,
    exit: Option<Exit>,
    state: String,
}

/// The answer of Forget.
#[derive(Serialize)]
pub(crate) struct Forgotten {
    names: Vec<String>,
}

/// What is known under a name: its registration, its unit, or both.
#[derive(Serialize)]
pub(crate) struct Listed {
    name: String,
    #[serde(flatten)]
    registration: Registration,
    unit: Option<Unit>,
}

/// The answer of Inspect.
#[derive(Serialize)]
pub(crate) struct Inspected {
    unit: Option<Unit>,
    executable: Option<Executable>,
    changes: Vec<Change>,
}

/// What Watch tells, under the name of what it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatchLine {
    Begin { series: String, after: u64 },
    Gap { first: u64, last: u64, message: String },
    Change(Box<Change>),
}

#[derive(Serialize)]
struct Unit {
    meta: Option<Meta>,
    comment: String,
    status: String,
    state: String,
    wanted_up: bool,
    run_id: String,
    pid: i32,
    since: i64,
    restarts: u32,
    result: String,
    last_exit: Option<Exit>,
    status_text: String,
    usage: Option<Usage>,
    next_start_at: i64,
    kind: String,
    wanted_by: Option<Origin>,
    wanted_since: i64,
    failure: String,
}

#[derive(Serialize)]
struct Usage {
    user_time_ns: Option<u64>,
    system_time_ns: Option<u64>,
    memory_bytes: Option<u64>,
    memory_peak_bytes: Option<u64>,
    pids: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    cpu_pressure_percent: Option<f64>,
    memory_pressure_percent: Option<f64>,
    io_pressure_percent: Option<f64>,
}

#[derive(Serialize)]
pub(crate) struct Change {
    sequence: u64,
    changed_at: i64,
    meta: Option<Meta>,
    from: String,
    to: String,
    cause: String,
    message: String,
    origin: Option<Origin>,
    run_id: String,
    pid: i32,
    exit: Option<Exit>,
    result: String,
}

impl Listed {
    pub(crate) fn of(
        name: &str,
        registration: Option<&schedule::Registration>,
        unit: Option<&runtime::UnitView>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            registration: registration.map(Registration::from).unwrap_or_default(),
            unit: unit.map(Unit::from),
        }
    }
}

// === impl From ===

impl From<&runtime::StartResponse> for Started {
    fn from(answer: &runtime::StartResponse) -> Self {
        let meta = answer.meta.as_ref().map(Meta::from);
        Self { meta, run_id: answer.run_id.clone(), pid: answer.pid, was_up: answer.was_up }
    }
}

impl From<&runtime::RestartResponse> for Started {
    fn from(answer: &runtime::RestartResponse) -> Self {
        let meta = answer.meta.as_ref().map(Meta::from);
        Self { meta, run_id: answer.run_id.clone(), pid: answer.pid, was_up: false }
    }
}

impl From<&runtime::StopResponse> for Stopped {
    fn from(answer: &runtime::StopResponse) -> Self {
        Self {
            meta: answer.meta.as_ref().map(Meta::from),
            run_id: answer.run_id.clone(),
            exit: answer.exit.as_ref().map(Exit::from),
        }
    }
}

impl From<&runtime::SignalResponse> for Sent {
    fn from(answer: &runtime::SignalResponse) -> Self {
        Self { meta: answer.meta.as_ref().map(Meta::from), run_id: answer.run_id.clone() }
    }
}

impl From<&runtime::WaitResponse> for Waited {
    fn from(answer: &runtime::WaitResponse) -> Self {
        Self {
            meta: answer.meta.as_ref().map(Meta::from),
            exit: answer.exit.as_ref().map(Exit::from),
            state: state(answer.state),
        }
    }
}

impl From<&runtime::ForgetResponse> for Forgotten {
    fn from(answer: &runtime::ForgetResponse) -> Self {
        Self { names: answer.names.clone() }
    }
}

impl From<&runtime::InspectResponse> for Inspected {
    fn from(answer: &runtime::InspectResponse) -> Self {
        Self {
            unit: answer.unit.as_ref().map(Unit::from),
            executable: answer.executable.as_ref().map(Executable::from),
            changes: answer.changes.iter().map(Change::from).collect(),
        }
    }
}

impl From<&WatchEvent> for WatchLine {
    fn from(event: &WatchEvent) -> Self {
        match event {
            WatchEvent::Begin(begin) => {
                Self::Begin { series: begin.series.clone(), after: begin.after }
            }
            WatchEvent::Gap(gap) => {
                Self::Gap { first: gap.first, last: gap.last, message: gap.message.clone() }
            }
            WatchEvent::Change(change) => Self::Change(Box::new(change.into())),
        }
    }
}

impl From<&runtime::UnitView> for Unit {
    fn from(unit: &runtime::UnitView) -> Self {
        Self {
            meta: unit.meta.as_ref().map(Meta::from),
            comment: unit.comment.clone(),
            status: word("STATUS_", unit.status, |number| {
                meta::Status::try_from(number).ok().map(|status| status.as_str_name())
            }),
            state: state(unit.state),
            wanted_up: unit.wanted_up,
            run_id: unit.run_id.clone(),
            pid: unit.pid,
            since: unit.since,
            restarts: unit.restarts,
            result: result(unit.result),
            last_exit: unit.last_exit.as_ref().map(Exit::from),
            status_text: unit.status_text.clone(),
            usage: unit.usage.as_ref().map(Usage::from),
            next_start_at: unit.next_start_at,
            kind: word("UNIT_KIND_", unit.kind, |number| {
                runtime::UnitKind::try_from(number).ok().map(|kind| kind.as_str_name())
            }),
            wanted_by: unit.wanted_by.as_ref().map(Origin::from),
            wanted_since: unit.wanted_since,
            failure: unit.failure.clone(),
        }
    }
}

impl From<&runtime::LiveUsage> for Usage {
    fn from(usage: &runtime::LiveUsage) -> Self {
        Self {
            user_time_ns: usage.user_time_ns,
            system_time_ns: usage.system_time_ns,
            memory_bytes: usage.memory_bytes,
            memory_peak_bytes: usage.memory_peak_bytes,
            pids: usage.pids,
            read_bytes: usage.read_bytes,
            written_bytes: usage.written_bytes,
            cpu_pressure_percent: usage.cpu_pressure_percent,
            memory_pressure_percent: usage.memory_pressure_percent,
            io_pressure_percent: usage.io_pressure_percent,
        }
    }
}

impl From<&runtime::UnitChange> for Change {
    fn from(change: &runtime::UnitChange) -> Self {
        Self {
            sequence: change.sequence,
            changed_at: change.changed_at,
            meta: change.meta.as_ref().map(Meta::from),
            from: state(change.from),
            to: state(change.to),
            cause: word("CHANGE_CAUSE_", change.cause, |number| {
                runtime::ChangeCause::try_from(number).ok().map(|cause| cause.as_str_name())
            }),
            message: change.message.clone(),
            origin: change.origin.as_ref().map(Origin::from),
            run_id: change.run_id.clone(),
            pid: change.pid,
            exit: change.exit.as_ref().map(Exit::from),
            result: result(change.result),
        }
    }
}

fn state(number: i32) -> String {
    word("UNIT_STATE_", number, |number| {
        runtime::UnitState::try_from(number).ok().map(|state| state.as_str_name())
    })
}

fn result(number: i32) -> String {
    word("UNIT_RESULT_", number, |number| {
        runtime::UnitResult::try_from(number).ok().map(|result| result.as_str_name())
    })
}
