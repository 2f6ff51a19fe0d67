//! The life of one run.
//!
//! A run is one execution of one program: a main process and everything it makes, in a cgroup of its own.
//!
//! ```text
//!            Spawned            MainExited                    Emptied            Settled
//! Starting ----------> Running ------------> Clearing -----------------> Settling ------> (over)
//!     |                                          (skipped where nothing is left)  ^
//!     +---- SpawnFailed ----------------------------------------------------------+
//! ```
//!
//! - *Starting*: the spawner has it. A stop now is remembered and carried out when the program has been
//!   executed; a start that passes its deadline, or that of the stop, is killed. So is an exit remembered
//!   that overtakes the spawner's word: only the word tells whether the program was executed.
//! - *Running*: the main process lives.
//! - *Clearing*: the main process has ended and has left processes behind.
//! - *Settling*: no process is left; output is being drained and usage counted.
//!
//! What is wanted is apart from what is: a run is wanted up until somebody orders its [`End`], and an end,
//! once ordered, only ever gets harder: *preparing* (told where its program listens, with a deadline), *asked* (a signal,
//! then a deadline), then *killed* (the kernel's
//! kill, repeated until nothing is left, because where no cgroup holds a run a process may slip away). The
//! leftovers of a main process that ended by itself are ended in the same way, with a shorter deadline.
//!
//! The run of a unit's program is ended as the unit says: its kill mode may spare processes, and then the run
//! is *let go*: it is settled although something of it lives.
//!
//! A run outlives its daemon. The next core has it as it was kept, and goes on with it when it is told what was found
//! of it ([`Fate`](crate::kept::Fate)). One that somebody called is *unclaimed* then: who names it has it again, and it
//! is stopped where nobody does in time.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use crate::{
    Account, Cause, ExitRecord, Leftovers, Name, Origin, ProcessUsage, RunId,
    kept::{KeptBelonging, KeptRun},
    noted::Noted,
    order::{Execution, Ticket},
    signal::SIGTERM,
    unit::{KillMode, Role, UnitSpec},
};

/// The first pause between two kills; doubled each time, up to [`LONGEST_KILL_PAUSE`].
pub(crate) const FIRST_KILL_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two kills.
pub(crate) const LONGEST_KILL_PAUSE: Duration = Duration::from_secs(5);

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The spawner has it.
    Starting,
    /// Its main process lives.
    Running,
    /// Its main process has ended, and has left processes behind.
    Clearing,
    /// No process of it is left.
    Settling,
}

/// How far its end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nobody wants it to end.
    Unwanted,
    /// It is to get this signal as soon as there is somebody to get it.
    Pending(i32),
    /// It is being told, where it listens, that it is to end, and is to get this signal then.
    Preparing(i32),
    /// It has got a signal, lately this one.
    Asked(i32),
    /// It has been killed, and will be again after this pause if something is left.
    Killed(Duration),
}

/// Where the program of a run listens to us, as it says: a socket of dRPC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its path.
    pub socket: String,
    /// The rank that it is called by.
    pub rank: u32,
    /// Whether it speaks in chunks, the newer framing.
    pub chunked: bool,
}

/// What tells one execution from another. The words are not kept: they may be megabytes, and a run may
/// last for months.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The run.
    pub run: RunId,
    /// The name it runs under.
    pub name: Name,
    /// Whether that was made up.
    pub anonymous: bool,
    /// The user's comment.
    pub comment: String,
    /// A hash of program and words: FNV-1a, which is the same in every release.
    pub fingerprint: u64,
}

impl Identity {
    pub(crate) fn of(execution: &Execution) -> Self {
        let words = execution.argv.words().iter().map(Vec::as_slice);
        let all = std::iter::once(execution.program.as_slice()).chain(words);
        Self {
            run: execution.run,
            name: execution.name.clone(),
            anonymous: execution.anonymous,
            comment: execution.comment.clone(),
            fingerprint: all.fold(FNV_OFFSET, fingerprint),
        }
    }

    /// A unit's run, which no request can mean.
    pub(crate) fn of_unit(run: RunId, spec: &UnitSpec) -> Self {
        let (name, comment) = (spec.name.clone(), spec.comment.clone());
        Self { run, name, anonymous: false, comment, fingerprint: 0 }
    }

    /// Whether two requests with one run id mean the same execution. A made-up name differs each time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let named = self.name == other.name || (self.anonymous && other.anonymous);
        named && self.fingerprint == other.fingerprint
    }
}

/// The beginning of an FNV-1a hash (64 bits).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// Its prime.
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Goes on with a hash by these bytes and their end, which no word contains.
fn fingerprint(hash: u64, bytes: &[u8]) -> u64 {
    let all = bytes.iter().chain(std::iter::once(&0));
    all.fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// One run. What the next core must know of it is its own state, which it derefs to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    kept: Noted<KeptRun>,
    /// Its unit's specification, if it is a unit's.
    pub(crate) spec: Option<Arc<UnitSpec>>,
    /// Whether an earlier daemon made it, and nobody has said what was found of it.
    pub(crate) unadopted: bool,
    /// Who waits for it. Without a caller a run that somebody called is stopped.
    pub(crate) callers: Vec<Ticket>,
    /// Who waits for its end, and is nothing to it.
    pub(crate) watchers: Vec<Ticket>,
}

