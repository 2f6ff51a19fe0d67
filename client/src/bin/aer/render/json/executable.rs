//! An executable for programs, with every field that it has.

use api::runtime::{self, standard_input};
use base64::{Engine, prelude::BASE64_STANDARD};
use client::Word;
use serde::Serialize;

use super::Meta;

#[derive(Serialize)]
pub(super) struct Executable {
    meta: Option<Meta>,
    command: String,
    comment: String,
    argv: Vec<String>,
    run_id: String,
    kind: String,
    remain_after_exit: bool,
    environment: Vec<String>,
    environment_files: Vec<String>,
    user: String,
    working_directory: String,
    umask: Option<u32>,
    nice: Option<i32>,
    stdin: Option<StandardInput>,
    before: Vec<Step>,
    after: Vec<Step>,
    on_stop: Vec<Step>,
    on_reload: Vec<Step>,
    restart: Option<RestartPolicy>,
    stop: Option<StopPolicy>,
    start_timeout_ms: Option<u64>,
    run_limit_ms: u64,
    readiness: String,
    limits: Option<ResourceLimits>,
    success: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum StandardInput {
    Null,
    File(String),
    /// Base64, as protobuf's JSON has bytes.
    Data(String),
}

#[derive(Serialize)]
struct Step {
    command: String,
    argv: Vec<String>,
}

#[derive(Serialize)]
struct RestartPolicy {
    when: String,
    delay_ms: Option<u64>,
    max_delay_ms: Option<u64>,
    steps: u32,
    jitter_ms: u64,
    reset_after_ms: Option<u64>,
    start_limit: Option<u32>,
    start_interval_ms: Option<u64>,
    prevent: Vec<String>,
    force: Vec<String>,
}

#[derive(Serialize)]
struct StopPolicy {
    signal: i32,
    timeout_ms: Option<u64>,
    kill_mode: String,
    final_kill: Option<bool>,
}

#[derive(Serialize)]
struct ResourceLimits {
    cpu_weight: Option<u64>,
    cpu_quota_percent: Option<u32>,
    memory_max_bytes: Option<u64>,
    memory_high_bytes: Option<u64>,
    pids_max: Option<u64>,
}

// === impl From ===

impl From<&runtime::Executable> for Executable {
    fn from(executable: &runtime::Executable) -> Self {
        let executable = executable.clone();
        Self {
            meta: executable.meta.as_ref().map(Meta::from),
            command: executable.command,
            comment: executable.comment,
            argv: executable.argv,
            run_id: executable.run_id,
            kind: word_of::<runtime::UnitKind>(executable.kind),
            remain_after_exit: executable.remain_after_exit,
            environment: executable.environment,
            environment_files: executable.environment_files,
            user: executable.user,
            working_directory: executable.working_directory,
            umask: executable.umask,
            nice: executable.nice,
            stdin: executable.stdin.map(StandardInput::from),
            before: steps(executable.before),
            after: steps(executable.after),
            on_stop: steps(executable.on_stop),
            on_reload: steps(executable.on_reload),
            restart: executable.restart.map(RestartPolicy::from),
            stop: executable.stop.map(StopPolicy::from),
            start_timeout_ms: executable.start_timeout_ms,
            run_limit_ms: executable.run_limit_ms,
            readiness: word_of::<runtime::Readiness>(executable.readiness),
            limits: executable.limits.map(ResourceLimits::from),
            success: executable.success,
        }
    }
}

impl From<runtime::StandardInput> for StandardInput {
    fn from(input: runtime::StandardInput) -> Self {
        match input.from {
            None => Self::Null,
            Some(standard_input::From::File(path)) => Self::File(path),
            Some(standard_input::From::Data(bytes)) => Self::Data(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl From<runtime::RestartPolicy> for RestartPolicy {
    fn from(restart: runtime::RestartPolicy) -> Self {
        Self {
            when: word_of::<runtime::RestartWhen>(restart.when),
            delay_ms: restart.delay_ms,
            max_delay_ms: restart.max_delay_ms,
            steps: restart.steps,
            jitter_ms: restart.jitter_ms,
            reset_after_ms: restart.reset_after_ms,
            start_limit: restart.start_limit,
            start_interval_ms: restart.start_interval_ms,
            prevent: restart.prevent,
            force: restart.force,
        }
    }
}

impl From<runtime::StopPolicy> for StopPolicy {
    fn from(stop: runtime::StopPolicy) -> Self {
        Self {
            signal: stop.signal,
            timeout_ms: stop.timeout_ms,
            kill_mode: word_of::<runtime::KillMode>(stop.kill_mode),
            final_kill: stop.final_kill,
        }
    }
}

impl From<runtime::ResourceLimits> for ResourceLimits {
    fn from(limits: runtime::ResourceLimits) -> Self {
        Self {
            cpu_weight: limits.cpu_weight,
            cpu_quota_percent: limits.cpu_quota_percent,
            memory_max_bytes: limits.memory_max_bytes,
            memory_high_bytes: limits.memory_high_bytes,
            pids_max: limits.pids_max,
        }
    }
}

fn steps(steps: Vec<runtime::Step>) -> Vec<Step> {
    let step = |runtime::Step { command, argv }| Step { command, argv };
    steps.into_iter().map(step).collect()
}

/// As all enumerations here: `on-failure`.
fn word_of<W: Word>(number: i32) -> String {
    super::word(W::PREFIX, number, |number| W::try_from(number).ok().map(W::name))
}
