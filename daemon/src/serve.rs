//! The daemon from its beginning to its end: take over, build, run, drain.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Arc, mpsc::SyncSender},
    thread::JoinHandle,
    time::Duration,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};
use logs::LogStore;
use nix::{
    fcntl::{OFlag, open},
    sys::{signalfd::SignalFd, stat::Mode},
    unistd::setsid,
};
use spawn::{Method, Probe};
use units::{Limits, RunId, kept};

use crate::{
    bequest::Heirs,
    cgroups::{Cgroups, Unusable},
    changes::Changes,
    configuration::{Configuration, SpawnMethod},
    daemon_log,
    definition::Usual,
    doors::{self, Identity},
    environment::Environment,
    handover::{self, Handover, InheritedRun},
    keeper_instance::KeeperInstance,
    keeper_life::KeeperLife,
    ledger::{self, Opened},
    memory,
    news::{self, Herald},
    notify::{self, NotifySocket},
    opening::{self, Opening},
    power::PowerPlan,
    processes::Descendants,
    runfile,
    scheduling::boot::Boot,
    serving::{self, Ended, Served},
    spawning::{self, Jobs, Shared},
    succession::Succession,
    supervisor::{
        self, Adopted, Callers, Estate, Found, Inbox, Parts, Supervisor, Tracking,
        take_signals_over,
    },
};

/// How long the processes that an Exec's main process leaves behind may take to end after SIGTERM
/// (aurae-api: "2 s, then cgroup.kill").
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a run may take to end when it is told to, before it is killed; an orderly end of the whole
/// daemon may be bound tighter.
const RUN_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a run whose daemon died waits for a client that names its id.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);
/// Descriptors of one run in the daemon: two pipes, two files of its log, its cgroup's events, its main process, and
/// those of a call that follows it.
const DESCRIPTORS_PER_RUN: u64 = 9;
/// Descriptors that neither runs nor connections may use up: the loop's own, log reading.
const RESERVED_DESCRIPTORS: u64 = 512;
/// How long it may take to remove what is left of the last runs; the keeper removes cgroups of version 2 only.
const LAST_REMOVALS: Duration = Duration::from_secs(2);

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
    /// A part has failed without which nothing can be served.
    #[error("{0}")]
    Failed(String),
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// Adds what was tried.
pub(crate) fn when<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> BeginError {
    move |why| BeginError::System { what, why: why.into() }
}

/// The whole life of a daemon.
pub(crate) fn serve() -> Result<(), BeginError> {
    // A session of our own: keys pressed at the keeper's terminal are for the keeper.
    setsid().ok();
    memory::forgo_huge_pages();
    // On older kernels a program that was executed by its descriptor is called by its number.
    nix::sys::prctl::set_name(c"auraed-core").ok();
    let channels = handover::channels()?;
    // Before there are threads: all of them are to leave SIGTERM to the supervisor.
    let signals = take_signals_over().map_err(when("taking signals"))?;
    let handover = handover::greet(channels)?;
    let keeper = handover.control.try_clone().map_err(when("keeping the channel to the keeper"))?;
    carry_ballast();
    let outcome = live(handover, signals, &keeper);
    if let Err(why) = &outcome {
        // It starts the next daemon in any case, and with this it can say why.
        let failing = ToKeeper::Failing { why: why.to_string() };
        drop(keeper.send(&failing.encode(), &[], Patience::Wait));
    }
    daemon_log::print_the_last();
    outcome
}

