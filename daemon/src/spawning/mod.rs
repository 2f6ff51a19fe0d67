//! The spawner threads: everything about a start that may wait for a disk or for the program itself.
//!
//! The supervisor hands a run over and goes on. A spawner finds the program, makes the pipes, writes the
//! runtime file, makes the cgroup, has the keeper hold the pipes, makes the process, and says what became of
//! it. What is left of a run that is over is removed here too, since that can wait.

mod failure;
mod jobs;
mod telling;
mod work;

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keeper::{channel::Channel, protocol::ToKeeper};
use logs::{Attach, LogName, LogStore};
use nix::{errno::Errno, unistd::fchown};
use spawn::{
    Method, NotFound, OpenFilesLimit, Parentage, Plan, PlanInput, Spawned, Spawner, Stage,
};
use units::{Event, Execution, ExitRecord, Name, Origin, RunId, StartFailure};

use jobs::Next;
pub(crate) use jobs::{Job, Jobs};
pub(crate) use telling::Keeper;
pub(crate) use work::{UnitCommand, Work};

use crate::{
    cgroups::RunCgroup,
    clock,
    environment::Environment,
    memory, processes,
    runfile::{self, RunFile},
    setting::{Inputs, errno_of},
    supervisor::{Inbox, Message},
};
use failure::{explain, failure, keeper_fails, nothing_made, pipes};

/// After so long without a job it is noted when processes began, and the keeper reads what it was told: most programs are
/// over by then, and need neither.
const QUIET: Duration = Duration::from_millis(20);
/// So many are noted at once where there is no such time.
const MOST_UNNOTED: usize = 64;

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

/// Starts the spawner threads, each with its channel to the keeper, and one that watches over them. They live as long as
/// the daemon.
pub(crate) fn start(
    shared: &Arc<Shared>,
    jobs: &Jobs,
    (channels, control): (Vec<Channel>, &Channel),
) -> io::Result<()> {
    let (shared, jobs) = (Arc::clone(shared), jobs.clone());
    let spare = channels.first().map(|channel| Keeper::new(channel, control)).transpose()?;
    for channel in &channels {
        add(&shared, &jobs, Keeper::new(channel, control)?)?;
    }
    let watch = move || {
        while let Some(spare) = &spare {
            // Four starts that hang must not hold up all others until they are given up.
            if jobs.await_stall() {
                tracing::warn!("every spawner thread hangs in a start; one more is started");
                let added = spare.another().and_then(|keeper| add(&shared, &jobs, keeper));
                if let Err(why) = added {
                    tracing::error!(%why, "cannot start another spawner thread; starts wait");
                }
            }
        }
    };
    std::thread::Builder::new().name("spawner-watch".to_owned()).spawn(watch)?;
    Ok(())
}

/// Starts one more spawner thread.
fn add(shared: &Arc<Shared>, jobs: &Jobs, keeper: Keeper) -> io::Result<()> {
    let mut thread = Thread {
        spawner: Spawner::new(shared.method)?,
        null: File::open("/dev/null")?,
        lower_oom_score: has_lowered_oom_score(),
        unnoted: Vec::new(),
        shared: Arc::clone(shared),
        keeper,
    };
    let jobs = jobs.clone();
    let work = move || {
        jobs.join();
        loop {
            let restless = !thread.unnoted.is_empty() || thread.keeper.has_unread();
            let within = restless.then_some(QUIET);
            let job = match jobs.next(within) {
                Next::Job(job) => job,
                Next::Nothing => {
                    thread.note_began();
                    thread.keeper.wake();
                    continue;
                }
                Next::End => return,
            };
            crate::faults::point("spawner");
            match job {
                Job::Spawn { work, origin, cgroup, again } => {
                    if again {
                        thread.keeper.tell(&ToKeeper::Release { run: work.run().to_bytes() });
                    }
                    thread.spawn(work, &origin, cgroup.as_ref());
                }
                Job::Remove { record, cgroup } => thread.remove(&record, cgroup.as_ref()),
            }
            jobs.done();
        }
    };
    std::thread::Builder::new().name("spawner".to_owned()).spawn(work)?;
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
    /// Runs whose files do not say yet when their processes began.
    unnoted: Vec<(RunId, i32)>,
    shared: Arc<Shared>,
    keeper: Keeper,
}

impl Thread {
    fn spawn(&mut self, work: Work, origin: &Origin, cgroup: Option<&RunCgroup>) {
        memory::settle();
        let run = work.run();
        match self.make(work, origin, cgroup) {
            Ok((execution, Spawned { pid, pidfd })) => {
                crate::faults::point("midwife");
                let pid = pid.as_raw();
                self.shared.logs.started(run, pid, clock::wall()).ok();
                // The supervisor first: what the keeper says of this process must find it known there.
                self.shared.inbox.send(Message::Spawned { run, pid, process: pidfd });
                self.keeper.tell(&ToKeeper::Spawned { run: run.to_bytes(), pid });
                self.unnoted.push((run, pid));
                if self.unnoted.len() >= MOST_UNNOTED {
                    self.note_began();
                }
                let Execution { name, comment, .. } = &execution;
                tracing::debug!(%run, %name, pid, comment, by = %origin, "started");
            }
            Err((failure, pid)) => {
                self.keeper.tell(&ToKeeper::NotSpawned { run: run.to_bytes(), pid });
                self.shared.inbox.send(Message::Event(Event::SpawnFailed { run, failure }));
            }
        }
    }

    /// Notes when processes began, whose runs are not over by now.
    fn note_began(&mut self) {
        for (run, pid) in self.unnoted.drain(..) {
            runfile::note_began(&self.shared.runs, run, || processes::began(pid));
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
        self.keeper.tell(&ToKeeper::Release { run: run.to_bytes() });
        // After that: a run that is inherited has its file, and a file without a run is swept away.
        runfile::remove(&self.shared.runs, run);
        let ExitRecord { name, pid, cause, comment, stopped_by, .. } = record;
        match stopped_by {
            Some(by) => tracing::info!(%run, %name, pid, comment, %cause, %by, "ended by order"),
            None => tracing::debug!(%run, %name, pid, comment, %cause, "ended"),
        }
    }

    fn make(
        &mut self,
        work: Work,
        origin: &Origin,
        cgroup: Option<&RunCgroup>,
    ) -> Result<(Execution, Spawned), (StartFailure, i32)> {
        let run = work.run();
        let Shared { environment, notify_socket, .. } = &*self.shared;
        let (execution, inputs) =
            work.equipped(environment, notify_socket, &self.null).map_err(nothing_made)?;
        let program = find(&execution.program).map_err(nothing_made)?;
        let (stdout_reader, stdout) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
        let (stderr_reader, stderr) = io::pipe().map_err(|why| nothing_made(pipes(&why)))?;
        // Before the keeper hears of the run: who inherits it finds its file.
        let place = self.prepare(&execution, origin, cgroup).map_err(nothing_made)?;
        // Before the process is made: from here on the keeper has them, whatever becomes of us.
        let names = ["stdout", "stderr"].map(str::to_owned).to_vec();
        let spawning = ToKeeper::Spawning { run: run.to_bytes(), names };
        self.keeper
            .send(&spawning, &[stdout_reader.as_fd(), stderr_reader.as_fd()])
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
        if let Some(identity) = &inputs.identity {
            // So that it can open /dev/stdout and /dev/stderr.
            for pipe in [&stdout, &stderr] {
                fchown(pipe, Some(identity.user.into()), None).ok();
            }
        }
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
            identity: inputs.identity,
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
