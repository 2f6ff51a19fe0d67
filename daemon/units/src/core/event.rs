//! What the core is told, and what it tells.

use std::{sync::Arc, time::Duration};

use crate::{
    Account, ExitRecord, Origin, ProcessExit, RunId, StartFailure,
    kept::{Fate, Keep, Listener, Numbers},
    order::{Answer, Command, Execution, Ticket, Whom},
    unit::{Change, Role, Told, UnitSpec},
};

/// The time, read by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since some moment in the past, which never goes back.
    pub monotonic: Duration,
    /// Nanoseconds since the Unix epoch.
    pub wall: i64,
}

/// What the core needs to know once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the processes that a main process leaves behind may take to end after SIGTERM.
    pub leftover_timeout: Duration,
    /// How long a run may take to end when it is told to.
    pub stop_timeout: Duration,
    /// How long it may take to tell a program where it listens that it is to end.
    pub prepare_timeout: Duration,
    /// How long it may take until the program is executed.
    pub start_timeout: Duration,
    /// The bound of [`crate::Order::ShutDown`]; what is left then is killed.
    pub shut_down_timeout: Duration,
    /// How long a run whose daemon died waits for somebody to name it.
    pub claim_timeout: Duration,
    /// How many runs may be alive at once.
    pub live_runs: usize,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody orders something.
    Command(Ticket, Command),
    /// The caller of this ticket waits no more.
    CallerGone(Ticket),
    /// A run of an earlier daemon is there of which nothing was kept; [`Event::Adopted`] is to follow.
    Inherited {
        /// What it executes, as far as known.
        execution: Box<Execution>,
        /// Who ordered it.
        started_by: Origin,
    },
    /// This was found of a run that an earlier daemon made; once for each of [`crate::Core::unadopted`].
    Adopted {
        /// The run.
        run: RunId,
        /// What was found.
        fate: Fate,
    },
    /// The program has been executed.
    Spawned {
        /// The run.
        run: RunId,
        /// Its main process.
        pid: i32,
    },
    /// The program could not be executed, and no process is left of the attempt.
    SpawnFailed {
        /// The run.
        run: RunId,
        /// Why.
        failure: StartFailure,
    },
    /// The main process has ended.
    MainExited {
        /// The run.
        run: RunId,
        /// How.
        exit: ProcessExit,
        /// Whether no process of the run is left.
        empty: bool,
    },
    /// The main process has ended, and nobody can know how.
    MainLost {
        /// The run.
        run: RunId,
        /// Why not.
        why: String,
        /// Whether no process of the run is left.
        empty: bool,
    },
    /// The keeper is gone: what runs goes on, and nothing can be made until the next core.
    KeeperLost,
    /// No process of the run is left.
    Emptied {
        /// The run.
        run: RunId,
    },
    /// The run's output is in the log, to its last byte, and its usage counted.
    Settled {
        /// The run.
        run: RunId,
        /// What was counted.
        account: Account,
    },
    /// The run's program says that it is ready (`READY=1` of sd_notify(3)).
    Ready {
        /// The run.
        run: RunId,
    },
    /// The run's program says that it is ready (NotifyReady of dRPC).
    Serves {
        /// The run.
        run: RunId,
        /// Where it listens to us, if anywhere.
        listener: Option<Listener>,
    },
    /// The run's program has been told that it is to end, or cannot be told.
    Prepared {
        /// The run.
        run: RunId,
    },
    /// The run's program says something about itself (`STATUS=` of sd_notify(3)).
    Notified {
        /// The run.
        run: RunId,
        /// What; of a long text the beginning is kept.
        status: String,
    },
    /// What the run prints from now on is lost.
    OutputsLost {
        /// The run.
        run: RunId,
        /// Why, and what to do.
        why: String,
    },
    /// Whether there is room to keep what happens for the next core; until this is told there is.
    Room {
        /// Whether there is.
        there: bool,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep this for the next core, before anything else of this step is done.
    Keep {
        /// What has changed.
        keeps: Vec<Keep>,
        /// The numbers now.
        numbers: Numbers,
    },
    /// Make the run's process; [`Event::Spawned`] or [`Event::SpawnFailed`] follows.
    Spawn {
        /// What to execute.
        execution: Box<Execution>,
        /// Who ordered it.
        origin: Origin,
    },
    /// Make the process of a unit's run, perhaps for the second time, where that of an earlier daemon was never made; [`Event::Spawned`] or [`Event::SpawnFailed`] follows.
    SpawnUnit {
        /// The run.
        run: RunId,
        /// The unit.
        spec: Arc<UnitSpec>,
        /// Which of its commands.
        role: Role,
        /// What it is told of the unit's program.
        told: Told,
        /// Who ordered it.
        origin: Origin,
    },
    /// Look now and then whether the run's program answers where it listens, as long as it lives.
    Probe {
        /// The run.
        run: RunId,
        /// Where it listens.
        listener: Listener,
    },
    /// Tell the run's program where it listens that it is to end; [`Event::Prepared`] follows.
    Prepare {
        /// The run.
        run: RunId,
        /// Where it listens.
        listener: Listener,
    },
    /// Send a signal to all processes of the run, and SIGCONT after it.
    Signal {
        /// The run.
        run: RunId,
        /// The signal.
        signal: i32,
    },
    /// Send a signal to the main process of the run, and SIGCONT after it.
    SignalMain {
        /// The run.
        run: RunId,
        /// The signal; SIGKILL where only the main process is to be killed.
        signal: i32,
    },
    /// Send exactly this signal, and nothing after it.
    Deliver {
        /// The run.
        run: RunId,
        /// The signal.
        signal: i32,
        /// Whom it reaches.
        whom: Whom,
    },
    /// Kill all processes of the run.
    Kill {
        /// The run.
        run: RunId,
    },
    /// Say [`Event::Emptied`] when no process of the run is left, each time this is asked.
    AwaitEmpty {
        /// The run.
        run: RunId,
    },
    /// Drain the run's output and count its usage; [`Event::Settled`] follows.
    Settle {
        /// The run.
        run: RunId,
        /// How it ended, for the log.
        record: Box<ExitRecord>,
    },
    /// The run is over: drop all that was held for it.
    Release {
        /// The run.
        run: RunId,
        /// Its end.
        record: Arc<ExitRecord>,
    },
    /// The run never was: drop all that was held for it.
    Forget {
        /// The run.
        run: RunId,
    },
    /// Tell whoever watches that the state of a unit has changed.
    Tell(Arc<Change>),
    /// Answer a caller.
    Reply(Ticket, Answer),
}
