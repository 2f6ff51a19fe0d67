//! The deeds that the core's actions stand for.

use std::sync::Arc;

use logs::Finished;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use units::{Account, Action, Cause, Change, Event, ExitRecord, Origin, RunId, UnitState, Whom};

use super::{Held, LOOK, Supervisor, Tracking, Watched};
use crate::{
    cgroups::RunCgroup,
    clock,
    listeners::Wanted,
    processes::{self, Main},
    spawning::{Job, UnitCommand, Work},
};

/// SIGKILL's number (signal(7)).
const SIGKILL: i32 = nix::libc::SIGKILL;
/// SIGCONT's number (signal(7)).
const SIGCONT: i32 = nix::libc::SIGCONT;

/// Does what the core wants done.
pub(super) fn perform(supervisor: &mut Supervisor, action: Action) {
    match action {
        Action::Spawn { execution, origin } => {
            spawn(supervisor, Work::Execution(execution), origin);
        }
        Action::SpawnUnit { run, spec, role, told, origin } => {
            let command = UnitCommand { run, spec, role, told };
            spawn(supervisor, Work::Command(Box::new(command)), origin);
        }
        Action::Probe { run, listener } => {
            if let Some(listeners) = &supervisor.listeners {
                listeners.want(run, Wanted::Probe(listener));
            }
        }
        Action::Prepare { run, listener } => match &supervisor.listeners {
            Some(listeners) => listeners.want(run, Wanted::Prepare(listener)),
            // Nobody speaks to programs any more.
            None => supervisor.step(Event::Prepared { run }),
        },
        Action::Signal { run, signal } => self::signal(supervisor, run, (signal, true)),
        Action::SignalMain { run, signal } => signal_main(supervisor, run, (signal, true)),
        Action::Deliver { run, signal, whom: Whom::All } => {
            self::signal(supervisor, run, (signal, false));
        }
        Action::Deliver { run, signal, whom: Whom::Main } => {
            signal_main(supervisor, run, (signal, false));
        }
        // Written down before the first action of the step.
        Action::Keep { .. } => {}
        Action::Forget { run } => supervisor.forget(run),
        Action::Tell(change) => tell(supervisor, change),
        Action::Kill { run } => kill(supervisor, run),
        Action::AwaitEmpty { run } => await_empty(supervisor, run),
        Action::Settle { run, record } => settle(supervisor, run, &record),
        Action::Release { run, record } => release(supervisor, run, record),
        Action::Reply(ticket, answer) => supervisor.answer(ticket, answer),
    }
}

fn spawn(supervisor: &mut Supervisor, work: Work, origin: Origin) {
    let (name, anonymous) = work.name();
    let run = work.run();
    let cgroup = match &supervisor.tracking {
        Tracking::Cgroups(cgroups) => {
            Some(cgroups.of_limited_run((name, anonymous, run), work.limits()))
        }
        Tracking::BestEffort(_) => None,
    };
    hold(supervisor, run, cgroup.clone());
    let again = supervisor.unmade.remove(&run);
    supervisor.jobs.push(Job::Spawn { work, origin, cgroup, again });
}

/// Tells of a change: the log, and whoever watches.
fn tell(supervisor: &Supervisor, change: Arc<Change>) {
    let Change { name, from, to, cause, pid, result, .. } = &*change;
    match to {
        UnitState::Failed => tracing::warn!(%name, %from, %to, pid, %result, %cause, "unit"),
        UnitState::Inactive
        | UnitState::Before(_)
        | UnitState::Starting
        | UnitState::After(_)
        | UnitState::Running
        | UnitState::Reloading
        | UnitState::Exited
        | UnitState::Stopping
        | UnitState::Waiting => tracing::info!(%name, %from, %to, pid, %cause, "unit"),
    }
    supervisor.changes.add(change);
}

/// Begins to hold a run, and where it lives.
pub(super) fn hold(supervisor: &mut Supervisor, run: RunId, cgroup: Option<RunCgroup>) {
    let held = Held {
        main: None,
        pid: 0,
        exit: None,
        stranger: false,
        main_number: 0,
        number: 0,
        cgroup,
        watch: None,
        account: None,
    };
    supervisor.held.insert(run, Box::new(held));
}

/// Holds a run's main process, and watches it where there is something to find out when it has ended.
pub(super) fn hold_main(supervisor: &mut Supervisor, run: RunId, main: Main) {
    if !supervisor.held.contains_key(&run) {
        return;
    }
    let number = supervisor.number(Watched::Main(run));
    let Some(held) = supervisor.held.get_mut(&run) else { return };
    if held.cgroup.is_some() {
        let wanted = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, number);
        // Without it the same is found out a little later.
        supervisor.epoll.add(&main.process, wanted).ok();
    }
    held.main_number = number;
    held.pid = main.pid;
    held.main = Some(main);
    if supervisor.is_stranger(run) {
        supervisor.watch_stranger(run);
    }
}

