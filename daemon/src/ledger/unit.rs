//! Units and their changes, as the ledger has them, and back. Specifications lie beside them: they are long, and seldom
//! change.

use std::{sync::Arc, time::Duration};

use units::{
    Change, ChangeCause, Desired, UnitSpec,
    kept::{Failure, KeptUnit, Part, StartWindow},
};

use super::{
    run::{from_origin, from_record, optional, to_id, to_origin, to_record},
    wire,
    words::{
        from_how, from_result, from_role, from_state, from_wanted, nanoseconds, to_how, to_result,
        to_role, to_state, to_wanted,
    },
};

fn from_part(part: Part) -> wire::Part {
    let Part { run, role, pid } = part;
    wire::Part { run: run.to_bytes().to_vec(), role: Some(from_role(role)), pid }
}

fn to_part(part: wire::Part) -> Option<Part> {
    let wire::Part { run, role, pid } = part;
    Some(Part { run: to_id(&run)?, role: to_role(role?)?, pid })
}

pub(super) fn from_unit(unit: &KeptUnit) -> wire::Unit {
    let failure = unit.failure.as_ref();
    wire::Unit {
        wanted: from_wanted(unit.desired.wanted),
        wanted_by: Some(from_origin(&unit.desired.by)),
        wanted_at: unit.desired.at,
        state: Some(from_state(unit.state)),
        since: unit.since,
        result: from_result(unit.result),
        failure: failure.map(|failure| failure.why.clone()),
        failure_record: failure.and_then(|failure| failure.record.as_deref()).map(from_record),
        first_run: unit.first_run.map(|run| run.to_bytes().to_vec()),
        main: unit.main.map(from_part),
        control: unit.control.map(from_part),
        last: unit.last.as_deref().map(from_record),
        ran: unit.ran,
        said_ready: unit.said_ready,
        unready: unit.unready,
        overdue: unit.overdue,
        up_since: unit.up_since.map(nanoseconds),
        by: Some(from_origin(&unit.by)),
        how: Some(from_how(unit.how)),
        asked: unit.asked,
        next_by: unit.next.as_ref().map(|(_, by)| from_origin(by)),
        restarts: unit.restarts,
        streak: unit.streak,
        window_opened: nanoseconds(unit.window.opened),
        window_starts: unit.window.starts,
        timer: unit.timer.map(nanoseconds),
        status_text: unit.status_text.clone(),
        started: unit.started,
    }
}

/// The unit of this specification; `next` is what it is to be started as, where it is.
pub(super) fn to_unit(
    unit: wire::Unit,
    spec: Arc<UnitSpec>,
    next: Option<Arc<UnitSpec>>,
) -> Option<KeptUnit> {
    let next = match unit.next_by {
        None => None,
        Some(by) => Some((next?, to_origin(by)?)),
    };
    let failure_record = optional(unit.failure_record, to_record)?;
    Some(KeptUnit {
        spec,
        desired: Desired {
            wanted: to_wanted(unit.wanted)?,
            by: to_origin(unit.wanted_by?)?,
            at: unit.wanted_at,
        },
        state: to_state(unit.state?)?,
        since: unit.since,
        result: to_result(unit.result)?,
        failure: unit.failure.map(|why| Box::new(Failure { why, record: failure_record })),
        first_run: optional(unit.first_run, |run| to_id(&run))?,
        main: optional(unit.main, to_part)?,
        control: optional(unit.control, to_part)?,
        last: optional(unit.last, to_record)?,
        ran: unit.ran,
        said_ready: unit.said_ready,
        unready: unit.unready,
        overdue: unit.overdue,
        up_since: unit.up_since.map(Duration::from_nanos),
        by: to_origin(unit.by?)?,
        how: to_how(unit.how?)?,
        asked: unit.asked,
        next,
        restarts: unit.restarts,
        streak: unit.streak,
        window: StartWindow {
            opened: Duration::from_nanos(unit.window_opened),
            starts: unit.window_starts,
        },
        timer: unit.timer.map(Duration::from_nanos),
        status_text: unit.status_text,
        started: unit.started,
    })
}

pub(super) fn from_change(change: &Change) -> wire::Change {
    let (cause, text, origin) = match &change.cause {
        ChangeCause::Order(origin) => (1, "", Some(origin)),
        ChangeCause::Policy(text) => (2, text.as_str(), None),
        ChangeCause::Readiness => (3, "", None),
        ChangeCause::Exit(text) => (4, text.as_str(), None),
        ChangeCause::Timeout(text) => (5, text.as_str(), None),
        ChangeCause::OutOfMemory => (6, "", None),
    };
    wire::Change {
        sequence: change.sequence,
        at: change.at,
        name: change.name.to_string(),
        from: Some(from_state(change.from)),
        to: Some(from_state(change.to)),
        run: change.run.map(|run| run.to_bytes().to_vec()),
        pid: change.pid,
        cause,
        cause_text: text.to_owned(),
        cause_origin: origin.map(from_origin),
        result: from_result(change.result),
        record: change.record.as_deref().map(from_record),
    }
}

pub(super) fn to_change(change: wire::Change) -> Option<Arc<Change>> {
    let text = change.cause_text;
    let cause = match change.cause {
        1 => ChangeCause::Order(to_origin(change.cause_origin?)?),
        2 => ChangeCause::Policy(text),
        3 => ChangeCause::Readiness,
        4 => ChangeCause::Exit(text),
        5 => ChangeCause::Timeout(text),
        6 => ChangeCause::OutOfMemory,
        _ => return None,
    };
    Some(Arc::new(Change {
        sequence: change.sequence,
        at: change.at,
        name: change.name.parse().ok()?,
        from: to_state(change.from?)?,
        to: to_state(change.to?)?,
        run: optional(change.run, |run| to_id(&run))?,
        pid: change.pid,
        cause,
        result: to_result(change.result)?,
        record: optional(change.record, to_record)?,
    }))
}
