//! A machine that runs.

use std::{fs, future::Future, process::Command, sync::Arc, thread, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

use super::{Agent, Boot, LONG, console::Console, monitor::Monitor, qemu::Qemu, store, wire};
use crate::{
    binaries,
    process::{Output, Process},
    wait::holds_within,
};

/// A boot that has printed nothing by then is tried once more: one in fifty does, as it seems with two processors only.
const SILENCE: Duration = Duration::from_secs(30);

/// The kernel's last word before a machine boots again.
const RESTARTING: &str = "reboot: Restarting system";

/// Its last word before it makes room for another.
const GIVING_WAY: &str = "kexec_core: Starting new kernel";

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It switched itself off.
    Off,
    /// It would have booted again.
    Reboot,
    /// Neither: its qemu ended by itself or was killed.
    Other,
}

/// One machine. Ends when it is dropped.
#[derive(Debug)]
pub struct Machine {
    boot: Boot,
    qemu: Arc<Qemu>,
    monitor: Option<Monitor>,
    /// What it has printed.
    pub console: Console,
    /// Looks, writes and kills in there.
    pub agent: Agent,
    api: u16,
    runtime: Option<Runtime>,
    folder: TempDir,
}

impl Machine {
    /// Starts one, and waits for its agent where it has one.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    #[track_caller]
    pub fn start(boot: Boot) -> Self {
        let folder = tempfile::Builder::new().prefix("aurae-vm-").tempdir();
        let folder = folder.expect("a temporary folder");
        let mut machine = Self::launch(boot, folder);
        if !holds_within(SILENCE, || !machine.console.text().is_empty() || machine.has_ended()) {
            // Of a boot, never of a test.
            eprintln!("{}: a boot printed nothing, and is tried once more", machine.boot.name);
            machine.cut_power();
            let boot = machine.boot.clone();
            drop(machine);
            let again = tempfile::Builder::new().prefix("aurae-vm-").tempdir();
            machine = Self::launch(boot, again.expect("a temporary folder"));
        }
        if machine.boot.agent {
            machine.await_agent();
        }
        machine
    }

    fn launch(boot: Boot, folder: TempDir) -> Self {
        let arguments = boot.arguments(folder.path(), store::acceleration());
        let console = folder.path().join("console");
        let qemu = Qemu::start(&arguments, &console);
        let monitor = Monitor::connect(&folder.path().join("monitor"), || !qemu.has_ended());
        let port = |port| monitor.as_ref().and_then(|monitor| monitor.forwarded(port)).unwrap_or(0);
        let (agent, api) = (Agent { port: port(wire::REQUESTS) }, port(wire::API));
        let console = Console::at(&console);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().ok();
        Self { boot, qemu, monitor, console, agent, api, runtime, folder }
    }

    #[track_caller]
    fn await_agent(&self) {
        let within = self.boot.within;
        let come = holds_within(within, || self.console.count(wire::READY) > 0 || self.has_ended());
        assert!(
            come && !self.has_ended(),
            "{}: the machine does not come up; its console's last lines:\n{}",
            self.boot.name,
            self.console.tail()
        );
    }

