//! The command line of `auraed`.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;

use super::Role;

/// Runs everything on this machine: commands and services, each in a cgroup of its own, driven over gRPC.
#[derive(Debug, Parser)]
#[command(name = "auraed", bin_name = "auraed", version, args_override_self = true)]
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
    /// Start nothing that is enabled: only the API, and on a machine's console a shell where one is configured
    #[arg(long)]
    pub(crate) rescue: bool,
    /// Do not start this at boot, though it is enabled; may be given several times
    #[arg(long, value_name = "NAME", action = clap::ArgAction::Append)]
    pub(crate) mask: Vec<String>,
    /// What the keeper is, as it has found out: service, machine or container
    #[arg(long, hide = true, default_value = "service")]
    pub(crate) role: Role,
    /// Where the configuration is that this one is to replace while everything runs, as `configure` printed it
    #[arg(long, hide = true, value_name = "PATH")]
    pub(crate) instead_of: Option<PathBuf>,
    /// Something that the keeper has found wrong, for Status
    #[arg(long, hide = true, action = clap::ArgAction::Append)]
    pub(crate) problem: Vec<String>,
}

/// Parses; where something was said instead (help, version, one line of what is wrong), the exit status.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let name = OsString::from("auraed");
    Arguments::try_parse_from(std::iter::once(name).chain(arguments)).map_err(|said| {
        if said.use_stderr() {
            drop(writeln!(io::stderr().lock(), "auraed: {}; see auraed --help", sentence(&said)));
        } else {
            drop(said.print());
        }
        ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2))
    })
}

/// What is wrong, of what clap says on several lines.
fn sentence(said: &clap::Error) -> String {
    let text = said.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    // The words that somebody gave are in it.
    sentence.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
