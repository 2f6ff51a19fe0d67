//! The keys of a unit, as they are read, and what they are on the wire. `written.rs` is the way back.

use api::{
    meta::AuraeMeta,
    runtime::{
        Executable, KillMode, Readiness, ResourceLimits, RestartPolicy, RestartWhen, Step,
        StopPolicy, UnitKind,
    },
};
use serde::Deserialize;
use toml::Spanned;

use super::{
    UnitFileError, fault_at,
    value::{
        Bound, Choice, Command, Environment, ExitWord, Input, Mask, Percent, Said, SignalNumber,
        Size, Time,
    },
};

/// A unit with every key that there is, in the order in which they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unit {
    pub(super) name: Spanned<String>,
    /// Of a unit among many only.
    pub(super) enabled: Option<Spanned<bool>>,
    comment: Option<String>,
    kind: Option<Choice<UnitKind>>,
    remain_after_exit: Option<bool>,
    /// Exclusive with argv.
    command: Option<Spanned<String>>,
    /// Exclusive with command.
    argv: Option<Spanned<Vec<String>>>,
    before: Option<Vec<Command>>,
    after: Option<Vec<Command>>,
    on_stop: Option<Vec<Command>>,
    on_reload: Option<Vec<Command>>,
    environment: Option<Environment>,
    environment_files: Option<Vec<String>>,
    user: Option<String>,
    working_directory: Option<String>,
    umask: Option<Said<Mask>>,
    nice: Option<i32>,
    stdin: Option<Input>,
    readiness: Option<Choice<Readiness>>,
    start_timeout: Option<Said<Bound>>,
    run_limit: Option<Said<Bound>>,
    success: Option<Vec<Said<ExitWord>>>,
    restart: Option<Restart>,
    stop: Option<Stop>,
    limits: Option<Limits>,
}

/// `[restart]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [restart] with when = \"on-failure\"")]
struct Restart {
    when: Option<Choice<RestartWhen>>,
    delay: Option<Said<Time>>,
    max_delay: Option<Said<Time>>,
    steps: Option<u32>,
    jitter: Option<Said<Time>>,
    reset_after: Option<Said<Time>>,
    start_limit: Option<u32>,
    start_interval: Option<Said<Time>>,
    prevent: Option<Vec<Said<ExitWord>>>,
    force: Option<Vec<Said<ExitWord>>>,
}

/// `[stop]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [stop] with signal = \"SIGTERM\"")]
struct Stop {
    signal: Option<Said<SignalNumber>>,
    timeout: Option<Said<Bound>>,
    kill_mode: Option<Choice<KillMode>>,
    final_kill: Option<bool>,
}

/// `[limits]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [limits] with memory_max = \"512M\"")]
struct Limits {
    cpu_weight: Option<u64>,
    cpu_quota: Option<Said<Percent>>,
    memory_max: Option<Said<Size>>,
    memory_high: Option<Said<Size>>,
    pids_max: Option<u64>,
}

/// What is wrong with a unit whose keys have the right types.
pub(super) struct Wrong {
    offset: usize,
    key: String,
    fault: &'static str,
}

impl Wrong {
    /// The same, as a place in a file.
    pub(super) fn at(&self, content: &[u8]) -> UnitFileError {
        fault_at(content, self.offset, Some(&self.key), self.fault)
    }
}

