//! The keeper's system calls about processes.
#![expect(unsafe_code, reason = "fork and exec, and the raw waitid that tells resource usage")]

use std::{
    ffi::{CString, OsString},
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use keeper::protocol::{Exit, How};
use nix::{
    errno::Errno,
    fcntl::AtFlags,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal, kill},
        signalfd::SignalFd,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, execveat, fork},
};

use crate::{
    Failure,
    first::{self, Role},
    program::Program,
};

/// What the daemon's oom_score_adj is where ours is the least there is: when memory is short it goes before us, since it
/// can be replaced.
const DAEMON_OOM_SCORE: &str = "-900";

/// How many files programs of a machine may open if they ask for it: a kernel gives its first program 4096, which would be
/// enough for 341 runs.
const MACHINE_FILES: u64 = 1 << 19;

/// The variable in which one keeper says to the next where its state is.
pub(crate) const VARIABLE: &str = "AURAED_SUCCESSION";

/// Our own program.
pub(crate) fn ourselves() -> Result<Program, Failure> {
    let mut program = Program::open(Path::new("/proc/self/exe"))?;
    program.path = beside_us("auraed")?;
    Ok(program)
}

/// The program of that name in the folder of this one.
pub(crate) fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let us = fs::read_link("/proc/self/exe").map_err(|why| {
        Failure::Untold(format!(
            "cannot find our own folder by /proc/self/exe: {why}; is /proc mounted?"
        ))
    })?;
    Ok(us.with_file_name(name))
}

/// How the daemon's allocator goes about memory (mallopt(3)), unless our own environment says otherwise. Its threads
/// share one arena, and what is free at the end goes back to the kernel: what a thousand calls at once need for a moment
/// would stay with it otherwise, 2 KiB for each.
const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "262144")];

/// Signals may be lost where several are one: whoever waits for the end of a child looks so often at least.
const GLANCE: Duration = Duration::from_millis(200);

/// Executes a program with these descriptors as 3, 4, … and our environment, less what is meant for us.
pub(crate) fn start(
    program: &Program,
    arguments: Vec<OsString>,
    descriptors: Vec<OwnedFd>,
) -> Result<i32, Failure> {
    let shown = program.shown();
    let no_nul = |_| Failure::Untold(format!("an argument of {shown} has a NUL byte"));
    let arguments = arguments
        .into_iter()
        .map(|argument| CString::new(argument.into_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(no_nul)?;
    let given = |name: &str| std::env::var_os(name).is_some();
    let usual = ALLOCATOR.into_iter().filter(|(name, _)| !given(name));
    let mut environment = environment_without(&["NOTIFY_SOCKET", VARIABLE, first::VARIABLE]);
    environment
        .extend(usual.filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()));
    // SAFETY: this process has one thread, so the child may go on like any other program.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child.as_raw()),
        Ok(ForkResult::Child) => {
            let why = execute(program, &arguments, &environment, descriptors);
            crate::say(format_args!("cannot execute {shown}: {why}"));
            // SAFETY: _exit runs no destructor and no handler of the parent's.
            unsafe { libc::_exit(127) }
        }
        Err(why) => Err(Failure::Untold(format!("cannot fork to execute {shown}: {why}"))),
    }
}

/// Our environment as execve(2) takes it, less these variables.
pub(crate) fn environment_without(names: &[&str]) -> Vec<CString> {
    std::env::vars_os()
        .filter(|(name, _)| !names.iter().any(|it| name == it))
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).ok()
        })
        .collect()
}

/// Does something in a child of our own, which then exits with the answer.
pub(crate) fn branch(work: impl FnOnce() -> u8) -> Result<i32, Errno> {
    // SAFETY: this process has one thread, so the child may go on like any other program.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            // A panic must not find its way into what the parent does.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: _exit runs no destructor and no handler of the parent's.
            unsafe { libc::_exit(done.map_or(101, i32::from)) }
        }
    }
}

/// The child's way to its program; answers only if that fails.
fn execute(
    program: &Program,
    arguments: &[CString],
    environment: &[CString],
    descriptors: Vec<OwnedFd>,
) -> Errno {
    if fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|score| score.trim() == "-1000") {
        drop(fs::write("/proc/self/oom_score_adj", DAEMON_OOM_SCORE));
    }
    // First all of them out of the way, so that none is overwritten before it is moved.
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor and changes nothing else.
    let out_of_the_way = |from| unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, 64) };
    let file = out_of_the_way(program.file.as_raw_fd());
    let moved: Vec<i32> =
        descriptors.into_iter().map(|held| out_of_the_way(held.into_raw_fd())).collect();
    if file < 0 {
        return Errno::last();
    }
    for (number, from) in (3..).zip(moved) {
        // SAFETY: nothing in this child refers to descriptors by these numbers from here on; dup2 of a
        // number that could not be made answers EBADF.
        if unsafe { libc::dup2(from, number) } < 0 {
            return Errno::last();
        }
    }
    // SAFETY: it was made above, and nothing closes it.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    let execute = || execveat(file, c"", arguments, environment, AtFlags::AT_EMPTY_PATH);
    match SigSet::all().thread_unblock().and_then(|()| execute()) {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

/// Waits for a child that exits soon; its status as a shell counts it.
pub(crate) fn wait(pid: i32) -> Result<i32, Failure> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(status),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

/// A child that has ended and is not reaped.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    /// Its process.
    pub(crate) pid: i32,
    /// How it ended.
    pub(crate) exit: Exit,
}

