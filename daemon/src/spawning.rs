//! The spawner threads: everything about a start that may wait for a disk or for the program itself.
//!
//! The supervisor hands a run over and goes on. A spawner finds the program, makes the pipes, writes the
//! runtime file, makes the cgroup, has the keeper hold the pipes, makes the process, and says what became of
//! it. What is left of a run that is over is removed here too, since that can wait.

use std::{
    collections::VecDeque,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};
use logs::{Attach, LogName, LogStore};
use nix::errno::Errno;
use spawn::{
    Method, NotFound, OpenFilesLimit, Parentage, Plan, PlanInput, Spawned, Spawner, Stage,
};
use units::{
    CommandSpec, Event, Execution, ExitRecord, Name, Origin, Readiness, ResourceLimits, Role,
    RunId, StartFailure, UnitResult, UnitSpec,
};

use crate::{
    cgroups::RunCgroup,
    clock,
    environment::Environment,
    runfile::{self, RunFile},
    setting::{self, Circumstances, Inputs, Outcome, SettingFailure, Variables},
    supervisor::{Inbox, Message},
};

/// What to do.
pub(crate) enum Job {
    /// Make a run's process.
    Spawn {
        /// What to execute.
        work: Work,
        /// Who ordered it.
        origin: Origin,
        /// Where it is to live; `None` where there are no cgroups.
        cgroup: Option<RunCgroup>,
    },
    /// Remove what is left of a run that is over.
    Remove {
        /// How it ended.
        record: Arc<ExitRecord>,
        /// Where it lived.
        cgroup: Option<RunCgroup>,
    },
}

/// What to execute.
pub(crate) enum Work {
    /// This, as it stands.
    Execution(Box<Execution>),
    /// A command of a unit.
    Command(Box<UnitCommand>),
}

/// A command of a unit.
pub(crate) struct UnitCommand {
    /// The run.
    pub(crate) run: RunId,
    /// The unit.
    pub(crate) spec: Arc<UnitSpec>,
    /// Which of its commands.
    pub(crate) role: Role,
    /// The main process of its program; 0 where there is none.
    pub(crate) main_pid: i32,
    /// What came of its program, for commands on stop.
    pub(crate) result: Option<UnitResult>,
}

impl Work {
    /// The run.
    pub(crate) fn run(&self) -> RunId {
        match self {
            Self::Execution(execution) => execution.run,
            Self::Command(command) => command.run,
        }
    }

    /// The name it runs under, and whether that was made up.
    pub(crate) fn name(&self) -> (&Name, bool) {
        match self {
            Self::Execution(execution) => (&execution.name, execution.anonymous),
            Self::Command(command) => (&command.spec.name, false),
        }
    }

    /// What it may use at most.
    pub(crate) fn limits(&self) -> &ResourceLimits {
        match self {
            Self::Execution(execution) => &execution.setting.limits,
            Self::Command(command) => &command.spec.setting.limits,
        }
    }
}

/// What all spawner threads go by.
pub(crate) struct Shared {
    /// How processes are made.
    pub(crate) method: Method,
    /// The folder of the runtime files.
    pub(crate) runs: PathBuf,
    /// RLIMIT_NOFILE of runs.
    pub(crate) open_files: (u64, u64),
    /// What runs find in their environment.
    pub(crate) environment: Environment,
    /// Where output goes.
    pub(crate) logs: LogStore,
    /// Where programs say that they are ready.
    pub(crate) notify_socket: PathBuf,
    /// Who is told.
    pub(crate) inbox: Inbox,
}

/// The jobs that wait. At most two for each live run (its start, its removal), so it is bounded by the
/// limit of live runs.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Line>);

#[derive(Default)]
struct Line {
    waiting: Mutex<Waiting>,
    /// Told of a new job.
    news: Condvar,
    /// Told when nothing is left to do.
    idle: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many are being done.
    working: usize,
}

