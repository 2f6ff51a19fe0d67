//! What may be said of a unit on the command line: the fields of `runtime.Executable`, an option each.

use api::runtime::{
    Executable, KillMode, Readiness, ResourceLimits, RestartPolicy, RestartWhen, StandardInput,
    Step, StopPolicy, UnitKind, standard_input::From,
};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use client::{
    Word,
    quantity::{
        exit_word, parse_bound, parse_mask, parse_percent, parse_size, parse_time, signal_number,
    },
};

const SETTING: &str = "What it finds, and what it may use";
const LIFE: &str = "How it starts, stops and is started again";

/// The words of the wire's enumerations, for completions; a test sees that there are no others.
const WHEN: &[&str] = &["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort"];
const MODES: &[&str] = &["control-group", "mixed", "process", "none"];

/// What every program can be given.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = SETTING)]
pub(crate) struct SettingOptions {
    /// A variable; may be given more than once
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// A file of variables, as systemd's EnvironmentFile=; with - before it, it may be missing
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    env_file: Vec<String>,
    /// The folder it is started in
    #[arg(long, value_name = "PATH")]
    working_directory: Option<String>,
    /// The file mode creation mask, in octal digits
    #[arg(long, value_parser = parse_mask)]
    umask: Option<u32>,
    /// The scheduling priority, -20 (most) to 19
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// The file it reads as standard input
    #[arg(long, value_name = "PATH")]
    stdin_file: Option<String>,
    /// Its share of CPU time against others', 1 to 10000
    #[arg(long, value_name = "WEIGHT")]
    cpu_weight: Option<u64>,
    /// The most CPU time, 150% being one processor and a half
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    cpu_quota: Option<u32>,
    /// The most memory, 512M; beyond it processes are killed
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_max: Option<u64>,
    /// Memory beyond which it is slowed down
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_high: Option<u64>,
    /// The most processes and threads
    #[arg(long, value_name = "NUMBER")]
    pids_max: Option<u64>,
}

/// What only a unit can be given.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = LIFE)]
pub(crate) struct UnitOptions {
    /// It does one thing and ends; its start is complete then
    #[arg(long)]
    oneshot: bool,
    /// A oneshot that succeeded counts as up until it is stopped
    #[arg(long, requires = "oneshot")]
    remain_after_exit: bool,
    /// Its start is complete when it says READY=1 (sd_notify)
    #[arg(long)]
    notify: bool,
    /// A command before it; may be given more than once
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    before: Vec<String>,
    /// A command when it is ready
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    after: Vec<String>,
    /// A command that stops it
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    on_stop: Vec<String>,
    /// A command that reloads it
    #[arg(long, value_name = "STRING", allow_hyphen_values = true)]
    on_reload: Vec<String>,
    /// How long each step of a start may take: 90s, 1min 30s, infinity
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    start_timeout: Option<u64>,
    /// How long it may run
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    run_limit: Option<u64>,
    /// An exit status or signal that is a success, beside the usual ones
    #[arg(long, value_name = "EXIT", value_parser = exit_word)]
    success: Vec<String>,
    #[command(flatten)]
    restart: RestartOptions,
    #[command(flatten)]
    stop: StopOptions,
    #[command(flatten)]
    setting: SettingOptions,
}

/// When it is started again by itself.
#[derive(Args, Clone, Debug, Default, PartialEq)]
struct RestartOptions {
    /// After which ends it is started again
    #[arg(id = "restart", long = "restart", value_name = "WHEN", value_parser = words::<RestartWhen>(WHEN))]
    when: Option<RestartWhen>,
    /// The delay before it is started again
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    restart_delay: Option<u64>,
    /// The delay that this grows to, in --restart-steps
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "restart_steps")]
    restart_max_delay: Option<u64>,
    /// In how many restarts the delay grows
    #[arg(long, value_name = "NUMBER", requires = "restart_max_delay")]
    restart_steps: Option<u32>,
    /// The most that chance adds to each delay
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    restart_jitter: Option<u64>,
    /// After how long a run the delay begins anew
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    restart_reset: Option<u64>,
    /// An exit status or signal after which it is not started again
    #[arg(long, value_name = "EXIT", value_parser = exit_word)]
    restart_prevent: Vec<String>,
    /// An exit status or signal after which it always is
    #[arg(long, value_name = "EXIT", value_parser = exit_word)]
    restart_force: Vec<String>,
    /// The most starts within --start-interval; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    start_limit: Option<u32>,
    /// The window of --start-limit
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    start_interval: Option<u64>,
}