impl Unit {
    /// What the unit is on the wire. `table` is where it begins in its file, `path` what stands before its
    /// keys in a message.
    pub(super) fn executable(mut self, table: usize, path: &str) -> Result<Executable, Wrong> {
        let (command, argv) = self.main(table, path)?;
        let name = self.name.into_inner();
        Ok(Executable {
            meta: Some(AuraeMeta { name, ..AuraeMeta::default() }),
            command,
            comment: self.comment.unwrap_or_default(),
            argv,
            // A run has an id; what is registered has none.
            run_id: String::new(),
            resume: None,
            user: self.user.unwrap_or_default(),
            // Doors make their own.
            owner: None,
            kind: self.kind.map_or(0, |kind| kind.0),
            remain_after_exit: self.remain_after_exit.unwrap_or_default(),
            environment: self.environment.map(|environment| environment.0).unwrap_or_default(),
            environment_files: self.environment_files.unwrap_or_default(),
            working_directory: self.working_directory.unwrap_or_default(),
            umask: self.umask.map(|mask| mask.0.0),
            nice: self.nice,
            stdin: self.stdin.map(|input| input.0),
            before: steps(self.before),
            after: steps(self.after),
            on_stop: steps(self.on_stop),
            on_reload: steps(self.on_reload),
            restart: self.restart.map(RestartPolicy::from),
            stop: self.stop.map(StopPolicy::from),
            start_timeout_ms: self.start_timeout.map(|bound| bound.0.0),
            run_limit_ms: self.run_limit.map_or(0, |bound| bound.0.0),
            readiness: self.readiness.map_or(0, |readiness| readiness.0),
            limits: self.limits.map(ResourceLimits::from),
            success: exits(self.success),
        })
    }

    /// The main command, or the words of it.
    fn main(&mut self, table: usize, path: &str) -> Result<(String, Vec<String>), Wrong> {
        let wrong = |offset, key, fault| Wrong { offset, key: format!("{path}{key}"), fault };
        let nothing = "write command = \"PROGRAM ARG\" or argv = [\"PROGRAM\", \"ARG\"]";
        match (self.command.take(), self.argv.take()) {
            (Some(command), None) if command.get_ref().is_empty() => {
                Err(wrong(command.span().start, "command", "it is empty; write a program"))
            }
            (None, Some(argv)) if argv.get_ref().is_empty() => {
                Err(wrong(argv.span().start, "argv", "it is empty; write a program"))
            }
            (Some(_), Some(argv)) => {
                let fault = "there is a command too; keep one of them";
                Err(wrong(argv.span().start, "argv", fault))
            }
            (None, None) => Err(wrong(table, "command", nothing)),
            (Some(command), None) => Ok((command.into_inner(), Vec::new())),
            (None, Some(argv)) => Ok((String::new(), argv.into_inner())),
        }
    }
}

impl From<Restart> for RestartPolicy {
    fn from(restart: Restart) -> Self {
        let time = |time: Option<Said<Time>>| time.map(|time| time.0.0);
        Self {
            when: restart.when.map_or(0, |when| when.0),
            delay_ms: time(restart.delay),
            max_delay_ms: time(restart.max_delay),
            steps: restart.steps.unwrap_or_default(),
            jitter_ms: time(restart.jitter).unwrap_or_default(),
            reset_after_ms: time(restart.reset_after),
            start_limit: restart.start_limit,
            start_interval_ms: time(restart.start_interval),
            prevent: exits(restart.prevent),
            force: exits(restart.force),
        }
    }
}

impl From<Stop> for StopPolicy {
    fn from(stop: Stop) -> Self {
        Self {
            signal: stop.signal.map_or(0, |signal| signal.0.0),
            timeout_ms: stop.timeout.map(|bound| bound.0.0),
            kill_mode: stop.kill_mode.map_or(0, |mode| mode.0),
            final_kill: stop.final_kill,
        }
    }
}

impl From<Limits> for ResourceLimits {
    fn from(limits: Limits) -> Self {
        Self {
            cpu_weight: limits.cpu_weight,
            cpu_quota_percent: limits.cpu_quota.map(|percent| percent.0.0),
            memory_max_bytes: limits.memory_max.map(|size| size.0.0),
            memory_high_bytes: limits.memory_high.map(|size| size.0.0),
            pids_max: limits.pids_max,
        }
    }
}

fn steps(commands: Option<Vec<Command>>) -> Vec<Step> {
    commands.unwrap_or_default().into_iter().map(|command| command.0).collect()
}

fn exits(words: Option<Vec<Said<ExitWord>>>) -> Vec<String> {
    words.unwrap_or_default().into_iter().map(|word| word.0.0).collect()
}
