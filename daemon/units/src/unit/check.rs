//! What cannot be said of a unit, or not together.

use std::time::Duration;

use super::{
    environment::check_variable,
    restart::{Restart, RestartWhen},
    setting::{EnvironmentFile, ResourceLimits, Setting, Stdin},
    spec::{Kind, Readiness, StopSpec, UnitSpec},
};
use crate::signal::is_signal;

/// The least bytes of memory that a limit may leave. A process joins its cgroup before it has memory of its own: if the
/// limit did not leave room for the words and variables of a program, 6 MiB at most (execve(2)), the kernel would
/// kill the daemon with it, whose memory it still shares.
const LEAST_MEMORY: u64 = 8 << 20;
/// The largest mask of permissions.
const LARGEST_UMASK: u32 = 0o777;

/// A field of a unit cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct InvalidSpec {
    /// Which, by its name, such as `restart.delay`.
    pub field: &'static str,
    /// Why, and what would be right.
    pub why: String,
}

/// Refuses a field, unless all is well.
fn demand(
    well: bool,
    field: &'static str,
    why: impl FnOnce() -> String,
) -> Result<(), InvalidSpec> {
    if well { Ok(()) } else { Err(InvalidSpec { field, why: why() }) }
}

impl UnitSpec {
    /// Sees that every field can be as it is, and all of them together.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the first one that cannot.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        text("comment", &self.comment)?;
        self.setting.check()?;
        self.stop.check()?;
        self.restart.check()?;
        time("start_timeout", self.start_timeout)?;
        time("run_limit", self.run_limit)?;
        match self.kind {
            Kind::Service => Ok(()),
            Kind::Oneshot { remain_after_exit } => self.check_oneshot(remain_after_exit),
        }
    }

    fn check_oneshot(&self, remain_after_exit: bool) -> Result<(), InvalidSpec> {
        let again = matches!(self.restart.when, RestartWhen::Always | RestartWhen::OnSuccess);
        demand(!again, "restart.when", || {
            "a oneshot that ended well has done its work; on-failure, on-abnormal, on-abort or no is \
             expected"
                .to_owned()
        })?;
        demand(self.readiness == Readiness::Executed, "readiness", || {
            "a oneshot is ready when it has ended, so it cannot notify; leave it out".to_owned()
        })?;
        demand(self.run_limit.is_none(), "run_limit", || {
            "a oneshot runs while it starts; bound it by start_timeout".to_owned()
        })?;
        demand(remain_after_exit || self.on_reload.is_empty(), "on_reload", || {
            "a oneshot that does not remain is never up, so it is never reloaded; leave it out, or let it \
             remain after its exit"
                .to_owned()
        })
    }
}

impl Setting {
    /// Sees that every field can be as it is.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the first one that cannot.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        for (name, value) in &self.environment {
            check_variable(name, value)
                .map_err(|why| InvalidSpec { field: "environment", why: why.to_string() })?;
        }
        for EnvironmentFile { path, optional: _ } in &self.environment_files {
            absolute("environment_files", path)?;
        }
        if let Some(path) = &self.working_directory {
            absolute("working_directory", path)?;
        }
        if let Some(user) = &self.user {
            let is_word = !user.is_empty() && !user.contains(|c: char| c.is_control() || c == ':');
            demand(is_word, "user", || {
                format!(
                    "{user:?} is no name of a user, and no number; leave it out for the daemon's own"
                )
            })?;
        }
        let umask = self.umask.unwrap_or_default();
        demand(umask <= LARGEST_UMASK, "umask", || {
            format!("{umask:#o} is no mask of permissions; 0 to 0o777 is expected")
        })?;
        let nice = self.nice.unwrap_or_default();
        demand((-20..=19).contains(&nice), "nice", || {
            format!("{nice} is no niceness; -20 to 19 is expected")
        })?;
        match &self.stdin {
            Stdin::Null | Stdin::Data(_) => {}
            Stdin::File(path) => absolute("stdin", path)?,
        }
        self.limits.check()
    }
}

