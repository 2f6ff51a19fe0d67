//! Units between the wire and the core.

use std::sync::Arc;

use api::{
    meta::{AuraeMeta, Status as State},
    runtime::{self, Executable, UnitChange, UnitKind, UnitResult as WireResult},
};
use prost::Message;
use tonic::Status;
use units::{
    Change, ChangeCause, CommandSpec, Kind, Name, Refusal, RunId, Status as Short, UnitResult,
    UnitSpec, UnitView, Wanted,
};

use super::{
    record,
    status::{invalid, no_unit, unanswered},
};
use crate::doors::{Core, Unanswered, registered::checked};

/// A unit that is not registered.
pub(super) async fn defined(
    core: &Core,
    mut executable: Executable,
) -> Result<Arc<UnitSpec>, Status> {
    let meta = executable.meta.get_or_insert_default();
    if meta.name.is_empty() {
        meta.name = RunId::from_bytes(uuid::Uuid::new_v4().into_bytes()).to_string();
    }
    let spec = checked(core, executable).map_err(|why| no_unit(&why))?;
    if core.schedule.holds(&spec.name).await {
        let name = &spec.name;
        let why = format!("the name {name} is registered; start it by its name, or choose another");
        return Err(Status::already_exists(why));
    }
    Ok(spec)
}

/// Why nothing can be told of a unit, or forgotten: it may be registered all the same.
pub(super) async fn unknown(core: &Core, name: &Name, why: &Unanswered) -> Status {
    let is_unknown = matches!(why, Unanswered::Refused(Refusal::NoSuchUnit(_)));
    if is_unknown && core.schedule.holds(name).await {
        return Status::not_found(format!(
            "the unit {name} is registered and has not run since auraed began; aer show {name} tells what it is, and \
             aer start {name} starts it"
        ));
    }
    unanswered(why)
}

/// A unit in a line, with what it uses.
pub(super) fn view(view: &UnitView, usage: Option<runtime::LiveUsage>) -> runtime::UnitView {
    let status = match view.state.status() {
        Short::Standby => State::Standby,
        Short::Active => State::Active,
        Short::Passive => State::Passive,
        Short::Complete => State::Complete,
        Short::Error => State::Error,
    };
    let kind = match view.kind {
        Kind::Service => UnitKind::Service,
        Kind::Oneshot { .. } => UnitKind::Oneshot,
    };
    runtime::UnitView {
        meta: named(&view.name),
        comment: view.comment.clone(),
        status: status.into(),
        state: record::state(view.state).into(),
        wanted_up: view.desired.wanted == Wanted::Up,
        run_id: run_id(view.run),
        pid: view.pid,
        since: view.since,
        restarts: view.restarts,
        result: result(view.result).into(),
        last_exit: view.last.as_ref().map(|last| record::record(last)),
        status_text: view.status_text.clone().unwrap_or_default(),
        usage,
        next_start_at: view.restart_at.unwrap_or(0),
        kind: kind.into(),
        wanted_by: Some(record::origin(&view.desired.by)),
        wanted_since: view.desired.at,
        failure: view.failure.clone().unwrap_or_default(),
        command: command(&view.spec),
    }
}

/// What a unit runs, as it is answered everywhere.
fn command(spec: &UnitSpec) -> String {
    match &spec.main {
        CommandSpec::Argv(argv) => argv.to_command(),
        // The line as it was written stands only there.
        CommandSpec::Line(_) => {
            Executable::decode(&*spec.definition).map(|it| it.command).unwrap_or_default()
        }
    }
}

/// A change.
pub(super) fn change(change: &Change) -> UnitChange {
    use runtime::ChangeCause as Wire;
    let (cause, origin) = match &change.cause {
        ChangeCause::Order(origin) => (Wire::Order, Some(record::origin(origin))),
        ChangeCause::Policy(_) => (Wire::Policy, None),
        ChangeCause::Readiness => (Wire::Readiness, None),
        ChangeCause::Exit(_) => (Wire::Exit, None),
        ChangeCause::Timeout(_) => (Wire::Timeout, None),
        ChangeCause::OutOfMemory => (Wire::Kernel, None),
    };
    UnitChange {
        sequence: change.sequence,
        changed_at: change.at,
        meta: named(&change.name),
        from: record::state(change.from).into(),
        to: record::state(change.to).into(),
        cause: cause.into(),
        message: change.cause.to_string(),
        origin,
        run_id: run_id(change.run),
        pid: change.pid,
        exit: change.record.as_ref().map(|record| record::record(record)),
        result: result(change.result).into(),
    }
}

/// A name, as answers have it.
pub(super) fn named(name: &Name) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_string(), message: String::new() })
}

/// The name that a request is about.
pub(super) fn name_of(meta: Option<&AuraeMeta>) -> Result<Name, Status> {
    let name = meta.map(|meta| meta.name.as_str()).unwrap_or_default();
    name.parse().map_err(|why| invalid("meta.name", why))
}

fn run_id(run: Option<RunId>) -> String {
    run.map_or_else(String::new, |run| run.to_string())
}

fn result(result: UnitResult) -> WireResult {
    match result {
        UnitResult::Success => WireResult::Success,
        UnitResult::ExitCode => WireResult::ExitCode,
        UnitResult::Signal => WireResult::Signal,
        UnitResult::CoreDump => WireResult::CoreDump,
        UnitResult::OutOfMemory => WireResult::OutOfMemory,
        UnitResult::Timeout => WireResult::Timeout,
        UnitResult::StartLimitHit => WireResult::StartLimitHit,
        UnitResult::Protocol => WireResult::Protocol,
        UnitResult::Resources => WireResult::Resources,
    }
}
