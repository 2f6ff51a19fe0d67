//! The arguments of the verbs of the schedule.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{help, options::UnitOptions};

#[derive(Args, Debug)]
#[command(
    override_usage = "aer enable [OPTIONS] NAME -- CMD [ARG]...\n       \
                      aer enable [OPTIONS] NAME -c STRING\n       \
                      aer enable [OPTIONS] -f FILE",
    group(ArgGroup::new("what").args(["command", "argv", "file"]))
)]
pub(crate) struct Enable {
    /// The unit's name
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
    /// A comment that is kept with the unit
    #[arg(long, conflicts_with = "file")]
    pub(crate) comment: Option<String>,
    /// Starts it too
    #[arg(long)]
    pub(crate) now: bool,
    /// A command line that the daemon takes apart as systemd's ExecStart; not a shell
    #[arg(short, long, value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) command: Option<String>,
    /// The unit as TOML, as aer show prints it; - is standard input
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// The program and its arguments, which are taken as they stand
    #[arg(last = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
    #[command(flatten)]
    pub(crate) options: UnitOptions,
}

#[derive(Args, Debug)]
pub(crate) struct Disable {
    /// The units' names
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Stops them too
    #[arg(long)]
    pub(crate) now: bool,
}

/// What `destroy` and `reload` take.
#[derive(Args, Debug)]
pub(crate) struct Names {
    /// The units' names
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only what starts at boot
    #[arg(long, conflicts_with = "disabled")]
    pub(crate) enabled: bool,
    /// Only what does not start at boot
    #[arg(long)]
    pub(crate) disabled: bool,
    /// Only what runs
    #[arg(long, conflicts_with = "failed")]
    pub(crate) running: bool,
    /// Only what failed
    #[arg(long)]
    pub(crate) failed: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleVerb {
    /// Prints everything that can be got out of the schedule, be it whole or not
    #[command(after_help = help::EXPORT)]
    Export,
    /// Registers what aer schedule export has printed: all of it, or nothing
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// Puts a damaged schedule aside and keeps what can be got out of it
    #[command(after_help = help::REPAIR)]
    Repair,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file; - is standard input
    #[arg(default_value = "-", hide_default_value = true)]
    pub(crate) file: PathBuf,
}