impl ResourceLimits {
    fn check(&self) -> Result<(), InvalidSpec> {
        let weight = self.cpu_weight.unwrap_or(1);
        demand((1..=10_000).contains(&weight), "limits.cpu_weight", || {
            format!("{weight} is no weight; 1 to 10000 is expected")
        })?;
        let least = LEAST_MEMORY;
        for (field, value) in
            [("limits.memory_max", self.memory_max), ("limits.memory_high", self.memory_high)]
        {
            demand(value.is_none_or(|bytes| bytes >= least), field, || {
                let bytes = value.unwrap_or_default();
                format!(
                    "{bytes} bytes are too few for any program; {least} (8 MiB) are the least, or leave it out"
                )
            })?;
        }
        let none_left = |value: Option<u64>| value == Some(0);
        let table = [
            ("limits.cpu_quota", self.cpu_quota == Some(0)),
            ("limits.pids_max", none_left(self.pids_max)),
        ];
        table.into_iter().try_for_each(|(field, nothing)| {
            demand(!nothing, field, || {
                "0 would let nothing run; give a greater one, or leave it out".to_owned()
            })
        })
    }
}

impl StopSpec {
    fn check(&self) -> Result<(), InvalidSpec> {
        demand(is_signal(self.signal), "stop.signal", || {
            format!("{} is not the number of a signal; 1 to 64 is expected", self.signal)
        })
    }
}

impl Restart {
    fn check(&self) -> Result<(), InvalidSpec> {
        if let Some(longest) = self.max_delay {
            let delay = self.delay;
            demand(!delay.is_zero(), "restart.delay", || {
                "0 cannot grow to max_delay by equal factors; give a delay, or leave out max_delay"
                    .to_owned()
            })?;
            demand(longest >= delay, "restart.max_delay", || {
                format!("{longest:?} is less than the delay, {delay:?}, that is to grow to it")
            })?;
            demand(self.steps > 0, "restart.steps", || {
                "max_delay says what the delay grows to, so in how many steps is expected"
                    .to_owned()
            })?;
        } else {
            demand(self.steps == 0, "restart.max_delay", || {
                "steps say that the delay grows, so what it grows to is expected".to_owned()
            })?;
        }
        if let Some(limit) = self.start_limit {
            demand(limit.starts > 0, "restart.start_limit.starts", || {
                "0 would never let it start; give a greater number, or no limit".to_owned()
            })?;
            time("restart.start_limit.interval", Some(limit.interval))?;
        }
        let signals = [&self.success, &self.prevent, &self.force].map(|set| &set.signals);
        for (field, signals) in
            ["restart.success", "restart.prevent", "restart.force"].into_iter().zip(signals)
        {
            let stranger = signals.iter().find(|signal| !is_signal(**signal));
            demand(stranger.is_none(), field, || {
                let number = stranger.copied().unwrap_or_default();
                format!("{number} is not the number of a signal; 1 to 64 is expected")
            })?;
        }
        Ok(())
    }
}

fn time(field: &'static str, time: Option<Duration>) -> Result<(), InvalidSpec> {
    demand(time.is_none_or(|time| !time.is_zero()), field, || {
        "0 is no time at all; give a longer one, or leave it out for no bound".to_owned()
    })
}

fn absolute(field: &'static str, path: &str) -> Result<(), InvalidSpec> {
    demand(path.starts_with('/'), field, || {
        let shown: String = path.chars().take(64).collect();
        format!("{shown:?} is not an absolute path; one that begins with '/' is expected")
    })?;
    text(field, path)
}

fn text(field: &'static str, text: &str) -> Result<(), InvalidSpec> {
    let offset = text.bytes().position(|byte| byte == 0);
    demand(offset.is_none(), field, || {
        let offset = offset.unwrap_or_default();
        format!("it has a NUL byte at offset {offset}, which the kernel cannot be given")
    })
}
