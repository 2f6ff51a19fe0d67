//! Boot: everything that is enabled is started, once per start of the keeper.
//!
//! What is to be started, and under which run ids, is written to a file before the first start, so that a daemon that
//! dies on the way is followed by one that starts what is left, and nothing twice: what has become a unit has begun, as
//! has a run that the keeper knows, or that its unit's log knows. What was enabled later is not in the file, and waits
//! for the next boot.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::runtime::Executable;
use logs::{LogName, LogStore};
use prost::Message;
use schedule::Entry;
use tokio::{sync::Semaphore, task::JoinSet};
use units::{Answer, Name, Order, Origin, RunId};

use crate::{
    doors::{Core, registered},
    keeper_instance::KeeperInstance,
};

/// Starts that are under way at a time; the supervisor's queue takes more, and clients want their turn.
const AT_ONCE: usize = 64;

/// What a boot needs to know besides the daemon's core.
pub(crate) struct Boot {
    /// The runtime folder.
    pub(crate) runtime_dir: PathBuf,
    /// Whose boot it is.
    pub(crate) keeper: KeeperInstance,
    /// The runs of earlier daemons.
    pub(crate) inherited: Vec<RunId>,
    /// The units that earlier daemons had started: how they go on is their own affair.
    pub(crate) units: Vec<Name>,
    /// Nothing is started: somebody mends something.
    pub(crate) rescue: bool,
    /// What is not started, though it is enabled.
    pub(crate) masked: Vec<String>,
}

/// The file. Fields are only ever added.
#[derive(Clone, PartialEq, Message)]
struct Plan {
    /// The keeper's process.
    #[prost(int32, tag = "1")]
    keeper_pid: i32,
    /// When it began, in the kernel's ticks.
    #[prost(uint64, tag = "2")]
    keeper_began: u64,
    /// What is to be started, in this order.
    #[prost(message, repeated, tag = "3")]
    starts: Vec<Start>,
}

/// One start.
#[derive(Clone, PartialEq, Message)]
struct Start {
    /// What.
    #[prost(string, tag = "1")]
    name: String,
    /// The id of its run.
    #[prost(bytes = "vec", tag = "2")]
    run: Vec<u8>,
}

/// Starts what is enabled, unless this keeper's boot is over. One failure stops no other.
pub(crate) async fn boot(core: Core, mut boot: Boot) {
    if boot.rescue {
        tracing::warn!("boot: this is rescue, so that nothing enabled is started");
        return;
    }
    let mut enabled = match core.schedule.enabled_at_start().await {
        Ok(enabled) => enabled,
        // Told when it was found out.
        Err(_) => return,
    };
    let masked = std::mem::take(&mut boot.masked);
    for name in &masked {
        if !enabled.iter().any(|entry| entry.name.as_str() == name) {
            tracing::warn!(name, "boot: masked, and not enabled anyway; is the name right?");
        }
    }
    enabled.retain(|entry| {
        let stays = !masked.iter().any(|name| entry.name.as_str() == name);
        if !stays {
            tracing::warn!(name = %entry.name, "boot: masked, so that it is not started");
        }
        stays
    });
    let logs = core.logs.clone();
    let begun = tokio::task::spawn_blocking(move || boot.what_is_left(enabled, &logs)).await;
    let left = match begun {
        Ok(Ok(left)) => left,
        Ok(Err(why)) => {
            tracing::error!(%why, "boot: nothing enabled is started, since a crash could start it twice");
            return;
        }
        Err(why) => {
            tracing::error!(%why, "boot: what is left to start cannot be found out");
            return;
        }
    };
    if left.is_empty() {
        return;
    }
    let number = left.len();
    tracing::info!(number, "boot: starting what is enabled");
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for (entry, run) in left {
        // It is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        runs.spawn(start(core.clone(), entry, run, permit));
    }
    while runs.join_next().await.is_some() {}
}

