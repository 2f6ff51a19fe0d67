//! The whole language in which doors speak to the core, and the core's answers.

use std::{sync::Arc, time::Duration};

use crate::{Argv, ExitRecord, Name, Origin, RunId};

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
    /// End a run: answered at once by [`Answer::Stopping`].
    Stop {
        /// Which.
        target: Target,
        /// How.
        how: StopHow,
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

/// How to end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// This signal to all its processes, and after the stop time-out the kernel's kill.
    Signal(i32),
    /// The kernel's kill at once.
    Kill,
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
    /// It was not done.
    Refused(Refusal),
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

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is in use.
    #[error("the name {name} is taken by the live run {holder}; choose another, or stop that run")]
    NameTaken {
        /// The name.
        name: Name,
        /// The run that has it.
        holder: RunId,
    },
    /// The run id is another command's.
    #[error("the run id {run} belongs to another command; a run id names one execution, for ever")]
    RunTaken {
        /// The id.
        run: RunId,
    },
    /// No such run, or it is forgotten.
    #[error("no run {0} is known: none is alive, and none of the last runs to end was it")]
    NoSuchRun(String),
    /// As many runs as there can be.
    #[error("{live} runs are alive, and descriptors do not suffice for more (RLIMIT_NOFILE)")]
    TooManyRuns {
        /// How many there are.
        live: usize,
    },
    /// The caller's deadline had passed.
    #[error("the deadline passed before it was done")]
    DeadlinePassed,
    /// The daemon ends.
    #[error("the daemon is stopping and starts nothing any more")]
    ShuttingDown,
    /// A signal that cannot be sent.
    #[error("{0} is not the number of a signal: 1 to 64 are")]
    NoSuchSignal(i32),
}
