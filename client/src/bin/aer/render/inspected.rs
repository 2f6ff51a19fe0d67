//! All about one unit, for people.

use std::iter;

use api::runtime::{ExitRecord, InspectResponse, LiveUsage, ResourceUsage, UnitChange, UnitView};

use super::{
    harmless,
    listing::command,
    table::{aligned, moment},
    words::{amount, at, ended, origin, span, state, why},
};

/// Facts, one to a line, and the last changes, the newest at the end.
pub(crate) fn inspected(answer: &InspectResponse) -> String {
    let unit = answer.unit.clone().unwrap_or_default();
    let usage = unit.usage.unwrap_or_default();
    let mut facts = vec![
        ("unit", unit.meta.clone().unwrap_or_default().name),
        ("comment", unit.comment.clone()),
        ("command", answer.executable.as_ref().map(command).unwrap_or_default()),
        ("state", format!("{}, since {}", state(unit.state), at(unit.since))),
        ("because", answer.changes.last().map(why).unwrap_or_default()),
        ("wrong", unit.failure.clone()),
        ("wanted", wanted(&unit)),
        ("says", unit.status_text.clone()),
        (
            "again",
            moment(unit.next_start_at).map(|at| format!("starts at {at}")).unwrap_or_default(),
        ),
        ("restarts", unit.restarts.to_string()),
        ("run", unit.run_id.clone()),
        (
            "pid",
            Some(unit.pid).filter(|pid| *pid > 0).map(|pid| pid.to_string()).unwrap_or_default(),
        ),
    ];
    facts.extend(live(&usage));
    if let Some(record) = &unit.last_exit {
        facts.extend(last_exit(record));
    }
    let changes = answer.changes.iter().map(row);
    iter::once(aligned(&facts))
        .chain((!answer.changes.is_empty()).then(|| "changes\n".to_owned()))
        .chain(changes)
        .collect()
}

/// One change on a line of its own.
pub(crate) fn change(change: &UnitChange) -> String {
    let name = change.meta.clone().unwrap_or_default().name;
    format!("{}  {}  {}\n", change.sequence, at(change.changed_at), harmless(&turn(&name, change)))
}

fn row(change: &UnitChange) -> String {
    let turn = turn("", change);
    format!("  {}  {}  {}\n", change.sequence, at(change.changed_at), harmless(turn.trim_start()))
}

fn turn(name: &str, change: &UnitChange) -> String {
    let process = Some(change.pid).filter(|pid| *pid > 0);
    let process = process.map(|pid| format!(" [pid {pid}]")).unwrap_or_default();
    format!("{name}  {} -> {}  {}{process}", state(change.from), state(change.to), why(change))
}

fn wanted(unit: &UnitView) -> String {
    let what = if unit.wanted_up { "up" } else { "down" };
    let by = unit.wanted_by.as_ref().map(|by| format!(" by {}", origin(by)));
    let since = moment(unit.wanted_since).map(|since| format!(", since {since}"));
    format!("{what}{}{}", by.unwrap_or_default(), since.unwrap_or_default())
}