impl Jobs {
    /// Adds one.
    pub(crate) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.0.news.notify_one();
    }

    fn next(&self) -> Job {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                waiting.working += 1;
                return job;
            }
            waiting = self.0.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self) {
        let mut waiting = self.lock();
        waiting.working = waiting.working.saturating_sub(1);
        if waiting.working == 0 && waiting.jobs.is_empty() {
            self.0.idle.notify_all();
        }
    }

    /// Waits until all is done, but no longer than this: what is left of runs must not outlive the daemon.
    pub(crate) fn await_done(&self, patience: Duration) {
        let busy = |waiting: &mut Waiting| waiting.working > 0 || !waiting.jobs.is_empty();
        drop(self.0.idle.wait_timeout_while(self.lock(), patience, busy));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a spawner thread with its channel to the keeper. It lives as long as the daemon.
pub(crate) fn start(shared: Arc<Shared>, jobs: Jobs, channel: Channel) -> io::Result<()> {
    let mut thread = Thread {
        spawner: Spawner::new(shared.method)?,
        null: File::open("/dev/null")?,
        lower_oom_score: has_lowered_oom_score(),
        shared,
        channel,
    };
    std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
        loop {
            match jobs.next() {
                Job::Spawn { work, origin, cgroup } => {
                    thread.spawn(work, &origin, cgroup.as_ref());
                }
                Job::Remove { record, cgroup } => thread.remove(&record, cgroup.as_ref()),
            }
            jobs.done();
        }
    })?;
    Ok(())
}

/// The keeper asks the kernel to spare it, and we inherit that; runs must not.
fn has_lowered_oom_score() -> bool {
    std::fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with('-'))
}

struct Thread {
    spawner: Spawner,
    null: File,
    lower_oom_score: bool,
    shared: Arc<Shared>,
    channel: Channel,
}

impl Thread {
    fn spawn(&mut self, work: Work, origin: &Origin, cgroup: Option<&RunCgroup>) {
        let run = work.run();
        match self.make(work, origin, cgroup) {
            Ok((execution, Spawned { pid, pidfd })) => {
                let pid = pid.as_raw();
                self.shared.logs.started(run, pid, clock::wall()).ok();
                // The supervisor first: what the keeper says of this process must find it known there.
                self.shared.inbox.send(Message::Spawned { run, pid, process: pidfd });
                self.tell(&ToKeeper::Spawned { run: run.to_bytes(), pid });
                let Execution { name, comment, .. } = &execution;
                tracing::debug!(%run, %name, pid, comment, by = %origin, "started");
            }
            Err((failure, pid)) => {
                self.tell(&ToKeeper::NotSpawned { run: run.to_bytes(), pid });
                self.shared.inbox.send(Message::Event(Event::SpawnFailed { run, failure }));
            }
        }
    }

    /// Removes what is left, and last of all lets the keeper forget the run: should we die before its end is
    /// in its log, the next daemon learns of it.
    fn remove(&self, record: &ExitRecord, cgroup: Option<&RunCgroup>) {
        let run = record.run;
        if let Some(cgroup) = cgroup {
            cgroup.remove();
        }
        self.shared.logs.await_written(run);
        self.tell(&ToKeeper::Release { run: run.to_bytes() });
        // After that: a run that is inherited has its file, and a file without a run is swept away.
        runfile::remove(&self.shared.runs, run);
        let ExitRecord { name, pid, cause, comment, stopped_by, .. } = record;
        match stopped_by {
            Some(by) => tracing::info!(%run, %name, pid, comment, %cause, %by, "ended by order"),
            None => tracing::debug!(%run, %name, pid, comment, %cause, "ended"),
        }
    }

    /// A keeper that is gone takes us along: the supervisor sees it.
    fn tell(&self, message: &ToKeeper) {
        drop(self.channel.send(&message.encode(), &[], Patience::Wait));
    }

    fn make(
        &mut self,
        work: Work,
        origin: &Origin,
        cgroup: Option<&RunCgroup>,
    ) -> Result<(Execution, Spawned), (StartFailure, i32)> {
        let run = work.run();
        let (execution, inputs) = self.equipped(work).map_err(nothing_made)?;
        let program = find(&execution.program).map_err(nothing_made)?;
        let (stdout_reader, stdout) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
        let (stderr_reader, stderr) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
        // Before the keeper hears of the run: who inherits it finds its file.
        let place = self.prepare(&execution, origin, cgroup).map_err(nothing_made)?;
        // Before the process is made: from here on the keeper has them, whatever becomes of us.
        let names = ["stdout", "stderr"].map(str::to_owned).to_vec();
        let spawning = ToKeeper::Spawning { run: run.to_bytes(), names };
        self.channel
            .send(
                &spawning.encode(),
                &[stdout_reader.as_fd(), stderr_reader.as_fd()],
                Patience::Wait,
            )
            .map_err(|why| nothing_made(keeper_fails(&why)))?;
        let attach = Attach {
            run,
            log: log_of(&execution.name, execution.anonymous),
            stdout: stdout_reader.into(),
            stderr: stderr_reader.into(),
            resumed: false,
        };
        self.shared.logs.attach(attach).map_err(|why| {
            nothing_made(failure(Stage::Descriptors, Errno::UnknownErrno, &why.to_string()))
        })?;
        let plan = self
            .plan(&execution, &program, [stdout.into(), stderr.into()], (inputs, place))
            .map_err(nothing_made)?;
        match self.spawner.spawn(&plan, Parentage::Sibling) {
            Ok(spawned) => Ok((execution, spawned)),
            Err(why) => {
                let pid = why.pid.map_or(0, nix::unistd::Pid::as_raw);
                let sentence = explain(&program, &execution.setting, &why);
                Err((failure(why.stage, why.errno, &sentence), pid))
            }
        }
    }

