//! What the child does between its birth and its program.
//!
//! It runs on a stack of its own, in our memory, while the thread that made it waits and all others
//! go on: so it allocates nothing, takes no lock, cannot panic, and calls nothing of libc but
//! `syscall` and `_exit`. Every signal is blocked until the last step but one.
//!
//! The order of the steps:
//!
//! 1. Cgroups, the v2 one first: from here on whoever kills the cgroup reaches the child, whatever
//!    it waits for, and what it uses is charged to it.
//!    Then the mark, with its number: a child that has left none was never made, as far as anybody can tell.
//! 2. A table of descriptors of its own: until then they are the daemon's, which go on being used,
//!    and none may be opened, closed or replaced. It takes no more of them than it needs.
//!    Standard input, output and error, then every other descriptor is closed, not left to
//!    close-on-exec: chdir and execve can wait for ever, on a dead NFS server say, and meanwhile
//!    our copies would hold other runs' pipes, our listeners and our locks. Only the cgroup files
//!    and the mark are written before, which do not depend on anything outside the kernel.
//! 3. What needs to open a file (`oom_score_adj`) before the limit of open files, which may be 0; what needs privileges
//!    before the ids, of which the user's come last; and the working directory after them, since it may be one that only its
//!    user may enter.
//! 4. Signal dispositions, then the mask: a signal that comes before it waits, and one that comes
//!    after it takes its default action, as it would in the program.
#![expect(unsafe_code, reason = "raw system calls, on pointers that the parent prepared")]

use crate::failure::Stage;
use crate::job::{Execution, Job};
use crate::plan::{Identity, OpenFilesLimit, PlanInput};
use crate::signals::{KernelAction, SET_BYTES};
use nix::errno::Errno;
use std::ffi::c_long;

type Step = Result<(), (Stage, Errno)>;

/// Where systemd's exit codes end up when a stage has none; no step of the child's is such a stage.
const EXIT_EXEC: i32 = 203;

/// The child's whole life.
///
/// # Safety
///
/// `job` must be valid, with all that it points to, and nobody else may touch it until the child
/// has left: the thread that made the child must be waiting for it (`CLONE_VFORK`).
pub(crate) unsafe extern "C" fn live(job: *const Job<'_>) -> ! {
    // SAFETY: the caller vouches for it.
    let job = unsafe { &*job };
    let code = match steps(job) {
        Ok(()) => 0,
        Err((stage, errno)) => {
            job.failed.set(Some((stage, errno)));
            stage.code().unwrap_or(EXIT_EXEC)
        }
    };
    // SAFETY: `_exit` runs no handler and flushes nothing: it is exit_group(2).
    unsafe { libc::_exit(code) }
}

/// Returns only if a step failed, or if there is no program to execute.
fn steps(job: &Job<'_>) -> Step {
    for descriptor in job.joins {
        join(*descriptor)?;
    }
    let Some(execution) = &job.execution else {
        job.arrived.set(true);
        return Ok(());
    };
    if let Some((file, bytes)) = execution.mark {
        leave_mark(file, bytes).map_err(|errno| (Stage::Descriptors, errno))?;
    }
    leave_descriptors(&execution.standard)?;
    if execution.new_session {
        call(libc::SYS_setsid, [0; 4], Stage::Session)?;
    }
    for ((stage, descriptor), target) in execution.standard.into_iter().zip(0_usize..) {
        // Without O_CLOEXEC, whatever the source has. The two are never equal.
        call(libc::SYS_dup3, [descriptor, target, 0, 0], stage)?;
    }
    close_others(execution.close_limit);
    if let Some(adjustment) = execution.oom_score_adjustment {
        adjust_oom_score(adjustment)?;
    }
    if let Some(mask) = execution.umask {
        // umask(2) cannot fail.
        call(libc::SYS_umask, [mask, 0, 0, 0], Stage::Exec)?;
    }
    if let Some(nice) = execution.nice {
        // 0 stands for the caller.
        let which = usize::try_from(libc::PRIO_PROCESS).unwrap_or(0);
        call(libc::SYS_setpriority, [which, 0, nice, 0], Stage::Nice)?;
    }
    if let Some(limit) = execution.open_files_limit {
        limit_open_files(limit)?;
    }
    if let Some(identity) = execution.identity {
        become_user(identity)?;
    }
    if !execution.working_directory.is_null() {
        let path = execution.working_directory.expose_provenance();
        call(libc::SYS_chdir, [path, 0, 0, 0], Stage::Chdir)?;
    }
    reset_signals(execution.signals)?;
    job.arrived.set(true);
    execute(execution)
}

/// Takes groups and ids, the user's last: it gives up the right to all others. From here on the kernel lets nobody but root
/// look into our memory, which is the daemon's, too (the mark of prctl(2), PR_SET_DUMPABLE, that a change of ids takes away).
fn become_user(identity: &Identity) -> Step {
    let word = |id: u32| usize::try_from(id).unwrap_or(usize::MAX);
    let groups = identity.groups.as_ptr().expose_provenance();
    call(libc::SYS_setgroups, [identity.groups.len(), groups, 0, 0], Stage::Group)?;
    let group = word(identity.group);
    call(libc::SYS_setresgid, [group, group, group, 0], Stage::Group)?;
    let user = word(identity.user);
    call(libc::SYS_setresuid, [user, user, user, 0], Stage::User)
}

/// "0" stands for the writer, cgroups(7).
fn join(procs: usize) -> Step {
    write(procs, b"0").map_err(|errno| (Stage::Cgroup, errno))
}

