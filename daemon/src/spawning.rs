//! The spawner threads: everything about a start that may wait for a disk or for the program itself.
//!
//! The supervisor hands a run over and goes on. A spawner finds the program, makes the pipes, has the
//! keeper hold them, writes the runtime file, makes the cgroup and the process, and says what became of
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
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
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
use units::{Event, Execution, ExitRecord, Origin, StartFailure};

use crate::{
    cgroups::RunCgroup,
    clock,
    environment::Environment,
    runfile::{self, RunFile},
    supervisor::{Inbox, Message},
};

/// What to do.
pub(crate) enum Job {
    /// Make a run's process.
    Spawn {
        /// What to execute.
        execution: Box<Execution>,
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

/// What all spawner threads go by.
pub(crate) struct Setting {
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
    /// Who is told.
    pub(crate) inbox: Inbox,
}

/// The jobs that wait. At most two for each live run (its start, its removal), so it is bounded by the
/// limit of live runs.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<(Mutex<VecDeque<Job>>, Condvar)>);

impl Jobs {
    /// Adds one.
    pub(crate) fn push(&self, job: Job) {
        self.lock().push_back(job);
        self.0.1.notify_one();
    }

    fn next(&self) -> Job {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.pop_front() {
                return job;
            }
            jobs = self.0.1.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a spawner thread with its channel to the keeper. It lives as long as the daemon.
pub(crate) fn start(setting: Arc<Setting>, jobs: Jobs, channel: Channel) -> io::Result<()> {
    let mut thread = Thread {
        spawner: Spawner::new(setting.method)?,
        null: File::open("/dev/null")?,
        lower_oom_score: has_lowered_oom_score(),
        setting,
        channel,
    };
    std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
        loop {
            match jobs.next() {
                Job::Spawn { execution, origin, cgroup } => {
                    thread.spawn(&execution, &origin, cgroup.as_ref());
                }
                Job::Remove { record, cgroup } => thread.remove(&record, cgroup.as_ref()),
            }
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
    setting: Arc<Setting>,
    channel: Channel,
}

impl Thread {
    fn spawn(&mut self, execution: &Execution, origin: &Origin, cgroup: Option<&RunCgroup>) {
        let run = execution.run;
        match self.make(execution, origin, cgroup) {
            Ok(Spawned { pid, pidfd }) => {
                let pid = pid.as_raw();
                self.setting.logs.started(run, pid, clock::wall()).ok();
                // The supervisor first: what the keeper says of this process must find it known there.
                self.setting.inbox.send(Message::Spawned { run, pid, process: pidfd });
                self.tell(&ToKeeper::Spawned { run: run.to_bytes(), pid });
                let Execution { name, comment, .. } = execution;
                tracing::debug!(%run, %name, pid, comment, by = %origin, "started");
            }
            Err((failure, pid)) => {
                self.tell(&ToKeeper::NotSpawned { run: run.to_bytes(), pid });
                self.setting.inbox.send(Message::Event(Event::SpawnFailed { run, failure }));
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
        self.setting.logs.await_written(run);
        runfile::remove(&self.setting.runs, run);
        self.tell(&ToKeeper::Release { run: run.to_bytes() });
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
        execution: &Execution,
        origin: &Origin,
        cgroup: Option<&RunCgroup>,
    ) -> Result<Spawned, (StartFailure, i32)> {
        let run = execution.run;
        let program = find(&execution.program).map_err(nothing_made)?;
        let (stdout_reader, stdout) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
        let (stderr_reader, stderr) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
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
        let (file, cgroup_folder) =
            self.prepare(execution, origin, cgroup).map_err(nothing_made)?;
        let attach = Attach {
            run,
            log: log_of(execution),
            stdout: stdout_reader.into(),
            stderr: stderr_reader.into(),
            resumed: false,
        };
        self.setting.logs.attach(attach).map_err(|why| {
            nothing_made(failure(Stage::Descriptors, Errno::UnknownErrno, &why.to_string()))
        })?;
        let plan = self
            .plan(execution, &program, [stdout.into(), stderr.into()], cgroup_folder, file.into())
            .map_err(nothing_made)?;
        match self.spawner.spawn(&plan, Parentage::Sibling) {
            Ok(spawned) => Ok(spawned),
            Err(why) => {
                let pid = why.pid.map_or(0, nix::unistd::Pid::as_raw);
                let sentence = if why.stage == Stage::Exec {
                    spawn::explain_exec(&program, why.errno)
                } else {
                    format!("cannot start {}: {}: {}", program.display(), why, why.errno.desc())
                };
                Err((failure(why.stage, why.errno, &sentence), pid))
            }
        }
    }

    /// The runtime file and the cgroup.
    fn prepare(
        &self,
        execution: &Execution,
        origin: &Origin,
        cgroup: Option<&RunCgroup>,
    ) -> Result<(File, Option<OwnedFd>), StartFailure> {
        let kept = RunFile::new(execution, origin, clock::now().wall);
        let file = kept.write(&self.setting.runs, execution.run).map_err(|why| {
            let folder = self.setting.runs.display();
            failure(Stage::Descriptors, errno_of(&why), &format!("cannot write to {folder}: {why}"))
        })?;
        let Some(cgroup) = cgroup else { return Ok((file, None)) };
        cgroup.make().map(|folder| (file, Some(folder))).map_err(|why| {
            let sentence = format!("cannot make the cgroup {}: {why}", cgroup.shown());
            failure(Stage::Cgroup, errno_of(&why), &sentence)
        })
    }

    fn plan(
        &self,
        execution: &Execution,
        program: &std::path::Path,
        [stdout, stderr]: [OwnedFd; 2],
        cgroup: Option<OwnedFd>,
        file: OwnedFd,
    ) -> Result<Plan, StartFailure> {
        let invalid =
            |why: String| failure(Stage::Exec, Errno::EINVAL, &format!("cannot start it: {why}"));
        let words = execution.argv.words().iter().map(|word| CString::new(word.as_slice()));
        let argv = words.collect::<Result<_, _>>().map_err(|why| invalid(why.to_string()))?;
        let program = CString::new(program.as_os_str().as_bytes());
        let stdin = self.null.try_clone().map_err(|why| pipes(&why))?;
        let (soft, hard) = self.setting.open_files;
        let input = PlanInput {
            program: program.map_err(|why| invalid(why.to_string()))?,
            argv,
            environment: self.setting.environment.assignments(execution.run, &execution.comment),
            stdin: stdin.into(),
            stdout,
            stderr,
            cgroup,
            legacy_cgroups: Vec::new(),
            new_session: true,
            working_directory: Some(c"/".to_owned()),
            umask: Some(nix::sys::stat::Mode::from_bits_truncate(0o022)),
            open_files_limit: Some(OpenFilesLimit { soft, hard }),
            oom_score_adjustment: self.lower_oom_score.then_some(0),
            mark: Some((file, runfile::MARK)),
        };
        Plan::new(input).map_err(|why| invalid(why.to_string()))
    }
}

/// The log that a run's output goes to: its name's own, or the one of all nameless commands.
pub(crate) fn log_of(execution: &Execution) -> LogName {
    if execution.anonymous { LogName::Commands } else { LogName::Unit(execution.name.clone()) }
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

fn failure(stage: Stage, errno: Errno, sentence: &str) -> StartFailure {
    let errno = if errno == Errno::UnknownErrno { 0 } else { errno_number(errno) };
    StartFailure { stage: stage_number(stage), errno, message: sentence.to_owned() }
}

fn errno_number(errno: Errno) -> i32 {
    errno as i32
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
