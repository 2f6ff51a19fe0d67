//! A child process of the harness: its output collected, its end awaited with a bound, killed on drop.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use crate::wait::{Deadline, PATIENCE};

/// How a process ended and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its end.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The exit status, as a shell would show it to a script; none where a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// What is known of the process; guarded, because three threads tell it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its end, once it has ended.
    pub status: Option<ExitStatus>,
    /// What it has printed on standard output.
    pub stdout: Vec<u8>,
    /// What it has printed on standard error.
    pub stderr: Vec<u8>,
    /// How many of its outputs somebody still holds open.
    open: u8,
}

impl Seen {
    /// Whether it has ended, and all that it printed is there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.is_some() && self.open == 0
    }
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// A running child. Killed and reaped when dropped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    what: String,
    shared: Shared,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Seen> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts `command` with no input and both outputs collected; `at_end` runs once it is reaped.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness is no reaper: std's children are safe here"
    )]
    pub fn start(mut command: Command, at_end: impl FnOnce() + Send + 'static) -> Self {
        let what = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid is positive"));
        let shared: Shared = Arc::default();
        lock(&shared).open = 2;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        collect(stdout.expect("piped"), &shared, |seen| &mut seen.stdout);
        collect(stderr.expect("piped"), &shared, |seen| &mut seen.stderr);
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            await_end(child, pid, &own);
            at_end();
        });
        Self { pid, what, shared }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Signals it, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        // Reaped under the same lock, so the pid is still its own while no status is known.
        let seen = lock(&self.shared);
        if seen.status.is_none() {
            kill(self.pid, signal)
                .unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.what));
        }
    }

    /// Waits until `condition` holds of what is known; false where the deadline comes first.
    #[must_use]
    pub fn wait_for(&self, deadline: Deadline, mut condition: impl FnMut(&Seen) -> bool) -> bool {
        let seen = lock(&self.shared);
        let (_seen, timeout) = self
            .shared
            .1
            .wait_timeout_while(seen, deadline.left(), |seen| !condition(seen))
            .unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Waits until it has printed `text` on standard output.
    ///
    /// # Panics
    /// Where it does not within [`PATIENCE`], or ends before.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str) {
        let has = |seen: &Seen| String::from_utf8_lossy(&seen.stdout).contains(text);
        let _ = self.wait_for(Deadline::after(PATIENCE), |seen| has(seen) || seen.is_over());
        assert!(has(&lock(&self.shared)), "{} never printed {text:?}:\n{}", self.what, self.log());
    }

    /// Its end, or none where it does not end within `span`.
    #[must_use]
    pub fn end_within(&self, span: Duration) -> Option<ExitStatus> {
        let _ = self.wait_for(Deadline::after(span), |seen| seen.status.is_some());
        lock(&self.shared).status
    }

    /// Whether it has ended already.
    #[must_use]
    pub fn end_within_no_time(&self) -> bool {
        lock(&self.shared).status.is_some()
    }

    /// What it has printed on standard output so far.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared).stdout).into_owned()
    }

    /// Its end and all that it printed.
    ///
    /// # Panics
    /// Where it does not end, or its outputs stay open, for [`PATIENCE`].
    #[track_caller]
    #[must_use]
    pub fn finish(self) -> Output {
        self.finish_within(PATIENCE)
    }

    /// The same, within a time of the caller's own.
    ///
    /// # Panics
    /// Where it does not end, or its outputs stay open, for so long.
    #[track_caller]
    #[must_use]
    pub fn finish_within(self, span: Duration) -> Output {
        if !self.wait_for(Deadline::after(span), Seen::is_over) {
            panic!("{} did not end within {span:?}:\n{}", self.what, self.log());
        }
        let mut seen = lock(&self.shared);
        Output {
            status: seen.status.expect("it has ended"),
            stdout: std::mem::take(&mut seen.stdout),
            stderr: std::mem::take(&mut seen.stderr),
        }
    }

    /// What it has printed on standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared).stderr).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.end_within(PATIENCE);
    }
}

fn collect(
    mut stream: impl Read + Send + 'static,
    shared: &Shared,
    part: impl Fn(&mut Seen) -> &mut Vec<u8> + Send + 'static,
) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            let mut seen = lock(&shared);
            part(&mut seen).extend_from_slice(&buffer[..count]);
            if count == 0 {
                seen.open -= 1;
            }
            shared.1.notify_all();
            if count == 0 {
                return;
            }
        }
    });
}

fn await_end(mut child: Child, pid: Pid, shared: &Shared) {
    // Peek without the lock, reap with it: see `signal`.
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).is_err() {}
    let mut seen = lock(shared);
    seen.status = Some(child.wait().expect("it is our child and has ended"));
    shared.1.notify_all();
}

/// Has the programs that the tests start heed interrupts: a shell that runs the tests in the background has us ignore them,
/// and what is ignored stays so in programs that are executed.
#[expect(unsafe_code, reason = "an action of a signal may be a function")]
pub fn heed_interrupts() {
    for number in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the usual action is none of ours.
        let usual = unsafe { signal(number, SigHandler::SigDfl) };
        usual.expect("these two can be had as they usually are");
    }
}
