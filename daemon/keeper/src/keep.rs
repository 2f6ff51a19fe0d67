//! The keeper's loop: it waits for signals, for the daemon's messages and for the next deadline, and
//! nothing else. No error in here ends it; only an orderly stop does, or a first daemon that cannot begin.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use keeper::{
    channel::{Packet, Patience},
    protocol::{How, Run, ToDaemon, ToKeeper, VERSION},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{
    Failure,
    daemon::{Breach, Daemon, Outgoing, Stage, next, unless_gone},
    notify::Notify,
    overflow::Overflow,
    place::{OVERFLOW, Place},
    process::{self, Ended, clock},
    runs::Runs,
    say,
    settings::Settings,
    sweep::{self, LAST_KILL},
};

/// A daemon that lived this long had no part in the failures before it.
const STABLE: Duration = Duration::from_secs(10);
/// How much longer than the daemon's own bound we wait for its orderly end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Descriptors that no run may have: the loop's own, and a reserve.
const RESERVED_DESCRIPTORS: u64 = 512;

/// What poll found.
struct Ready {
    signals: bool,
    /// The control channel, then the spawner threads' channels.
    messages: Vec<bool>,
}

/// The keeper.
pub(crate) struct Keeper {
    core: PathBuf,
    settings: Settings,
    place: Place,
    signals: SignalFd,
    notify: Notify,
    open_files: (u64, u64),
    runs: Runs,
    overflow: Overflow,
    daemon: Option<Daemon>,
    /// When the next daemon is to be started, where none runs.
    next_start: Instant,
    starts: u32,
    failures: u32,
    previous: String,
    ever_served: bool,
    /// The folder of the runs' cgroups.
    tree: PathBuf,
    /// The bound of an orderly end that has begun.
    stopping: Option<Instant>,
    /// A zombie waits until a spawner thread says whose it is.
    unattributed: bool,
}

