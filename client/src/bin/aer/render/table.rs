//! Answers for people.

use std::time::{Duration, UNIX_EPOCH};

use api::observe::StatusResponse;

use super::harmless;

/// One fact to a line, its name first. Facts that the daemon does not tell have no line.
pub(crate) fn status(answer: &StatusResponse) -> String {
    let meta = answer.meta.clone().unwrap_or_default();
    let health = if answer.healthy { "healthy" } else { "not healthy" };
    let mut facts = vec![("node", meta.name), ("state", meta.message), ("health", health.into())];
    facts.extend(answer.problems.iter().map(|problem| ("problem", problem.clone())));
    facts.extend([
        ("version", answer.version.clone()),
        ("daemon", daemon(answer)),
        ("keeper", keeper(answer)),
        ("runs", format!("{} live, {} since auraed began", answer.runs_live, answer.runs_total)),
        ("schedule", format!("{} enabled, {} disabled", answer.enabled, answer.disabled)),
        ("spawning", answer.spawn_method.clone()),
        ("tracking", answer.tracking.clone()),
        ("cgroup", answer.cgroup.clone()),
        ("before", answer.previous_daemon.clone()),
    ]);
    aligned(&facts)
}

fn daemon(answer: &StatusResponse) -> String {
    let start = answer.daemon_starts;
    let since = moment(answer.started_at).unwrap_or_else(|| "an unknown time".to_owned());
    format!("{}, start {start}, since {since}", process(answer.daemon_pid))
}

/// The keeper's process, where it lives: what kills it, the daemon says first.
fn keeper(answer: &StatusResponse) -> String {
    let killed = answer.problems.iter().any(|problem| problem.starts_with("the keeper (auraed,"));
    let was = if killed { ", killed" } else { "" };
    format!("{}{was}", process(answer.keeper_pid))
}

fn process(pid: i32) -> String {
    format!("pid {pid}")
}

/// A moment of the wire, in UTC; None where it is not known.
pub(super) fn moment(nanoseconds: i64) -> Option<String> {
    let known = u64::try_from(nanoseconds).ok().filter(|known| *known > 0)?;
    let moment = UNIX_EPOCH.checked_add(Duration::from_nanos(known))?;
    Some(humantime::format_rfc3339_seconds(moment).to_string())
}

pub(super) fn aligned(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = facts.iter().filter(|(_, fact)| !fact.is_empty());
    lines.map(|(name, fact)| format!("{name:width$}  {}\n", harmless(fact))).collect()
}

#[cfg(test)]
mod tests {
    use api::meta::AuraeMeta;
    use proptest::prelude::*;

    use super::*;

    fn answer() -> StatusResponse {
        StatusResponse {
            meta: Some(AuraeMeta { name: "node-7".into(), message: "0.1.0, fine".into() }),
            version: "0.1.0".into(),
            healthy: true,
            problems: Vec::new(),
            daemon_pid: 12,
            keeper_pid: 11,
            started_at: 1_700_000_000_000_000_000,
            daemon_starts: 1,
            runs_live: 2,
            runs_total: 10,
            spawn_method: "clone3-into-cgroup".into(),
            tracking: "cgroup2".into(),
            cgroup: "/aurae".into(),
            previous_daemon: String::new(),
            enabled: 3,
            disabled: 1,
        }
    }

    #[test]
    fn facts_stand_below_each_other() {
        let expected = "\
node      node-7
state     0.1.0, fine
health    healthy
version   0.1.0
daemon    pid 12, start 1, since 2023-11-14T22:13:20Z
keeper    pid 11
runs      2 live, 10 since auraed began
schedule  3 enabled, 1 disabled
spawning  clone3-into-cgroup
tracking  cgroup2
cgroup    /aurae
";
        assert_eq!(status(&answer()), expected);
    }

    #[test]
    fn problems_are_listed() {
        let problems = vec!["the disk is full".into(), "a\nb".into()];
        let table = status(&StatusResponse { healthy: false, problems, ..answer() });
        let wanted = "health    not healthy\nproblem   the disk is full\nproblem   a\\nb\n";
        assert!(table.contains(wanted), "{table}");
    }

    proptest! {
        #[test]
        fn every_moment_can_be_written(nanoseconds in any::<i64>()) {
            prop_assert_eq!(moment(nanoseconds).is_some(), nanoseconds > 0);
        }
    }
}