/// What is not known has no line.
fn live(usage: &LiveUsage) -> [(&'static str, String); 4] {
    let pressure = |percent: Option<f64>| percent.map(|percent| format!("pressure {percent:.1} %"));
    let most = usage.memory_peak_bytes.map(|bytes| format!("{} at most", amount(bytes)));
    let memory = usage.memory_bytes.map(amount);
    let memory_pressure = pressure(usage.memory_pressure_percent);
    let disk = transferred(usage.read_bytes, usage.written_bytes);
    let cpu = processors(usage.user_time_ns, usage.system_time_ns);
    [
        ("cpu", listed([cpu, pressure(usage.cpu_pressure_percent), None])),
        ("memory", listed([memory, most, memory_pressure])),
        ("tasks", usage.pids.map(|pids| pids.to_string()).unwrap_or_default()),
        ("disk", listed([disk, pressure(usage.io_pressure_percent), None])),
    ]
}

fn last_exit(record: &ExitRecord) -> [(&'static str, String); 4] {
    let ran = record.ended_at.checked_sub(record.started_at);
    let ran = ran.filter(|_| record.started_at > 0).and_then(|ran| u64::try_from(ran).ok());
    let after = ran.map(|ran| format!(" after {}", span(ran))).unwrap_or_default();
    let end = format!("{}, at {}{after}", ended(record), at(record.ended_at));
    let line = String::from_utf8_lossy(&record.last_line).into_owned();
    let used = record.usage.as_ref().map(used).unwrap_or_default();
    [("last end", end), ("last run", record.run_id.clone()), ("it used", used), ("last line", line)]
}

fn used(usage: &ResourceUsage) -> String {
    let memory = usage.memory_peak_bytes.map(|bytes| format!("{} of memory", amount(bytes)));
    let cpu = processors(usage.user_time_ns, usage.system_time_ns);
    listed([cpu, memory, transferred(usage.read_bytes, usage.written_bytes)])
}

fn processors(user: Option<u64>, system: Option<u64>) -> Option<String> {
    let (user, system) = (user?, system?);
    Some(format!("{} ({} in the kernel)", span(user.saturating_add(system)), span(system)))
}

fn transferred(read: Option<u64>, written: Option<u64>) -> Option<String> {
    Some(format!("{} read, {} written", amount(read?), amount(written?)))
}

fn listed(facts: [Option<String>; 3]) -> String {
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use api::{
        meta::AuraeMeta,
        runtime::{ChangeCause, Executable, Origin, UnitState, exit_record::Cause},
    };

    use super::*;

    const AT: i64 = 1_700_000_000_000_000_000;

    fn usage() -> LiveUsage {
        LiveUsage {
            user_time_ns: Some(1_500_000_000),
            system_time_ns: Some(500_000_000),
            memory_bytes: Some(1 << 20),
            memory_pressure_percent: Some(0.25),
            ..LiveUsage::default()
        }
    }

    fn answer() -> InspectResponse {
        let by = Origin { door: "grpc".into(), identity: "uid:7".into(), reason: "ticket".into() };
        let meta = Some(AuraeMeta { name: "web".into(), ..AuraeMeta::default() });
        let last_exit = ExitRecord {
            run_id: "r1".into(),
            cause: Some(Cause::Signal(9)),
            out_of_memory: Some(true),
            started_at: AT - 61_000_000_000,
            ended_at: AT,
            last_line: b"out of \xffmemory\x1b".to_vec(),
            usage: Some(ResourceUsage { memory_peak_bytes: Some(2048), ..Default::default() }),
            ..ExitRecord::default()
        };
        InspectResponse {
            unit: Some(UnitView {
                meta: meta.clone(),
                comment: "the\nweb".into(),
                state: UnitState::Running.into(),
                wanted_up: true,
                run_id: "r2".into(),
                pid: 71,
                since: AT,
                restarts: 1,
                last_exit: Some(last_exit),
                status_text: "serving".into(),
                usage: Some(usage()),
                wanted_by: Some(by.clone()),
                wanted_since: AT,
                failure: "it\nfailed".into(),
                ..UnitView::default()
            }),
            executable: Some(Executable { command: "nginx".into(), ..Executable::default() }),
            changes: vec![
                UnitChange {
                    sequence: 3,
                    changed_at: AT,
                    meta: meta.clone(),
                    from: UnitState::Inactive.into(),
                    to: UnitState::Starting.into(),
                    cause: ChangeCause::Order.into(),
                    origin: Some(by),
                    ..UnitChange::default()
                },
                UnitChange {
                    sequence: 4,
                    changed_at: AT,
                    meta,
                    from: UnitState::Starting.into(),
                    to: UnitState::Running.into(),
                    cause: ChangeCause::Readiness.into(),
                    message: "executed".into(),
                    pid: 71,
                    ..UnitChange::default()
                },
            ],
        }
    }

    #[test]
    fn everything_that_is_known_has_a_line() {
        let wanted = "\
unit       web
comment    the\\nweb
command    nginx
state      running, since 2023-11-14T22:13:20Z
because    executed
wrong      it\\nfailed
wanted     up by uid:7 through grpc (ticket), since 2023-11-14T22:13:20Z
says       serving
restarts   1
run        r2
pid        71
cpu        2.0s (500ms in the kernel)
memory     1.0M, pressure 0.2 %
last end   ended by SIGKILL, for want of memory, at 2023-11-14T22:13:20Z after 1min 1s
last run   r1
it used    2.0K of memory
last line  out of \u{fffd}memory\\u{1b}
changes
  3  2023-11-14T22:13:20Z  inactive -> starting  by order of uid:7 through grpc (ticket)
  4  2023-11-14T22:13:20Z  starting -> running  executed [pid 71]
";
        assert_eq!(inspected(&answer()), wanted);
    }

    #[test]
    fn what_is_not_known_has_none() {
        let wanted = "\
state     unknown, since an unknown time
wanted    down
restarts  0
";
        assert_eq!(inspected(&InspectResponse::default()), wanted);
    }

    #[test]
    fn a_change_is_one_line() {
        let change = |number: usize| change(&answer().changes[number]);
        let wanted = "4  2023-11-14T22:13:20Z  web  starting -> running  executed [pid 71]\n";
        assert_eq!(change(1), wanted);
    }
}
