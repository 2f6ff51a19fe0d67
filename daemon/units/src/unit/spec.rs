//! What a unit is, as its author wants it.

use std::{sync::Arc, time::Duration};

use super::{restart::Restart, setting::Setting, state::UnitResult};
use crate::{Argv, Cause, CommandLine, Door, Name, signal::SIGTERM};

/// What a unit is. Each field is explained by its type; [`UnitSpec::check`] says which of them cannot be as
/// they are, or not together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSpec {
    /// Its name.
    pub name: Name,
    /// The user's comment.
    pub comment: String,
    /// Whether it is there to run, or to have run.
    pub kind: Kind,
    /// Its program.
    pub main: CommandSpec,
    /// What is run before the program, one after the other; a failure fails the start.
    pub before: Vec<CommandSpec>,
    /// What is run when the program is ready, one after the other; a failure stops the unit.
    pub after: Vec<CommandSpec>,
    /// What is run first when it is stopped while it is up, one after the other.
    pub on_stop: Vec<CommandSpec>,
    /// What makes it read its configuration again, one after the other.
    pub on_reload: Vec<CommandSpec>,
    /// What its processes find around them.
    pub setting: Arc<Setting>,
    /// When it is started again.
    pub restart: Restart,
    /// How it is brought to its end.
    pub stop: StopSpec,
    /// How long each step of its start may take, and each command of a reload; none is for ever.
    pub start_timeout: Option<Duration>,
    /// How long it may run; then it is stopped, which counts as a time-out.
    pub run_limit: Option<Duration>,
    /// When its start is over.
    pub readiness: Readiness,
    /// What it was made from, for whoever shows it; means nothing to the core.
    pub definition: Arc<[u8]>,
    /// Whose it is, where a door keeps it apart from all others.
    pub owner: Option<Owner>,
}

/// The door that a unit came in by, whose clients see and end no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which.
    pub door: Door,
    /// What the door has to know of it; means nothing to the core.
    pub about: Arc<[u8]>,
}

/// Whether a unit is there to run, or to have run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Up while its program runs.
    #[default]
    Service,
    /// Its start is over when its program has ended well.
    Oneshot {
        /// Whether it counts as up from then on, until it is stopped.
        remain_after_exit: bool,
    },
}

/// A command of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandSpec {
    /// These words; the first is the program.
    Argv(Argv),
    /// This line, whose variables are replaced at each start.
    Line(CommandLine),
}

/// How a unit is brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSpec {
    /// The signal that asks it to.
    pub signal: i32,
    /// How long each command on stop may take, and then how long the signal has.
    pub timeout: Duration,
    /// Whom signal and kill reach.
    pub kill_mode: KillMode,
    /// Whether what is left after the time-out is killed; otherwise it is left alone.
    pub final_kill: bool,
}

/// Whom the end of a unit reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillMode {
    /// All of its processes.
    #[default]
    ControlGroup,
    /// The signal the main process; the kill all that is left.
    Mixed,
    /// The main process alone; the others are left alone.
    Process,
    /// Nobody: only the commands on stop are run.
    None,
}

/// When the start of a unit is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// When its program has been executed.
    #[default]
    Executed,
    /// When its program says `READY=1` (sd_notify(3)).
    Notify,
    /// When its program says NotifyReady (dRPC, as DAOS's engines do).
    Drpc,
}

impl UnitSpec {
    /// A service of this name and program, with everything else as it usually is.
    #[must_use]
    pub fn new(name: Name, main: CommandSpec) -> Self {
        Self {
            name,
            comment: String::new(),
            kind: Kind::default(),
            main,
            before: Vec::new(),
            after: Vec::new(),
            on_stop: Vec::new(),
            on_reload: Vec::new(),
            setting: Arc::default(),
            restart: Restart::default(),
            stop: StopSpec::default(),
            start_timeout: Some(Duration::from_secs(90)),
            run_limit: None,
            readiness: Readiness::default(),
            definition: Arc::default(),
            owner: None,
        }
    }

    /// The command that plays this role, if there is one.
    #[must_use]
    pub fn command(&self, role: Role) -> Option<&CommandSpec> {
        match role {
            Role::Main => Some(&self.main),
            Role::Before(index) => self.before.get(index),
            Role::After(index) => self.after.get(index),
            Role::OnStop(index) => self.on_stop.get(index),
            Role::OnReload(index) => self.on_reload.get(index),
        }
    }
}

impl CommandSpec {
    /// Whether its failure counts as success: the prefix `-` of a line.
    #[must_use]
    pub const fn ignores_failure(&self) -> bool {
        match self {
            Self::Argv(_) => false,
            Self::Line(line) => line.ignore_failure(),
        }
    }
}

impl Default for StopSpec {
    /// SIGTERM to all, 90 seconds, then the kill.
    fn default() -> Self {
        Self {
            signal: SIGTERM,
            timeout: Duration::from_secs(90),
            kill_mode: KillMode::default(),
            final_kill: true,
        }
    }
}

/// What a run is for its unit; commands are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its program.
    Main,
    /// A command before the program.
    Before(usize),
    /// A command when the program is ready.
    After(usize),
    /// A command on stop.
    OnStop(usize),
    /// A command on reload.
    OnReload(usize),
}

/// What a command of a unit is told of the unit's program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The main process of the program; 0 where there is none.
    pub main_pid: i32,
    /// What came of the program so far, for commands on stop.
    pub result: Option<UnitResult>,
    /// How the program ended, for commands on stop, where it has.
    pub ended: Option<Ended>,
}

/// How a program ended that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// This signal ended it, and a core was dumped.
    Dumped(i32),
}

impl Ended {
    /// As an exit record has it.
    #[must_use]
    pub fn of(cause: &Cause) -> Option<Self> {
        match cause {
            Cause::Exited(status) => Some(Self::Exited(*status)),
            Cause::Signalled { signal, core_dumped: false } => Some(Self::Killed(*signal)),
            Cause::Signalled { signal, core_dumped: true } => Some(Self::Dumped(*signal)),
            Cause::Failed(_) | Cause::Lost(_) => None,
        }
    }
}
