//! The environment of a unit's process.
//!
//! What counts, from the least: what every run finds ([`Environment`]), the unit's own variables, those of
//! its environment files in their order, and what the daemon tells this process ([`Circumstances`]). The last
//! cannot be overridden: by `AURAE_RUN` processes are found where there are no cgroups.

use std::{collections::BTreeMap, ffi::CString, os::unix::ffi::OsStrExt};

use units::{CommandLine, Ended, Expanded, InvalidArgv, Told, signal_name};

use super::Circumstances;
use crate::environment::{COMMENT, Environment, RUN};

/// The main process of the unit's program, as systemd.exec(5) calls it.
const MAIN_PID: &str = "MAINPID";
/// Where to say that one is ready (sd_notify(3)).
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// What came of the unit's program, in systemd's words (systemd.exec(5)).
const SERVICE_RESULT: &str = "SERVICE_RESULT";
/// How the unit's program ended, where it has: `exited`, `killed` or `dumped`.
const EXIT_CODE: &str = "EXIT_CODE";
/// The status it exited with, or the signal's name without `SIG`.
const EXIT_STATUS: &str = "EXIT_STATUS";

/// An environment, complete. Each name is in it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    values: BTreeMap<String, Vec<u8>>,
}

/// As systemd.exec(5) has it.
fn in_words(ended: Ended) -> (&'static str, String) {
    match ended {
        Ended::Exited(status) => ("exited", status.to_string()),
        Ended::Killed(signal) => ("killed", signal_name(signal)),
        Ended::Dumped(signal) => ("dumped", signal_name(signal)),
    }
}

impl Variables {
    /// Puts it together.
    pub(super) fn gather(
        fixed: &Environment,
        own: &[(String, String)],
        from_files: Vec<(String, String)>,
        circumstances: &Circumstances<'_>,
    ) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in fixed.fixed() {
            values.insert(name.to_owned(), value.as_bytes().to_vec());
        }
        for (name, value) in own.iter().cloned().chain(from_files) {
            values.insert(name, value.into_bytes());
        }
        // What is not said to this process is not said by anybody else either.
        values.remove(COMMENT);
        let mut told = |name: &str, value: Vec<u8>| values.insert(name.to_owned(), value);
        told(RUN, circumstances.run.to_string().into_bytes());
        if !circumstances.comment.is_empty() {
            told(COMMENT, circumstances.comment.as_bytes().to_vec());
        }
        let Told { main_pid, result, ended } = circumstances.told;
        if main_pid != 0 {
            told(MAIN_PID, main_pid.to_string().into_bytes());
        }
        if let Some(path) = circumstances.notify_socket {
            told(NOTIFY_SOCKET, path.as_os_str().as_bytes().to_vec());
        }
        if let Some(result) = result {
            told(SERVICE_RESULT, result.to_string().into_bytes());
        }
        if let Some((code, status)) = ended.map(in_words) {
            told(EXIT_CODE, code.as_bytes().to_vec());
            told(EXIT_STATUS, status.into_bytes());
        }
        Self { values }
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// The words of a command line, with these variables.
    ///
    /// # Errors
    /// [`InvalidArgv`], where they make more than a program can be given.
    pub(crate) fn expand(&self, line: &CommandLine) -> Result<Expanded, InvalidArgv> {
        line.expand(|name| self.value(name))
    }

    /// As execve(2) takes it.
    pub(crate) fn assignments(&self) -> Vec<CString> {
        let assignment = |(name, value): (&String, &Vec<u8>)| {
            // No variable of ours or of a unit has a NUL byte: it would end there for the kernel.
            CString::new([name.as_bytes(), b"=", value].concat()).ok()
        };
        self.values.iter().filter_map(assignment).collect()
    }
}