impl Deref for Run {
    type Target = KeptRun;

    fn deref(&self) -> &KeptRun {
        &self.kept
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut KeptRun {
        &mut self.kept
    }
}

impl Run {
    /// A run that the spawner is about to get.
    pub(crate) fn new(identity: Identity, started_by: Origin) -> Self {
        let kept = KeptRun {
            identity,
            started_by,
            stopped_by: None,
            stage: Stage::Starting,
            end: End::Unwanted,
            pid: 0,
            started_at: 0,
            exit: None,
            empty: false,
            gone_at: 0,
            failure: None,
            lost: None,
            leftovers: Leftovers::None,
            timer: None,
            unclaimed: false,
            listener: None,
            unit: None,
        };
        Self::of(Noted::new(kept))
    }

    /// A run of a unit that plays this role; `restarts` is how often the unit had been started again by itself.
    pub(crate) fn of_unit(
        id: RunId,
        (spec, role): (&Arc<UnitSpec>, Role),
        restarts: u32,
        started_by: Origin,
    ) -> Self {
        let mut run = Self::new(Identity::of_unit(id, spec), started_by);
        run.unit = Some(KeptBelonging { role, restarts, entirely: false });
        run.spec = Some(Arc::clone(spec));
        run
    }

    /// The run as an earlier core kept it; `spec` is its unit's, where it is a unit's run.
    pub(crate) fn resumed(kept: &Arc<KeptRun>, spec: Option<Arc<UnitSpec>>) -> Self {
        let mut run = Self::of(Noted::kept(Arc::clone(kept)));
        if run.unit.is_some() {
            if spec.is_none() {
                run.unit = None;
            }
            run.spec = spec;
        }
        run.unadopted = true;
        run
    }

    fn of(kept: Noted<KeptRun>) -> Self {
        let (callers, watchers) = (Vec::new(), Vec::new());
        Self { kept, spec: None, unadopted: false, callers, watchers }
    }

    /// What is to be kept of it, if that may have changed.
    pub(crate) fn keep_anew(&mut self) -> Option<Arc<KeptRun>> {
        self.kept.take_changed()
    }

    /// Its unit, where it is the run of that one's program.
    fn program_of(&self) -> Option<&UnitSpec> {
        let role = self.unit.map(|belonging| belonging.role);
        self.spec.as_deref().filter(|_| role == Some(Role::Main))
    }

    /// Whom its end reaches.
    pub(crate) fn kill_mode(&self) -> KillMode {
        let spared = self.unit.is_none_or(|belonging| !belonging.entirely);
        self.program_of().filter(|_| spared).map_or(KillMode::ControlGroup, |it| it.stop.kill_mode)
    }

    /// Whether it is killed when it does not heed its signal.
    pub(crate) fn final_kill(&self) -> bool {
        self.program_of().is_none_or(|it| it.stop.final_kill)
    }

    /// The signal that asks it to end.
    pub(crate) fn usual_signal(&self) -> i32 {
        self.program_of().map_or(SIGTERM, |it| it.stop.signal)
    }

    /// How long a signal has; of no unit's, as long as others say.
    pub(crate) fn patience(&self, others: Duration) -> Duration {
        self.spec.as_ref().map_or(others, |spec| spec.stop.timeout)
    }

    /// The record of its end, when all that can be known is known.
    pub(crate) fn record(&self, account: Account) -> ExitRecord {
        let (cause, ended_at, usage) = self.how_it_ended();
        ExitRecord {
            run: self.identity.run,
            name: self.identity.name.clone(),
            comment: self.identity.comment.clone(),
            pid: self.pid,
            cause,
            // The spawner's word may come later than the end of a short program.
            started_at: self.started_at.min(ended_at),
            ended_at,
            usage,
            account,
            leftovers: self.leftovers,
            restarts: self.unit.map_or(0, |belonging| belonging.restarts),
            started_by: self.started_by.clone(),
            stopped_by: self.stopped_by.clone(),
        }
    }

    fn how_it_ended(&self) -> (Cause, i64, ProcessUsage) {
        let (ended_at, usage) = self
            .exit
            .as_ref()
            .map_or((self.gone_at, ProcessUsage::default()), |exit| (exit.at, exit.usage));
        let cause = match (&self.failure, &self.lost, &self.exit) {
            (Some(failure), _, _) => Cause::Failed(failure.clone()),
            (None, Some(why), _) => Cause::Lost(why.clone()),
            (None, None, Some(exit)) => exit.cause.clone(),
            (None, None, None) if self.leftovers == Leftovers::Left => Cause::Lost(
                "it was left alive, as its unit says (stop.kill_mode, stop.final_kill)".to_owned(),
            ),
            (None, None, None) => Cause::Lost("nobody saw how its main process ended".to_owned()),
        };
        (cause, ended_at, usage)
    }
}
