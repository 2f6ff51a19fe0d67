//! What is enabled and disabled, as the daemon's parts see it.
//!
//! One thread owns the store, which waits for the disk; everybody else has a copy in memory to read from, and hands
//! changes in over a bounded queue. Changes that wait together are committed together, since what a commit costs is
//! the flush. A store that cannot be opened stops nobody: whoever asks is told why.

pub(crate) mod boot;
mod thread;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
    time::Duration,
};

use schedule::{
    Change, ChangeError, CommitError, Damage, Entry, OpenError, Repair, RepairError, Salvage,
};
use tokio::sync::{oneshot, watch};
use units::Name;

use crate::clock;

/// Opening the store takes longer only where a disk is slow, or somebody else holds it.
const A_WHILE: Duration = Duration::from_secs(5);
/// As many as wait for one commit at most, each with a definition that a request had room for.
const DEPTH: usize = 256;

/// Where the store is, and where a copy of it can be put for a moment.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// The store's folder.
    pub(crate) folder: PathBuf,
    /// In memory, as a rule.
    pub(crate) scratch: PathBuf,
}

/// What the thread waits for.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    /// Where something else is more urgent, the store is opened when the sender is dropped.
    pub(crate) later: Option<Receiver<()>>,
    /// Where the daemon is on trial, the store is written when this says that it is no more, and not if the sender is gone.
    pub(crate) trial: Option<Receiver<()>>,
}

/// The end that everybody has.
#[derive(Clone)]
pub(crate) struct Schedule {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
}

/// What readers see.
struct Shared {
    view: RwLock<View>,
    /// What was enabled when the store was first opened. Whatever is enabled later, be it at once, is not for this
    /// daemon to start.
    at_start: OnceLock<Vec<Arc<Entry>>>,
    /// Told of whenever `view` changes between its kinds.
    health: watch::Sender<Health>,
}

/// Whether the schedule can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is being opened.
    Opening,
    /// It can.
    Open,
    /// It cannot.
    Unusable,
}

enum View {
    /// Since then, on the monotonic clock.
    Opening(Duration),
    Open {
        entries: BTreeMap<Name, Arc<Entry>>,
        unreadable: Vec<Damage>,
        warnings: Vec<String>,
    },
    Unusable(Arc<OpenError>),
}

impl View {
    fn opening() -> Self {
        Self::Opening(clock::now().monotonic)
    }
}

/// What the thread is asked to do, and where the answer goes.
enum Job {
    Change(Vec<Change>, oneshot::Sender<Changed>),
    Export(oneshot::Sender<Result<Salvage, Arc<OpenError>>>),
    Repair(oneshot::Sender<Result<Repair, RepairError>>),
    /// To open it, if it is not open.
    Retry(oneshot::Sender<()>),
}

type Changed = Result<Vec<Result<(), ChangeError>>, Unchanged>;

/// Why nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unchanged {
    /// The store cannot be opened.
    #[error("{why}{}", cause(why.as_ref()))]
    Unusable {
        /// Why not.
        why: Arc<OpenError>,
    },
    /// The disk did not take it.
    #[error("{why}{}", cause(why.as_ref()))]
    Commit {
        /// What was tried, and why it failed.
        why: Arc<CommitError>,
    },
    /// The queue is full.
    #[error("{DEPTH} changes of the schedule wait already; try again")]
    Busy,
    /// The thread is gone.
    #[error("the daemon is ending")]
    Ending,
}

/// What an error's source says, if it has one.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}{}", cause(source))).unwrap_or_default()
}

impl Schedule {
    /// Begins to open the store, on a thread that lives as long as the daemon.
    pub(crate) fn start(location: Location, gates: Gates) -> io::Result<Self> {
        let (health, _) = watch::channel(Health::Opening);
        let shared = Arc::new(Shared {
            view: RwLock::new(View::opening()),
            at_start: OnceLock::new(),
            health,
        });
        let jobs = thread::start(location, Arc::clone(&shared), gates)?;
        Ok(Self { jobs, shared })
    }

    /// Whether it can be read, now and from now on.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Waits until it is open, or is known not to be; what was in the way of opening it may be gone by now.
    async fn opened_or_retried(&self) {
        self.opened().await;
        if self.shared.may_have_passed() {
            let (answer, answered) = oneshot::channel();
            // Where there is no room, somebody else has it tried again.
            if self.hand_in(Job::Retry(answer)).is_ok() {
                drop(answered.await);
            }
        }
    }

    /// Waits until it is open, or is known not to be.
    pub(crate) async fn opened(&self) {
        let mut health = self.shared.health.subscribe();
        // The sender is in `shared`, so there is one.
        drop(health.wait_for(|health| *health != Health::Opening).await);
    }

    /// What is registered, in the order of names.
    pub(crate) async fn entries(&self) -> Result<Vec<Arc<Entry>>, Arc<OpenError>> {
        self.opened_or_retried().await;
        self.shared.read(|entries, _| entries.values().map(Arc::clone).collect())
    }