    /// The words of what is to be executed, and what its process finds around it.
    fn equipped(&self, work: Work) -> Result<(Execution, Inputs), StartFailure> {
        let environment = &self.shared.environment;
        let refused = |SettingFailure { stage, errno, sentence }| StartFailure {
            stage: stage.into(),
            errno: errno_number(errno),
            message: sentence,
        };
        match work {
            Work::Execution(execution) => {
                if *execution.setting == units::Setting::default() {
                    let Execution { run, comment, .. } = &*execution;
                    let environment = environment.assignments(*run, comment);
                    let inputs = Inputs::usual(environment, &self.null).map_err(refused)?;
                    return Ok((*execution, inputs));
                }
                let circumstances = Circumstances::of(execution.run, &execution.comment);
                let variables = setting::variables(&execution.setting, environment, &circumstances)
                    .map_err(refused)?;
                let inputs =
                    setting::inputs(&execution.setting, &variables, &self.null).map_err(refused)?;
                Ok((*execution, inputs))
            }
            Work::Command(command) => {
                let UnitCommand { run, spec, role, main_pid, result } = *command;
                let awaited = role == Role::Main && spec.readiness == Readiness::Notify;
                let outcome =
                    result.map(|result| Outcome { result: result.to_string(), cause: None });
                let circumstances = Circumstances {
                    main_pid: Some(main_pid).filter(|pid| *pid != 0),
                    notify_socket: awaited.then_some(self.shared.notify_socket.as_path()),
                    outcome: outcome.as_ref(),
                    ..Circumstances::of(run, &spec.comment)
                };
                let variables = setting::variables(&spec.setting, environment, &circumstances)
                    .map_err(refused)?;
                let inputs =
                    setting::inputs(&spec.setting, &variables, &self.null).map_err(refused)?;
                Ok((execution_of(run, &spec, role, &variables)?, inputs))
            }
        }
    }

    /// The runtime file and the cgroup.
    fn prepare(
        &self,
        execution: &Execution,
        origin: &Origin,
        cgroup: Option<&RunCgroup>,
    ) -> Result<Place, StartFailure> {
        let kept = RunFile::new(execution, origin, clock::now().wall);
        let file = kept.write(&self.shared.runs, execution.run).map_err(|why| {
            let folder = self.shared.runs.display();
            failure(Stage::Descriptors, errno_of(&why), &format!("cannot write to {folder}: {why}"))
        })?;
        let mut place = Place { file, cgroup: None, legacy_cgroups: Vec::new() };
        if let Some(cgroup) = cgroup {
            place.cgroup = Some(cgroup.make().map_err(|why| {
                let sentence = format!("cannot make the cgroup {}: {why}", cgroup.shown());
                failure(Stage::Cgroup, errno_of(&why), &sentence)
            })?);
            place.legacy_cgroups = cgroup
                .limit()
                .map_err(|why| failure(Stage::Cgroup, errno_of(&why.why), &why.to_string()))?;
        }
        Ok(place)
    }

    fn plan(
        &self,
        execution: &Execution,
        program: &Path,
        [stdout, stderr]: [OwnedFd; 2],
        (inputs, place): (Inputs, Place),
    ) -> Result<Plan, StartFailure> {
        let invalid =
            |why: String| failure(Stage::Exec, Errno::EINVAL, &format!("cannot start it: {why}"));
        let words = execution.argv.words().iter().map(|word| CString::new(word.as_slice()));
        let argv = words.collect::<Result<_, _>>().map_err(|why| invalid(why.to_string()))?;
        let program = CString::new(program.as_os_str().as_bytes());
        let (soft, hard) = self.shared.open_files;
        let input = PlanInput {
            program: program.map_err(|why| invalid(why.to_string()))?,
            argv,
            environment: inputs.environment,
            stdin: inputs.stdin,
            stdout,
            stderr,
            cgroup: place.cgroup,
            legacy_cgroups: place.legacy_cgroups,
            new_session: true,
            working_directory: Some(inputs.working_directory),
            umask: Some(inputs.umask),
            nice: inputs.nice,
            open_files_limit: Some(OpenFilesLimit { soft, hard }),
            oom_score_adjustment: self.lower_oom_score.then_some(0),
            mark: Some((place.file.into(), runfile::MARK)),
        };
        Plan::new(input).map_err(|why| invalid(why.to_string()))
    }
}

