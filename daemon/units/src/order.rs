//! The whole language in which doors speak to the core, and the core's answers.

use std::{sync::Arc, time::Duration};

use crate::{
    Argv, ExitRecord, Name, Origin, Refusal, RunId, Setting, UnitDetail, UnitSpec, UnitState,
    UnitView,
};

/// The place where an answer is waited for; chosen by the shell, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// An order with its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who and why.
    pub origin: Origin,
    /// When the caller stops waiting, on the monotonic clock of [`crate::Now`].
    pub deadline: Option<Duration>,
    /// What.
    pub order: Order,
}

/// Everything that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Execute this, or join the run of that id: answered by [`Answer::Started`] when the program has been
    /// executed and by [`Answer::Ended`] at its end.
    Execute(Box<Execution>),
    /// Join a run that an earlier [`Order::Execute`] made: answered as that is, and never executes.
    Join {
        /// Which.
        run: RunId,
    },
    /// End a run: answered at once by [`Answer::Stopping`]. Where the target is a unit, or the run of a
    /// unit's program, stop the unit: answered by [`Answer::Down`] when it is down.
    Stop {
        /// Which.
        target: Target,
        /// How.
        how: StopHow,
    },
    /// Bring a unit up: answered by [`Answer::Up`] when it is ready.
    Start {
        /// What it is; what an earlier start said of it is forgotten, unless it is up already.
        spec: Arc<UnitSpec>,
        /// The id of its first run, of its program or of a command before it, where the caller wants to know after a
        /// crash whether it has begun; counts where the unit is not loaded.
        run: Option<RunId>,
    },
    /// Bring a unit down, where it is up, and up again: answered by [`Answer::Up`] when it is ready again.
    Restart {
        /// What it is from then on.
        spec: Arc<UnitSpec>,
    },
    /// Make a unit read its configuration again: answered by [`Answer::Reloaded`].
    Reload {
        /// Which.
        name: Name,
    },
    /// Send exactly this signal, and draw no conclusion: answered at once by [`Answer::Signalled`].
    Signal {
        /// To the main process of this, or to all of it.
        target: Target,
        /// The signal.
        signal: i32,
        /// Whom it reaches.
        whom: Whom,
    },
    /// Wait for an end. Of a unit: answered by [`Answer::Down`] when it is down for good, or its program has
    /// ended and it counts as up all the same. Of a run: answered by [`Answer::Ended`]. At once where it is so
    /// already.
    Wait {
        /// For what.
        target: Target,
    },
    /// Tell about all units, by name: answered by [`Answer::Units`].
    List,
    /// Tell all about a unit: answered by [`Answer::Unit`].
    Inspect {
        /// Which.
        name: Name,
    },
    /// Forget a unit that is dead, or all that are: answered by [`Answer::Forgotten`].
    Forget {
        /// Which; none means all.
        which: Option<Name>,
    },
    /// Tell about a run, live or lately ended: answered by [`Answer::Found`].
    Find(Target),
    /// Count the runs: answered by [`Answer::Counted`].
    Count,
    /// End everything; nothing is started any more. Answered by [`Answer::AllEnded`].
    ShutDown,
}

/// A program to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The run's id.
    pub run: RunId,
    /// The name it is to run under.
    pub name: Name,
    /// Whether the name was made up; such runs share one log.
    pub anonymous: bool,
    /// The program: an absolute path, or a name without a slash that the shell looks up.
    pub program: Vec<u8>,
    /// Its words, `argv[0]` first.
    pub argv: Argv,
    /// The user's comment.
    pub comment: String,
    /// What its process finds around it.
    pub setting: Arc<Setting>,
}

/// Which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The run of this id.
    Run(RunId),
    /// The live run under this name, or else the one that ended last.
    Name(Name),
    /// The newest run whose main process had this pid.
    Pid(i32),
}

/// How to end a run or a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// As the unit says; where it is no unit's, as with SIGTERM.
    Usual,
    /// This signal to all its processes, and after the stop time-out the kernel's kill. With a unit, this
    /// signal in the place of its own.
    Signal(i32),
    /// The kernel's kill at once.
    Kill,
}

/// Whom a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The main process.
    Main,
    /// All processes.
    All,
}

/// What is said to a caller. To [`Order::Execute`] first `Started`, where the program was executed, and
/// then exactly one `Ended`; or one `Refused`. To anything else exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The program has been executed.
    Started {
        /// Its run.
        run: RunId,
        /// The name it runs under.
        name: Name,
        /// Its main process.
        pid: i32,
    },
    /// The run is over, its cgroup empty and its output in the log.
    Ended(Arc<ExitRecord>),
    /// The run has been told to end, or is over already.
    Stopping {
        /// Which.
        run: RunId,
        /// The name it runs under.
        name: Name,
    },
    /// This is known about the run.
    Found(Found),
    /// So many there are.
    Counted {
        /// Runs that are alive.
        live: usize,
        /// Runs made since the beginning.
        total: u64,
    },
    /// Nothing runs any more.
    AllEnded,
    /// The unit is up; a oneshot has done its work.
    Up {
        /// Its name.
        name: Name,
        /// The run of its program.
        run: RunId,
        /// The main process of that run.
        pid: i32,
        /// Whether it was up before, so that nothing was started.
        was_up: bool,
    },
    /// The unit is down, or its program has ended and it counts as up all the same.
    Down {
        /// Its name.
        name: Name,
        /// Where it stands.
        state: UnitState,
        /// The last end of its program, if that ever ran.
        record: Option<Arc<ExitRecord>>,
    },
    /// The unit has read its configuration again, as far as its commands tell.
    Reloaded {
        /// Its name.
        name: Name,
    },
    /// The signal has been sent.
    Signalled {
        /// The run that got it.
        run: RunId,
    },
    /// All units, by name.
    Units(Vec<UnitView>),
    /// All about a unit.
    Unit(Box<UnitDetail>),
    /// These units are forgotten, and their names are free.
    Forgotten(Vec<Name>),
    /// It was not done.
    Refused(Refusal),
}

impl Answer {
    /// Whether it says that something will stay as it is now, also should the daemon die.
    #[must_use]
    pub fn is_a_promise(&self) -> bool {
        match self {
            Self::Stopping { .. } | Self::Up { .. } | Self::Down { .. } | Self::Forgotten(_) => {
                true
            }
            // The end of a run is a fact, and a run that began has a file of its own.
            Self::Started { .. }
            | Self::Ended(_)
            | Self::Found(_)
            | Self::Counted { .. }
            | Self::AllEnded
            | Self::Reloaded { .. }
            | Self::Signalled { .. }
            | Self::Units(_)
            | Self::Unit(_)
            | Self::Refused(_) => false,
        }
    }
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub run: RunId,
    /// The name it runs or ran under.
    pub name: Name,
    /// Whether its name was made up; such runs share one log.
    pub anonymous: bool,
    /// Its main process; 0 where there is none yet, or never was.
    pub pid: i32,
    /// Its end, if it has ended.
    pub ended: Option<Arc<ExitRecord>>,
}
