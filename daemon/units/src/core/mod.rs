//! The core's registry and its one transition function.
//!
//! An [`Event`] goes in, [`Action`]s come out; nothing else happens. The function is total: every event is
//! answered in every state, and one that means nothing there (a late message about a run that is over, a
//! second exit) does nothing. Invariants, held by `tests/core_model.rs`:
//! - a name belongs to at most one live run, and is free the moment that run is over; earlier daemons'
//!   runs, which are as they are, may share one, and it is free when the last of them is over;
//! - every ticket is answered to its end exactly once;
//! - a run whose end is ordered has a deadline until no process of it is left, and none after that.

mod ended;
mod ending;
mod event;
mod life;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use crate::{
    ExitRecord, Name, Origin, RunId,
    order::{Answer, Command, Execution, Found, Order, Refusal, Target, Ticket},
    run::{Identity, Run},
};
use ended::Ended;
use ending::ShutDown;
pub use event::{Action, Event, Limits, Now};

/// The registry of all runs.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    /// In the order of their ids, so that the same events always lead to the same actions.
    runs: BTreeMap<RunId, Run>,
    names: HashMap<Name, Vec<RunId>>,
    timers: BTreeSet<(Duration, RunId)>,
    /// Who waits for which run, and until when.
    tickets: HashMap<Ticket, (RunId, Option<Duration>)>,
    call_deadlines: BTreeSet<(Duration, Ticket)>,
    ended: Ended,
    total: u64,
    /// The end of everything, once that is ordered.
    shut_down: Option<ShutDown>,
}

