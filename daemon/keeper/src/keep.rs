//! The keeper's loop: it waits for signals, for the daemon's messages and for the next deadline, and
//! nothing else. No error in here ends it; only an orderly stop does, or a first daemon that cannot begin.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use keeper::protocol::{Power, ToDaemon, Upgrades};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, signalfd::SignalFd},
};

use crate::{
    Failure,
    daemon::{Daemon, Stage},
    first::{
        Aim, First, Role,
        signals::{self, Wish},
    },
    heir::Inheritance,
    notify::Notify,
    overflow::Overflow,
    owed::{Bounds, Due},
    place::{OVERFLOW, Place},
    process::{self, clock},
    program::Program,
    runs::Runs,
    say,
    settings::Settings,
    sweep::{self, LAST_KILL},
    takeover,
};

/// A daemon that lived this long had no part in the failures before it.
pub(crate) const STABLE: Duration = Duration::from_secs(10);
/// How much longer than the daemon's own bound we wait for its orderly end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// So many daemons may die of an orderly end before everything is killed.
pub(crate) const MOST_ENDS: u32 = 3;
/// How many times longer than an answer a daemon's way to serving may take: logs and store wait for a disk.
const BEGINNING: u32 = 3;
/// A daemon that never gets to serve is given twice the time of the one before, so often at most: 16 minutes of 10 s.
const DOUBLINGS: u32 = 5;
/// Descriptors that no run may have: the loop's own, and a reserve.
pub(crate) const RESERVED_DESCRIPTORS: u64 = 512;

/// What there was before another configuration.
pub(crate) struct SettingsBefore {
    pub(crate) settings: Settings,
    /// Of a first process.
    pub(crate) shell: Option<String>,
}

/// What poll found.
struct Ready {
    signals: bool,
    /// The control channel, then the spawner threads' channels, where they are waited for.
    messages: Vec<bool>,
    connection: bool,
}

/// The keeper.
pub(crate) struct Keeper {
    /// The daemon's program, which has shown that it is healthy, or was the first.
    pub(crate) core: Program,
    /// Our own.
    pub(crate) keeper: Program,
    /// The one before, as long as it may have to come back.
    pub(crate) keeper_before: Option<Program>,
    /// One that is to take our place as soon as there is no daemon, and whether it may have to be left again.
    pub(crate) next_keeper: Option<(Program, bool)>,
    /// A daemon's that has still to show that it is healthy.
    pub(crate) trial: Option<Program>,
    pub(crate) upgrades: Upgrades,
    pub(crate) settings: Settings,
    /// What was before, as long as the daemon is on trial that goes by others.
    pub(crate) settings_before: Option<SettingsBefore>,
    pub(crate) place: Place,
    pub(crate) signals: SignalFd,
    pub(crate) notify: Notify,
    pub(crate) open_files: (u64, u64),
    pub(crate) runs: Runs,
    /// What daemons have us hold that is no run's, by name.
    pub(crate) shared: Vec<(String, OwnedFd)>,
    pub(crate) overflow: Overflow,
    pub(crate) daemon: Option<Daemon>,
    /// When the next daemon is to be started, where none runs.
    pub(crate) next_start: Instant,
    pub(crate) starts: u32,
    pub(crate) failures: u32,
    /// How many daemons in a row were ended because they had not got to serve.
    pub(crate) slow_starts: u32,
    pub(crate) previous: String,
    pub(crate) ever_served: bool,
    /// The folder of the runs' cgroups.
    pub(crate) tree: PathBuf,
    /// The bound of an orderly end that has begun.
    pub(crate) stopping: Option<Instant>,
    /// How many daemons have died of it.
    pub(crate) ends: u32,
    /// We were told to stop between two daemons: the next one is to end everything in order, and to be there by then.
    pub(crate) stop_next: Option<Instant>,
    /// A zombie waits until a spawner thread says whose it is.
    pub(crate) unattributed: bool,
    /// What we are as PID 1.
    pub(crate) first: First,
    /// What was wrong with waiting was said.
    told: bool,
}

impl Keeper {
    /// Becomes the reaper of all that follows, and takes the signals.
    pub(crate) fn new(
        programs: (Program, Program),
        settings: Settings,
        (place, signals): (Place, SignalFd),
    ) -> Result<Self, Failure> {
        prctl::set_child_subreaper(true)?;
        // Not permitted to ordinary users; then the kernel may choose us like anybody else.
        drop(fs::write("/proc/self/oom_score_adj", "-1000"));
        Ok(Self::with(programs, settings, place, signals))
    }

