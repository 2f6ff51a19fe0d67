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
