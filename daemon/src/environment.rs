//! The environment that every run gets: minimal, the same whoever starts it, and documented here.
//!
//! `PATH` (the fixed search path), `HOME`, `USER`, `LOGNAME` and `SHELL` of the user that the daemon runs
//! as, `AURAE_RUN`, the run's id, and `AURAE_COMMENT`, its comment, if it has one. Nothing of the daemon's own
//! environment is passed on. [`crate::setting`] puts it together.

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
        let (name, home, shell) = match user {
            Some(user) => (user.name, shown(&user.dir), shown(&user.shell)),
            None => (uid.to_string(), "/".to_owned(), "/bin/sh".to_owned()),
        };
        let fixed = vec![
            ("PATH", spawn::SEARCH_PATH.to_owned()),
            ("HOME", home),
            ("USER", name.clone()),
            ("LOGNAME", name),
            ("SHELL", shell),
        ];
        Self { fixed }
    }

    /// What every run finds, but for what is told to it alone.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fixed.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

fn shown(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
