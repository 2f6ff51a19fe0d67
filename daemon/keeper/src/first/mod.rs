//! The keeper as the first process, of a machine or of a container (docs/pid1.md).
//!
//! Invariants:
//! - The first process of a machine never ends and never gives up: what fails is said on the console and in the kernel's
//!   log, and tried again, with a pause that grows. A panic is such a failure, after which everything is taken up anew from
//!   the daemon, as after a keeper that was killed.
//! - Whatever happens, children are reaped, and whoever wants the machine to end is heard.
//! - What touches a disk, and need not, is done by a child.

pub(crate) mod aloft;
pub(crate) mod calls;
pub(crate) mod command_line;
pub(crate) mod console;
pub(crate) mod init;
pub(crate) mod last;
pub(crate) mod role;
mod round;
mod shell;
pub(crate) mod signals;

use std::{
    ffi::OsString,
    fs,
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use keeper::protocol::Power;
use nix::sys::{reboot::set_cad_enabled, signalfd::SignalFd};

use crate::{
    Failure, early,
    keep::{Keeper, STABLE},
    process::{self, Ended, clock},
    say,
    sweep::sweep,
};
use command_line::CommandLine;
use init::Main;
pub(crate) use role::Role;
use signals::Wish;

/// What comes after an orderly end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Our own end.
    #[default]
    Leave,
    /// The machine's.
    Power(Power),
    /// The daemon again, with nothing but its API and a shell.
    Rescue,
    /// The daemon again, with all that is enabled: out of rescue.
    Boot,
}

/// The variable in which one first process says to the next what is no part of a keeper's state.
pub(crate) const VARIABLE: &str = "AURAED_FIRST";
/// How long early mounts and the like may take.
const EARLY: Duration = Duration::from_secs(30);
/// How long the random seed may take.
const SEED: Duration = Duration::from_secs(5);
/// So many interrupts within [`INTERRUPTS_WITHIN`] mean that somebody does not want to wait.
const MOST_INTERRUPTS: usize = 7;
const INTERRUPTS_WITHIN: Duration = Duration::from_secs(2);
/// After so many beginnings in a row that failed, a shell is offered.
const PATIENCE: u32 = 3;
/// So many failures of a container in a row are its end.
const MOST_FAILURES: u32 = 4;
/// The pause after a beginning that failed, and what it grows to.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What is said after a panic.
const PANICKED: &str =
    "this keeper panicked, which is a fault of its own; it begins anew, and what runs goes on";
/// The same where a shell runs: nobody may sit there.
const UNATTENDED: Duration = Duration::from_secs(60);

/// What a first process knows besides what any keeper knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct First {
    pub(crate) role: Role,
    /// The kernel's command line.
    pub(crate) line: CommandLine,
    /// The shell of the configuration, where that could be read.
    pub(crate) shell: Option<String>,
    /// The shell that runs.
    pub(crate) shell_runs: Option<i32>,
    /// A shell has ended in rescue, or where state is in memory: the boot goes on.
    pub(crate) begins_anew: bool,
    /// The main command of a container, where we are its init.
    pub(crate) main: Option<Main>,
    /// Our own words, where the command line has others besides.
    words: Option<Vec<OsString>>,
    /// What comes after the end.
    pub(crate) aim: Aim,
    /// What the daemon has asked for, until it is begun.
    pub(crate) asked: Option<(Power, bool, String)>,
    /// When somebody interrupted, lately.
    interrupts: Vec<Instant>,
    /// Where state is, and was the last time that it could be had.
    state_dir: PathBuf,
    runtime_dir: PathBuf,
    /// The kernel has its seed.
    seeded: bool,
    /// Why state is kept in memory, where it is.
    volatile: Option<String>,
    /// Beginnings that failed since one that did not.
    failed: u32,
}

