//! What may be said on the command line.

mod daemon;
mod help;
mod options;
mod schedule;
mod units;

use std::{ffi::OsString, path::PathBuf, str::FromStr};

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use clap_complete::Shell;
use client::{Endpoint, LogSource, quantity::parse_time};
use uuid::Uuid;

use self::options::SettingOptions;
pub(crate) use self::{
    daemon::{DaemonVerb, Upgrade},
    options::UnitOptions,
    schedule::{Disable, Enable, Import, List, Names, ScheduleVerb},
    units::{Forget, Name, Restart, Signal, Start, Stop, Wait, Watch},
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
    /// How the answer is written: table for people, json for programs
    #[arg(
        short,
        long,
        global = true,
        help_heading = help::GLOBAL,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        default_value_t = Format::Table
    )]
    pub(crate) output: Format,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Executes a command in a cgroup of its own, with its output as it comes and its exit status
    #[command(after_help = help::EXEC)]
    Exec(Box<Exec>),
    /// Tells who is answering, and how it fares
    #[command(after_help = help::STATUS)]
    Status,
    /// Prints what a run, a name, a process or the daemon itself has printed
    #[command(after_help = help::LOGS)]
    Logs(Logs),
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
#[command(group(ArgGroup::new("source").required(true).args(["which", "name", "pid", "run", "daemon"])))]
pub(crate) struct Logs {
    /// A run's id, the process id of its main process, or a name
    #[arg(value_name = "RUN|PID|NAME")]
    which: Option<Which>,
    /// Every run of this name
    #[arg(long)]
    name: Option<String>,
    /// The newest run whose main process had this id
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pid: Option<i64>,
    /// This run
    #[arg(long, value_name = "UUID")]
    run: Option<Uuid>,
    /// The daemon's own log
    #[arg(long)]
    daemon: bool,
    /// Goes on when the end is reached: of one run until it has ended, otherwise until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// What a bare argument of `logs` means.
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

impl Arguments {
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(words)?;
        // clap does not see a conflict of global arguments on both sides of the verb.
        if arguments.socket.is_some() && arguments.address.is_some() {
            let sentence = "--socket and --address cannot be used together";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, sentence));
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
            Self::Exec(_)
            | Self::Status
            | Self::Logs(_)
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
            | Self::Completions(_) => None,
        }
    }

    /// The exit status where aer or the daemon fails.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Exec(_) | Self::Wait(_) => exit_status::EXEC_FAILED,
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
            | Self::Completions(_) => 1,
        }
    }
}

impl Logs {
    /// Whose log is wanted.
    pub(crate) fn source(self) -> LogSource {
        let named = self.name.map(LogSource::Name);
        let pid = self.pid.map(LogSource::ProcessId);
        let run = self.run.map(LogSource::Run);
        let which = self.which.map(|Which(source)| source);
        // The group lets exactly one of them through, so what is left is --daemon.
        named.or(pid).or(run).or(which).unwrap_or(LogSource::Daemon)
    }
}

#[cfg(test)]
mod tests;
