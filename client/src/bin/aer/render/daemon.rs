//! Which daemon serves after another, and what it prints.

use api::daemon::{DescribeResponse, LogLevelResponse};
use serde::Serialize;

use super::harmless;

/// That another daemon serves.
pub(crate) fn replaced(verb: &str, next: &DescribeResponse) -> String {
    let DescribeResponse { version, daemon_pid, daemon_starts, .. } = next;
    let version = harmless(version);
    format!("{verb}: daemon {daemon_starts}, process {daemon_pid}, version {version}\n")
}

/// What the daemon prints.
pub(crate) fn log_level(told: &LogLevelResponse) -> String {
    let filter = harmless(&told.filter);
    match told.before.as_str() {
        "" => format!("{filter}\n"),
        before => format!("{filter}, before {}\n", harmless(before)),
    }
}

/// The same for programs.
#[derive(Serialize)]
pub(crate) struct LogLevel {
    filter: String,
    before: String,
}

impl From<&LogLevelResponse> for LogLevel {
    fn from(told: &LogLevelResponse) -> Self {
        Self { filter: told.filter.clone(), before: told.before.clone() }
    }
}

/// What becomes of the machine.
pub(crate) fn power(message: &str) -> String {
    format!("{}\n", harmless(message))
}

/// The same for programs; the delay is that of what is planned.
#[derive(Serialize)]
pub(crate) struct Power {
    pub(crate) message: String,
    pub(crate) delay_ms: Option<i64>,
}

/// Which daemon it is, for programs.
#[derive(Serialize)]
pub(crate) struct Daemon {
    version: String,
    daemon_pid: i32,
    keeper_pid: i32,
    daemon_starts: u32,
    on_trial: bool,
    upgrades: u32,
    given_up: String,
}

impl From<&DescribeResponse> for Daemon {
    fn from(next: &DescribeResponse) -> Self {
        Self {
            version: next.version.clone(),
            daemon_pid: next.daemon_pid,
            keeper_pid: next.keeper_pid,
            daemon_starts: next.daemon_starts,
            on_trial: next.on_trial,
            upgrades: next.upgrades,
            given_up: next.given_up.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_took_over_is_told_in_one_line() {
        let next = DescribeResponse {
            version: "0.2\n0".into(),
            daemon_pid: 7,
            daemon_starts: 3,
            ..DescribeResponse::default()
        };
        let wanted = "upgraded: daemon 3, process 7, version 0.2\\n0\n";
        assert_eq!(replaced("upgraded", &next), wanted);
    }
}
