//! The command line of `auraed`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Parser;

/// Runs everything on this machine: commands and services, each in a cgroup of its own, driven over gRPC.
#[derive(Debug, Parser)]
#[command(name = "auraed", bin_name = "auraed", version)]
pub(crate) struct Arguments {
    /// The configuration [default: /etc/aurae/auraed.toml, or $XDG_CONFIG_HOME/aurae/auraed.toml of an
    /// ordinary user, where that exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The socket of the API [default: /run/aurae/aurae.sock, or $XDG_RUNTIME_DIR/aurae/aurae.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The folder of what outlives the boot [default: /var/lib/aurae, or $XDG_STATE_HOME/aurae]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The folder of what dies with the boot [default: /run/aurae, or $XDG_RUNTIME_DIR/aurae]
    #[arg(long, value_name = "DIR")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// What to log on standard error: error, warn, info, debug, trace, or a filter such as
    /// "info,auraed_core::supervisor=debug" [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// Parses; where clap has said something instead (help, version, an error), its exit status.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let name = OsString::from("auraed");
    Arguments::try_parse_from(std::iter::once(name).chain(arguments)).map_err(|said| {
        drop(said.print());
        ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2))
    })
}
