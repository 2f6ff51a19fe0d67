//! Why a process could not be made: the step that failed, and the kernel's reason.

use nix::errno::Errno;
use nix::unistd::Pid;
use std::fmt;

/// A step on the way from a plan to a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Preparing the descriptors that the child gets.
    Descriptors,
    /// Making the child.
    Clone,
    /// Joining a cgroup, be it by `CLONE_INTO_CGROUP` or by `cgroup.procs`.
    Cgroup,
    /// setsid(2).
    Session,
    /// Putting standard input in place.
    Stdin,
    /// Putting standard output in place.
    Stdout,
    /// Putting standard error in place.
    Stderr,
    /// chdir(2).
    Chdir,
    /// setgroups(2) and setresgid(2).
    Group,
    /// setresuid(2).
    User,
    /// setpriority(2).
    Nice,
    /// Writing `/proc/self/oom_score_adj`.
    OomAdjust,
    /// setrlimit(2).
    Limits,
    /// Resetting the signal dispositions and the signal mask.
    SignalMask,
    /// execve(2).
    Exec,
    /// No step failed: the child was killed before it came to execute its program, by the start
    /// deadline, by a stranger, or by the kernel's fault with `CLONE_INTO_CGROUP` (see
    /// [`Unusable::KilledAtBirth`](crate::Unusable::KilledAtBirth)). The errno is EINTR.
    Killed,
}

impl Stage {
    /// The exit code of a child that ends at this step: those of systemd.exec(5), "Process Exit
    /// Codes". `None` where there is no child, or it did not end by exiting.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Clone | Self::Killed => None,
            Self::Chdir => Some(200),
            Self::Nice => Some(201),
            Self::Descriptors => Some(202),
            Self::Exec => Some(203),
            Self::Limits => Some(205),
            Self::OomAdjust => Some(206),
            Self::SignalMask => Some(207),
            Self::Stdin => Some(208),
            Self::Stdout => Some(209),
            Self::Group => Some(216),
            Self::User => Some(217),
            Self::Cgroup => Some(219),
            Self::Session => Some(220),
            Self::Stderr => Some(222),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Descriptors => "cannot prepare its descriptors",
            Self::Clone => "cannot make a process",
            Self::Cgroup => "cannot join its cgroup",
            Self::Session => "cannot start a session",
            Self::Stdin => "cannot set up standard input",
            Self::Stdout => "cannot set up standard output",
            Self::Stderr => "cannot set up standard error",
            Self::Chdir => "cannot change to its working directory",
            Self::Group => "cannot take the groups of its user",
            Self::User => "cannot become its user",
            Self::Nice => "cannot set its niceness",
            Self::OomAdjust => "cannot set its out-of-memory score adjustment",
            Self::Limits => "cannot set its resource limits",
            Self::SignalMask => "cannot reset its signals",
            Self::Exec => "cannot execute its program",
            Self::Killed => "it was killed before it could execute its program",
        })
    }
}

/// A process that was not made, or that ended before it executed its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{stage}")]
pub struct Failure {
    /// The step that failed.
    pub stage: Stage,
    /// The kernel's reason.
    #[source]
    pub errno: Errno,
    /// The child, where there was one. One of ours ([`Parentage::Child`](crate::Parentage::Child))
    /// has been reaped, and the number may belong to another process by now; a sibling is left to
    /// our parent, which should reap it silently.
    pub pid: Option<Pid>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    /// The numbers of `runtime.StartStage`, which are systemd's.
    #[test]
    fn a_stage_has_the_exit_code_that_systemd_gives_it() {
        let codes = [
            (Stage::Chdir, Some(200)),
            (Stage::Nice, Some(201)),
            (Stage::Descriptors, Some(202)),
            (Stage::Exec, Some(203)),
            (Stage::Limits, Some(205)),
            (Stage::OomAdjust, Some(206)),
            (Stage::SignalMask, Some(207)),
            (Stage::Stdin, Some(208)),
            (Stage::Stdout, Some(209)),
            (Stage::Group, Some(216)),
            (Stage::User, Some(217)),
            (Stage::Cgroup, Some(219)),
            (Stage::Session, Some(220)),
            (Stage::Stderr, Some(222)),
            (Stage::Clone, None),
            (Stage::Killed, None),
        ];
        for (stage, code) in codes {
            assert_eq!(stage.code(), code, "{stage}");
        }
    }

    #[test]
    fn the_cause_is_the_source_and_not_repeated() {
        let failure = Failure { stage: Stage::Exec, errno: Errno::ENOENT, pid: None };
        assert_eq!(failure.to_string(), "cannot execute its program");
        assert_eq!(
            failure.source().map(ToString::to_string).as_deref(),
            Some("ENOENT: No such file or directory")
        );
    }
}