impl Keeper {
    /// Becomes the reaper of all that follows, and takes the signals.
    pub(crate) fn new(core: PathBuf, settings: Settings, place: Place) -> Result<Self, Failure> {
        let taken = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let signals: SigSet = taken.into_iter().collect();
        signals.thread_block()?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        prctl::set_child_subreaper(true)?;
        // Not permitted to ordinary users; then the kernel may choose us like anybody else.
        drop(fs::write("/proc/self/oom_score_adj", "-1000"));
        let open_files = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, open_files.1, open_files.1)?;
        Ok(Self {
            core,
            overflow: Overflow::new(settings.runtime_dir.join(OVERFLOW)),
            settings,
            place,
            signals,
            notify: Notify::from_environment(),
            open_files,
            runs: Runs::default(),
            daemon: None,
            next_start: clock(),
            starts: 0,
            failures: 0,
            previous: String::new(),
            ever_served: false,
            tree: PathBuf::new(),
            stopping: None,
            unattributed: false,
        })
    }

    /// Keeps, until an orderly stop.
    pub(crate) fn keep(mut self) -> Result<(), Failure> {
        loop {
            if self.daemon.is_none() {
                if self.stopping.is_some() {
                    break;
                }
                if clock() >= self.next_start {
                    self.start_daemon();
                }
            }
            let ready = self.wait()?;
            let child_ended = ready.signals && self.take_signals();
            let told = self.take_messages(&ready.messages);
            // A message may be the word that an exit waited for.
            if child_ended || told {
                self.take_exits()?;
            }
            if self.is_unread() {
                self.overflow.look(clock(), &self.runs);
            }
            self.flush();
            if let (Some(bound), Some(daemon)) = (self.stopping, &self.daemon)
                && clock() >= bound
            {
                say(format_args!("the daemon did not end in time; it and its runs are killed"));
                process::kill_child(daemon.pid);
                self.stopping = Some(clock() + LAST_KILL);
            }
        }
        sweep::sweep(&self.signals, &self.tree);
        self.place.leave();
        Ok(())
    }

    /// Waits for a signal, a message or a deadline.
    fn wait(&self) -> Result<Ready, Failure> {
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut deadline = self.stopping;
        if let Some(daemon) = &self.daemon {
            let mut wanted = PollFlags::POLLIN;
            wanted.set(PollFlags::POLLOUT, !daemon.outbox.is_empty());
            sources.push(PollFd::new(daemon.control.as_fd(), wanted));
            for spawner in &daemon.spawners {
                sources.push(PollFd::new(spawner.as_fd(), PollFlags::POLLIN));
            }
        } else {
            deadline = Some(self.next_start);
        }
        let overflow = self.overflow.deadline().filter(|_| self.is_unread());
        let deadline = deadline.into_iter().chain(overflow).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            // Rounded up, so that the deadline has passed when we wake.
            let left = at.saturating_duration_since(clock()).as_millis().saturating_add(1);
            i32::try_from(left).ok().and_then(|ms| ms.try_into().ok()).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(why) => return Err(why.into()),
        }
        let mut ready = sources.iter().map(|source| source.any().unwrap_or(true));
        Ok(Ready { signals: ready.next().unwrap_or(true), messages: ready.collect() })
    }

    /// Whether there is no daemon that could read what programs print: from its welcome on it may have their pipes.
    fn is_unread(&self) -> bool {
        self.daemon.as_ref().is_none_or(|daemon| daemon.stage == Stage::Greeting)
    }

    /// Takes the signals; whether a child has ended.
    fn take_signals(&mut self) -> bool {
        let mut child_ended = false;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok()) {
                Some(Signal::SIGTERM | Signal::SIGINT) => self.stop(),
                Some(Signal::SIGHUP) => say(format_args!("SIGHUP: there is nothing to reload")),
                _ => child_ended = true,
            }
        }
        child_ended
    }

    /// Begins an orderly stop; asked again, ends everything at once.
    fn stop(&mut self) {
        let Some(daemon) = &mut self.daemon else {
            self.stopping = Some(clock());
            return;
        };
        if self.stopping.is_some() {
            say(format_args!("asked to stop again: everything is killed"));
            self.stopping = Some(clock());
        } else {
            self.notify.tell("STOPPING=1");
            daemon.outbox.push_back(Outgoing::Message(ToDaemon::Stop));
            self.stopping = Some(clock() + self.settings.stop_timeout + STOP_GRACE);
        }
    }

    fn start_daemon(&mut self) {
        self.starts += 1;
        match Daemon::start(&self.core) {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(Failure::Untold(why)) => {
                say(format_args!("{why}"));
                self.back_off(false);
            }
            Err(Failure::Told(_)) => self.back_off(false),
        }
    }

    /// Sets the time of the next start: at once after a stable life, then 100 ms, doubled each time.
    fn back_off(&mut self, was_stable: bool) {
        if was_stable {
            self.failures = 0;
        }
        let delay = match self.failures {
            0 => Duration::ZERO,
            n => Duration::from_millis(100 << (n - 1).min(20)),
        };
        self.failures = self.failures.saturating_add(1);
        self.next_start = clock() + delay.min(self.settings.longest_restart_delay);
    }

    /// Takes the daemon's messages; whether one changes what may be reaped.
    fn take_messages(&mut self, ready: &[bool]) -> bool {
        if !ready.contains(&true) {
            return false;
        }
        let Some(mut daemon) = self.daemon.take() else { return false };
        let taken = self.take_channels(&mut daemon, ready);
        let changes = taken.unwrap_or_else(|why| {
            daemon.end(&why);
            true
        });
        self.daemon = Some(daemon);
        changes
    }

    fn take_channels(&mut self, daemon: &mut Daemon, ready: &[bool]) -> Result<bool, Breach> {
        let (control, spawners) = ready.split_first().unwrap_or((&true, &[]));
        let adopted = *control && self.take_control(daemon)?;
        let mut known = false;
        for (index, _) in spawners.iter().enumerate().filter(|(_, ready)| **ready) {
            known |= self.take_spawner(daemon, index)?;
        }
        Ok(adopted | (known && self.unattributed))
    }

    /// Whether the daemon says that reaping may go on.
    fn take_control(&mut self, daemon: &mut Daemon) -> Result<bool, Breach> {
        let mut adopted = false;
        while let Some(packet) = next(&mut daemon.control)? {
            match ToKeeper::decode(&packet.bytes)? {
                ToKeeper::Hello { version } if version == VERSION => self.welcome(daemon)?,
                ToKeeper::Hello { version } => return Err(Breach::Version(version)),
                ToKeeper::Adopted { tell_orphans, tree } => {
                    daemon.stage = Stage::Adopted;
                    adopted = true;
                    daemon.tell_orphans = tell_orphans;
                    if !tree.is_empty() {
                        self.tree = Path::new(&*String::from_utf8_lossy(&tree)).to_path_buf();
                    }
                }
                ToKeeper::Serving => {
                    daemon.stage = Stage::Serving;
                    self.overflow.served();
                    // Once: a service is ready for good, whichever daemon serves.
                    if !std::mem::replace(&mut self.ever_served, true) {
                        self.notify.tell("READY=1");
                    }
                }
                ToKeeper::Stopped => daemon.stopped = true,
                ToKeeper::Release { .. }
                | ToKeeper::Spawning { .. }
                | ToKeeper::Spawned { .. }
                | ToKeeper::NotSpawned { .. } => return Err(Breach::Channel),
            }
        }
        Ok(adopted)
    }

    /// Whether a process that could not be attributed now can be.
    fn take_spawner(&mut self, daemon: &mut Daemon, index: usize) -> Result<bool, Breach> {
        let Some(spawner) = daemon.spawners.get_mut(index) else { return Ok(false) };
        let mut known = false;
        while let Some(packet) = unless_gone(next(spawner))? {
            match ToKeeper::decode(&packet.bytes)? {
                ToKeeper::Spawning { run, names } => {
                    if let Err(why) = self.hold(run, names, packet) {
                        // Without descriptors; its process is ours to reap all the same.
                        self.runs.hold(run, Vec::new());
                        let refused = ToDaemon::Refused { run, why };
                        daemon.outbox.push_back(Outgoing::Message(refused));
                    }
                }
                ToKeeper::Spawned { run, pid } => {
                    self.runs.spawned(run, pid);
                    known = true;
                }
                ToKeeper::NotSpawned { run, pid } => {
                    self.runs.not_spawned(&run, pid);
                    known = true;
                }
                ToKeeper::Release { run } => {
                    self.runs.release(&run);
                    // It may have been the one that an unknown zombie was held back for.
                    known = true;
                }
                ToKeeper::Hello { .. }
                | ToKeeper::Adopted { .. }
                | ToKeeper::Serving
                | ToKeeper::Stopped => return Err(Breach::Channel),
            }
        }
        Ok(known)
    }

    fn hold(&mut self, run: Run, names: Vec<String>, packet: Packet) -> Result<(), String> {
        let wanted = u64::try_from(self.runs.held() + names.len()).unwrap_or(u64::MAX);
        if wanted > self.open_files.1.saturating_sub(RESERVED_DESCRIPTORS) {
            return Err(format!(
                "the keeper holds {} descriptors, and its limit is {} less {RESERVED_DESCRIPTORS}",
                self.runs.held(),
                self.open_files.1
            ));
        }
        if packet.truncated || packet.descriptors.len() != names.len() {
            return Err("the descriptors did not all arrive".to_owned());
        }
        let named = names.into_iter().zip(packet.descriptors).collect();
        if self.runs.hold(run, named) { Ok(()) } else { Err("the run is known already".to_owned()) }
    }

    /// The beginning of a daemon's life: everything it has to know.
    fn welcome(&self, daemon: &mut Daemon) -> Result<(), Breach> {
        let message = ToDaemon::Welcome {
            version: VERSION,
            keeper: std::process::id().try_into().unwrap_or(0),
            starts: self.starts,
            open_files: self.open_files,
            previous: self.previous.clone(),
            configuration: self.settings.configuration.clone(),
            names: vec!["api".to_owned()],
        };
        daemon.control.send(&message.encode(), &[self.place.listener.as_fd()], Patience::Now)?;
        daemon.stage = Stage::Adopting;
        daemon.outbox.extend(self.runs.ids().into_iter().map(Outgoing::Inherit));
        daemon.outbox.push_back(Outgoing::Message(ToDaemon::Ready));
        Ok(())
    }

    /// Sends what waits, as far as the daemon takes it.
    fn flush(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.stage == Stage::Greeting {
            return;
        }
        while let Some(next) = daemon.outbox.front() {
            let sent = match next {
                Outgoing::Message(message) => {
                    daemon.control.send(&message.encode(), &[], Patience::Now)
                }
                Outgoing::Inherit(run) => match self.runs.get(run) {
                    None => Ok(()),
                    Some(entry) => {
                        let names: Vec<_> =
                            entry.descriptors.iter().map(|(name, _)| name.clone()).collect();
                        let descriptors: Vec<BorrowedFd<'_>> =
                            entry.descriptors.iter().map(|(_, held)| held.as_fd()).collect();
                        let (run, pid, exit) = (*run, entry.pid, entry.exit);
                        let message = ToDaemon::Inherited { run, pid, exit, names };
                        daemon.control.send(&message.encode(), &descriptors, Patience::Now)
                    }
                },
            };
            match sent {
                Ok(()) => drop(daemon.outbox.pop_front()),
                // Full: poll tells when there is room. Gone: its exit tells.
                Err(_) => return,
            }
        }
    }

    /// Looks at what has ended: peek, attribute, note, tell, reap. The exit stays in the table until the run is
    /// released, so that no daemon's death can lose it.
    fn take_exits(&mut self) -> Result<(), Failure> {
        loop {
            // By its number first: a zombie that cannot be attributed yet would hide it from a peek at any.
            if let Some(pid) = self.daemon.as_ref().map(|daemon| daemon.pid)
                && let Some(ended) = process::reap(pid)
            {
                self.daemon_died(&ended)?;
            }
            self.unattributed = false;
            // A pid must not be used again before the next daemon has opened its pidfds.
            if self.daemon.as_ref().is_some_and(|daemon| daemon.stage < Stage::Adopted) {
                break;
            }
            let Some(ended) = process::peek() else { break };
            if self.daemon.as_ref().is_some_and(|daemon| daemon.pid == ended.pid) {
                continue;
            }
            if !self.runs.is_known(ended.pid) {
                self.hear_spawners();
            }
            if !self.attribute(&ended) {
                self.unattributed = true;
                break;
            }
        }
        if let Some(daemon) = &mut self.daemon
            && std::mem::take(&mut daemon.orphans_told)
            && daemon.tell_orphans
        {
            daemon.outbox.push_back(Outgoing::Message(ToDaemon::OrphanReaped));
        }
        Ok(())
    }

    /// Reads what the spawner threads have sent. A run is announced before its process is made, so that whoever
    /// has ended and is still unknown after this is no run's main process, or one of a run that waits for it.
    fn hear_spawners(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        for index in 0..daemon.spawners.len() {
            if let Err(why) = self.take_spawner(&mut daemon, index) {
                daemon.end(&why);
            }
        }
        self.daemon = Some(daemon);
    }

    /// Deals with one child that has ended; false where it must stay a zombie for now.
    fn attribute(&mut self, ended: &Ended) -> bool {
        let Ended { pid, exit } = *ended;
        match (self.runs.ended(pid, exit), &mut self.daemon) {
            (Some(run), Some(daemon)) => {
                daemon.outbox.push_back(Outgoing::Message(ToDaemon::Exited { run, pid, exit }));
            }
            (Some(_), None) => {}
            (None, Some(daemon)) => {
                // A process in the making may end before we are told whose it is.
                if !self.runs.is_failed(pid) && self.runs.awaits_a_pid() {
                    return false;
                }
                daemon.orphans_told = true;
            }
            (None, None) => {}
        }
        self.runs.forget_pid(pid);
        process::reap(pid);
        true
    }

    fn daemon_died(&mut self, ended: &Ended) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        // What it had sent before it died still counts: processes it made, exits it recorded.
        drop(self.take_control(&mut daemon));
        for index in 0..daemon.spawners.len() {
            drop(self.take_spawner(&mut daemon, index));
        }
        let how = match ended.exit.how {
            How::Exited => format!("exit status {}", ended.exit.status),
            How::Killed => format!("signal {}", ended.exit.status),
            How::Dumped => format!("signal {}, core dumped", ended.exit.status),
        };
        if self.stopping.is_some() {
            if !daemon.stopped {
                say(format_args!(
                    "the daemon (process {}) ended before its runs: {how}",
                    daemon.pid
                ));
            }
            return Ok(());
        }
        say(format_args!("the daemon (process {}) ended: {how}", daemon.pid));
        self.overflow.deserted(clock());
        let by_itself = ended.exit.how == How::Exited;
        if by_itself && !self.ever_served && std::process::id() != 1 {
            // It cannot begin here, and has said why; whoever started us has to know.
            sweep::sweep(&self.signals, &self.tree);
            self.place.leave();
            return Err(Failure::Told(1));
        }
        self.previous = format!("process {}: {how}", daemon.pid);
        self.back_off(clock().duration_since(daemon.born) >= STABLE);
        Ok(())
    }
}