    /// Takes up what the daemon of a keeper has left that was killed.
    pub(crate) fn go_on_with(&mut self, inheritance: Inheritance) {
        let Inheritance { runs, shared, previous, listener: _ } = inheritance;
        (self.runs, self.shared, self.previous) = (runs, shared, bounded(previous));
        // What they print is nobody's until the next daemon serves.
        self.overflow.deserted(clock());
    }

    /// One that remembers nothing yet, of the programs of daemon and keeper.
    pub(crate) fn with(
        (core, keeper): (Program, Program),
        settings: Settings,
        place: Place,
        signals: SignalFd,
    ) -> Self {
        Self {
            core,
            keeper,
            keeper_before: None,
            next_keeper: None,
            trial: None,
            upgrades: Upgrades::default(),
            overflow: Overflow::new(settings.runtime_dir.join(OVERFLOW)),
            settings,
            settings_before: None,
            place,
            signals,
            notify: Notify::from_environment(),
            open_files: (0, 0),
            runs: Runs::default(),
            shared: Vec::new(),
            daemon: None,
            next_start: clock(),
            starts: 0,
            failures: 0,
            slow_starts: 0,
            previous: String::new(),
            ever_served: false,
            tree: PathBuf::new(),
            stopping: None,
            ends: 0,
            stop_next: None,
            unattributed: false,
            first: First::default(),
            told: false,
        }
    }

    /// Keeps, until an orderly stop.
    pub(crate) fn keep(&mut self) -> Result<(), Failure> {
        // Who ended while a keeper took the place of another.
        self.take_exits()?;
        let mut killed = None;
        loop {
            if self.daemon.is_none() {
                if self.stopping.is_some() || self.stop_next.is_some_and(|bound| clock() >= bound) {
                    break;
                }
                self.give_place();
                if clock() >= self.next_start {
                    self.start_daemon();
                }
            }
            let ready = self.wait();
            // Before the messages: one of these may be the word that it is closed again.
            if ready.connection
                && let Some(daemon) = &mut self.daemon
            {
                daemon.owed.connection(clock());
            }
            let child_ended = ready.signals && self.take_signals();
            let told = self.take_messages(&ready.messages);
            // A message may be the word that an exit waited for.
            if child_ended || told {
                self.take_exits()?;
            }
            self.power();
            if self.is_unread() {
                self.overflow.look(clock(), &self.runs);
            }
            self.flush();
            self.runs.close_released();
            self.collect();
            self.end_in_time(&mut killed);
        }
        if self.first.role == Role::Machine && self.ends < MOST_ENDS {
            self.first.terminate(&self.signals);
        }
        self.first.await_main(&self.signals, clock() + STOP_GRACE);
        self.runs.kill_foreign(clock() + LAST_KILL);
        sweep::sweep(&self.signals, &self.tree);
        self.place.leave();
        Ok(())
    }

    /// Kills a daemon that does not end in time. One that a disk holds even then (state D, proc(5)) is not waited for: what
    /// comes after it is bounded, and has to come.
    fn end_in_time(&mut self, killed: &mut Option<i32>) {
        let Some(pid) = self.daemon.as_ref().map(|daemon| daemon.pid) else { return };
        if self.stopping.is_none_or(|bound| clock() < bound) {
            return;
        }
        if *killed == Some(pid) {
            say(format_args!(
                "the daemon, process {pid}, does not die of SIGKILL: going on without it; look at what hangs (state D in ps)"
            ));
            self.daemon = None;
            return;
        }
        say(format_args!("the daemon did not end in time; it and its runs are killed"));
        process::kill_child(pid);
        *killed = Some(pid);
        self.ends = MOST_ENDS;
        self.stopping = Some(clock() + LAST_KILL);
    }

