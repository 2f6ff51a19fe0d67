//! Which daemon is meant: the command line, then the environment, then the files, then the default.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use client::{Endpoint, unit_file::place};
use nix::unistd::Uid;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::arguments::Arguments;

/// The largest file that is read: a configuration has a few lines.
const LARGEST: u64 = 1 << 20;

/// What the answer depends on beside the command line.
#[derive(Debug)]
pub(crate) struct Environment {
    socket: Option<OsString>,
    home: Option<PathBuf>,
    xdg_runtime_dir: Option<PathBuf>,
    system_file: PathBuf,
    uid: u32,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn read() -> Self {
        Self {
            socket: env::var_os("AURAE_SOCKET"),
            home: env::var_os("HOME").map(PathBuf::from),
            xdg_runtime_dir: env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
            system_file: PathBuf::from("/etc/aurae/config"),
            uid: Uid::effective().as_raw(),
        }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let home = self.home.iter().filter(|home| home.is_absolute());
        home.map(|home| home.join(".aurae/config")).chain([self.system_file.clone()])
    }
}

/// What is wrong with a configuration file.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("reading {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("reading {}: it is larger than 1 MiB", .path.display())]
    TooLarge { path: PathBuf },
    #[error("reading {}, line {line}, column {column}: {fault}", .path.display())]
    Content { path: PathBuf, line: usize, column: usize, fault: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    system: System,
    #[expect(dead_code, reason = "checked for form; an issue to come gives it to TLS")]
    #[serde(default)]
    auth: Auth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    socket: Option<Spanned<PathBuf>>,
}

#[expect(dead_code, reason = "checked for form; an issue to come gives it to TLS")]
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    ca_crt: Option<String>,
    client_crt: Option<String>,
    client_key: Option<String>,
}

/// Where the daemon is. A file is read only where nothing before it has decided.
pub(crate) fn endpoint(
    arguments: &Arguments,
    environment: &Environment,
) -> Result<Endpoint, ConfigError> {
    if let Some(address) = &arguments.address {
        return Ok(address.clone());
    }
    // An empty variable is one that was not set, as elsewhere in a shell.
    let variable = environment.socket.as_ref().filter(|socket| !socket.is_empty());
    let named = arguments.socket.clone().or_else(|| variable.map(PathBuf::from));
    if let Some(socket) = named {
        return Ok(Endpoint::Socket(socket));
    }
    for path in environment.files() {
        if let Some(socket) = socket_in(&path)? {
            return Ok(Endpoint::Socket(socket));
        }
    }
    let default = api::socket::default_path(environment.uid, environment.xdg_runtime_dir.clone());
    Ok(Endpoint::Socket(default))
}

fn socket_in(path: &Path) -> Result<Option<PathBuf>, ConfigError> {
    match read(path) {
        Ok(content) => parse(path, &content),
        Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let mut content = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(LARGEST.saturating_add(1)).read_to_end(&mut content));
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= LARGEST) => Ok(content),
        Ok(_) => Err(ConfigError::TooLarge { path: path.to_owned() }),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, content: &[u8]) -> Result<Option<PathBuf>, ConfigError> {
    let fault = |offset: usize, fault: &str| {
        let (line, column) = place(content, offset);
        ConfigError::Content { path: path.to_owned(), line, column, fault: fault.to_owned() }
    };
    let text = str::from_utf8(content)
        .map_err(|error| fault(error.valid_up_to(), "a byte that is not UTF-8"))?;
    let configuration: Configuration = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        fault(offset, error.message())
    })?;
    let Some(socket) = configuration.system.socket else { return Ok(None) };
    if !socket.get_ref().is_absolute() {
        return Err(fault(socket.span().start, "socket: the path must begin with a slash"));
    }
    Ok(Some(socket.into_inner()))
}

#[cfg(test)]
mod tests;
