//! The self-test: which ways of making processes work on this machine, here and now.

use crate::failure::{Failure, Stage};
use crate::method::Method;
use crate::spawner::Spawner;
use nix::errno::Errno;
use std::fmt;
use std::os::fd::BorrowedFd;

/// What became of every method that was tried.
#[derive(Debug)]
pub struct Probe {
    /// In the order in which they were.
    pub trials: Vec<Trial>,
}

/// What became of one method.
#[derive(Debug)]
pub struct Trial {
    /// The method.
    pub method: Method,
    /// Whether it works, and if not, why.
    pub outcome: Result<(), Unusable>,
}

/// Why a method cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is not written for this architecture.
    #[error("not built into this program")]
    NotBuiltIn,
    /// There is no v2 cgroup to make the child in.
    #[error("there is no v2 cgroup to try it in")]
    NoCgroup,
    /// The child was killed before its first instruction. Kernels before the mend 8e3599202166 kill
    /// a child made with `CLONE_INTO_CGROUP` if `cgroup.kill` was ever written to its cgroup or,
    /// while that existed, to one above it, or to the cgroup that we ourselves live in.
    #[error(
        "the kernel kills such children at birth: cgroup.kill was once written to the cgroup, to \
         one above it, or to our own (a fault of this kernel, mended by 8e3599202166)"
    )]
    KilledAtBirth,
    /// ENOSYS.
    #[error("the kernel does not have the call, or a sandbox hides it")]
    Missing,
    /// EPERM.
    #[error("a sandbox forbids the call")]
    Forbidden,
    /// EINVAL or E2BIG.
    #[error("the kernel is too old for a flag of the call")]
    TooOld,
    /// The spawner could not be prepared.
    #[error("cannot prepare to make processes")]
    Unprepared(#[source] std::io::Error),
    /// Anything else.
    #[error("{}: {}", .0.stage, .0.errno)]
    Failed(Failure),
}

impl Probe {
    /// The first of those tried that works: the best, unless another was wanted.
    pub fn best(&self) -> Option<Method> {
        self.trials.iter().find(|trial| trial.outcome.is_ok()).map(|trial| trial.method)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, trial) in self.trials.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match &trial.outcome {
                Ok(()) => write!(formatter, "{separator}{} works", trial.method)?,
                Err(why) => write!(formatter, "{separator}{}: {why}", trial.method)?,
            }
        }
        Ok(())
    }
}

/// Tries methods until one works: the best, or the one that is wanted. A child that is not born in its cgroup has to be moved
/// there, which takes up to 30 ms, and a daemon whose predecessor died has runs that wait for it.
pub fn probe(wanted: Option<Method>, cgroup: Option<BorrowedFd<'_>>) -> Probe {
    let others = Method::ALL.into_iter().filter(|method| Some(*method) != wanted);
    let mut trials = Vec::new();
    for method in wanted.into_iter().chain(others) {
        let trial = Trial::of(method, cgroup);
        let works = trial.outcome.is_ok();
        trials.push(trial);
        // Where the wanted one does not, it is of use to know which do.
        if works && wanted.is_none_or(|wanted| wanted == method) {
            break;
        }
    }
    Probe { trials }
}

impl Trial {
    /// Tries a method with a real child of ours, which joins `cgroup` (a v2 folder), executes nothing, and is reaped before
    /// this returns. Without a cgroup it stays in ours.
    ///
    /// A fresh cgroup tells most: the kernel's fault sits in those that were killed once.
    pub fn of(method: Method, cgroup: Option<BorrowedFd<'_>>) -> Self {
        Self { method, outcome: try_method(method, cgroup) }
    }
}

fn try_method(method: Method, cgroup: Option<BorrowedFd<'_>>) -> Result<(), Unusable> {
    if !method.is_built_in() {
        return Err(Unusable::NotBuiltIn);
    }
    if method == Method::Clone3IntoCgroup && cgroup.is_none() {
        return Err(Unusable::NoCgroup);
    }
    let mut spawner = Spawner::new(method).map_err(Unusable::Unprepared)?;
    spawner.try_out(cgroup).map_err(|failure| explain(method, failure))
}

fn explain(method: Method, failure: Failure) -> Unusable {
    match (failure.stage, failure.errno) {
        (Stage::Killed, _) if method == Method::Clone3IntoCgroup => Unusable::KilledAtBirth,
        (Stage::Clone, Errno::ENOSYS) => Unusable::Missing,
        (Stage::Clone, Errno::EPERM) => Unusable::Forbidden,
        (Stage::Clone, Errno::EINVAL | Errno::E2BIG) => Unusable::TooOld,
        _ => Unusable::Failed(failure),
    }
}
