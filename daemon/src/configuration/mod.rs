//! The configuration: a TOML file, overridden by the command line, filled up with defaults.
//!
//! It is read at the keeper's start, and again on SIGHUP, by `auraed-core configure`, which prints it in two parts: what the
//! keeper needs, and what it hands to every daemon. So a file that is edited meanwhile changes nothing until then.

mod arguments;
mod doors;
mod export;
mod file;
mod logs;
mod metrics;
mod telling;

use std::{
    ffi::OsString,
    io::{self, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use keeper::channel::Channel;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};

pub(crate) use doors::{DrpcDoor, DruncDoor};
pub(crate) use export::Export;
pub(crate) use file::{SpawnMethod, TrackingMode};
pub(crate) use logs::Logs;
pub(crate) use metrics::MetricsListen;

/// How many may be connected where nobody says otherwise: an eighth of the descriptors, and not fewer or more than these.
const MOST_CONNECTIONS: (usize, usize) = (64, 1024);

/// What the daemon goes by, complete. The keeper hands it to daemons of later releases, too: fields are only added, each
/// with a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    /// The node's name.
    pub(crate) node: String,
    /// The API's socket.
    pub(crate) socket: PathBuf,
    /// The group that may use it.
    pub(crate) socket_group: Option<u32>,
    /// What outlives the boot.
    pub(crate) state_dir: PathBuf,
    /// What dies with it.
    pub(crate) runtime_dir: PathBuf,
    /// The filter of the log on standard error.
    pub(crate) log: String,
    /// The bound of an orderly end.
    pub(crate) stop_timeout: Duration,
    /// How long it may take until a program is executed.
    pub(crate) start_timeout: Duration,
    /// The longest wait of the keeper before it starts the daemon again.
    pub(crate) longest_restart_delay: Duration,
    /// How long the daemon may owe an answer before it counts as hung. Younger than the format, so it may be missing in
    /// what an older `configure` printed: an upgrade does not read the file again.
    #[serde(default = "file::answer_timeout")]
    pub(crate) answer_timeout: Duration,
    /// How many may be connected to the API at a time; `None` is what descriptors suffice for. Younger than the format, as
    /// above.
    #[serde(default)]
    pub(crate) connections: Option<usize>,
    /// Where metrics are told; `None` is nowhere. Younger than the format, as above.
    #[serde(default)]
    pub(crate) metrics: Option<MetricsListen>,
    /// Where metrics are sent; `None` is nowhere. Younger than the format, as above.
    #[serde(default)]
    pub(crate) export: Option<Export>,
    /// The door for drunc's clients, where there is one. Younger than the format, as above.
    #[serde(default)]
    pub(crate) drunc: Option<DruncDoor>,
    /// The door for dRPC's clients, where there is one. Younger than the format, as above.
    #[serde(default)]
    pub(crate) drpc: Option<DrpcDoor>,
    /// How processes are made; `None` is the best way that works.
    pub(crate) spawn_method: Option<SpawnMethod>,
    /// How runs are tracked.
    pub(crate) tracking: TrackingMode,
    /// The name of our cgroup below the one we live in.
    pub(crate) cgroup: String,
    /// How much of the logs is kept. Younger than the format, too.
    #[serde(default)]
    pub(crate) logs: Logs,
    /// What the keeper is. Younger than the format, as what follows.
    #[serde(default)]
    pub(crate) role: Role,
    /// Nothing enabled is started.
    #[serde(default)]
    pub(crate) rescue: bool,
    /// What is not started at boot, though it is enabled.
    #[serde(default)]
    pub(crate) masked: Vec<String>,
    /// What was wrong when the keeper began, for Status.
    #[serde(default)]
    pub(crate) problems: Vec<String>,
    /// The shell on a machine's console where something is wrong.
    #[serde(default)]
    pub(crate) rescue_shell: Option<PathBuf>,
}