/// How it is stopped.
#[derive(Args, Clone, Debug, Default, PartialEq)]
struct StopOptions {
    /// The signal that asks it to end
    #[arg(long, value_name = "SIGNAL", value_parser = signal_number)]
    stop_signal: Option<i32>,
    /// How long it has for that, before it is killed
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    stop_timeout: Option<u64>,
    /// Whom that reaches
    #[arg(long, value_name = "MODE", value_parser = words::<KillMode>(MODES))]
    kill_mode: Option<KillMode>,
    /// What is left after the time-out is left alone
    #[arg(long)]
    no_final_kill: bool,
}

impl SettingOptions {
    /// The executable with what these say of it.
    pub(crate) fn on(self, executable: Executable) -> Executable {
        let limits = ResourceLimits {
            cpu_weight: self.cpu_weight,
            cpu_quota_percent: self.cpu_quota,
            memory_max_bytes: self.memory_max,
            memory_high_bytes: self.memory_high,
            pids_max: self.pids_max,
        };
        let from = self.stdin_file.map(From::File);
        Executable {
            environment: self.env,
            environment_files: self.env_file,
            working_directory: self.working_directory.unwrap_or_default(),
            umask: self.umask,
            nice: self.nice,
            stdin: from.map(|from| StandardInput { from: Some(from) }),
            limits: unless_default(limits),
            ..executable
        }
    }
}

impl UnitOptions {
    /// The executable with what these say of it.
    pub(crate) fn on(self, executable: Executable) -> Executable {
        let kind = if self.oneshot { UnitKind::Oneshot } else { UnitKind::Service };
        let readiness = if self.notify { Readiness::Notify } else { Readiness::Executed };
        self.setting.on(Executable {
            kind: kind.into(),
            remain_after_exit: self.remain_after_exit,
            before: steps(self.before),
            after: steps(self.after),
            on_stop: steps(self.on_stop),
            on_reload: steps(self.on_reload),
            restart: unless_default(self.restart.policy()),
            stop: unless_default(self.stop.policy()),
            start_timeout_ms: self.start_timeout,
            run_limit_ms: self.run_limit.unwrap_or_default(),
            readiness: readiness.into(),
            success: self.success,
            ..executable
        })
    }
}

impl RestartOptions {
    fn policy(self) -> RestartPolicy {
        RestartPolicy {
            when: self.when.unwrap_or(RestartWhen::No).into(),
            delay_ms: self.restart_delay,
            max_delay_ms: self.restart_max_delay,
            steps: self.restart_steps.unwrap_or_default(),
            jitter_ms: self.restart_jitter.unwrap_or_default(),
            reset_after_ms: self.restart_reset,
            start_limit: self.start_limit,
            start_interval_ms: self.start_interval,
            prevent: self.restart_prevent,
            force: self.restart_force,
        }
    }
}

impl StopOptions {
    fn policy(&self) -> StopPolicy {
        StopPolicy {
            signal: self.stop_signal.unwrap_or_default(),
            timeout_ms: self.stop_timeout,
            kill_mode: self.kill_mode.unwrap_or(KillMode::ControlGroup).into(),
            final_kill: self.no_final_kill.then_some(false),
        }
    }
}

/// What nobody has said anything of is not sent.
fn unless_default<T: Default + PartialEq>(message: T) -> Option<T> {
    Some(message).filter(|message| *message != T::default())
}

fn steps(commands: Vec<String>) -> Vec<Step> {
    commands.into_iter().map(|command| Step { command, argv: Vec::new() }).collect()
}

fn words<W: Word + Send + Sync + 'static>(
    known: &'static [&'static str],
) -> impl TypedValueParser<Value = W> {
    PossibleValuesParser::new(known).try_map(|text| W::of_word(&text))
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_know_every_word() {
        assert_eq!(RestartWhen::all().into_iter().map(Word::word).collect::<Vec<_>>(), WHEN);
        assert_eq!(KillMode::all().into_iter().map(Word::word).collect::<Vec<_>>(), MODES);
    }
}
