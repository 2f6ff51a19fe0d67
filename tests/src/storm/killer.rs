//! Who has the daemon end, and never the keeper: at random moments, while it serves and while it starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{Counts, Random};
use crate::{
    Daemon, Options, Process, procfs,
    wait::{eventually, holds_within, pass},
};

/// The longest that a daemon which answers is left alone, in microseconds.
const LONGEST_LIFE: u64 = 150_000;
/// The same from the birth of one that is killed while it starts.
const LONGEST_START: u64 = 60_000;
/// One death in so many is during a start.
const STARTS: u64 = 4;

/// How a daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// SIGKILL.
    Kill,
    /// Its supervisor panics.
    Panic,
    /// Its supervisor spins, and the keeper finds out.
    Spin,
    /// Its supervisor takes all the memory that it can get.
    Leak,
    /// By order, for another of its program.
    Restart,
    /// By order, for other programs, of which the keeper's own is one.
    Upgrade,
}

/// How a death is brought about.
enum How {
    Signal,
    Fault(&'static str),
    Order(Vec<String>),
}

impl Death {
    /// The one of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "kill" => Some(Self::Kill),
            "panic" => Some(Self::Panic),
            "spin" => Some(Self::Spin),
            "leak" => Some(Self::Leak),
            "restart" => Some(Self::Restart),
            "upgrade" => Some(Self::Upgrade),
            _ => None,
        }
    }

    /// Whether only a program that was built for that dies so.
    #[must_use]
    pub fn needs_faults(self) -> bool {
        matches!(self.how(&[]), How::Fault(_))
    }

    /// An upgrade is to the first of these.
    fn how(self, releases: &[PathBuf]) -> How {
        match self {
            Self::Kill => How::Signal,
            Self::Panic => How::Fault("panic"),
            Self::Spin => How::Fault("spin"),
            Self::Leak => How::Fault("leak"),
            Self::Restart => How::Order(vec!["restart".to_owned()]),
            Self::Upgrade => {
                let program = releases.first().and_then(|path| path.to_str()).map(str::to_owned);
                How::Order(std::iter::once("upgrade".to_owned()).chain(program).collect())
            }
        }
    }
}

/// Where a supervisor comes by that is to fail: at the beginning of a turn, and between what it has written down and
/// what it does about that.
const PLACES: [&str; 2] = ["supervisor", "deeds"];

/// The folder through which faults are asked for.
#[derive(Debug)]
pub struct Faults(TempDir);

impl Faults {
    /// A new one.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A daemon that takes its faults from here.
    ///
    /// # Panics
    /// Never: its path is UTF-8.
    #[must_use]
    pub fn options(&self, options: Options) -> Options {
        options.environment("AURAED_FAULTS", self.path().to_str().expect("UTF-8"))
    }

    /// Where they are asked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The next time that a thread comes by this place, this happens.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn ask_for(&self, place: &str, fault: &str) {
        let made = self.path().join("new");
        fs::write(&made, fault).expect("our folder");
        // Whole, or not there.
        fs::rename(made, self.path().join(place)).expect("our folder");
    }

    /// Whether nobody has come by yet.
    #[must_use]
    pub fn waits(&self, place: &str) -> bool {
        self.path().join(place).exists()
    }

    /// What was asked for is not to happen any more.
    ///
    /// # Panics
    /// Where it has happened.
    pub fn take_back(&self, place: &str) {
        fs::remove_file(self.path().join(place)).expect("it is there");
    }
}

/// A process that leaks is to come to an end soon: it, and those that it makes, get no more than this.
///
/// # Panics
/// Where prlimit(1) fails.
pub fn limit_memory(pid: i32) {
    let mut limit = Command::new("prlimit");
    limit.args(["--as=2000000000:", "--pid", &pid.to_string()]);
    let limited = Process::start(limit, || {}).finish();
    assert!(limited.status.success(), "{}", limited.err());
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

/// The killer.
pub(super) struct Killer<'d> {
    pub(super) daemon: &'d Daemon,
    pub(super) faults: &'d Faults,
    pub(super) deaths: &'d [Death],
    pub(super) random: Random,
    /// The last that died.
    pub(super) last: i32,
    /// Processes that looked like a daemon when it had died: its children on their way to their programs.
    pub(super) unborn: Vec<i32>,
    /// The daemon's program, with the keeper's beside it, in two folders: the next to be upgraded to is the first.
    pub(super) releases: Vec<PathBuf>,
    /// Whoever gave the last order, and waits for the next daemon.
    pub(super) waits: Option<Process>,
}

