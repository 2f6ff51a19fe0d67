//! A running daemon.

use std::{
    collections::BTreeSet,
    future::Future,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    house::House,
    options::Options,
    process::{Output, Process},
    procfs,
    wait::{PATIENCE, eventually, holds_within},
};

/// A real `auraed` and all below it. Everything it started is gone when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    keeper: Process,
    runtime: Option<Runtime>,
    runs: Mutex<BTreeSet<String>>,
    stopped: bool,
    /// Daemons whose keepers were killed.
    orphans: Mutex<Vec<i32>>,
    house: House,
}

impl Deref for Daemon {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl Daemon {
    /// Starts one, and waits until its API answers.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start(options: Options) -> Self {
        Self::start_in(House::prepare(options))
    }

    /// Starts one in a house that the test has furnished.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start_in(house: House) -> Self {
        let command = house.auraed();
        Self::start_as(house, command)
    }

    /// Starts one with a command line of the test's own.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start_as(house: House, command: std::process::Command) -> Self {
        // A worker of its own, so that a dropped call reaches the daemon without anybody waiting for it.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let daemon = Self {
            keeper: house.launch(command),
            runtime: Some(runtime.expect("a runtime")),
            runs: Mutex::default(),
            stopped: false,
            orphans: Mutex::default(),
            house,
        };
        assert!(daemon.becomes_ready(), "the daemon did not become ready");
        daemon
    }

    /// Runs a test with a daemon, stops it in order, and sees that nothing is left behind.
    ///
    /// # Panics
    /// As the test does, or where something is left.
    pub fn with(options: Options, test: impl FnOnce(&Self)) {
        let daemon = Self::start(options);
        test(&daemon);
        daemon.stop();
    }

    /// The keeper's process id.
    #[must_use]
    pub fn keeper(&self) -> i32 {
        self.keeper.pid()
    }

    /// What keeper and daemon have printed on standard error.
    #[must_use]
    pub fn log(&self) -> String {
        self.keeper.log()
    }

    /// Kills keeper and daemon at once, as nothing but a loss of power does, and ends what they leave.
    ///
    /// # Panics
    /// Where something of it cannot be ended.
    #[track_caller]
    pub fn crash(&mut self) {
        let orphans = procfs::descendants(self.keeper());
        let (daemons, others): (Vec<i32>, Vec<i32>) =
            orphans.into_iter().partition(|&pid| procfs::command(pid) == "auraed-core");
        self.signal(Signal::SIGKILL);
        for pid in daemons.iter().chain(&others) {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        self.has_ended();
        let ended = holds_within(PATIENCE, || {
            // Process by process: some kernels make nothing in a cgroup that was killed as a whole.
            let mut left: Vec<i32> =
                self.house.cage.as_ref().map(crate::cgroup::Cage::processes).unwrap_or_default();
            for run in self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                left.extend(procfs::carriers(run));
            }
            left.extend(daemons.iter().chain(&others));
            left.retain(|&pid| !procfs::gone(pid));
            for &pid in &left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            left.is_empty()
        });
        assert!(ended, "what the daemon left could not be ended");
    }

    /// Kills the keeper alone, and waits until its daemon has noticed, which goes on: its process.
    ///
    /// # Panics
    /// Where it does not notice.
    #[track_caller]
    pub fn lose_keeper(&self) -> i32 {
        let before = self.status();
        self.note_orphan(before.daemon_pid);
        kill(Pid::from_raw(before.keeper_pid), Signal::SIGKILL).expect("the keeper lives");
        // Below something else its end is not announced.
        if before.keeper_pid == self.keeper() {
            self.has_ended();
        }
        eventually("the daemon notices", || {
            self.status().problems.iter().any(|problem| problem.starts_with("the keeper"))
        });
        before.daemon_pid
    }

    fn note_orphan(&self, daemon: i32) {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).push(daemon);
    }

    /// Kills keeper and daemon, and nothing else: what they run goes on without both.
    ///
    /// # Panics
    /// Where they do not end.
    #[track_caller]
    pub fn lose_both(&self) {
        let before = self.status();
        self.note_orphan(before.daemon_pid);
        // Stopped, the keeper starts no other meanwhile.
        self.signal(Signal::SIGSTOP);
        kill(Pid::from_raw(before.daemon_pid), Signal::SIGKILL).expect("the daemon lives");
        eventually("the daemon is dead", || procfs::gone(before.daemon_pid));
        self.signal(Signal::SIGKILL);
        self.has_ended();
    }

    /// Stops it in order, and keeps its house.
    ///
    /// # Panics
    /// Where it does not end with status 0.
    #[track_caller]
    pub fn shut_down(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.keeper.end_within(PATIENCE).expect("the keeper ends when it is told to");
        assert!(status.success(), "the keeper ended with {status}:\n{}", self.log());
        self.has_ended();
    }

    /// Starts another keeper in the same house, after [`Daemon::crash`] or [`Daemon::shut_down`].
    ///
    /// # Panics
    /// Where it does not become ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.launch_again();
        assert!(self.becomes_ready(), "the daemon did not become ready:\n{}", self.log());
    }

    /// The same, without waiting for anything.
    pub fn launch_again(&mut self) {
        self.keeper = self.house.launch(self.house.auraed());
    }

    /// Stops it in order and starts another keeper: what a boot is to the daemon.
    ///
    /// # Panics
    /// Where either fails.
    #[track_caller]
    pub fn restart(&mut self) {
        self.shut_down();
        self.start_again();
    }

    /// Kills the daemon, not the keeper, and waits for the next.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn replace(&self) {
        let before = self.lose_daemon();
        eventually("the keeper starts another daemon", || {
            self.status_if_there().is_some_and(|status| status.daemon_pid != before)
        });
    }

    /// Kills the daemon, not the keeper, and waits for nothing: the process that it was.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn lose_daemon(&self) -> i32 {
        let before = self.status().daemon_pid;
        kill(Pid::from_raw(before), Signal::SIGKILL).expect("the daemon lives");
        before
    }

    /// Takes the notice of the keeper's end, so that it is not taken for that of the next one.
    #[track_caller]
    fn has_ended(&self) {
        assert!(self.notice("X_ENDED=1", PATIENCE).is_some(), "the keeper's end was not noticed");
    }

    /// Signals the keeper.
    pub fn signal(&self, signal: Signal) {
        self.keeper.signal(signal);
    }

    /// Stops it as an administrator would, and sees that nothing is left behind.
    ///
    /// # Panics
    /// Where it does not end with status 0, or leaves something.
    #[track_caller]
    pub fn stop(self) {
        self.stop_with(Signal::SIGTERM);
    }

    /// Stops it with this signal, and sees that nothing is left behind.
    ///
    /// # Panics
    /// Where it does not end with status 0, or leaves something.
    #[track_caller]
    pub fn stop_with(self, signal: Signal) {
        self.signal(signal);
        self.ends();
    }

    /// Waits for an end that was ordered before, and sees that nothing is left behind.
    ///
    /// # Panics
    /// Where it does not end with status 0, or leaves something.
    #[track_caller]
    pub fn ends(mut self) {
        let status = self.keeper.end_within(PATIENCE).expect("the keeper ends when it is told to");
        assert!(status.success(), "the keeper ended with {status}");
        assert!(self.notice("STOPPING=1", PATIENCE).is_some(), "STOPPING=1 was never sent");
        if let Some(cage) = &self.house.cage {
            let left: Vec<_> = cage
                .processes()
                .into_iter()
                .filter(|&pid| procfs::alive(pid))
                .map(describe)
                .collect();
            assert!(left.is_empty(), "processes are left: {left:?}");
        }
        for run in self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let left: Vec<_> = procfs::carriers(run).into_iter().map(describe).collect();
            assert!(left.is_empty(), "processes of run {run} are left: {left:?}");
        }
        let left = self.cgroups();
        assert!(left.is_empty(), "cgroups are left: {left:?}");
        self.stopped = true;
    }

    /// Waits for a future, with a bound.
    ///
    /// # Panics
    /// Where it is not done within [`PATIENCE`].
    #[track_caller]
    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.block_for(PATIENCE, future)
    }

    /// Waits for a future, with a bound of the test's own.
    ///
    /// # Panics
    /// Where it is not done by then.
    #[track_caller]
    pub fn block_for<T>(&self, span: Duration, future: impl Future<Output = T>) -> T {
        let done = self.runtime().block_on(async { tokio::time::timeout(span, future).await });
        done.unwrap_or_else(|_| panic!("no answer within {span:?}"))
    }

    /// The runtime of the test's gRPC clients.
    ///
    /// # Panics
    /// Never: it is there until the drop.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken only by drop")
    }

    /// Remembers a run, so that the end can tell that no process of it is left.
    pub(crate) fn remember(&self, run_id: &str) {
        if !run_id.is_empty() {
            self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id.to_owned());
        }
    }

    /// Runs `aer` against it, as the daemon's user.
    #[must_use]
    pub fn aer(&self, arguments: &[&str]) -> Output {
        self.start_aer(arguments).finish()
    }

    /// Starts `aer` against it, as the daemon's user.
    #[must_use]
    pub fn start_aer(&self, arguments: &[&str]) -> Process {
        let mut command = self.command("aer");
        command.arg("--socket").arg(self.socket()).args(arguments);
        Process::start(command, || {})
    }

    fn kill_all(&self) {
        // Stopped, the keeper starts nothing more and yet inherits every orphan, so that the list of its
        // descendants is complete in the end.
        self.signal(Signal::SIGSTOP);
        let all_dead = holds_within(PATIENCE, || {
            let mut left = procfs::descendants(self.keeper());
            let orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            if !orphans.is_empty() {
                // What they have made is nobody's descendant.
                left.extend(orphans.iter().copied().filter(|&pid| procfs::alive(pid)));
                let cage = self.house.cage.as_ref();
                let caged = cage.map(crate::cgroup::Cage::processes).unwrap_or_default();
                let keeper = self.keeper();
                left.extend(caged.into_iter().filter(|&pid| pid != keeper && procfs::alive(pid)));
            }
            for run in self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                left.extend(procfs::carriers(run));
            }
            for &pid in &left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            left.is_empty()
        });
        if !all_dead {
            eprintln!("some processes of the daemon {} could not be killed", self.keeper());
        }
        self.signal(Signal::SIGKILL);
        let _ = self.keeper.end_within(PATIENCE);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.stopped {
            if thread::panicking() {
                eprintln!("--- what the daemon printed ---\n{}---", self.log());
            }
            // A second panic while the first unwinds would abort every other test.
            let killed = catch_unwind(AssertUnwindSafe(|| self.kill_all()));
            if let (Err(cause), false) = (killed, thread::panicking()) {
                resume_unwind(cause);
            }
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn describe(pid: i32) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&command).replace('\0', " ");
    format!("{pid} ({:?}) {}", procfs::state(pid), words.trim_end())
}
