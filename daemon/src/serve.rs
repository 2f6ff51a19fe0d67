//! The daemon from its beginning to its end: take over, build, run, drain.

use std::{io, path::Path, sync::Arc, time::Duration};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};
use logs::LogStore;
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::setsid,
};
use spawn::{Method, Probe};
use units::{Limits, RunId};

use crate::{
    cgroups::{Cgroups, Unusable},
    changes::Changes,
    configuration::{Configuration, SpawnMethod},
    daemon_log,
    definition::Usual,
    doors::{self, Identity},
    environment::Environment,
    handover::{self, Handover},
    notify::NotifySocket,
    processes::Descendants,
    runfile,
    scheduling::{
        Location, Schedule,
        boot::{self, Boot},
        keeper_instance::KeeperInstance,
    },
    spawning::{self, Jobs, Shared},
    supervisor::{self, Inbox, Message, Parts, Supervisor, Tracking},
};

/// How long the processes that an Exec's main process leaves behind may take to end after SIGTERM
/// (aurae-api: "2 s, then cgroup.kill").
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a run may take to end when it is told to, before it is killed; an orderly end of the whole
/// daemon may be bound tighter.
const RUN_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Descriptors of one run in the daemon: two pipes, two files of its log, its cgroup's events, its main process, and
/// those of a call that follows it.
const DESCRIPTORS_PER_RUN: u64 = 9;
/// Descriptors that runs may not use up: the loop's own, connections, log reading.
const RESERVED_DESCRIPTORS: u64 = 512;
/// How long it may take to remove what is left of the last runs; the keeper removes cgroups of version 2 only.
const LAST_REMOVALS: Duration = Duration::from_secs(2);
/// How long calls that are being answered may take to reach their clients when everything has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why the daemon cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The keeper.
    #[error(transparent)]
    Handover(#[from] handover::HandoverError),
    /// The log store.
    #[error("the log store: {why}{}", cause(.why))]
    Logs {
        /// What fails, and why.
        why: logs::OpenError,
    },
    /// The wanted way of making processes does not work.
    #[error("processes cannot be made: {0}")]
    Spawn(String),
    /// Anything else of the system.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: io::Error,
    },
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// Adds what was tried.
fn when<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> BeginError {
    move |why| BeginError::System { what, why: why.into() }
}

/// The whole life of a daemon.
pub(crate) fn serve() -> Result<(), BeginError> {
    // A session of our own: keys pressed at the keeper's terminal are for the keeper.
    setsid().ok();
    let handover = handover::take()?;
    carry_ballast();
    let (inbox, receiver) = supervisor::inbox().map_err(when("making the queue"))?;
    let logs = open_logs(&handover.configuration, inbox.clone())?;
    let instance = RunId::from_bytes(uuid::Uuid::new_v4().into_bytes());
    daemon_log::start(&handover.configuration.log, logs.clone(), instance)
        .map_err(when("starting the log"))?;
    let schedule = open_schedule(&handover.configuration)?;
    let Handover { control, spawners, configuration, keeper, inherited, open_files, .. } = handover;
    let (tracking, cgroups) = track(&configuration, keeper, handover.starts == 1);
    let method = choose_method(configuration.spawn_method, cgroups.as_ref())?;
    let identity = Identity::new(&configuration, keeper, handover.starts, handover.previous)
        .with(method, &tracking);
    let door = doors::Core {
        inbox,
        logs,
        schedule,
        environment: Environment::of_this_user(),
        cgroups,
        changes: Arc::new(Changes::new(instance.to_string())),
        usual: Usual::of(&configuration),
        identity,
    };
    let keep: Vec<RunId> = inherited.iter().map(|run| run.run).collect();
    if let Some(cgroups) = &door.cgroups {
        cgroups.sweep(&keep);
    }
    let shared = Arc::new(shared(&door, &configuration, (method, open_files)));
    let notify =
        NotifySocket::bind(&shared.notify_socket).map_err(when("making the notify socket"))?;
    let jobs = Jobs::default();
    spawning::start(&shared, &jobs, spawners).map_err(when("starting a spawner thread"))?;
    let all_ended = Arc::new(tokio::sync::Notify::new());
    let serving = control.try_clone().map_err(when("keeping the channel to the keeper"))?;
    let parts = Parts {
        limits: limits(&configuration, open_files.1),
        tracking,
        inbox: receiver,
        keeper: control,
        notify,
        logs: door.logs.clone(),
        jobs: jobs.clone(),
        changes: Arc::clone(&door.changes),
        seed: uuid::Uuid::new_v4().into_bytes(),
        all_ended: Arc::clone(&all_ended),
    };
    let mut supervisor = Supervisor::new(parts).map_err(when("making the supervisor"))?;
    let unmade = supervisor.adopt(inherited, &shared.runs, keeper);
    runfile::sweep(&shared.runs, &keep);
    let supervisor = start_supervisor(supervisor)?;
    let (runtime_dir, keeper) = (configuration.runtime_dir, KeeperInstance::of(keeper));
    let boot = Boot { runtime_dir, keeper, inherited: keep, unmade };
    let logs = door.logs.clone();
    let served = Served { listener: handover.listener, door, boot };
    let outcome = run_doors(served, &serving, &all_ended, supervisor);
    jobs.await_done(LAST_REMOVALS);
    logs.close();
    drop(serving.send(&ToKeeper::Stopped.encode(), &[], Patience::Wait));
    outcome
}

