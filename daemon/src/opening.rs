//! What is opened before anything is served: the log store with the daemon's own log and the audit log, the schedule, and the
//! ledger, which is read on a thread of its own.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use logs::LogStore;
use units::{Origin, RunId};

use crate::{
    audit::{Attempt, Audit},
    configuration::Configuration,
    daemon_log,
    definition::Usual,
    handover::Handover,
    keeper_instance::KeeperInstance,
    ledger::{self, Opened},
    scheduling::{Gates, Location, Schedule},
    serve::{BeginError, when},
    supervisor::{Inbox, Message},
};

/// Opens the log store and begins our own log, in which we have a name of our own, and the audit log.
pub(crate) fn begin_log(
    handover: &Handover,
    inbox: &Inbox,
) -> Result<(LogStore, RunId, Audit), BeginError> {
    let logs = open_logs(&handover.configuration, inbox.clone())?;
    let instance = RunId::from_bytes(uuid::Uuid::new_v4().into_bytes());
    daemon_log::start(&handover.configuration.log, logs.clone(), instance)
        .map_err(when("starting the log"))?;
    if !handover.previous.is_empty() {
        let Handover { starts, previous, .. } = handover;
        tracing::warn!(starts, "the daemon before this one: {previous}");
    }
    let audit = Audit::new(logs.clone(), instance);
    audit.tell(&begins(handover), &Origin::daemon(&handover.previous));
    Ok((logs, instance, audit))
}

fn open_logs(configuration: &Configuration, inbox: Inbox) -> Result<LogStore, BeginError> {
    let finished = move |finished| {
        crate::faults::point("log-writer");
        inbox.send(Message::LogFinished(finished));
    };
    let root = configuration.state_dir.join("logs");
    let overflow = configuration.runtime_dir.join("overflow");
    // Where it says nothing of its size, the state folder does: the logs' own is made by the store.
    let retention = configuration.logs.retention(&configuration.state_dir);
    let retention = retention.map_err(when("asking how large the filesystem of the logs is"))?;
    // Until the daemon serves there is more urgent work, the adoption of runs above all.
    let kept = (logs::Options { later: true, ..logs::Options::default() }, retention);
    LogStore::open_bounded(&root, &overflow, kept, Box::new(finished))
        .map_err(|why| BeginError::Logs { why })
}

fn open_schedule(configuration: &Configuration, gates: Gates) -> Result<Schedule, BeginError> {
    let folder = configuration.state_dir.join("schedule");
    let location = Location { folder, scratch: configuration.runtime_dir.clone() };
    Schedule::start(location, gates).map_err(when("starting the thread of the schedule"))
}

/// A daemon begins: what this changes is who does things from now on.
fn begins(handover: &Handover) -> Attempt {
    let version = env!("CARGO_PKG_VERSION");
    Attempt::all("begin").with(format!("daemon {} of version {version}", handover.starts))
}

/// What earlier daemons kept, on its way.
pub(crate) type Reading = JoinHandle<Result<Opened, BeginError>>;

/// What was read meanwhile.
pub(crate) fn read(ledger: Reading) -> Result<Opened, BeginError> {
    ledger.join().unwrap_or_else(|why| std::panic::resume_unwind(why))
}

/// What is opened while the runs are taken.
pub(crate) struct Opening {
    pub(crate) schedule: Schedule,
    pub(crate) ledger: Reading,
    /// As long as it is held the schedule is not opened: the first daemon needs what is enabled at once, and any other one
    /// what runs.
    pub(crate) hold_back: Option<SyncSender<()>>,
    /// Told when a daemon that is on trial is so no more.
    pub(crate) trial: Option<SyncSender<()>>,
}

/// Takes the runs, while schedule and ledger are being opened.
pub(crate) fn inherit(handover: &mut Handover, instance: RunId) -> Result<Opening, BeginError> {
    let (hold_back, later) = (handover.starts > 1).then(|| sync_channel(0)).unzip();
    let (confirm, trial) = handover.trial.then(|| sync_channel(1)).unzip();
    let schedule = open_schedule(&handover.configuration, Gates { later, trial })?;
    let ledger = begin_to_read(handover, instance)?;
    handover.inherit()?;
    Ok(Opening { schedule, ledger, hold_back, trial: confirm })
}

/// Reads what earlier daemons kept, while the keeper tells of the runs and it is tried how processes are made: both are
/// mostly to wait for others.
fn begin_to_read(handover: &Handover, instance: RunId) -> Result<Reading, BeginError> {
    let (configuration, keeper) = (handover.configuration.clone(), handover.keeper);
    let open = move || {
        let (folder, usual) = (&configuration.runtime_dir, Usual::of(&configuration));
        ledger::open(folder, &KeeperInstance::of(keeper), usual, &instance.to_string())
            .map_err(when("opening the ledger in the runtime folder"))
    };
    let beside = std::thread::Builder::new().name("ledger".to_owned());
    beside.spawn(open).map_err(when("starting the thread that reads the ledger"))
}