fn live(mut handover: Handover, signals: SignalFd, serving: &Channel) -> Result<(), BeginError> {
    let (herald, news) = news::begin();
    let (inbox, receiver) = queue(&handover)?;
    // Before anything that may take its time: a keeper may be killed at any moment.
    let estate = estate(&handover, signals)?;
    let (logs, instance, audit) = opening::begin_log(&handover, &inbox)?;
    let Opening { schedule, ledger, hold_back, trial } = opening::inherit(&mut handover, instance)?;
    let succession = Arc::new(succession((trial, &handover), &estate, &herald));
    let Handover { control, spawners, configuration, keeper, inherited, open_files, .. } = handover;
    let who = (keeper, handover.starts, handover.previous);
    let (tracking, cgroups, method, identity) = find_out(&configuration, who)?;
    let Opened { ledger, kept, series, taken_over, after_kill } = opening::read(ledger)?;
    let of_killed = kept.runs.iter().filter(|_| after_kill).map(|run| run.identity.run).collect();
    let door = doors::Core {
        inbox,
        audit: audit.clone(),
        logs,
        schedule,
        environment: Environment::of_this_user(),
        cgroups,
        changes: Arc::new(Changes::resumed(series, &kept.changes, kept.numbers.changes)),
        usual: Usual::of(&configuration),
        identity,
        ledger_fails: ledger.fails(),
        succession,
        power: power(&configuration, keeper, &estate.life, &herald),
        keeper: Arc::clone(&estate.life),
        sockets: Arc::clone(&estate.sockets),
        bulk: doors::BulkReaders::new()?,
        metrics: doors::metrics::Metrics::of(&configuration),
        drunc: configuration.drunc.clone().map(doors::drunc::Drunc::with),
        drpc: configuration.drpc.clone().map(doors::drpc::Drpc::with),
    };
    let shared = Arc::new(shared(&door, &configuration, (method, open_files)));
    let notify = notify_socket((&shared.notify_socket, handover.notify), serving)?;
    let (jobs, all_ended): (Jobs, Arc<tokio::sync::Notify>) = Default::default();
    let parts = Parts {
        limits: limits(&configuration, open_files.1),
        ledger,
        kept,
        tracking,
        inbox: receiver,
        keeper: control,
        notify,
        estate,
        logs: door.logs.clone(),
        audit,
        jobs: jobs.clone(),
        changes: Arc::clone(&door.changes),
        all_ended: Arc::clone(&all_ended),
        herald,
        listeners: door.drpc.as_ref().map(|drpc| drpc.listeners()),
    };
    let left = Left { inherited, of_killed, keeper, taken_over, after_kill, hold_back };
    let mut supervisor = Supervisor::new(parts).map_err(when("making the supervisor"))?;
    let boot = go_on(&mut supervisor, &configuration, left, (&spawners, serving), &door)?;
    let supervisor = start_threads(supervisor, (&shared, &jobs), (spawners, serving))?;
    let (logs, connections) = (door.logs.clone(), configuration.connections_of(open_files.1));
    let served = Served { listener: handover.listener, connections, door, boot, news };
    // Where something has failed, what is under way is the next daemon's, as after any death.
    let ended = serving::serve(served, serving, &all_ended, supervisor)?;
    drain(ended, (&jobs, &logs, &configuration.runtime_dir), serving);
    Ok(())
}

/// The queue in front of the supervisor, and its ends.
fn queue(handover: &Handover) -> Result<(Inbox, supervisor::Receiver), BeginError> {
    supervisor::inbox(handover.configuration.answer_timeout).map_err(when("making the queue"))
}

/// What was under way is done, and the keeper knows why we end.
fn drain(ended: Ended, (jobs, logs, folder): (&Jobs, &LogStore, &Path), keeper: &Channel) {
    jobs.await_done(LAST_REMOVALS);
    logs.close();
    match ended {
        Ended::All => {
            // Nobody goes on with anything.
            ledger::remove(folder);
            drop(keeper.send(&ToKeeper::Stopped.encode(), &[], Patience::Wait));
        }
        // It knows already, and waits for our exit.
        Ended::Ourselves => {}
    }
}

fn succession(
    (trial, handover): (Option<SyncSender<()>>, &Handover),
    estate: &Estate,
    herald: &Herald,
) -> Succession {
    let follow = (Arc::clone(&estate.life), herald.clone());
    Succession::new(trial, handover.upgrades.clone(), follow)
}