/// The life of a first process. A machine's has no end.
pub(crate) fn live(role: Role, taken_over: Option<Keeper>) -> ExitCode {
    let signals = loop {
        match signals::take(role) {
            Ok(signals) => break signals,
            Err(why) => say(format_args!("cannot take signals: {why}; trying again")),
        }
        process::rest(LONGEST_PAUSE);
    };
    let mut first = First { role, ..First::default() };
    let of_machine = role == Role::Machine && taken_over.is_none();
    if let Some((power, state_dir)) = aloft::wanted().filter(|_| of_machine) {
        // As ever: nobody waits for a console that takes nothing.
        console::tell_the_kernel();
        console::keep();
        let why = last::machine(power, &state_dir, &signals);
        say(format_args!("the kernel refuses that: {why}; the daemon begins again"));
    }
    if role == Role::Machine {
        first.prepare(&signals, taken_over.is_some());
    }
    if let Some(keeper) = &taken_over {
        first.resume(keeper);
    }
    let mut keeper = taken_over;
    loop {
        let (taken, begun) = (keeper.take(), clock());
        // A panic takes along what the round has.
        let before = first.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| first.round(taken)));
        let aim = match outcome {
            Ok(Ok(())) => Some(first.aim),
            // Whoever made a container looks for its end, and makes it again where that is wanted.
            Ok(Err(failure)) if role == Role::Container && first.failed >= MOST_FAILURES => {
                return given_up(&failure);
            }
            Ok(Err(failure)) => first.failed(&failure, &signals),
            Err(_) => {
                say(format_args!("{PANICKED}"));
                // What failed long ago has no part in it.
                let stable = clock().duration_since(begun) >= STABLE;
                let failed = if stable { 0 } else { before.failed.saturating_add(1) };
                first = First { seeded: true, failed, ..before };
                first.pause(&signals, clock() + FIRST_PAUSE)
            }
        };
        match aim {
            None => {}
            Some(Aim::Rescue) => first.turn(true),
            Some(Aim::Boot) => first.turn(false),
            Some(Aim::Leave) if role == Role::Machine => {}
            Some(Aim::Leave) => return ExitCode::SUCCESS,
            Some(Aim::Power(power)) => {
                if let Some(status) = first.end(power, &signals) {
                    return status;
                }
            }
        }
    }
}

/// The pause after a failure that so many came before.
fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE)
}

/// The end of a container that cannot begin.
fn given_up(failure: &Failure) -> ExitCode {
    if let Failure::Untold(why) = failure {
        say(format_args!("{why}"));
    }
    ExitCode::FAILURE
}

impl First {
    /// What the keeper before us has left for us, besides its state ([`crate::takeover`]).
    fn resume(&mut self, keeper: &Keeper) {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let mut words = text.splitn(3, ' ');
        self.line.rescue = words.next() == Some("rescue");
        let main = words.next().and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
        self.main = main.map(Main::new);
        let shell = words.next().unwrap_or_default();
        self.shell = Some(shell.to_owned()).filter(|shell| shell.starts_with('/'));
        // The lock that we hold is in it.
        let [state, _] = keeper.place.locks();
        let lock = fs::read_link(format!("/proc/self/fd/{}", state.as_raw_fd()));
        self.state_dir =
            lock.ok().and_then(|lock| Some(lock.parent()?.to_path_buf())).unwrap_or_default();
        self.runtime_dir.clone_from(&keeper.settings.runtime_dir);
        if self.state_dir == self.runtime_dir.join(round::IN_MEMORY) {
            self.volatile = Some(format!(
                "state is kept in {} until the next boot, as the keeper before this one has said why; mend that, and start again",
                self.state_dir.display()
            ));
        }
    }

    /// The same for the keeper after us.
    pub(crate) fn bequeathed(&self) -> String {
        let rescue = if self.line.rescue { "rescue" } else { "-" };
        let main = self.main.as_ref().map_or(0, |main| main.pid);
        format!("{rescue} {main} {}", self.shell.as_deref().unwrap_or_default())
    }

    /// What is done once, before anything else.
    fn prepare(&mut self, signals: &SignalFd, again: bool) {
        console::tell_the_kernel();
        // From now on Ctrl-Alt-Del is a signal to us (reboot(2)); refused outside the initial namespace.
        set_cad_enabled(false).ok();
        if again {
            console::keep();
        } else {
            match process::branch(|| u8::from(!early::run())) {
                Ok(child) if last::ends(child, signals, clock() + EARLY) => {}
                Ok(_) => say(format_args!(
                    "what a machine needs early is not there within {EARLY:?}: going on without"
                )),
                Err(why) => say(format_args!("cannot fork for what a machine needs early: {why}")),
            }
            console::take();
        }
        // The first line of ours in the kernel's log.
        let version = env!("CARGO_PKG_VERSION");
        say(format_args!("version {version}, the first process of this machine"));
        self.line = CommandLine::read();
        for word in &self.line.unknown {
            say(format_args!(
                "the kernel's command line has {word}, which means nothing to this auraed (docs/pid1.md)"
            ));
        }
    }

    /// Begins anew, in rescue or out of it.
    fn turn(&mut self, rescue: bool) {
        (self.line.rescue, self.aim, self.failed) = (rescue, Aim::Leave, 0);
        self.volatile = None;
        // What is enabled is started again: what was started before has ended.
        drop(fs::remove_file(self.runtime_dir.join("boot")));
    }

    /// Gives the kernel what this machine knew of chance when it went down: before the daemon asks for some.
    fn load_seed(&mut self) {
        if self.role != Role::Machine || std::mem::replace(&mut self.seeded, true) {
            return;
        }
        let folder = self.state_dir.clone();
        let load = move || match early::seed::load(&folder) {
            Ok(()) => 0,
            Err(why) => {
                say(format_args!("the random seed in {}: {why}", folder.display()));
                1
            }
        };
        // It takes no time, or a disk hangs, and then the daemon will find that out.
        if let Ok(child) = process::branch(load) {
            process::wait_within(child, clock() + SEED);
        }
    }