impl Killer<'_> {
    /// Kills once; what is begun begins when there is something to kill.
    pub(super) fn kill(&mut self, counts: &mut Counts, begin: impl FnOnce()) {
        let deaths = u64::try_from(self.deaths.len()).expect("a few");
        let death = self.deaths[usize::try_from(self.random.below(deaths)).expect("a few")];
        // Of those that follow by order, which are few, the first that can dies before it serves.
        let wanted = self.waits.is_some() && counts.ordered_unborn == 0;
        let starting = self.last != 0 && (self.random.below(STARTS) == 0 || wanted);
        let how = death.how(&self.releases);
        // One that has not served yet is given much longer than a bound: see docs/keeper-protocol.md. And it takes no orders.
        let dies_unborn = death != Death::Spin && !matches!(how, How::Order(_));
        let newborn = if starting && dies_unborn { self.newborn() } else { None };
        counts.ordered_unborn += u32::from(newborn.is_some() && self.waits.is_some());
        let bound = if newborn.is_some() { LONGEST_START } else { LONGEST_LIFE };
        let pid = newborn.unwrap_or_else(|| self.answering());
        if newborn.is_none() {
            self.last_order_was_carried_out(counts);
        }
        begin();
        pass(Duration::from_micros(self.random.below(bound)));
        counts.kills += 1;
        counts.while_starting += u32::from(newborn.is_some());
        match how {
            // One that is gone already is noticed by the count of those that were started.
            How::Signal => {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            How::Fault(fault) => {
                counts.faults += 1;
                self.faults.ask_for(PLACES[usize::from(self.random.below(2) == 0)], fault);
            }
            How::Order(words) => {
                counts.orders += 1;
                self.order(pid, &words);
            }
        }
        eventually("the daemon dies", || procfs::gone(pid));
        // What was ordered for one that died while it started is whatever became of it.
        if newborn.is_some() {
            self.waits = None;
        }
        self.unborn = cores(self.daemon.keeper());
        self.last = pid;
    }

    /// Has somebody order it, who then waits for the next daemon.
    fn order(&mut self, pid: i32, words: &[String]) {
        let words: Vec<&str> =
            std::iter::once("daemon").chain(words.iter().map(String::as_str)).collect();
        let mut refused = true;
        while refused {
            let order = self.daemon.start_aer(&words);
            eventually("it leaves, or stays", || procfs::gone(pid) || order.end_within_no_time());
            refused = !procfs::gone(pid);
            if refused {
                let why = order.finish().err();
                assert!(why.contains("on trial until"), "{why}");
            } else {
                self.waits = Some(order);
            }
        }
        self.releases.reverse();
    }

    /// Nothing has befallen the daemon that was to come by the last order.
    pub(super) fn last_order_was_carried_out(&mut self, counts: &mut Counts) {
        if let Some(order) = self.waits.take() {
            let output = order.finish();
            if !output.status.success() {
                counts.complain(format!("an order was not carried out: {}", output.err()));
            }
        }
    }

    /// A daemon that answers.
    pub(super) fn answering(&self) -> i32 {
        let mut found = 0;
        eventually("the next daemon answers", || {
            found = self.daemon.status_if_there().map_or(self.last, |status| status.daemon_pid);
            found != self.last
        });
        found
    }

    /// The daemon that is being started, where it can be told from the children of the one before.
    fn newborn(&self) -> Option<i32> {
        let mut found = Vec::new();
        // Where it was there before anybody looked, it cannot be told.
        let _ = holds_within(Duration::from_millis(500), || {
            found = cores(self.daemon.keeper());
            found.retain(|pid| !self.unborn.contains(pid));
            !found.is_empty()
        });
        (found.len() == 1).then(|| found.swap_remove(0))
    }
}

/// The keeper's children that are, or still look like, a daemon.
fn cores(keeper: i32) -> Vec<i32> {
    let mut children = procfs::children(keeper);
    children.retain(|&pid| procfs::command(pid) == "auraed-core" && procfs::alive(pid));
    children
}