impl Core {
    /// A core that knows of nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            runs: BTreeMap::new(),
            names: HashMap::new(),
            timers: BTreeSet::new(),
            tickets: HashMap::new(),
            call_deadlines: BTreeSet::new(),
            ended: Ended::default(),
            total: 0,
            shut_down: None,
        }
    }

    /// When [`Event::Tick`] is due next, on the monotonic clock; never where nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let run = self.timers.first().map(|(at, _)| *at);
        let call = self.call_deadlines.first().map(|(at, _)| *at);
        let bound = self.shut_down.as_ref().and_then(|shut_down| shut_down.bound);
        [run, call, bound].into_iter().flatten().min()
    }

    /// The transition: what happened goes in, what is to be done comes out.
    pub fn step(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Command(ticket, command) => self.command(now, ticket, command, actions),
            Event::CallerGone(ticket) => self.caller_gone(now, ticket, actions),
            Event::Inherited { execution, started_by, started_at, pid, exit, failure, empty } => {
                let mut run = Run::new(Identity::of(&execution), started_by);
                (run.inherited, run.failure) = (true, failure);
                (run.pid, run.started_at, run.exit, run.empty) = (pid, started_at, exit, empty);
                self.inherit(now, run, actions);
            }
            Event::Spawned { run, pid } => self.spawned(now, run, pid, actions),
            Event::SpawnFailed { run, failure } => self.spawn_failed(now, run, failure, actions),
            Event::MainExited { run, exit, empty } => {
                self.main_exited(now, run, exit, empty, actions);
            }
            Event::Emptied { run } => self.emptied(now, run, actions),
            Event::Settled { run, account } => self.settled(run, account, actions),
            Event::Tick => self.tick(now, actions),
        }
    }

    fn command(&mut self, now: Now, ticket: Ticket, command: Command, actions: &mut Vec<Action>) {
        let Command { origin, deadline, order } = command;
        if deadline.is_some_and(|at| at <= now.monotonic) {
            actions.push(Action::Reply(ticket, Answer::Refused(Refusal::DeadlinePassed)));
            return;
        }
        let answer = match order {
            Order::Execute(execution) => {
                let waiting = (ticket, deadline);
                match self.execute(now, waiting, execution, origin, actions) {
                    Ok(()) => return,
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Order::Stop { target, how } => self
                .stop(now, &target, how, &origin, actions)
                .map_or_else(Answer::Refused, |(run, name)| Answer::Stopping { run, name }),
            Order::Find(target) => self
                .find(&target)
                .map_or_else(|| Answer::Refused(no_such_run(&target)), Answer::Found),
            Order::Count => Answer::Counted { live: self.runs.len(), total: self.total },
            Order::ShutDown => {
                self.shut_down(now, ticket, &origin, actions);
                return;
            }
        };
        actions.push(Action::Reply(ticket, answer));
    }

    /// Makes a run, or joins the one that has this id.
    fn execute(
        &mut self,
        now: Now,
        (ticket, deadline): (Ticket, Option<Duration>),
        execution: Box<Execution>,
        origin: Origin,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let identity = Identity::of(&execution);
        let id = identity.run;
        if let Some(run) = self.runs.get(&id) {
            if !run.identity.is_same(&identity) {
                return Err(Refusal::RunTaken { run: id });
            }
            actions.extend(started(&run.identity, run.pid).map(|it| Action::Reply(ticket, it)));
            self.wait(ticket, id, deadline);
            return Ok(());
        }
        if let Some((first, record)) = self.ended.get(id) {
            if !first.is_same(&identity) {
                return Err(Refusal::RunTaken { run: id });
            }
            actions.extend(started(first, record.pid).map(|it| Action::Reply(ticket, it)));
            actions.push(Action::Reply(ticket, Answer::Ended(Arc::clone(record))));
            return Ok(());
        }
        if self.shut_down.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        if let Some(holder) = self.holder(&identity.name) {
            return Err(Refusal::NameTaken { name: identity.name, holder });
        }
        let live = self.runs.len();
        if live >= self.limits.live_runs {
            return Err(Refusal::TooManyRuns { live });
        }
        actions.push(Action::Spawn { execution, origin: origin.clone() });
        self.add(Run::new(identity, origin));
        self.wait(ticket, id, deadline);
        self.arm(id, now.monotonic.saturating_add(self.limits.start_timeout));
        Ok(())
    }

    fn add(&mut self, run: Run) {
        self.total = self.total.saturating_add(1);
        let id = run.identity.run;
        self.names.entry(run.identity.name.clone()).or_default().push(id);
        self.runs.insert(id, run);
    }

    /// The live run of this name.
    fn holder(&self, name: &Name) -> Option<RunId> {
        self.names.get(name).and_then(|holders| holders.last()).copied()
    }

    fn free(&mut self, name: &Name, id: RunId) {
        if let Some(holders) = self.names.get_mut(name) {
            holders.retain(|holder| *holder != id);
            if holders.is_empty() {
                self.names.remove(name);
            }
        }
    }

    fn wait(&mut self, ticket: Ticket, id: RunId, deadline: Option<Duration>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.callers.push(ticket);
            self.tickets.insert(ticket, (id, deadline));
            self.call_deadlines.extend(deadline.map(|at| (at, ticket)));
        }
    }

    /// Forgets a ticket; the run that it waited for.
    fn close(&mut self, ticket: Ticket) -> Option<RunId> {
        let (id, deadline) = self.tickets.remove(&ticket)?;
        if let Some(at) = deadline {
            self.call_deadlines.remove(&(at, ticket));
        }
        Some(id)
    }

    fn find(&self, target: &Target) -> Option<Found> {
        let live = match target {
            Target::Run(id) => self.runs.get(id),
            Target::Name(name) => self.holder(name).and_then(|id| self.runs.get(&id)),
            // A main process that lives is the only one with its pid.
            Target::Pid(pid) => self
                .runs
                .values()
                .filter(|run| run.pid == *pid && run.pid != 0)
                .max_by_key(|run| (run.exit.is_none(), run.started_at)),
        };
        // A pid whose process has ended may have been another run's since.
        let by_pid = matches!(target, Target::Pid(_));
        let ended = self.ended.find(target).filter(|(_, record)| {
            live.is_none_or(|run| {
                by_pid && run.exit.is_some() && run.started_at < record.started_at
            })
        });
        match (ended, live) {
            (Some((identity, record)), _) => {
                Some(found(identity, record.pid, Some(Arc::clone(record))))
            }
            (None, Some(run)) => Some(found(&run.identity, run.pid, None)),
            (None, None) => None,
        }
    }

    fn arm(&mut self, id: RunId, at: Duration) {
        self.disarm(id);
        if let Some(run) = self.runs.get_mut(&id) {
            run.timer = Some(at);
            self.timers.insert((at, id));
        }
    }

    fn disarm(&mut self, id: RunId) {
        if let Some(at) = self.runs.get_mut(&id).and_then(|run| run.timer.take()) {
            self.timers.remove(&(at, id));
        }
    }
}

/// What is said of a run whose program has been executed.
fn started(identity: &Identity, pid: i32) -> Option<Answer> {
    (pid != 0).then(|| Answer::Started { run: identity.run, name: identity.name.clone(), pid })
}

fn found(identity: &Identity, pid: i32, ended: Option<Arc<ExitRecord>>) -> Found {
    Found {
        run: identity.run,
        name: identity.name.clone(),
        anonymous: identity.anonymous,
        pid,
        ended,
    }
}

fn no_such_run(target: &Target) -> Refusal {
    Refusal::NoSuchRun(match target {
        Target::Run(id) => format!("with the id {id}"),
        Target::Name(name) => format!("of the name {name}"),
        Target::Pid(pid) => format!("with the main process {pid}"),
    })
}
