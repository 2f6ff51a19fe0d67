//! The process of qemu.

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use super::store;

/// One that runs, or has run.
#[derive(Debug)]
pub(crate) struct Qemu {
    pid: Pid,
    keyboard: Mutex<Option<ChildStdin>>,
    /// Reaped under this lock, so that the pid is its own while there is no status.
    status: Mutex<Option<ExitStatus>>,
}

impl Qemu {
    /// Starts it in a thread of its own, which waits for it: it is killed with that thread, and so with the test process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness is no reaper: std's children are safe here"
    )]
    pub(crate) fn start(arguments: &[String], console: &Path) -> Arc<Self> {
        let output = File::create(console).expect("a file in our folder");
        let errors = output.try_clone().expect("one more descriptor");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", store::QEMU]).args(arguments);
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let (to, from) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
            let keyboard = Mutex::new(child.stdin.take());
            let qemu = Arc::new(Self { pid, keyboard, status: Mutex::default() });
            to.send(Arc::clone(&qemu)).expect("somebody waits");
            qemu.await_end(child);
        });
        from.recv().expect("qemu and setpriv are installed")
    }

    fn await_end(&self, mut child: Child) {
        while waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).is_err() {}
        let mut status = self.status();
        *status = Some(child.wait().expect("it is our child and has ended"));
    }

    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status().is_some()
    }

    pub(crate) fn kill(&self) {
        let status = self.status();
        if status.is_none() {
            kill(self.pid, Signal::SIGKILL).expect("it is our child");
        }
    }

    /// Writes to its first serial line.
    #[track_caller]
    pub(crate) fn types(&self, text: &str) {
        let mut keyboard = self.keyboard.lock().unwrap_or_else(PoisonError::into_inner);
        let keyboard = keyboard.as_mut().expect("it has one");
        keyboard.write_all(text.as_bytes()).expect("qemu reads it");
        keyboard.flush().expect("qemu reads it");
    }
}
