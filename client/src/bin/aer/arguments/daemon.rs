//! The arguments of the verbs of the daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help;

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Puts another daemon of the same program in the place of this one
    #[command(after_help = help::DAEMON_RESTART)]
    Restart,
    /// Puts a daemon of a new program in the place of this one
    #[command(after_help = help::DAEMON_UPGRADE)]
    Upgrade(Upgrade),
    /// Changes what the daemon prints on standard error, or tells what it is
    #[command(after_help = help::DAEMON_LOG_LEVEL)]
    LogLevel(LogLevel),
}

#[derive(Args, Debug)]
pub(crate) struct LogLevel {
    /// off, error, warn, info, debug or trace, or levels by target, such as info,h2=debug
    #[arg(value_name = "FILTER", value_parser = filter)]
    pub(crate) filter: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// The program auraed-core [default: what is where the daemon's own was found]
    #[arg(value_name = "BINARY")]
    pub(crate) binary: Option<PathBuf>,
    /// Leaves the keeper what it is, also where an auraed is in the folder of BINARY
    #[arg(long)]
    pub(crate) keep_keeper: bool,
}

/// On the wire no filter is a question, so an empty one (`aer daemon log-level "$LEVEL"`) would change nothing and look as if
/// it had. What else is none the daemon says.
fn filter(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty, and nothing was changed; write off, error, warn, info, debug or trace, or levels by \
                    target: info,h2=debug; without a FILTER the present one is told"
            .to_owned());
    }
    Ok(text.to_owned())
}
