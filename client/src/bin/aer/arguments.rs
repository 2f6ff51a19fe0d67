//! What may be said on the command line.

mod daemon;
mod help;
mod logs;
mod options;
mod power;
mod schedule;
mod units;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use clap_complete::Shell;
use client::{Endpoint, quantity::parse_time};
use uuid::Uuid;

use self::options::SettingOptions;
pub(crate) use self::{
    daemon::{DaemonVerb, LogLevel, Upgrade},
    logs::Logs,
    options::UnitOptions,
    power::{Power, PowerVerb},
    schedule::{Disable, Enable, Import, List, Names, ScheduleVerb},
    units::{Forget, Name, Restart, Signal, Start, Stop, Target, Wait, Watch},
};
use crate::exit_status;

/// Drives the auraed of this machine, or of another.
#[derive(Debug, Parser)]
#[command(
    name = "aer",
    version,
    after_help = help::FILES,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
pub(crate) struct Arguments {
    /// The daemon's Unix socket
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon's address, http://HOST:PORT
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "URI")]
    pub(crate) address: Option<Endpoint>,
    /// Speaks dRPC with the daemon at this socket: start, stop, restart, signal, inspect, list, logs, enable, disable
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "PATH")]
    pub(crate) drpc: Option<PathBuf>,
    /// How the answer is written: table for people, json for programs; of logs also short, cat and precise
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        help_heading = help::GLOBAL,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        default_value_t = Form::Table
    )]
    pub(crate) form: Form,
    /// Why this is done; kept with what it changes
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How long a broken connection is tried again, such as 30s; 0 is not at all
    #[arg(long, global = true, help_heading = help::GLOBAL, value_name = "TIME", value_parser = parse_time, default_value = "30s")]
    pub(crate) reconnect: u64,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How an answer is written: for people, or as JSON objects, one to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// What may be said of that: the forms of lines are those of logs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
    Short,
    Cat,
    Precise,
}

impl Form {
    /// The form of an answer.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Table | Self::Short | Self::Cat | Self::Precise => Format::Table,
        }
    }

    fn is_of_lines(self) -> bool {
        match self {
            Self::Table | Self::Json => false,
            Self::Short | Self::Cat | Self::Precise => true,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Executes a command in a cgroup of its own, with its output as it comes and its exit status
    #[command(after_help = help::EXEC)]
    Exec(Box<Exec>),
    /// Tells who is answering, and how it fares
    #[command(after_help = help::STATUS)]
    Status,
    /// Prints what units, runs or the daemon itself have printed, and follows it
    #[command(after_help = help::LOGS)]
    Logs(Box<Logs>),
    /// Starts units, and returns when they are up
    #[command(after_help = help::START)]
    Start(Box<Start>),
    /// Stops units, and returns when they are down
    #[command(after_help = help::STOP)]
    Stop(Stop),
    /// Stops units that are up, and starts them
    #[command(after_help = help::RESTART)]
    Restart(Restart),
    /// Executes what reloads units
    #[command(after_help = help::RELOAD)]
    Reload(Names),
    /// Sends a signal to a unit or a run
    #[command(after_help = help::SIGNAL)]
    Signal(Signal),
    /// Waits until a unit is down or a run has ended, with its exit status
    #[command(after_help = help::WAIT)]
    Wait(Wait),
    /// Lists what is registered and what runs
    #[command(after_help = help::LIST)]
    List(List),
    /// Tells all about one unit
    #[command(after_help = help::INSPECT)]
    Inspect(Name),
    /// Drops what is known of units that are down, and frees their names
    #[command(after_help = help::FORGET)]
    Forget(Forget),
    /// Prints every change of every unit as it happens
    #[command(after_help = help::WATCH)]
    Watch(Watch),
    /// Registers a unit, so that it starts at boot
    #[command(after_help = help::ENABLE)]
    Enable(Box<Enable>),
    /// Keeps units registered, and lets them not start at boot
    #[command(after_help = help::DISABLE)]
    Disable(Disable),
    /// Forgets units
    #[command(after_help = help::DESTROY)]
    Destroy(Names),
    /// Prints one unit as TOML
    #[command(after_help = help::SHOW)]
    Show(Name),
    /// Changes one unit in an editor
    #[command(after_help = help::EDIT)]
    Edit(Name),
    /// Takes the schedule out, puts one in, or repairs it
    #[command(
        after_help = help::SCHEDULE,
        subcommand_value_name = "VERB",
        subcommand_help_heading = "Verbs"
    )]
    Schedule {
        #[command(subcommand)]
        verb: ScheduleVerb,
    },
    /// Puts another daemon in the place of this one; what runs goes on
    #[command(
        after_help = help::DAEMON,
        subcommand_value_name = "VERB",
        subcommand_help_heading = "Verbs"
    )]
    Daemon {
        #[command(subcommand)]
        verb: DaemonVerb,
    },
    /// Ends the machine of which auraed is the first process, or the container
    #[command(
        after_help = help::POWER,
        subcommand_value_name = "VERB",
        subcommand_help_heading = "Verbs"
    )]
    Power {
        #[command(subcommand)]
        verb: PowerVerb,
    },
    /// Writes a shell's completions for aer
    #[command(after_help = help::COMPLETIONS)]
    Completions(Completions),
}