/// The end of the machine, as the daemon before has planned it.
fn power(
    configuration: &Configuration,
    keeper: i32,
    life: &Arc<KeeperLife>,
    herald: &Herald,
) -> Arc<PowerPlan> {
    let keeper = (KeeperInstance::of(keeper), Arc::clone(life));
    let folder = &configuration.runtime_dir;
    Arc::new(PowerPlan::resume(configuration.role, folder, keeper, herald.clone()))
}

/// Where programs say that they are ready.
fn notify_socket(
    (path, inherited): (&Path, Option<OwnedFd>),
    keeper: &Channel,
) -> Result<NotifySocket, BeginError> {
    let socket = NotifySocket::open(path, inherited).map_err(when("making the notify socket"))?;
    // What is said while there is no daemon waits there for the next.
    let hold = ToKeeper::Hold { names: vec![notify::SOCKET.to_owned()] };
    // That the keeper is gone the supervisor finds out, and what runs goes on all the same.
    drop(keeper.send(&hold.encode(), &[socket.as_fd()], Patience::Wait));
    Ok(socket)
}

/// What is ready for the death of the keeper.
fn estate(handover: &Handover, signals: SignalFd) -> Result<Estate, BeginError> {
    let folder = &handover.configuration.runtime_dir;
    let heirs = Heirs::expect(folder)
        .map_err(when("listening in the runtime folder for the keeper that comes after ours"))?;
    let listener = handover.listener.try_clone().map_err(when("keeping the listener"))?;
    let keeper = handover.keeper;
    let life = Arc::new(KeeperLife::of(keeper));
    let sockets = Arc::clone(&handover.sockets);
    Ok(Estate { heirs, listener, sockets, keeper, life, signals, unreaped: Vec::new() })
}

/// What earlier daemons left.
struct Left {
    inherited: Vec<InheritedRun>,
    /// The runs that only the ledger of a killed keeper knows.
    of_killed: Vec<RunId>,
    keeper: i32,
    taken_over: bool,
    after_kill: bool,
    /// Dropped when all is taken up; see [`opening::inherit`].
    hold_back: Option<SyncSender<()>>,
}

/// Removes what is left of runs that neither the keeper knows, nor we, where the keeper before was killed.
fn sweep(
    cgroups: Option<&Cgroups>,
    folder: &Path,
    (keep, known): (&HashSet<RunId>, &[kept::Identity]),
) {
    if let Some(cgroups) = cgroups {
        let known = known.iter().filter(|identity| keep.contains(&identity.run));
        cgroups.sweep(keep, known.map(|it| (&it.name, it.anonymous, it.run)));
    }
    runfile::sweep(&folder.join("runs"), keep);
}

/// Goes on with what earlier daemons left, and removes the rest; what is known then of a boot.
fn go_on(
    supervisor: &mut Supervisor,
    configuration: &Configuration,
    left: Left,
    spawners: (&[Channel], &Channel),
    door: &doors::Core,
) -> Result<Boot, BeginError> {
    let inherited = left.inherited.iter().map(|run| run.run);
    let keep: HashSet<RunId> = inherited.chain(left.of_killed.iter().copied()).collect();
    let known = supervisor.known();
    let (cgroups, folder) = (door.cgroups.as_ref(), &configuration.runtime_dir);
    std::thread::scope(|scope| {
        // Beside the adoption, and over before anything is made: it removes nothing that is new.
        let clear = || sweep(cgroups, folder, (&keep, &known));
        let beside = std::thread::Builder::new().name("sweep".to_owned());
        if beside.spawn_scoped(scope, clear).is_err() {
            clear();
        }
        adopt(supervisor, configuration, left, spawners)
    })
}