/// Where a process is to live.
struct Place {
    /// Its run's file, in which it leaves its mark.
    file: File,
    cgroup: Option<OwnedFd>,
    legacy_cgroups: Vec<OwnedFd>,
}

/// The log that a run's output goes to: its name's own, or the one of all nameless commands.
pub(crate) fn log_of(name: &Name, anonymous: bool) -> LogName {
    if anonymous { LogName::Commands } else { LogName::Unit(name.clone()) }
}

/// A unit's command, with its variables replaced.
fn execution_of(
    run: RunId,
    spec: &UnitSpec,
    role: Role,
    variables: &Variables,
) -> Result<Execution, StartFailure> {
    let refused = |why: String| failure(Stage::Exec, Errno::EINVAL, &why);
    let (program, argv) = match spec.command(role) {
        None => return Err(refused(format!("{} has no such command", spec.name))),
        Some(CommandSpec::Argv(argv)) => {
            (argv.words().first().cloned().unwrap_or_default(), argv.clone())
        }
        Some(CommandSpec::Line(line)) => {
            let expanded = variables.expand(line).map_err(|why| {
                refused(format!("cannot start it: with its variables replaced, {why}"))
            })?;
            (expanded.program, expanded.argv)
        }
    };
    let (name, comment) = (spec.name.clone(), spec.comment.clone());
    let setting = Arc::clone(&spec.setting);
    Ok(Execution { run, name, anonymous: false, program, argv, comment, setting })
}

fn find(program: &[u8]) -> Result<PathBuf, StartFailure> {
    let name = OsString::from_vec(program.to_vec());
    spawn::resolve(OsStr::new(&name)).map_err(|why| {
        let errno = match why {
            NotFound::NotExecutable(_) => Errno::EACCES,
            NotFound::Empty | NotFound::Relative(_) | NotFound::Missing(_) => Errno::ENOENT,
        };
        failure(Stage::Exec, errno, &why.to_string())
    })
}

/// Why a process came no further than this step, with what its unit says of it.
fn explain(program: &Path, setting: &units::Setting, why: &spawn::Failure) -> String {
    if why.stage == Stage::Exec {
        return spawn::explain_exec(program, why.errno);
    }
    let of_its_own = if why.stage == Stage::Chdir {
        setting.working_directory.as_ref().map(|folder| format!(" {folder}"))
    } else if why.stage == Stage::Nice {
        setting.nice.map(|nice| format!(" to {nice}"))
    } else {
        None
    };
    let of_its_own = of_its_own.unwrap_or_default();
    format!("cannot start {}: {why}{of_its_own}: {}", program.display(), why.errno.desc())
}

fn failure(stage: Stage, errno: Errno, sentence: &str) -> StartFailure {
    let (stage, errno) = (stage_number(stage), errno_number(errno));
    StartFailure { stage, errno, message: sentence.to_owned() }
}

/// The kernel's number; 0 where the reason is not the kernel's.
fn errno_number(errno: Errno) -> i32 {
    if errno == Errno::UnknownErrno { 0 } else { errno as i32 }
}

fn errno_of(why: &io::Error) -> Errno {
    why.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// The wire's number of a stage: the exit code where systemd has one.
fn stage_number(stage: Stage) -> i32 {
    use api::runtime::StartStage;
    let uncoded = if stage == Stage::Killed { StartStage::Killed } else { StartStage::Clone };
    stage.code().unwrap_or(uncoded.into())
}

fn pipes(why: &io::Error) -> StartFailure {
    failure(Stage::Descriptors, errno_of(why), &format!("cannot make its descriptors: {why}"))
}

fn keeper_fails(why: &io::Error) -> StartFailure {
    let sentence = format!("the keeper cannot hold its descriptors: {why}");
    failure(Stage::Descriptors, errno_of(why), &sentence)
}

fn nothing_made(failure: StartFailure) -> (StartFailure, i32) {
    (failure, 0)
}