#[derive(Args, Debug)]
#[command(
    override_usage = "aer exec [OPTIONS] -- CMD [ARG]...\n       aer exec [OPTIONS] -c STRING",
    group(ArgGroup::new("what").required(true).args(["command", "argv"]))
)]
pub(crate) struct Exec {
    /// The name it runs under; one is made up where none is given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A comment that is kept with the run
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// The run's id, where the caller wants to choose it; a second request with it joins the first run
    #[arg(long, value_name = "UUID")]
    pub(crate) run_id: Option<Uuid>,
    /// A command line that the daemon takes apart as systemd's ExecStart; not a shell
    #[arg(short, long, value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) command: Option<String>,
    /// The program and its arguments, which are taken as they stand
    #[arg(last = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
    #[command(flatten)]
    pub(crate) setting: SettingOptions,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

impl Arguments {
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(words)?;
        // clap does not see a conflict of global arguments on both sides of the verb.
        let places =
            [arguments.socket.is_some(), arguments.address.is_some(), arguments.drpc.is_some()];
        if places.into_iter().filter(|&said| said).count() > 1 {
            let sentence = if arguments.drpc.is_some() {
                "--drpc cannot be used together with --socket or --address"
            } else {
                "--socket and --address cannot be used together"
            };
            return Err(Self::command().error(ErrorKind::ArgumentConflict, sentence));
        }
        let is_logs = matches!(arguments.verb, Verb::Logs(_));
        if arguments.form.is_of_lines() && !is_logs {
            let sentence =
                "short, cat and precise are forms of logs; table and json are of everything";
            return Err(Self::command().error(ErrorKind::InvalidValue, sentence));
        }
        if let Verb::Enable(enable) = &arguments.verb
            && arguments.drpc.is_none()
            && enable.file.is_none()
            && enable.command.is_none()
            && enable.argv.is_empty()
        {
            let sentence = "what is it? give -- CMD, -c STRING or -f FILE";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, sentence));
        }
        match arguments.verb.contradiction() {
            Some(sentence) => Err(Self::command().error(ErrorKind::ArgumentConflict, sentence)),
            None => Ok(arguments),
        }
    }
}

impl Verb {
    /// What is said of a unit of which something else says it: many options, so that clap is not told of each.
    fn contradiction(&self) -> Option<&'static str> {
        let said = |options: &UnitOptions| *options != UnitOptions::default();
        match self {
            Self::Enable(enable) => {
                let contradicts = enable.file.is_some() && said(&enable.options);
                contradicts.then_some("the file says all about the unit; write it there")
            }
            Self::Start(start) => {
                let extra = start.name.is_some() || start.comment.is_some() || said(&start.options);
                match (extra, start.file.is_some(), start.names.is_empty()) {
                    (true, true, _) => Some("the file says all about the unit; write it there"),
                    (true, _, false) => Some(
                        "a unit that has a name already is what it is; aer edit or aer enable changes it",
                    ),
                    (_, _, _) => None,
                }
            }
            Self::Logs(logs) => logs.contradiction(),
            Self::Exec(_)
            | Self::Status
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Reload(_)
            | Self::Signal(_)
            | Self::Wait(_)
            | Self::List(_)
            | Self::Inspect(_)
            | Self::Forget(_)
            | Self::Watch(_)
            | Self::Disable(_)
            | Self::Destroy(_)
            | Self::Show(_)
            | Self::Edit(_)
            | Self::Schedule { .. }
            | Self::Daemon { .. }
            | Self::Power { .. }
            | Self::Completions(_) => None,
        }
    }

    /// The exit status where aer or the daemon fails.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Exec(_) | Self::Wait(_) => exit_status::EXEC_FAILED,
            Self::Logs(logs) if logs.wait => exit_status::EXEC_FAILED,
            Self::Status
            | Self::Logs(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Reload(_)
            | Self::Signal(_)
            | Self::Inspect(_)
            | Self::Forget(_)
            | Self::Watch(_)
            | Self::Edit(_)
            | Self::Enable(_)
            | Self::Disable(_)
            | Self::Destroy(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Schedule { .. }
            | Self::Daemon { .. }
            | Self::Power { .. }
            | Self::Completions(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests;