/// Goes on with the runs; what is known then of a boot.
fn adopt(
    supervisor: &mut Supervisor,
    configuration: &Configuration,
    Left { inherited, keeper, taken_over, after_kill, of_killed: _, hold_back }: Left,
    (spawners, control): (&[Channel], &Channel),
) -> Result<Boot, BeginError> {
    let first = spawners.first().ok_or_else(|| io::Error::other("there is none"));
    let spawner = first
        .and_then(|channel| spawning::Keeper::new(channel, control))
        .map_err(when("keeping a spawner's channel to the keeper"))?;
    let runtime_dir = configuration.runtime_dir.clone();
    let known: Vec<RunId> = inherited.iter().map(|run| run.run).collect();
    let runs = runtime_dir.join("runs");
    let found = Found { inherited, runs, keeper, spawner, taken_over, after_kill };
    let Adopted { units, forgotten } = supervisor.adopt(found);
    let inherited = known.into_iter().filter(|run| !forgotten.contains(run)).collect();
    let (rescue, masked) = (configuration.rescue, configuration.masked.clone());
    let keeper = KeeperInstance::of(keeper);
    drop(hold_back);
    Ok(Boot { runtime_dir, keeper, inherited, units, rescue, masked })
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
        notify_socket: configuration.runtime_dir.join(notify::SOCKET),
        inbox: door.inbox.clone(),
    }
}

/// Those of the spawners, and the supervisor's.
fn start_threads(
    supervisor: Supervisor,
    (shared, jobs): (&Arc<Shared>, &Jobs),
    channels: (Vec<Channel>, &Channel),
) -> Result<JoinHandle<Callers>, BeginError> {
    spawning::start(shared, jobs, channels).map_err(when("starting a spawner thread"))?;
    std::thread::Builder::new()
        .name("supervisor".to_owned())
        .spawn(move || supervisor.run())
        .map_err(when("starting the supervisor thread"))
}

fn limits(configuration: &Configuration, hard_limit: u64) -> Limits {
    let connections = u64::try_from(configuration.connections_of(hard_limit)).unwrap_or(u64::MAX);
    let reserved = RESERVED_DESCRIPTORS.saturating_add(connections);
    let runs = hard_limit.saturating_sub(reserved) / DESCRIPTORS_PER_RUN;
    Limits {
        leftover_timeout: LEFTOVER_TIMEOUT,
        stop_timeout: RUN_STOP_TIMEOUT.min(configuration.stop_timeout),
        prepare_timeout: doors::drpc::CALL.min(configuration.stop_timeout),
        start_timeout: configuration.start_timeout,
        shut_down_timeout: configuration.stop_timeout,
        claim_timeout: CLAIM_TIMEOUT,
        live_runs: usize::try_from(runs).unwrap_or(usize::MAX),
    }
}

/// What this machine has, and who we are on it.
fn find_out(
    configuration: &Configuration,
    (keeper, starts, previous): (i32, u32, String),
) -> Result<(Tracking, Option<Cgroups>, Method, Arc<Identity>), BeginError> {
    let (tracking, cgroups) = track(configuration, keeper, starts == 1);
    let method = choose_method(configuration.spawn_method, cgroups.as_ref())?;
    let identity = Identity::new(configuration, keeper, starts, previous).with(method, &tracking);
    Ok((tracking, cgroups, method, identity))
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
    let wanted = wanted.map(|wanted| match wanted {
        SpawnMethod::Clone3IntoCgroup => Method::Clone3IntoCgroup,
        SpawnMethod::Clone3 => Method::Clone3,
        SpawnMethod::Clone => Method::Clone,
    });
    let units = cgroups.map(Cgroups::units);
    let probe = probe(wanted, units).map_err(when("trying to make processes"))?;
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

/// Tries the ways, in a fresh cgroup where there are cgroups, until there is one to go.
fn probe(wanted: Option<Method>, units: Option<&Path>) -> io::Result<Probe> {
    let Some(units) = units else { return Ok(spawn::probe(wanted, None)) };
    let path = units.join(format!("probe-{}", std::process::id()));
    std::fs::create_dir(&path)?;
    let folder = open(&path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let probe = folder.map(|folder| spawn::probe(wanted, Some(folder.as_fd())));
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