/// Raises the limit of open files as far as it goes; soft and hard as they were when that was first done. On a machine the
/// hard one is [`MACHINE_FILES`] at the least, as if it had been found so.
pub(crate) fn raise_open_files(role: Role) -> Result<(u64, u64), Failure> {
    static FOUND: OnceLock<(u64, u64)> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(*found);
    }
    let (soft, mut hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Where the kernel allows less (fs.nr_open) it stays.
    if role == Role::Machine
        && hard < MACHINE_FILES
        && setrlimit(Resource::RLIMIT_NOFILE, soft, MACHINE_FILES).is_ok()
    {
        hard = MACHINE_FILES;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(*FOUND.get_or_init(|| (soft, hard)))
}

/// Any child that has ended, left as it is.
pub(crate) fn peek() -> Option<Ended> {
    wait_raw(libc::P_ALL, 0, libc::WNOWAIT)
}

/// This child, if it has ended, left as it is.
pub(crate) fn peek_at(pid: i32) -> Option<Ended> {
    wait_raw(libc::P_PID, pid, libc::WNOWAIT)
}

/// Reaps this child, if it has ended.
pub(crate) fn reap(pid: i32) -> Option<Ended> {
    wait_raw(libc::P_PID, pid, 0)
}

/// waitid(2) as the kernel has it: with resource usage, which the C library's lacks.
fn wait_raw(kind: libc::idtype_t, pid: i32, flag: i32) -> Option<Ended> {
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | flag;
    // SAFETY: both are plain data for the kernel to fill; all zero is a valid value of either.
    let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to live, exclusively borrowed values of the types that waitid(2) names.
    let answer =
        unsafe { libc::syscall(libc::SYS_waitid, kind, pid, &mut info, options, &mut usage) };
    // SAFETY: waitid leaves si_pid zero where there is nothing, and sets the fields of SIGCHLD otherwise.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if answer != 0 || pid == 0 {
        return None;
    }
    let how = match info.si_code {
        libc::CLD_KILLED => How::Killed,
        libc::CLD_DUMPED => How::Dumped,
        _ => How::Exited,
    };
    let exit = Exit {
        status,
        how,
        user_time: microseconds(usage.ru_utime),
        system_time: microseconds(usage.ru_stime),
        // Not ru_maxrss: a process that was born sharing the daemon's memory has the peak of that in it.
        seen_at: now(),
    };
    Some(Ended { pid, exit })
}

fn microseconds(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec)).unwrap_or(0)
}

/// Time that never goes back, for deadlines.
#[expect(clippy::disallowed_methods, reason = "the keeper's only monotonic clock")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// The moment of a number of nanoseconds of CLOCK_MONOTONIC, as others count; one to come is now.
pub(crate) fn moment(nanoseconds: u64) -> Instant {
    // In this order: what the reading takes makes it earlier, never later.
    let now = clock();
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live, exclusively borrowed value of the type that clock_gettime(2) names.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let part = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let since = part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec));
    let ago = Duration::from_nanos(since.saturating_sub(nanoseconds));
    now.checked_sub(ago).unwrap_or(now)
}

/// The moment, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the moment of an exit; the keeper's only clock")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Kills a child; one that is gone already is no error.
pub(crate) fn kill_child(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
}

/// A process that is no child of ours, by descriptor (pidfd_open(2)).
pub(crate) fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes two numbers and touches no memory of ours.
    let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let number = i32::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has made this descriptor for us just now; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Kills such a process; one that is gone already is no error.
pub(crate) fn kill_stranger(process: BorrowedFd<'_>) {
    let (number, information) = (process.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: without a siginfo_t the call takes numbers only.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, number, libc::SIGKILL, information, 0);
    }
}

/// Waits until something can be read there, or has ended, but no longer than until then.
pub(crate) fn await_readable(descriptor: BorrowedFd<'_>, bound: Instant) {
    loop {
        let left = bound.saturating_duration_since(clock()).as_millis().saturating_add(1);
        let left = i32::try_from(left).ok().and_then(|left| left.try_into().ok());
        let mut source = [PollFd::new(descriptor, PollFlags::POLLIN)];
        match poll(&mut source, left.unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits until a signal comes, but no longer than until then. What it is stays to be read: unread ones do not wait.
pub(crate) fn await_signal(signals: &SignalFd, bound: Instant) {
    await_readable(signals.as_fd(), bound.min(clock() + GLANCE));
}

/// Waits for so long.
pub(crate) fn rest(span: Duration) {
    let span = i32::try_from(span.as_millis()).ok().and_then(|span| span.try_into().ok());
    poll(&mut [], span.unwrap_or(PollTimeout::MAX)).unwrap_or_default();
}

/// Waits for a child, but no longer than until then; false for one that takes longer, which is reaped with the orphans.
pub(crate) fn wait_within(child: i32, bound: Instant) -> bool {
    if let Ok(process) = open(child) {
        await_readable(process.as_fd(), bound);
    }
    reap(child).is_some()
}

/// Reaps everything that has ended but this child.
pub(crate) fn reap_all_but(child: i32) {
    while let Some(ended) = peek() {
        if ended.pid == child {
            return;
        }
        reap(ended.pid);
    }
}

/// Our children of this moment (proc(5), /proc/PID/task/TID/children).
pub(crate) fn children() -> Vec<i32> {
    let us = std::process::id();
    fs::read_to_string(format!("/proc/self/task/{us}/children"))
        .map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
        .unwrap_or_default()
}

/// Reaps everything that has ended; whether a child is left.
pub(crate) fn reap_all() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}
