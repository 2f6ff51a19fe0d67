//! What can be found out of the runs that a daemon finds, before anything is done about one of them.
//!
//! Invariant: each look is its own and changes nothing but to set a damaged file aside, so that two threads share them.

use std::{panic, path::Path, thread};

use nix::unistd::Pid;
use spawn::PidFd;
use units::kept::Identity;

use crate::{
    cgroups::RunCgroup,
    handover::InheritedRun,
    processes,
    runfile::{self, Kept, Unreadable},
};

/// To divide fewer costs more than it gains.
const WORTH_DIVIDING: usize = 32;

/// A run that is to be looked at.
pub(super) struct Subject {
    pub(super) identity: Identity,
    /// Its main process, as it was kept; 0 where that is not known.
    pub(super) kept_pid: i32,
    pub(super) inherited: Option<InheritedRun>,
    pub(super) cgroup: Option<RunCgroup>,
}

/// What is known of it besides what was kept.
pub(super) struct Look {
    pub(super) file: Result<Kept, Unreadable>,
    /// Its main process, where the keeper says that it lives.
    pub(super) main: Option<Result<Opened, String>>,
}

/// A main process that lives.
pub(super) struct Opened {
    pub(super) process: PidFd,
    /// When it began, in the kernel's ticks; 0 where that is not known.
    pub(super) began: u64,
    pub(super) is_in_cgroup: bool,
}

/// Looks at all of these, in their order, by two threads: there are two processors, or they take turns. `runs` is the
/// folder of their files.
pub(super) fn look_at_all(subjects: &[Subject], runs: &Path) -> Vec<Look> {
    let all = |subjects: &[Subject]| -> Vec<Look> {
        subjects.iter().map(|subject| look_at(subject, runs)).collect()
    };
    if subjects.len() < WORTH_DIVIDING {
        return all(subjects);
    }
    let (first, rest) = subjects.split_at(subjects.len() / 2);
    thread::scope(|scope| {
        let other = thread::Builder::new().name("adoption".to_owned());
        let other = other.spawn_scoped(scope, || all(rest));
        let mut looks = all(first);
        looks.extend(match other {
            Ok(other) => other.join().unwrap_or_else(|why| panic::resume_unwind(why)),
            // Where there is no thread to be had, we look at them all.
            Err(_) => all(rest),
        });
        looks
    })
}

/// Looks at one of them.
pub(super) fn look_at(subject: &Subject, runs: &Path) -> Look {
    let file = runfile::read(runs, subject.identity.run);
    let lives = |run: &&InheritedRun| run.pid != 0 && run.exit.is_none();
    let inherited = subject.inherited.as_ref().filter(lives);
    let main = inherited.map(|run| open(run.pid, subject.cgroup.as_ref()));
    Look { file, main }
}

/// Opens a main process that lives. The keeper reaps nothing yet, so the number is whose it means.
pub(super) fn open(pid: i32, cgroup: Option<&RunCgroup>) -> Result<Opened, String> {
    let process = PidFd::open(Pid::from_raw(pid))
        .map_err(|why| format!("its main process {pid} cannot be opened: {why}"))?;
    let began = processes::began(pid).unwrap_or(0);
    let is_in_cgroup = cgroup.is_none_or(|cgroup| cgroup.holds(&process, pid));
    Ok(Opened { process, began, is_in_cgroup })
}
