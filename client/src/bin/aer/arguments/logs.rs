//! The arguments of `aer logs`.

use std::str::FromStr;

use clap::{ArgGroup, Args};
use client::{LogSource, quantity::Moment};
use regex::bytes::Regex;
use uuid::Uuid;

#[derive(Args, Debug)]
#[command(group(
    ArgGroup::new("source")
        .required(true)
        .multiple(true)
        .args(["which", "name", "pid", "run", "daemon", "audit", "all"])
))]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Logs {
    /// Names of units, runs' ids, or process ids of their main processes
    #[arg(value_name = "NAME|RUN|PID")]
    which: Vec<Which>,
    /// Every run of this name
    #[arg(long)]
    name: Vec<String>,
    /// The newest run whose main process had this id
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pid: Vec<i64>,
    /// This run
    #[arg(long, value_name = "UUID")]
    run: Vec<Uuid>,
    /// The daemon's own log
    #[arg(long)]
    daemon: bool,
    /// Who changed what, and why
    #[arg(long)]
    audit: bool,
    /// All that programs print, under names to come too
    #[arg(long)]
    pub(crate) all: bool,
    /// Of each name the run before its newest
    #[arg(long)]
    previous: bool,
    /// Goes on when the end is reached: of runs until they have ended, otherwise until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Follows the newest run until it has ended, and ends with its exit status
    #[arg(long)]
    pub(crate) wait: bool,
    /// Only the last so many lines of each; with --grep, of those that match
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) lines: Option<u64>,
    /// From this time on: 5m, 2 hours ago, 14:05, today, "2026-11-22 14:05"
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only standard output; with --stderr both
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Only standard error; with --stdout both
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only lines that match this regular expression
    #[arg(short, long, value_name = "REGEX")]
    pub(crate) grep: Option<Regex>,
}

/// What a bare argument means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Which(LogSource);

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The other ways to write a UUID, without hyphens or in braces, could be names.
        const HYPHENATED: usize = 36;
        if let Some(run_id) = Uuid::try_parse(text).ok().filter(|_| text.len() == HYPHENATED) {
            return Ok(Self(LogSource::Run(run_id)));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(LogSource::Name(text.to_owned())));
        }
        match text.parse() {
            Ok(process_id) => Ok(Self(LogSource::ProcessId(process_id))),
            Err(_) => Err("no process id is that large; --name takes it as a name".to_owned()),
        }
    }
}

impl Logs {
    /// Whose logs are wanted.
    pub(crate) fn sources(&self) -> Vec<LogSource> {
        let mut sources: Vec<LogSource> =
            self.which.iter().map(|Which(source)| source.clone()).collect();
        sources.extend(self.name.iter().cloned().map(LogSource::Name));
        sources.extend(self.pid.iter().copied().map(LogSource::ProcessId));
        sources.extend(self.run.iter().copied().map(LogSource::Run));
        sources.extend(self.daemon.then_some(LogSource::Daemon));
        sources.extend(self.audit.then_some(LogSource::Audit));
        for source in &mut sources {
            if let LogSource::Name(name) = source {
                if self.previous {
                    *source = LogSource::Previous(std::mem::take(name));
                } else if self.wait {
                    *source = LogSource::Newest(std::mem::take(name));
                }
            }
        }
        sources
    }

    /// Whether names and a number of lines are all that is said.
    pub(crate) fn has_only_names_and_lines(&self) -> bool {
        let more = self.all || self.follow || self.wait || self.stdout || self.stderr;
        let bounded = self.since.is_some() || self.until.is_some() || self.grep.is_some();
        let name = |source: &LogSource| matches!(source, LogSource::Name(_));
        !more && !bounded && self.sources().iter().all(name)
    }

    /// What cannot be said together.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let sources = self.sources();
        let whole = |source: &LogSource| match source {
            LogSource::Daemon | LogSource::Audit => true,
            LogSource::Name(_)
            | LogSource::Run(_)
            | LogSource::ProcessId(_)
            | LogSource::Newest(_)
            | LogSource::Previous(_) => false,
        };
        let one_run = !self.all && sources.len() == 1 && !sources.iter().any(whole);
        let previous = |source: &LogSource| matches!(source, LogSource::Previous(_));
        if self.wait && !one_run {
            return Some("--wait is for one unit or run: it ends with that one's exit status");
        }
        if self.previous && !sources.iter().any(previous) {
            return Some("--previous is for names: it means the run before the newest of each");
        }
        None
    }
}