    /// Waits for a signal, a message or a deadline.
    fn wait(&mut self) -> Ready {
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut deadline = self.stopping;
        let mut listens = false;
        if let Some(daemon) = &self.daemon {
            deadline = deadline.into_iter().chain(daemon.owed.deadline()).min();
            let mut wanted = PollFlags::POLLIN;
            wanted.set(PollFlags::POLLOUT, !daemon.outbox.is_empty());
            if !daemon.gone {
                sources.push(PollFd::new(daemon.control.as_fd(), wanted));
                // What a spawner thread says wakes us only where a zombie waits for it: it is read when we are
                // awake for something, and a start or an end that we need not follow costs no wake-up.
                let awaited = daemon.spawners.iter().filter(|_| self.unattributed);
                sources.extend(awaited.map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)));
            }
            listens = self.stopping.is_none() && daemon.owed.wants_connections();
            if listens {
                sources.push(PollFd::new(self.place.listener.as_fd(), PollFlags::POLLIN));
            }
        } else {
            deadline = self.stop_next.into_iter().chain([self.next_start]).min();
        }
        let overflow = self.overflow.deadline().filter(|_| self.is_unread());
        let deadline = deadline.into_iter().chain(overflow).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            // Rounded up, so that the deadline has passed when we wake.
            let left = at.saturating_duration_since(clock()).as_millis().saturating_add(1);
            i32::try_from(left).ok().and_then(|ms| ms.try_into().ok()).unwrap_or(PollTimeout::MAX)
        });
        let failed = match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::EINTR) => None,
            // Not for long, as a rule (poll(2): ENOMEM): meanwhile everything is looked at again and again.
            Err(why) => Some(why),
        };
        let mut ready = sources.iter().map(|source| source.any().unwrap_or(true));
        let connection = listens && ready.next_back().unwrap_or(false);
        let signals = ready.next().unwrap_or(true);
        let ready = Ready { signals, messages: ready.collect(), connection };
        if let Some(why) = failed {
            return self.look_anyway(&ready, why);
        }
        ready
    }

    /// What is looked at where it cannot be waited for.
    fn look_anyway(&mut self, ready: &Ready, why: Errno) -> Ready {
        if !std::mem::replace(&mut self.told, true) {
            say(format_args!("cannot wait for what happens: {why}; looking ten times a second"));
        }
        process::rest(Duration::from_millis(100));
        let messages = ready.messages.iter().map(|_| true).collect();
        Ready { signals: true, messages, connection: false }
    }

    /// Looks whether the daemon owes something for too long.
    fn collect(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        match daemon.owed.due(clock()) {
            Due::Nothing => {}
            // Accepted or not: one that was accepted by a thread that hangs since waits, too.
            Due::Look => {
                let number = daemon.owed.probe(clock());
                daemon.tell(ToDaemon::Probe { number });
                self.flush();
            }
            Due::End(owed, bound) => {
                if daemon.stage < Stage::Serving {
                    self.slow_starts = self.slow_starts.saturating_add(1);
                }
                daemon.end_because(format!("it hangs: for {bound:?} it has owed {owed}"));
                daemon.owed.forgive(clock());
            }
        }
    }

    /// Whether there is no daemon that could read what programs print: from its welcome on it may have their pipes.
    fn is_unread(&self) -> bool {
        self.daemon.as_ref().is_none_or(|daemon| daemon.stage == Stage::Greeting)
    }

    /// Takes the signals; whether a child has ended.
    fn take_signals(&mut self) -> bool {
        let mut child_ended = false;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            if let Some(main) = self.first.main.as_ref().filter(|_| number != libc::SIGCHLD) {
                main.signal(number);
                #[cfg(debug_assertions)]
                crate::ending::panic_if_wanted();
                continue;
            }
            match signals::wish(self.first.role, number) {
                Wish::Children => child_ended = true,
                Wish::Stop => self.stop(),
                Wish::Reload => self.reload(),
                Wish::Tell => self.tell_how_things_stand(),
                Wish::End(aim) => self.end(aim, false),
                Wish::EndNow(aim) => self.end(aim, true),
                Wish::Interrupt => {
                    let now = self.first.interrupted();
                    if now || !self.is_ending() {
                        self.end(Aim::Power(Power::Reboot), now);
                    }
                }
                Wish::Execute => self.execute_again(),
            }
        }
        child_ended
    }

    /// Begins an orderly stop; asked again, ends everything at once.
    pub(crate) fn stop(&mut self) {
        // How it ends is for the configuration that it runs by.
        if !self.daemon.as_ref().is_some_and(|daemon| daemon.on_trial) {
            self.abandon_trial();
        }
        let Some(daemon) = &mut self.daemon else {
            if self.runs.is_empty() || self.stop_next.is_some() {
                self.stopping = Some(clock());
                return;
            }
            // The next one can end the runs in order, and comes at once for that.
            self.stop_by_the_next(self.end_of_a_stop());
            return;
        };
        if self.stopping.is_some() {
            say(format_args!("asked to stop again: everything is killed"));
            self.stopping = Some(clock());
        } else {
            self.notify.tell("STOPPING=1");
            daemon.owed.stopping();
            daemon.tell(ToDaemon::Stop);
            self.stopping = Some(self.end_of_a_stop());
        }
    }

    /// The bound of an orderly end that begins now.
    pub(crate) fn end_of_a_stop(&self) -> Instant {
        clock() + self.settings.stop_timeout + STOP_GRACE
    }

    /// The next daemon is to end everything in order, until then. Where none can be had in time it is done without.
    pub(crate) fn stop_by_the_next(&mut self, bound: Instant) {
        self.stopping = None;
        self.stop_next.get_or_insert(bound);
        self.next_start = clock();
    }

    /// Another keeper takes our place, where one is to.
    fn give_place(&mut self) {
        if self.stop_next.is_some() {
            // What is to end is not upgraded before.
            self.next_keeper = None;
            self.abandon_trial();
        }
        if let Some((next, may_come_back)) = self.next_keeper.take() {
            let why = takeover::hand_over(self, &next, may_come_back);
            self.stays(&why);
        }
    }

    /// This keeper stays, since the next one could not take over: so the new daemon is not tried either, which may need it.
    pub(crate) fn stays(&mut self, why: &str) {
        let given_up = bounded(format!(
            "another keeper could not take the place of this one, and is given up with its daemon: {why}"
        ));
        say(format_args!("{given_up}"));
        self.previous.clone_from(&given_up);
        self.upgrades.given_up = given_up;
        self.abandon_trial();
        if let Some(keeper) = self.keeper_before.take() {
            self.keeper = keeper;
        }
    }

    /// What was to be tried is not: neither a program nor a configuration, if it was one; true then.
    pub(crate) fn abandon_trial(&mut self) -> bool {
        self.trial = None;
        let Some(before) = self.settings_before.take() else { return false };
        (self.settings, self.first.shell) = (before.settings, before.shell);
        true
    }

    /// Whether everything is told to end, by this daemon or the next.
    pub(crate) fn is_ending(&self) -> bool {
        self.stopping.is_some() || self.stop_next.is_some()
    }

    /// Whether something is to be tried, or to take somebody's place: nothing else can be before that is decided.
    pub(crate) fn is_changing(&self) -> bool {
        let leaves = |it: &Daemon| it.on_trial || it.leaving.is_some();
        let waits = self.trial.is_some() || self.next_keeper.is_some();
        waits || self.settings_before.is_some() || self.daemon.as_ref().is_some_and(leaves)
    }

    fn start_daemon(&mut self) {
        self.starts += 1;
        let on_trial = self.trial.is_some();
        let bounds = bounds(&self.settings, self.slow_starts, on_trial);
        match Daemon::start(self.trial.as_ref().unwrap_or(&self.core), bounds, on_trial) {
            Ok(daemon) => {
                self.daemon = Some(daemon);
                if let Some(bound) = self.stop_next.take() {
                    self.stop();
                    // Its predecessors have used up some of the time.
                    self.stopping = self.stopping.map(|own| own.min(bound));
                }
            }
            Err(Failure::Untold(why)) => {
                say(format_args!("{why}"));
                self.back_off(false);
            }
            Err(Failure::Told(_)) => self.back_off(false),
        }
    }

    /// Sets the time of the next start: at once after a stable life, then 100 ms, doubled each time.
    pub(crate) fn back_off(&mut self, was_stable: bool) {
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
}

/// A reason as it is told again: it comes from others, and a welcome has to have room for it.
pub(crate) fn bounded(mut reason: String) -> String {
    const LONGEST: usize = 2000;
    if let Some((at, _)) = reason.char_indices().nth(LONGEST) {
        reason.truncate(at);
        reason.push('…');
    }
    reason
}

/// What a daemon's answers may take that is started after so many that did not get to serve in time.
fn bounds(settings: &Settings, slow_starts: u32, on_trial: bool) -> Bounds {
    let doublings = if on_trial { 0 } else { slow_starts.min(DOUBLINGS) };
    let answer = settings.answer_timeout;
    Bounds { answer, beginning: answer * BEGINNING * 2_u32.pow(doublings) }
}