/// Starts one, and waits until it is up.
async fn start(
    core: Core,
    entry: Arc<Entry>,
    run: RunId,
    permit: tokio::sync::OwnedSemaphorePermit,
) {
    let name = &entry.name;
    // An operator may have had his say meanwhile.
    if !matches!(core.schedule.entry(name).await, Ok(Some(now)) if now.enabled) {
        return;
    }
    let spec = Executable::decode(entry.definition.as_slice())
        .map_err(|why| why.to_string())
        .and_then(|it| registered::checked(&core, it).map_err(|why| why.to_string()));
    let spec = match spec {
        Ok(spec) => spec,
        Err(why) => {
            tracing::error!(%name, why, "boot: it is enabled and cannot be started");
            return;
        }
    };
    let comment = spec.comment.clone();
    let order = Order::Start { spec, run: Some(run) };
    match core.ask(order, Origin::daemon("it is enabled")).await {
        Ok(Answer::Up { run, pid, .. }) => {
            tracing::info!(%name, %run, pid, comment, "boot: started");
        }
        Ok(answer) => tracing::error!(%name, ?answer, "boot: the core answered something else"),
        Err(why) => tracing::error!(%name, %why, "boot: it is enabled and was not started"),
    }
    drop(permit);
}

impl Boot {
    /// What has not been started by this keeper's boot, each with its run id. Reads and writes files.
    fn what_is_left(
        &self,
        enabled: Vec<Arc<Entry>>,
        logs: &LogStore,
    ) -> io::Result<Vec<(Arc<Entry>, RunId)>> {
        let path = self.runtime_dir.join("boot");
        let written = read(&path).filter(|plan| {
            plan.keeper_pid == self.keeper.pid && plan.keeper_began == self.keeper.began
        });
        let Some(plan) = written else {
            let starts: Vec<(Arc<Entry>, RunId)> =
                enabled.into_iter().map(|entry| (entry, new_run())).collect();
            self.write(&path, &starts)?;
            return Ok(starts);
        };
        let inherited: HashSet<RunId> = self.inherited.iter().copied().collect();
        let loaded: HashSet<&str> = self.units.iter().map(Name::as_str).collect();
        let mut left = Vec::new();
        for Start { name, run } in plan.starts {
            let Ok(run) = <[u8; 16]>::try_from(run).map(RunId::from_bytes) else { continue };
            let Some(entry) = enabled.iter().find(|entry| entry.name.as_str() == name) else {
                continue;
            };
            let known = loaded.contains(name.as_str()) || inherited.contains(&run);
            if !known && !is_in_log(logs, &entry.name, run) {
                left.push((Arc::clone(entry), run));
            }
        }
        Ok(left)
    }

    fn write(&self, path: &Path, starts: &[(Arc<Entry>, RunId)]) -> io::Result<()> {
        let starts = starts
            .iter()
            .map(|(entry, run)| Start {
                name: entry.name.to_string(),
                run: run.to_bytes().to_vec(),
            })
            .collect();
        let (keeper_pid, keeper_began) = (self.keeper.pid, self.keeper.began);
        let plan = Plan { keeper_pid, keeper_began, starts };
        let new = path.with_extension("new");
        let mut file: File =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&plan.encode_to_vec())?;
        // Whole or not at all; it dies with the boot, so the disk need not have it.
        fs::rename(&new, path)
    }
}

fn read(path: &Path) -> Option<Plan> {
    Plan::decode(fs::read(path).ok()?.as_slice()).ok()
}

fn new_run() -> RunId {
    RunId::from_bytes(uuid::Uuid::new_v4().into_bytes())
}

/// Whether the unit's log says something of this run. A log that cannot be read may.
fn is_in_log(logs: &LogStore, name: &Name, run: RunId) -> bool {
    match logs.locate_in(&LogName::Unit(name.clone()), run) {
        Ok(located) => located.is_some(),
        Err(why) => {
            tracing::error!(%name, %why, "boot: it may have been started, and is not started now");
            true
        }
    }
}