/// Its exit is known, and its number may be another's.
pub(super) fn drop_main(supervisor: &mut Supervisor, run: RunId) {
    let Some(held) = supervisor.held.get_mut(&run) else { return };
    supervisor.by_number.remove(&held.main_number);
    supervisor.estate.unreaped.retain(|(unreaped, _)| *unreaped != run);
    if let Some(main) = held.main.take() {
        supervisor.epoll.delete(&main.process).ok();
    }
}

/// The main process has ended, and the keeper is about to say how.
pub(super) fn look_ahead(supervisor: &mut Supervisor, run: RunId) {
    let Some(held) = supervisor.held.get_mut(&run) else { return };
    held.account = held.cgroup.as_ref().filter(|cgroup| cgroup.is_empty()).map(RunCgroup::account);
}

/// Sends a signal to all processes of a run; with `and_continue`, SIGCONT after it, so that a stopped one hears it.
fn signal(supervisor: &Supervisor, run: RunId, (signal, and_continue): (i32, bool)) {
    let both = [signal, SIGCONT];
    let signals = if and_continue { &both } else { std::slice::from_ref(&signal) };
    let (main, cgroup) = place(supervisor, run);
    match (&supervisor.tracking, cgroup) {
        (Tracking::Cgroups(_), Some(cgroup)) => cgroup.signal(main, signals),
        (Tracking::Cgroups(_), None) => {}
        (Tracking::BestEffort(descendants), _) => {
            descendants.signal(wanted(supervisor, run), signals);
        }
    }
}

/// Its main process and its cgroup, as far as there are any.
fn place(supervisor: &Supervisor, run: RunId) -> (Option<&Main>, Option<&RunCgroup>) {
    let held = supervisor.held.get(&run);
    (held.and_then(|held| held.main.as_ref()), held.and_then(|held| held.cgroup.as_ref()))
}

/// The same to its main process alone.
fn signal_main(supervisor: &Supervisor, run: RunId, (signal, and_continue): (i32, bool)) {
    let Some(main) = supervisor.held.get(&run).and_then(|held| held.main.as_ref()) else { return };
    // Gone is as good as told; one that has taken another user's id cannot be.
    main.process.signal(signal).ok();
    if and_continue {
        main.process.signal(SIGCONT).ok();
    }
}

fn kill(supervisor: &mut Supervisor, run: RunId) {
    let (main, cgroup) = place(supervisor, run);
    match (&supervisor.tracking, cgroup) {
        (Tracking::Cgroups(_), Some(cgroup)) => {
            if let Err(why) = cgroup.kill(main) {
                tracing::error!(%run, cgroup = cgroup.shown(), %why, "cannot kill; trying again");
            }
            // It may have left the cgroup; gone is as good as told.
            main.map(|main| main.process.signal(SIGKILL).ok());
        }
        (Tracking::Cgroups(_), None) => {}
        (Tracking::BestEffort(descendants), _) => {
            descendants.signal(wanted(supervisor, run), &[SIGKILL]);
        }
    }
    look_for_empty(supervisor);
}

/// Whether no process of the run is alive.
pub(super) fn is_empty(supervisor: &Supervisor, run: RunId) -> bool {
    let held = supervisor.held.get(&run);
    match (&supervisor.tracking, held.and_then(|held| held.cgroup.as_ref())) {
        // Nobody joins a cgroup that is empty.
        (Tracking::Cgroups(_), Some(_)) if held.is_some_and(|held| held.account.is_some()) => true,
        (Tracking::Cgroups(_), Some(cgroup)) => cgroup.is_empty(),
        (Tracking::Cgroups(_), None) => true,
        (Tracking::BestEffort(descendants), _) => descendants.is_empty(wanted(supervisor, run)),
    }
}

/// The run, as it is found without a cgroup.
fn wanted(supervisor: &Supervisor, run: RunId) -> processes::Wanted<'_> {
    processes::Wanted { run, main: supervisor.held.get(&run).and_then(|held| held.main.as_ref()) }
}