    /// After a failure: says it, offers a shell, and waits. What somebody wants meanwhile is the answer.
    fn failed(&mut self, failure: &Failure, signals: &SignalFd) -> Option<Aim> {
        self.failed = self.failed.saturating_add(1);
        let why = match failure {
            Failure::Told(_) => "as said above",
            Failure::Untold(sentence) => sentence,
        };
        let pause = pause_after(self.failed);
        say(format_args!("cannot begin: {why}; trying again in {pause:?}"));
        if self.failed >= PATIENCE {
            self.offer_shell(&format!("the daemon cannot begin: {why}"));
        }
        self.pause(signals, clock() + pause)
    }

    /// A shell on the console, where one is wanted and none runs.
    pub(crate) fn offer_shell(&mut self, why: &str) {
        let wanted = self.line.shell.as_ref().or(self.shell.as_ref()).cloned();
        let (Some(path), None, Role::Machine) = (wanted, self.shell_runs, self.role) else {
            return;
        };
        say(format_args!("{why}; here is {path}, and when it ends the boot goes on"));
        match shell::start(&path) {
            Ok(pid) => self.shell_runs = Some(pid),
            Err(why) => say(format_args!("cannot fork to execute {path}: {why}")),
        }
    }

    /// Notes that a child has ended; true where it was a shell after whose end a daemon that serves begins anew.
    pub(crate) fn ended(&mut self, ended: &Ended) -> bool {
        if let Some(main) = self.main.as_ref().filter(|main| main.pid == ended.pid) {
            main.ended(&ended.exit);
        }
        if self.shell_runs != Some(ended.pid) {
            return false;
        }
        say(format_args!("the shell has ended; going on"));
        (self.shell_runs, self.failed) = (None, 0);
        // What was mended in it is to be tried with the state where it belongs.
        self.line.rescue || self.volatile.take().is_some()
    }

    /// Waits, longer where a shell runs, and no longer than the main command, where there is one, reaping whoever ends; what
    /// somebody wants to come ends it.
    fn pause(&mut self, signals: &SignalFd, bound: Instant) -> Option<Aim> {
        let unattended = clock() + UNATTENDED;
        loop {
            while let Some(ended) = process::peek() {
                self.ended(&ended);
                process::reap(ended.pid);
            }
            let bound = if self.shell_runs.is_some() { bound.max(unattended) } else { bound };
            let for_main = self.main.is_some() && !self.main_runs();
            if for_main || clock() >= bound {
                return None;
            }
            process::await_signal(signals, bound);
            while let Ok(Some(signal)) = signals.read_signal() {
                let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
                if let Some(main) = self.main.as_ref().filter(|_| number != libc::SIGCHLD) {
                    main.signal(number);
                    continue;
                }
                match signals::wish(self.role, number) {
                    Wish::End(aim) | Wish::EndNow(aim) => return Some(aim),
                    Wish::Interrupt => return Some(Aim::Power(Power::Reboot)),
                    Wish::Stop => return Some(Aim::Leave),
                    Wish::Children | Wish::Reload | Wish::Tell | Wish::Execute => {}
                }
            }
        }
    }

    /// Somebody interrupts; true where he does not want to wait any longer.
    pub(crate) fn interrupted(&mut self) -> bool {
        let now = clock();
        self.interrupts.retain(|at| now.duration_since(*at) <= INTERRUPTS_WITHIN);
        self.interrupts.push(now);
        self.interrupts.len() > MOST_INTERRUPTS
    }

    /// The end that was asked for. Of a container it is our own; that of a machine comes back only where it is refused.
    fn end(&mut self, power: Power, signals: &SignalFd) -> Option<ExitCode> {
        let why = match self.role {
            Role::Machine => {
                // Where no daemon could begin, there is still what was started in a shell, or under one that failed.
                self.aim = Aim::Power(power);
                self.terminate(signals);
                sweep(signals, Path::new(""));
                let power = match self.aim {
                    Aim::Power(power) => power,
                    Aim::Leave => power,
                    // What is wanted last counts.
                    Aim::Rescue | Aim::Boot => {
                        self.turn(self.aim == Aim::Rescue);
                        return None;
                    }
                };
                aloft::go(power, &self.state_dir, signals);
                last::machine(power, &self.state_dir, signals)
            }
            // Who made the container may look for this (reboot(2)); without the right to it, our end is all there is.
            Role::Container if power == Power::Reboot => last::kernel(power),
            Role::Container | Role::Service => return Some(ExitCode::SUCCESS),
        };
        if self.role == Role::Container {
            return Some(ExitCode::SUCCESS);
        }
        say(format_args!("the kernel refuses that: {why}; the daemon begins again"));
        self.aim = Aim::Leave;
        None
    }
}
