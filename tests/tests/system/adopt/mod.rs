//! The daemon dies, its children do not: the next one goes on with runs and units where they stood.

mod evidence;
mod runs;
mod units;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Daemon, eventually, procfs};

use crate::{Case, Core};

pub(crate) fn cases() -> Vec<Case> {
    [evidence::cases(), runs::cases(), units::cases()].into_iter().flatten().collect()
}

/// With and without cgroups, and as an ordinary user.
pub(crate) fn core() -> Vec<Core> {
    [runs::core(), units::core()].into_iter().flatten().collect()
}

/// Kills the daemon, does this while there is none, and waits for the next.
fn meanwhile(daemon: &Daemon, deed: impl FnOnce()) {
    let before = daemon.status().daemon_pid;
    daemon.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(before), Signal::SIGKILL).expect("the daemon lives");
    eventually("the daemon is dead", || procfs::gone(before));
    deed();
    daemon.signal(Signal::SIGCONT);
    eventually("the keeper starts another daemon", || {
        daemon.status_if_there().is_some_and(|status| status.daemon_pid != before)
    });
}
