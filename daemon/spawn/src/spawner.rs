//! From a plan to a process.

use crate::clone::clone;
use crate::failure::{Failure, Stage};
use crate::job::{Execution, Job};
use crate::method::{Method, Parentage};
use crate::pidfd::PidFd;
use crate::plan::Plan;
use crate::signals;
use crate::slots::{Slots, word};
use crate::stack::Stack;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Kernels without close_range (before Linux 5.9) close descriptors one by one, up to here at most:
/// a limit of a thousand million would take minutes. All of ours are close-on-exec besides.
const MOST_CLOSED_ONE_BY_ONE: u64 = 65_536;

/// A process that has executed its program. (Or was killed at the very moment: then its exit status
/// says so.)
#[derive(Debug)]
pub struct Spawned {
    /// Its process id.
    pub pid: Pid,
    /// The process itself.
    pub pidfd: PidFd,
}

/// Makes processes, one at a time: each thread that makes them has its own.
#[derive(Debug)]
pub struct Spawner {
    method: Method,
    stack: Stack,
    /// The signals that a child sets to their default action.
    signals: Vec<i32>,
    close_limit: usize,
    slots: Slots,
}

impl Spawner {
    /// Prepares to make processes by `method`; `Unsupported` if it is not built in.
    ///
    /// For the clone3 methods, the signals that this process ignores are looked up here, once (a
    /// look-up costs as much as a reset, and all of them 3 % of a start): ignore none afterwards.
    pub fn new(method: Method) -> io::Result<Self> {
        if !method.is_built_in() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{method} is not built into this program"),
            ));
        }
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let close_limit = usize::try_from(hard.min(MOST_CLOSED_ONE_BY_ONE)).unwrap_or(usize::MAX);
        let stack = Stack::new()?;
        let slots = Slots::new()?;
        Ok(Self { method, stack, signals: signals_to_reset(method), close_limit, slots })
    }

    /// How it makes them.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Makes a process and waits until it has executed its program, or has failed to.
    ///
    /// That can take as long as it likes: the program may lie on a slow or a dead filesystem, and
    /// whoever may signal the child may stop it. Only the child's end returns the thread: kill its
    /// cgroup.
    pub fn spawn(&mut self, plan: &Plan, parentage: Parentage) -> Result<Spawned, Failure> {
        debug_assert_eq!(
            self.signals,
            signals_to_reset(self.method),
            "a signal was ignored, or no longer, after the spawner was made"
        );
        let input = plan.input();
        let cgroup = input.cgroup.as_ref().map(AsFd::as_fd);
        let procs = self.open_procs(cgroup)?;
        // The v2 cgroup first: see the order of the child's steps.
        let joins: Vec<usize> = procs.iter().chain(&input.legacy_cgroups).map(word).collect();
        let filled = self.slots.fill(input)?;
        let argv = pointers(&input.argv);
        let environment = pointers(&input.environment);
        let directory = input.working_directory.as_ref();
        let execution = Execution {
            mark: input.mark.as_ref().map(|(file, bytes)| (word(file), *bytes)),
            new_session: input.new_session,
            standard: filled.numbers(),
            close_limit: self.close_limit,
            identity: input.identity.as_ref(),
            working_directory: directory.map_or(std::ptr::null(), |path| path.as_ptr()),
            umask: input.umask.and_then(|mask| usize::try_from(mask.bits()).ok()),
            nice: input.nice.and_then(|nice| isize::try_from(nice).ok()).map(isize::cast_unsigned),
            oom_score_adjustment: plan.oom_score_adjustment(),
            open_files_limit: input.open_files_limit,
            signals: &self.signals,
            program: input.program.as_ptr(),
            argv: argv.as_ptr(),
            environment: environment.as_ptr(),
        };
        run(self.method, &mut self.stack, &Job::new(&joins, Some(execution)), cgroup, parentage)
    }

    /// Makes a child that only joins `cgroup` and exits, and reaps it.
    pub(crate) fn try_out(&mut self, cgroup: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
        let procs = self.open_procs(cgroup)?;
        let joins: Vec<usize> = procs.iter().map(word).collect();
        let job = Job::new(&joins, None);
        let Spawned { pid, pidfd } =
            run(self.method, &mut self.stack, &job, cgroup, Parentage::Child)?;
        pidfd.reap().map_err(|errno| Failure { stage: Stage::Clone, errno, pid: Some(pid) })?;
        Ok(())
    }

    /// The file by which a child joins its cgroup, unless it is born there.
    fn open_procs(&self, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>, Failure> {
        match (self.method, cgroup) {
            (Method::Clone3IntoCgroup, _) | (_, None) => Ok(None),
            (Method::Clone3 | Method::Clone, Some(cgroup)) => {
                let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
                openat(cgroup, c"cgroup.procs", flags, Mode::empty())
                    .map(Some)
                    .map_err(|errno| Failure { stage: Stage::Cgroup, errno, pid: None })
            }
        }
    }
}

fn run(
    method: Method,
    stack: &mut Stack,
    job: &Job<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    parentage: Parentage,
) -> Result<Spawned, Failure> {
    let (pid, pidfd) = clone(method, stack, job, cgroup, parentage).map_err(|errno| {
        let into_cgroup = cgroup.is_some() && method == Method::Clone3IntoCgroup;
        Failure { stage: stage_of_clone(errno, into_cgroup), errno, pid: None }
    })?;
    let spawned = Spawned { pid, pidfd: PidFd::from(pidfd) };
    let Err((stage, errno)) = job.outcome() else {
        return Ok(spawned);
    };
    if parentage == Parentage::Child {
        // It has ended, or is about to. ECHILD, where our SIGCHLD is ignored, is as good.
        spawned.pidfd.reap().ok();
    }
    Err(Failure { stage, errno, pid: Some(pid) })
}

/// With `CLONE_INTO_CGROUP`, these are the errors of joining: clone3(2) has the first three, and
/// `cgroup_css_set_fork` in kernel/cgroup/cgroup.c the others.
fn stage_of_clone(errno: Errno, into_cgroup: bool) -> Stage {
    let joining = [
        Errno::EACCES,
        Errno::EBUSY,
        Errno::EOPNOTSUPP,
        Errno::EBADF,
        Errno::ENODEV,
        Errno::ENOENT,
    ];
    if into_cgroup && joining.contains(&errno) { Stage::Cgroup } else { Stage::Clone }
}

fn signals_to_reset(method: Method) -> Vec<i32> {
    match method {
        Method::Clone3IntoCgroup | Method::Clone3 => signals::ignored(),
        Method::Clone => signals::resettable(),
    }
}

/// The null-terminated list that execve(2) takes.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}