/// What is served, and what begins as soon as it is.
struct Served {
    listener: std::os::unix::net::UnixListener,
    door: doors::Core,
    boot: Boot,
}

/// Serves until everything has ended, or the supervisor has.
fn run_doors(
    served: Served,
    keeper: &Channel,
    all_ended: &Arc<tokio::sync::Notify>,
    supervisor: std::thread::JoinHandle<()>,
) -> Result<(), BeginError> {
    // One thread: a call is answered where it is read, without a hand-over. What waits for a disk is read
    // by blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(when("starting tokio"))?;
    // Without a supervisor nothing can be served: the keeper sees our end, and starts the next.
    let watched = runtime.handle().clone();
    let supervisor_ended = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&supervisor_ended);
    watched.spawn_blocking(move || {
        drop(supervisor.join());
        tell.notify_one();
    });
    let outcome = runtime.block_on(async {
        let (closing, closed) = tokio::sync::watch::channel(false);
        let Served { listener, door, boot } = served;
        let server =
            doors::grpc::serve(listener, door.clone(), closed).map_err(when("serving gRPC"))?;
        let server = tokio::spawn(server);
        keeper
            .send(&ToKeeper::Serving.encode(), &[], Patience::Wait)
            .map_err(when("telling the keeper"))?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
        tokio::spawn(boot::boot(door, boot));
        tokio::select! {
            () = all_ended.notified() => {}
            () = supervisor_ended.notified() => {
                return Err(BeginError::System {
                    what: "the supervisor thread ended",
                    why: io::Error::other("see the log"),
                });
            }
        }
        closing.send(true).ok();
        // Calls get their last answers; whoever does not take them in time goes without.
        if let Ok(Ok(Err(why))) = tokio::time::timeout(LAST_ANSWERS, server).await {
            tracing::error!(%why, "the server ended with an error");
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::ZERO);
    outcome
}

/// What the spawner threads go by.
fn shared(
    door: &doors::Core,
    configuration: &Configuration,
    (method, open_files): (Method, (u64, u64)),
) -> Shared {
    Shared {
        method,
        runs: configuration.runtime_dir.join("runs"),
        open_files,
        environment: door.environment.clone(),
        logs: door.logs.clone(),
        notify_socket: configuration.runtime_dir.join("notify"),
        inbox: door.inbox.clone(),
    }
}

fn start_supervisor(supervisor: Supervisor) -> Result<std::thread::JoinHandle<()>, BeginError> {
    std::thread::Builder::new()
        .name("supervisor".to_owned())
        .spawn(move || supervisor.run())
        .map_err(when("starting the supervisor thread"))
}

fn open_logs(configuration: &Configuration, inbox: Inbox) -> Result<LogStore, BeginError> {
    let finished = move |finished| inbox.send(Message::LogFinished(finished));
    let root = configuration.state_dir.join("logs");
    let overflow = configuration.runtime_dir.join("overflow");
    LogStore::open_after_absence(&root, &overflow, logs::Options::default(), Box::new(finished))
        .map_err(|why| BeginError::Logs { why })
}

fn open_schedule(configuration: &Configuration) -> Result<Schedule, BeginError> {
    let folder = configuration.state_dir.join("schedule");
    let location = Location { folder, scratch: configuration.runtime_dir.clone() };
    Schedule::start(location).map_err(when("starting the thread of the schedule"))
}

fn limits(configuration: &Configuration, hard_limit: u64) -> Limits {
    let runs = hard_limit.saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_RUN;
    Limits {
        leftover_timeout: LEFTOVER_TIMEOUT,
        stop_timeout: RUN_STOP_TIMEOUT.min(configuration.stop_timeout),
        start_timeout: configuration.start_timeout,
        shut_down_timeout: configuration.stop_timeout,
        live_runs: usize::try_from(runs).unwrap_or(usize::MAX),
    }
}

/// Cgroups where they can be had; otherwise as well as it goes, and Status says why.
fn track(configuration: &Configuration, keeper: i32, first: bool) -> (Tracking, Option<Cgroups>) {
    match Cgroups::arrange(configuration.tracking, &configuration.cgroup, keeper, first) {
        Ok(cgroups) => (Tracking::Cgroups(cgroups.clone()), Some(cgroups)),
        Err(why) => {
            if matches!(why, Unusable::Off) {
                tracing::info!(%why, "tracking runs by their environment");
            } else {
                tracing::warn!(%why, "tracking runs by their environment, as well as it goes");
            }
            (Tracking::BestEffort(Descendants::of(keeper)), None)
        }
    }
}

/// The best way of making processes that works here, or the wanted one.
fn choose_method(
    wanted: Option<SpawnMethod>,
    cgroups: Option<&Cgroups>,
) -> Result<Method, BeginError> {
    let probe = probe(cgroups.map(Cgroups::units)).map_err(when("trying to make processes"))?;
    let wanted = wanted.map(|wanted| match wanted {
        SpawnMethod::Clone3IntoCgroup => Method::Clone3IntoCgroup,
        SpawnMethod::Clone3 => Method::Clone3,
        SpawnMethod::Clone => Method::Clone,
    });
    let works = |method| probe.trials.iter().any(|t| t.method == method && t.outcome.is_ok());
    match wanted {
        Some(method) if works(method) => Ok(method),
        Some(method) => Err(BeginError::Spawn(format!(
            "the configuration wants [spawn] method = \"{method}\", and here {probe}"
        ))),
        None => {
            let best = probe.best().ok_or_else(|| BeginError::Spawn(probe.to_string()))?;
            tracing::debug!(%probe, method = %best, "chose how processes are made");
            Ok(best)
        }
    }
}

/// Tries all ways, in a fresh cgroup where there are cgroups.
fn probe(units: Option<&Path>) -> io::Result<Probe> {
    let Some(units) = units else { return Ok(spawn::probe(None)) };
    let path = units.join(format!("probe-{}", std::process::id()));
    std::fs::create_dir(&path)?;
    let folder = open(&path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let probe = folder.map(|folder| spawn::probe(Some(std::os::fd::AsFd::as_fd(&folder))));
    drop(std::fs::remove_dir(&path));
    Ok(probe?)
}

/// For the benchmarks: a daemon that is as large as `AURAED_BALLAST_MIB` says, to show that the cost of a
/// start does not depend on it.
fn carry_ballast() {
    let mib = std::env::var("AURAED_BALLAST_MIB").ok().and_then(|mib| mib.parse::<usize>().ok());
    if let Some(mib) = mib {
        // Touched, page by page, so that it is resident; kept for ever.
        Box::leak(vec![1_u8; mib.min(1 << 16) << 20].into_boxed_slice());
    }
}
