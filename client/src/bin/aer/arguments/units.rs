//! The arguments of the verbs of units that run.

use std::{fmt, path::PathBuf, str::FromStr};

use api::meta::AuraeMeta;
use clap::{ArgGroup, Args};
use client::quantity::signal_number;
use uuid::Uuid;

use super::options::UnitOptions;

#[derive(Args, Debug)]
#[command(
    override_usage = "aer start NAME...\n       \
                      aer start -f FILE\n       \
                      aer start [--name NAME] [OPTIONS] -- CMD [ARG]...\n       \
                      aer start [--name NAME] [OPTIONS] -c STRING",
    group(ArgGroup::new("what").required(true).args(["names", "file", "command", "argv"]))
)]
pub(crate) struct Start {
    /// Units that are registered, or were started before
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A unit as TOML, as aer show prints it; - is standard input. It is not registered
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// The name of what is started; one is made up where none is given
    #[arg(id = "own-name", long = "name", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A comment that is kept with it
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// A command line that the daemon takes apart as systemd's ExecStart; not a shell
    #[arg(short, long, value_name = "STRING", allow_hyphen_values = true)]
    pub(crate) command: Option<String>,
    /// The program and its arguments, which are taken as they stand
    #[arg(last = true, value_name = "CMD")]
    pub(crate) argv: Vec<String>,
    #[command(flatten)]
    pub(crate) options: UnitOptions,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["names", "run"])))]
pub(crate) struct Stop {
    /// Units, or names of runs
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// This run
    #[arg(long, value_name = "UUID")]
    pub(crate) run: Option<Uuid>,
    /// The first signal, in the place of the unit's own
    #[arg(short, long, value_parser = signal_number)]
    pub(crate) signal: Option<i32>,
    /// Kills at once
    #[arg(long, conflicts_with = "signal")]
    pub(crate) kill: bool,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["names", "file"])))]
pub(crate) struct Restart {
    /// Units that are registered, or were started before
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A unit as TOML, which takes the place of the one of its name; - is standard input
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Signal {
    /// The unit, or the name of a run; a UUID is a run
    #[arg(value_name = "NAME|RUN")]
    pub(crate) target: Target,
    /// The signal, HUP, SIGHUP or 1
    #[arg(value_parser = signal_number)]
    pub(crate) signal: i32,
    /// To all of its processes, not to the main process alone
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Wait {
    /// The unit, or the name of a run; a UUID is a run
    #[arg(value_name = "NAME|RUN")]
    pub(crate) target: Target,
}

/// What takes the name of one unit.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// The unit's name
    pub(crate) name: String,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true).args(["names", "all"])))]
pub(crate) struct Forget {
    /// Units that are down
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// All that are down
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Only these units
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Goes on after this number; 0 is from the oldest that is kept. -o json tells the series
    #[arg(long, value_name = "[SERIES:]NUMBER")]
    pub(crate) from: Option<Point>,
}

/// A unit or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By its name.
    Name(String),
    /// By its id.
    Run(Uuid),
}

/// A place in the sequence of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Empty where it is that of whatever daemon answers.
    pub(crate) series: String,
    pub(crate) after: u64,
}

impl Target {
    /// As requests have it: a name, or else a run.
    pub(crate) fn parts(self) -> (Option<AuraeMeta>, String) {
        match self {
            Self::Name(name) => (Some(AuraeMeta { name, ..AuraeMeta::default() }), String::new()),
            Self::Run(run) => (None, run.to_string()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Run(run) => run.fmt(formatter),
        }
    }
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The other ways to write a UUID, without hyphens or in braces, could be names.
        const HYPHENATED: usize = 36;
        let run = Uuid::try_parse(text).ok().filter(|_| text.len() == HYPHENATED);
        Ok(run.map_or_else(|| Self::Name(text.to_owned()), Self::Run))
    }
}

impl FromStr for Point {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (series, number) = text.rsplit_once(':').unwrap_or(("", text));
        let after = number.parse().map_err(|_| "write the number of a change")?;
        Ok(Self { series: series.to_owned(), after })
    }
}