/// What the keeper is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// One process among others.
    #[default]
    Service,
    /// PID 1 of a machine.
    Machine,
    /// PID 1 of a container.
    Container,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {why}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// What the file says makes no sense; the text names line and column.
    #[error("the configuration {} is wrong: {why}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A value of the command line.
    #[error("--{flag} is wrong: {why}")]
    Argument {
        /// Which flag.
        flag: &'static str,
        /// Why.
        why: String,
    },
    /// An ordinary user without a home.
    #[error(
        "{0} is not set, so there is no place for the state folder; set it, or give --state-dir"
    )]
    NoHome(&'static str),
    /// What cannot change as long as something runs.
    #[error(
        "the configuration cannot be taken while everything runs, since {what} would no longer be {before} but {now}; take \
         that back, or start auraed itself again"
    )]
    Fixed {
        /// What it is.
        what: &'static str,
        /// As it was.
        before: String,
        /// As it would be.
        now: String,
    },
    /// What it is compared with.
    #[error("cannot read the configuration that is to be replaced, {}: {why}", path.display())]
    Before {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// What was handed to us by the keeper is not ours.
    #[error("the keeper handed on a configuration that cannot be read: {0}")]
    HandedOn(#[from] serde_json::Error),
}

impl Configuration {
    /// As the keeper handed it on.
    pub(crate) fn handed_on(bytes: &[u8]) -> Result<Self, ConfigurationError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Whether this one may take the place of another while keeper and runs go on: what the keeper holds has to stay.
    fn follows(&self, before: &Self) -> Result<(), ConfigurationError> {
        let path = |path: &PathBuf| path.display().to_string();
        let group = |it: &Self| it.socket_group.map_or("nobody".to_owned(), |id| id.to_string());
        let fixed = [
            ("the socket of the API", path(&before.socket), path(&self.socket)),
            ("the group that may use it", group(before), group(self)),
            ("the state folder", path(&before.state_dir), path(&self.state_dir)),
            ("the runtime folder", path(&before.runtime_dir), path(&self.runtime_dir)),
            ("whether cgroups are used", before.tracking.word(), self.tracking.word()),
            ("the cgroup", before.cgroup.clone(), self.cgroup.clone()),
        ];
        match fixed.into_iter().find(|(_, before, now)| before != now) {
            Some((what, before, now)) => Err(ConfigurationError::Fixed { what, before, now }),
            None => Ok(()),
        }
    }

    /// How many may be connected where a process may have so many descriptors.
    pub(crate) fn connections_of(&self, descriptors: u64) -> usize {
        let usual = usize::try_from(descriptors / 8).unwrap_or(usize::MAX);
        self.connections.unwrap_or_else(|| usual.clamp(MOST_CONNECTIONS.0, MOST_CONNECTIONS.1))
    }

    /// Both parts, as the keeper reads them (its `settings.rs`).
    fn print(&self) -> Result<Vec<u8>, ConfigurationError> {
        let mut out = Vec::new();
        let mut pair = |key: &str, value: &[u8]| {
            for part in [key.as_bytes(), value] {
                out.extend_from_slice(part);
                out.push(0);
            }
        };
        pair("socket", self.socket.as_os_str().as_bytes());
        if let Some(group) = self.socket_group {
            pair("socket_group", group.to_string().as_bytes());
        }
        pair("state_dir", self.state_dir.as_os_str().as_bytes());
        pair("runtime_dir", self.runtime_dir.as_os_str().as_bytes());
        let mut milliseconds =
            |key: &str, span: Duration| pair(key, span.as_millis().to_string().as_bytes());
        milliseconds("stop_timeout_ms", self.stop_timeout);
        milliseconds("longest_restart_delay_ms", self.longest_restart_delay);
        milliseconds("answer_timeout_ms", self.answer_timeout);
        if let Some(shell) = &self.rescue_shell {
            pair("rescue_shell", shell.as_os_str().as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&serde_json::to_vec(self)?);
        Ok(out)
    }
}

/// As the keeper's pipe is.
fn is_for_writing(descriptor: &OwnedFd) -> bool {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    flags.is_ok_and(|flags| flags & OFlag::O_ACCMODE == OFlag::O_WRONLY)
}

/// The verb `configure`: reads the rest of the command line and prints to the descriptor that the keeper
/// gave; without one, checks only.
pub(crate) fn configure(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let keeper = Channel::inherited(keeper::protocol::CONTROL).map(Channel::into_descriptor);
    // Whoever checks by hand may have left us a file under that number.
    let keeper = keeper.ok().filter(is_for_writing);
    let arguments = match arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(said) => return said,
    };
    let role = arguments.role;
    let printed = complete(arguments).and_then(|configuration| configuration.print());
    match (printed, keeper) {
        (Err(why), _) => {
            telling::tell(role, &why.to_string());
            ExitCode::FAILURE
        }
        (Ok(_), None) => ExitCode::SUCCESS,
        (Ok(bytes), Some(keeper)) => match std::fs::File::from(keeper).write_all(&bytes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => crate::fail(&format!("cannot answer the keeper: {why}")),
        },
    }
}

/// What file and command line say; where it is to replace another, only if it may.
fn complete(arguments: arguments::Arguments) -> Result<Configuration, ConfigurationError> {
    let Some(path) = arguments.instead_of.clone() else { return file::complete(arguments) };
    let bytes = std::fs::read(&path).map_err(|why| ConfigurationError::Before { path, why })?;
    let before = Configuration::handed_on(&bytes)?;
    let configuration = file::complete(arguments)?;
    configuration.follows(&before)?;
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Configuration);

    #[test]
    fn what_the_keeper_holds_stays() {
        let words = ["--config", "/dev/null", "--state-dir", "/state", "--runtime-dir", "/runtime"];
        let arguments = arguments::parse(words.map(OsString::from).into_iter()).unwrap();
        let before = file::complete(arguments).unwrap();
        assert!(before.follows(&before).is_ok());
        let changes: [(&str, Change); 6] = [
            ("the socket", |it| it.socket = "/other".into()),
            ("the group", |it| it.socket_group = Some(7)),
            ("the state folder", |it| it.state_dir = "/other".into()),
            ("the runtime folder", |it| it.runtime_dir = "/other".into()),
            ("whether cgroups are used", |it| it.tracking = TrackingMode::Off),
            ("the cgroup", |it| it.cgroup = "other".into()),
        ];
        for (what, change) in changes {
            let mut other = before.clone();
            change(&mut other);
            let told = other.follows(&before).unwrap_err().to_string();
            assert!(told.contains(what), "{told}");
        }
        let other = Configuration { node: "other".to_owned(), ..before.clone() };
        assert!(other.follows(&before).is_ok(), "names may change");
    }
}