    /// Waits until the machine has ended in order and booted anew, by itself.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn boots_again(&self) {
        let before = self.console.count(wire::READY);
        self.console.until(RESTARTING);
        let printed = || {
            let text = self.console.text();
            text.rsplit_once(RESTARTING).is_some_and(|(_, later)| later.lines().count() > 1)
        };
        if !holds_within(SILENCE, printed) {
            // As a first boot: of a boot, never of a test.
            eprintln!("{}: a boot printed nothing, and is tried once more", self.boot.name);
            let monitor = self.monitor.as_ref().expect("qemu has a monitor while it lives");
            let _ = monitor.order(&json!({ "execute": "system_reset" }));
        }
        self.comes_up_again(before);
    }

    /// Waits until the kernel has made room for the one that was loaded, and that has booted.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn executes_the_loaded_kernel(&self) {
        let before = self.console.count(wire::READY);
        self.console.until(GIVING_WAY);
        self.comes_up_again(before);
    }

    #[track_caller]
    fn comes_up_again(&self, before: usize) {
        let again = || self.console.count(wire::READY) > before || self.has_ended();
        let again = holds_within(LONG, again) && !self.has_ended();
        assert!(again, "it does not come up again:\n{}", self.console.tail());
    }

    /// Whether it is off, for whatever reason.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.qemu.has_ended()
    }

    /// Waits until it is off: how that came.
    ///
    /// # Panics
    /// Where it stays on.
    #[track_caller]
    pub fn ends(&self) -> Ending {
        self.ends_within(LONG)
    }

    /// The same, within a time of the test's own.
    ///
    /// # Panics
    /// Where it stays on.
    #[track_caller]
    pub fn ends_within(&self, span: Duration) -> Ending {
        let ended = holds_within(span, || self.has_ended());
        assert!(ended, "the machine stays on; its console's last lines:\n{}", self.console.tail());
        // What qemu said last may still be on its way to us.
        let told = || self.monitor.as_ref().and_then(Monitor::reason);
        let _ = holds_within(Duration::from_secs(2), || told().is_some());
        match told().as_deref() {
            Some("guest-shutdown") => Ending::Off,
            Some("guest-reset") => Ending::Reboot,
            _ => Ending::Other,
        }
    }

    /// Cuts its power.
    ///
    /// # Panics
    /// Where its qemu cannot be killed.
    #[track_caller]
    pub fn cut_power(&self) {
        self.qemu.kill();
        assert!(holds_within(LONG, || self.has_ended()), "qemu was killed, and lives");
    }

    /// Presses Ctrl, Alt and Delete, as soon as the kernel has found the keyboard, where there is an agent to look.
    ///
    /// # Panics
    /// Where it finds none, or qemu does not take it.
    #[track_caller]
    pub fn press_ctrl_alt_delete(&self) {
        let mut devices = String::new();
        let found = !self.boot.agent
            || holds_within(LONG, || {
                devices = self.agent.read("/proc/bus/input/devices");
                devices.lines().any(|line| line.starts_with("H: ") && line.contains("kbd"))
            });
        assert!(found, "the kernel finds no keyboard:\n{devices}\n{}", self.console.tail());
        let key = |name: &str| json!({ "type": "qcode", "data": name });
        let keys = json!({ "keys": [key("ctrl"), key("alt"), key("delete")] });
        let monitor = self.monitor.as_ref().expect("qemu has a monitor while it lives");
        let answer = monitor.order(&json!({ "execute": "send-key", "arguments": keys }));
        assert!(answer.is_some_and(|answer| answer.get("return").is_some()), "no key was pressed");
    }

    /// Types on its console.
    ///
    /// # Panics
    /// Where nobody takes it.
    #[track_caller]
    pub fn types(&self, text: &str) {
        self.qemu.types(text);
    }

    /// Runs `aer` outside, against the daemon inside.
    #[must_use]
    pub fn aer(&self, arguments: &[&str]) -> Output {
        self.start_aer(arguments).finish_within(LONG)
    }

    /// The same, which has to succeed: what it printed.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    #[track_caller]
    pub fn told(&self, arguments: &[&str]) -> String {
        let output = self.aer(arguments);
        let (out, err) = (output.out(), output.err());
        assert!(
            output.status.success(),
            "aer {arguments:?}: {}\n{out}{err}\n{}",
            output.status,
            self.console.tail()
        );
        out
    }

    /// Starts `aer` outside.
    #[must_use]
    pub fn start_aer(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(binaries::path("aer"));
        command.env_clear().arg("--address").arg(self.address()).args(arguments);
        Process::start(command, || {})
    }

    /// Where the API is, from outside.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// A connection to the API.
    ///
    /// # Panics
    /// Where nobody answers.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address()).expect("an address is a URI");
        let connected = self.block(async move { endpoint.connect().await });
        connected.unwrap_or_else(|why| panic!("the API: {why}\n{}", self.console.tail()))
    }

    /// Waits for a future, with a bound.
    ///
    /// # Panics
    /// Where it is not done in time.
    #[track_caller]
    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("taken only by drop");
        let done = runtime.block_on(async { tokio::time::timeout(LONG, future).await });
        done.unwrap_or_else(|_| panic!("no answer within {LONG:?}\n{}", self.console.tail()))
    }

    /// Whether it booted this kernel.
    #[must_use]
    pub fn is_of(&self, kernel: store::Kernel) -> bool {
        self.boot.kernel == kernel
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.qemu.kill();
        let _ = holds_within(LONG, || self.has_ended());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if thread::panicking() {
            let kept = store::folder().join("failed");
            let path = kept.join(format!("{}.console", self.boot.name));
            drop(fs::create_dir_all(&kept));
            if fs::copy(self.folder.path().join("console"), &path).is_ok() {
                eprintln!("the machine's console is kept: {}", path.display());
            }
            eprintln!("the machine's console ended so:\n{}", self.console.tail());
        }
    }
}
