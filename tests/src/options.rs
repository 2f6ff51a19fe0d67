//! What kind of daemon a test wants.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How the daemon is to keep track of its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// As well as the machine allows.
    #[default]
    Auto,
    /// Without cgroups, as for an ordinary user.
    BestEffort,
}

/// How a daemon is started. The default is what root gets with no configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) tracking: Tracking,
    pub(crate) spawn: Option<&'static str>,
    pub(crate) uid: Option<u32>,
    pub(crate) delegated: bool,
    pub(crate) uncaged: bool,
    pub(crate) lines: BTreeMap<&'static str, Vec<String>>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) arguments: Vec<String>,
    pub(crate) binaries: Option<PathBuf>,
}

impl Options {
    /// Tracks runs this way.
    #[must_use]
    pub fn tracking(mut self, tracking: Tracking) -> Self {
        self.tracking = tracking;
        self
    }

    /// Makes processes this way: `clone3-into-cgroup`, `clone3` or `clone`.
    #[must_use]
    pub fn spawn(mut self, method: &'static str) -> Self {
        self.spawn = Some(method);
        self
    }

    /// Runs the daemon, and `aer`, as this user and the group of the same number.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Hands the daemon's cgroup to its user.
    #[must_use]
    pub fn delegated(mut self) -> Self {
        self.delegated = true;
        self
    }

    /// Starts the daemon in the test's own cgroup, the root one as a rule, and not in a cage.
    #[must_use]
    pub fn uncaged(mut self) -> Self {
        self.uncaged = true;
        self
    }

    /// Adds a line to a section of the configuration file.
    #[must_use]
    pub fn config(mut self, section: &'static str, line: &str) -> Self {
        self.lines.entry(section).or_default().push(line.to_owned());
        self
    }

    /// Lets logs grow to gigabytes: nothing goes for want of room that the daemon may use.
    #[must_use]
    pub fn keeping_all_logs(self) -> Self {
        self.config("logs", "max_total = \"64GiB\"").config("logs", "max_size = \"32GiB\"")
    }

    /// Adds a variable to the daemon's environment.
    #[must_use]
    pub fn environment(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Takes the programs from this folder, which has an `auraed`; `aer` and the others stay where they are.
    #[must_use]
    pub fn binaries(mut self, folder: &Path) -> Self {
        self.binaries = Some(folder.to_path_buf());
        self
    }

    /// Adds an argument to the daemon's command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The longest wait before a daemon that died is started again, so that a test which kills it again and
    /// again need not wait for 10 s each time.
    #[must_use]
    pub fn restart_delay(self, span: &str) -> Self {
        self.config("daemon", &format!("longest_restart_delay = \"{span}\""))
    }

    /// The bound for stopping anything, so that a test with a deaf program need not wait for 90 s.
    #[must_use]
    pub fn stop_timeout(self, span: &str) -> Self {
        self.config("daemon", &format!("stop_timeout = \"{span}\""))
    }
}