fn await_empty(supervisor: &mut Supervisor, run: RunId) {
    // It may be awaited already.
    unwatch(supervisor, run);
    if !supervisor.held.contains_key(&run) {
        return;
    }
    let number = supervisor.number(Watched::Cgroup(run));
    let Some(held) = supervisor.held.get_mut(&run) else { return };
    held.number = number;
    if let Some(cgroup) = &held.cgroup {
        let added = cgroup.watch().and_then(|watch| {
            let wanted = EpollEvent::new(EpollFlags::EPOLLPRI, number);
            supervisor.epoll.add(&watch, wanted)?;
            Ok(watch)
        });
        match added {
            Ok(watch) => held.watch = Some(watch),
            // Removed behind our back, or out of descriptors; the look below and the deadline remain.
            Err(why) => tracing::warn!(%run, cgroup = cgroup.shown(), %why, "cannot watch"),
        }
    }
    if held.watch.is_none() {
        supervisor.looked_for.insert(run);
    }
    // It may have become empty before it was watched. To read the watched file arms it.
    let seen = held.watch.as_ref().map(super::Watch::is_empty);
    if seen.unwrap_or_else(|| is_empty(supervisor, run)) {
        unwatch(supervisor, run);
        supervisor.step(Event::Emptied { run });
    }
}

/// Nobody wants to know any more when the run is empty.
pub(super) fn unwatch(supervisor: &mut Supervisor, run: RunId) {
    supervisor.looked_for.remove(&run);
    let Some(held) = supervisor.held.get_mut(&run) else { return };
    supervisor.by_number.remove(&held.number);
    if let Some(watch) = held.watch.take() {
        supervisor.epoll.delete(&watch).ok();
    }
}

/// Looks, where nothing tells, which of the awaited runs are empty.
pub(super) fn look_for_empty(supervisor: &mut Supervisor) {
    let awaited: Vec<RunId> = supervisor.looked_for.iter().copied().collect();
    for run in awaited {
        if is_empty(supervisor, run) {
            unwatch(supervisor, run);
            supervisor.step(Event::Emptied { run });
        }
    }
}

impl Supervisor {
    /// Looks, but not all the time, which of the runs are empty that nothing tells of.
    pub(super) fn look_again(&mut self) {
        let now = clock::now().monotonic;
        if self.has_to_look() && now.saturating_sub(self.last_look) >= LOOK {
            self.last_look = now;
            look_for_empty(self);
            self.look_at_unreaped();
        }
    }

    /// Whether something has to be looked for that nothing tells.
    pub(super) fn has_to_look(&self) -> bool {
        !self.looked_for.is_empty() || !self.estate.unreaped.is_empty()
    }
}

fn settle(supervisor: &mut Supervisor, run: RunId, record: &ExitRecord) {
    unwatch(supervisor, run);
    if let Some(held) = supervisor.held.get_mut(&run) {
        let known = held.account.take();
        held.account = known.or_else(|| held.cgroup.as_ref().map(RunCgroup::account));
    }
    match supervisor.logs.finish(run, end(record)) {
        // The log store says when it is.
        Ok(None) => supervisor.owe_end(),
        Ok(Some(finished)) => log_finished(supervisor, &finished),
        // It never had a log: it failed before its pipes were made, or they were lost.
        Err(_) => settled(supervisor, run, Account::default()),
    }
}

/// A run's end, as its log has it.
pub(super) fn end(record: &ExitRecord) -> logs::End {
    let (cause, value) = match &record.cause {
        Cause::Exited(status) => (logs::Cause::Exited, *status),
        Cause::Signalled { signal, core_dumped: false } => (logs::Cause::Killed, *signal),
        Cause::Signalled { signal, core_dumped: true } => (logs::Cause::Dumped, *signal),
        Cause::Failed(failure) => (logs::Cause::Failed, failure.stage),
        Cause::Lost(_) => (logs::Cause::Lost, 0),
    };
    logs::End { cause, value, time: u64::try_from(record.ended_at).unwrap_or(0) }
}

/// A run's output is in its log.
pub(super) fn log_finished(supervisor: &mut Supervisor, finished: &Finished) {
    if let Some(problem) = &finished.problem {
        tracing::error!(run = %finished.run, problem, "its output is not complete");
    }
    let account = Account {
        last_line: finished.last_line.clone(),
        lost: finished.lost,
        stdout_total: finished.stdout_total,
        stderr_total: finished.stderr_total,
        log_first: finished.first.0,
        log_end: finished.end.0,
        ..Account::default()
    };
    settled(supervisor, finished.run, account);
}

fn settled(supervisor: &mut Supervisor, run: RunId, from_log: Account) {
    let used = supervisor.held.get_mut(&run).and_then(|held| held.account.take());
    let used = used.unwrap_or_default();
    let Account { stdout_total, stderr_total, lost, log_first, log_end, last_line, .. } = from_log;
    let account =
        Account { stdout_total, stderr_total, lost, log_first, log_end, last_line, ..used };
    supervisor.step(Event::Settled { run, account });
}

fn release(supervisor: &mut Supervisor, run: RunId, record: Arc<ExitRecord>) {
    unwatch(supervisor, run);
    drop_main(supervisor, run);
    let cgroup = supervisor.held.remove(&run).and_then(|held| held.cgroup);
    supervisor.jobs.push(Job::Remove { record, cgroup });
}