/// Writes the mark and our number at once: who finds the one finds the other.
fn leave_mark(file: usize, mark: &[u8]) -> Result<(), Errno> {
    let pid = system_call(libc::SYS_getpid, [0; 4])?;
    let pid = u32::try_from(pid).unwrap_or(0).to_le_bytes();
    let mut whole = [0; PlanInput::LONGEST_MARK + size_of::<u32>()];
    let mut length = 0;
    let bytes = mark.iter().take(PlanInput::LONGEST_MARK).chain(&pid);
    for (to, byte) in whole.iter_mut().zip(bytes) {
        *to = *byte;
        length += 1;
    }
    write(file, whole.get(..length).unwrap_or_default())
}

/// Makes a table of descriptors of our own that reaches to the last of these three.
fn leave_descriptors(standard: &[(Stage, usize); 3]) -> Step {
    let end =
        standard.iter().map(|(_, descriptor)| descriptor.saturating_add(1)).max().unwrap_or(0);
    let last = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let unshare = usize::try_from(libc::CLOSE_RANGE_UNSHARE).unwrap_or(usize::MAX);
    // ENOSYS before Linux 5.9, EPERM in sandboxes that do not know it: then all of it is copied. If
    // that fails too, what comes next would replace the daemon's own standard streams.
    system_call(libc::SYS_close_range, [end, last, unshare, 0])
        .or_else(|_| {
            let files = usize::try_from(libc::CLONE_FILES).unwrap_or(usize::MAX);
            system_call(libc::SYS_unshare, [files, 0, 0, 0])
        })
        .map(drop)
        .map_err(|errno| (Stage::Descriptors, errno))
}

/// Closes all descriptors but the three. Cannot fail: a descriptor that is not open is as closed as
/// it should be.
fn close_others(limit: usize) {
    const FIRST: usize = 3;
    let last = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    // ENOSYS before Linux 5.9, EPERM in sandboxes that do not know it.
    if system_call(libc::SYS_close_range, [FIRST, last, 0, 0]).is_err() {
        for descriptor in FIRST..limit {
            system_call(libc::SYS_close, [descriptor, 0, 0, 0]).ok();
        }
    }
}

/// proc_pid_oom_score_adj(5). The kernel leaves the parent alone, although it shares the memory of
/// this child, because the child is a vfork (`__set_oom_adj` in fs/proc/base.c).
fn adjust_oom_score(adjustment: &[u8]) -> Step {
    let stage = |errno| (Stage::OomAdjust, errno);
    // An absolute path makes openat ignore the folder; the system call open is not everywhere.
    let path = c"/proc/self/oom_score_adj".as_ptr().expose_provenance();
    let flags = [libc::O_WRONLY, libc::O_CLOEXEC].map(|flag| usize::try_from(flag).unwrap_or(0));
    let flags = flags.into_iter().fold(0, std::ops::BitOr::bitor);
    let descriptor = system_call(libc::SYS_openat, [0, path, flags, 0]).map_err(stage)?;
    write(descriptor, adjustment).map_err(stage)?;
    system_call(libc::SYS_close, [descriptor, 0, 0, 0]).ok();
    Ok(())
}

/// prlimit(2) on ourselves: its limits have 64 bits on every architecture.
fn limit_open_files(limit: OpenFilesLimit) -> Step {
    let new = libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard };
    let resource = usize::try_from(libc::RLIMIT_NOFILE).unwrap_or(usize::MAX);
    let new = (&raw const new).expose_provenance();
    call(libc::SYS_prlimit64, [0, resource, new, 0], Stage::Limits)
}

/// Gives `signals` their default action, then lets every signal through.
fn reset_signals(signals: &[i32]) -> Step {
    let default: KernelAction = [0; 8];
    let default = (&raw const default).expose_provenance();
    for signal in signals {
        let signal = usize::try_from(*signal).unwrap_or(0);
        let arguments = [signal, default, 0, SET_BYTES];
        call(libc::SYS_rt_sigaction, arguments, Stage::SignalMask)?;
    }
    let none = 0_u64;
    let operation = usize::try_from(libc::SIG_SETMASK).unwrap_or(usize::MAX);
    let arguments = [operation, (&raw const none).expose_provenance(), 0, SET_BYTES];
    call(libc::SYS_rt_sigprocmask, arguments, Stage::SignalMask)
}

fn execute(execution: &Execution<'_>) -> Step {
    let arguments = [
        execution.program.expose_provenance(),
        execution.argv.expose_provenance(),
        execution.environment.expose_provenance(),
        0,
    ];
    call(libc::SYS_execve, arguments, Stage::Exec)
}

fn write(descriptor: usize, bytes: &[u8]) -> Result<(), Errno> {
    let address = bytes.as_ptr().expose_provenance();
    system_call(libc::SYS_write, [descriptor, address, bytes.len(), 0]).map(drop)
}

fn call(number: c_long, arguments: [usize; 4], stage: Stage) -> Step {
    system_call(number, arguments).map(drop).map_err(|errno| (stage, errno))
}

/// The one place where the child enters the kernel.
fn system_call(number: c_long, arguments: [usize; 4]) -> Result<usize, Errno> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: this module calls it with numbers, with addresses of its own values, and with those
    // of the plan, all of which live until the child has left, and none of which the kernel writes
    // to. `syscall` sets errno, which the child shares with the thread that made it, thread-local
    // storage being the same; that thread waits, and relies on no errno from before. Its symbol is
    // bound already: the parent has called it to block signals.
    let result = unsafe { libc::syscall(number, first, second, third, fourth) };
    usize::try_from(result).map_err(|_| Errno::last())
}
