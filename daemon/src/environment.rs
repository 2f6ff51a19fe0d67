//! The environment that every run gets: minimal, the same whoever starts it, and documented here.
//!
//! `PATH` (the fixed search path), `HOME`, `USER`, `LOGNAME` and `SHELL` of the user that it
//! runs as, `AURAE_RUN`, the run's id, and `AURAE_COMMENT`, its comment, if it has one. Nothing of the daemon's own
//! environment is passed on. [`crate::setting`] puts it together.

use std::path::Path;

use nix::unistd::{User, geteuid};

/// The name of the variable that says which run a process belongs to.
pub(crate) const RUN: &str = "AURAE_RUN";

/// The name of the variable that says what a process is for.
pub(crate) const COMMENT: &str = "AURAE_COMMENT";

/// What does not change from run to run.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    fixed: Vec<(&'static str, String)>,
}

impl Environment {
    /// For the user that we are.
    pub(crate) fn of_this_user() -> Self {
        let uid = geteuid();
        let user = User::from_uid(uid).ok().flatten();
        match user {
            Some(user) => Self::of_user(&user.name, &user.dir, &user.shell),
            None => Self::of_user(&uid.to_string(), "/".as_ref(), "/bin/sh".as_ref()),
        }
    }

    /// For the user of this name, home and shell.
    pub(crate) fn of_user(name: &str, home: &Path, shell: &Path) -> Self {
        let fixed = vec![
            ("PATH", spawn::SEARCH_PATH.to_owned()),
            ("HOME", shown(home)),
            ("USER", name.to_owned()),
            ("LOGNAME", name.to_owned()),
            ("SHELL", shown(shell)),
        ];
        Self { fixed }
    }

    /// What every run finds, but for what is told to it alone.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fixed.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