    /// What was enabled when the store was opened, in the order of names.
    pub(crate) async fn enabled_at_start(&self) -> Result<Vec<Arc<Entry>>, Arc<OpenError>> {
        self.opened().await;
        self.shared.read(|_, _| self.shared.at_start.get().cloned().unwrap_or_default())
    }

    /// What is registered under this name.
    pub(crate) async fn entry(&self, name: &Name) -> Result<Option<Arc<Entry>>, Arc<OpenError>> {
        self.opened_or_retried().await;
        self.shared.read(|entries, _| entries.get(name).map(Arc::clone))
    }

    /// What is stored and cannot be read.
    pub(crate) async fn unreadable(&self) -> Result<Vec<Damage>, Arc<OpenError>> {
        self.opened().await;
        self.shared.read(|_, unreadable| unreadable.to_vec())
    }

    /// Whether something is registered under this name. A schedule that cannot be read has nothing registered.
    pub(crate) async fn holds(&self, name: &Name) -> bool {
        self.opened().await;
        let of_that_name = |damage: &Damage| damage.name == name.as_str();
        let held = self.shared.read(|entries, unreadable| {
            entries.contains_key(name) || unreadable.iter().any(of_that_name)
        });
        held.unwrap_or(false)
    }

    /// How many are enabled, and how many disabled; none as long as it cannot be read.
    pub(crate) fn count(&self) -> (u64, u64) {
        let counted = self.shared.read(|entries, _| {
            let enabled = entries.values().filter(|entry| entry.enabled).count();
            (enabled, entries.len().saturating_sub(enabled))
        });
        let (enabled, disabled) = counted.unwrap_or_default();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        (number(enabled), number(disabled))
    }

    /// What is wrong with it, a sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        match &*self.shared.view.read().unwrap_or_else(PoisonError::into_inner) {
            // Every daemon begins with that: it is no problem but where it takes long.
            View::Opening(since) if clock::now().monotonic.saturating_sub(*since) < A_WHILE => {
                Vec::new()
            }
            View::Opening(_) => {
                vec![
                    "schedule: it is still being opened; what is enabled is started then"
                        .to_owned(),
                ]
            }
            View::Unusable(why) => vec![format!("{why}{}", cause(why.as_ref()))],
            View::Open { unreadable, warnings, .. } => {
                let unreadable = unreadable.iter().map(|Damage { name, message }| {
                    format!("schedule: {name} cannot be read and is not started: {message}")
                });
                let warnings = warnings.iter().map(|warning| format!("schedule: {warning}"));
                unreadable.chain(warnings).collect()
            }
        }
    }

    /// Makes changes together, and answers when they are on the disk. One that cannot be made by itself has its error
    /// in its place.
    pub(crate) async fn change(&self, changes: Vec<Change>) -> Changed {
        let (answer, answered) = oneshot::channel();
        self.hand_in(Job::Change(changes, answer))?;
        answered.await.unwrap_or(Err(Unchanged::Ending))
    }

    /// All that can be got out of the store, be it whole or not.
    pub(crate) async fn export(&self) -> Result<Result<Salvage, Arc<OpenError>>, Unchanged> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(Job::Export(answer))?;
        answered.await.map_err(|_| Unchanged::Ending)
    }

    /// Puts a whole store in place of a damaged one.
    pub(crate) async fn repair(&self) -> Result<Result<Repair, RepairError>, Unchanged> {
        let (answer, answered) = oneshot::channel();
        self.hand_in(Job::Repair(answer))?;
        answered.await.map_err(|_| Unchanged::Ending)
    }

    fn hand_in(&self, job: Job) -> Result<(), Unchanged> {
        self.jobs.try_send(job).map_err(|why| match why {
            TrySendError::Full(_) => Unchanged::Busy,
            TrySendError::Disconnected(_) => Unchanged::Ending,
        })
    }
}

impl Shared {
    /// Whether the store is not open for a reason that may pass by itself.
    fn may_have_passed(&self) -> bool {
        match &*self.view.read().unwrap_or_else(PoisonError::into_inner) {
            View::Unusable(why) => match why.as_ref() {
                OpenError::Locked { .. } | OpenError::Io { .. } => true,
                OpenError::Newer { .. } | OpenError::Damaged { .. } => false,
            },
            View::Opening(_) | View::Open { .. } => false,
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&BTreeMap<Name, Arc<Entry>>, &[Damage]) -> T,
    ) -> Result<T, Arc<OpenError>> {
        match &*self.view.read().unwrap_or_else(PoisonError::into_inner) {
            View::Open { entries, unreadable, .. } => Ok(read(entries, unreadable)),
            // Only a thread that died while it opened leaves it so, and that is told by its own log line.
            View::Opening(_) => Ok(read(&BTreeMap::new(), &[])),
            View::Unusable(why) => Err(Arc::clone(why)),
        }
    }
}
