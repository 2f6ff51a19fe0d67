//! The core's registry and its one transition function.
//!
//! An [`Event`] goes in, [`Action`]s come out; nothing else happens. The function is total: every event is
//! answered in every state, and one that means nothing there (a late message about a run that is over, a
//! second exit) does nothing. Invariants, held by `tests/core_model.rs`:
//! - a name belongs to at most one live run, and is free the moment that run is over; earlier daemons'
//!   runs, which are as they are, may share one, and it is free when the last of them is over;
//! - every ticket is answered to its end exactly once;
//! - a run whose end is ordered has a deadline until no process of it is left, and none after that.
//!
//! Units are a layer above runs: they order runs, and are told what becomes of them (`crate::unit` has their
//! theory). A unit's name is its own from its first start until it is forgotten.

mod adoption;
mod asking;
mod ended;
mod ending;
mod event;
mod finding;
mod keeping;
mod life;
mod listening;
mod registry;
mod units;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use crate::{
    Name, Origin, Readiness, Refusal, RunId,
    kept::Keep,
    order::{Answer, Command, Execution, Order, Target, Ticket},
    run::{Identity, Run},
    unit::Draw,
};
use ended::Ended;
use ending::ShutDown;
pub use event::{Action, Event, Limits, Now};
use keeping::{Runs, Units};

/// The registry of all runs.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    /// In the order of their ids, so that the same events always lead to the same actions.
    runs: Runs,
    names: HashMap<Name, Vec<RunId>>,
    /// The runs whose main processes have, or had, these pids.
    pids: BTreeSet<(i32, RunId)>,
    timers: BTreeSet<(Duration, RunId)>,
    units: Units,
    unit_timers: BTreeSet<(Duration, Name)>,
    draw: Draw,
    /// Who waits for what, and until when.
    tickets: HashMap<Ticket, (Waited, Option<Duration>)>,
    call_deadlines: BTreeSet<(Duration, Ticket)>,
    ended: Ended,
    /// Apart, so that a unit that is always started again drives out nobody else's.
    ended_of_units: Ended,
    total: u64,
    /// The end of everything, once that is ordered.
    shut_down: Option<ShutDown>,
    /// Nothing can be made any more, since the keeper is gone. The next core begins with another.
    keeper_lost: bool,
    /// Nothing new is begun, since it could not be kept: what room there is, is for what runs.
    no_room: bool,
    /// What is over since the last step, to be kept.
    over: Vec<Keep>,
}

/// What somebody waits for.
#[derive(Debug)]
enum Waited {
    /// A run's beginning and end, as its caller.
    Run(RunId),
    /// A run's end.
    End(RunId),
    /// Something of a unit.
    Unit(Name),
}

impl Core {
    /// A core that knows of nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            units: Units::default(),
            unit_timers: BTreeSet::new(),
            draw: Draw::default(),
            runs: Runs::default(),
            names: HashMap::new(),
            pids: BTreeSet::new(),
            timers: BTreeSet::new(),
            tickets: HashMap::new(),
            call_deadlines: BTreeSet::new(),
            ended: Ended::default(),
            ended_of_units: Ended::default(),
            total: 0,
            shut_down: None,
            keeper_lost: false,
            no_room: false,
            over: Vec::new(),
        }
    }

    /// The same core, with chance of its own: the ids of the runs that it makes for units, and what chance
    /// adds to their pauses, follow from this seed alone. Two cores must have different ones, or their runs
    /// have the same ids.
    #[must_use]
    pub fn with_seed(mut self, seed: [u8; 16]) -> Self {
        self.draw.seed = seed;
        self
    }

    /// When [`Event::Tick`] is due next, on the monotonic clock; never where nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let run = self.timers.first().map(|(at, _)| *at);
        let unit = self.unit_timers.first().map(|(at, _)| *at);
        let call = self.call_deadlines.first().map(|(at, _)| *at);
        let bound = self.shut_down.as_ref().and_then(|shut_down| shut_down.bound);
        [run, unit, call, bound].into_iter().flatten().min()
    }

    /// The transition: what happened goes in, what is to be done comes out.
    pub fn step(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        let first = actions.len();
        self.take(now, event, actions);
        self.keep(first, actions);
    }

    fn take(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Command(ticket, command) => self.command(now, ticket, command, actions),
            Event::CallerGone(ticket) => self.caller_gone(now, ticket, actions),
            Event::Inherited { execution, started_by } => self.inherit(&execution, started_by),
            Event::Adopted { run, fate } => self.adopt(now, run, fate, actions),
            Event::Spawned { run, pid } => self.spawned(now, run, (pid, now.wall), actions),
            Event::SpawnFailed { run, failure } => self.spawn_failed(now, run, failure, actions),
            Event::MainExited { run, exit, empty } => {
                self.main_exited(now, run, exit, empty, actions);
            }
            Event::MainLost { run, why, empty } => {
                self.main_lost(now, run, (why, empty), actions);
            }
            Event::KeeperLost => self.keeper_lost = true,
            Event::OutputsLost { run, why } => self.unit_outputs_lost(run, why),
            Event::Room { there } => self.no_room = !there,
            Event::Emptied { run } => self.emptied(now, run, actions),
            Event::Settled { run, account } => self.settled(now, run, account, actions),
            Event::Ready { run } => self.unit_ready(now, (run, Readiness::Notify), actions),
            Event::Serves { run, listener } => self.serves(now, run, listener, actions),
            Event::Prepared { run } => self.prepared(now, run, actions),
            Event::Notified { run, status } => self.unit_notified(run, &status),
            Event::Tick => self.tick(now, actions),
        }
    }

    fn command(&mut self, now: Now, ticket: Ticket, command: Command, actions: &mut Vec<Action>) {
        let Command { origin, deadline, order } = command;
        if deadline.is_some_and(|at| at <= now.monotonic) {
            actions.push(Action::Reply(ticket, Answer::Refused(Refusal::DeadlinePassed)));
            return;
        }
        let answer = self.obey(now, (ticket, deadline), order, origin, actions);
        if let Some(answer) = answer.unwrap_or_else(|refusal| Some(Answer::Refused(refusal))) {
            actions.push(Action::Reply(ticket, answer));
        }
    }

    /// Carries out an order; the answer, unless it is given already or comes later.
    fn obey(
        &mut self,
        now: Now,
        waiting: (Ticket, Option<Duration>),
        order: Order,
        origin: Origin,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Answer>, Refusal> {
        let answer = match order {
            Order::Execute(execution) => {
                self.execute(now, waiting, execution, origin, actions)?;
                return Ok(None);
            }
            Order::Join { run } => {
                if !self.join(waiting, run, |_| true, actions)? {
                    return Err(no_such_run(&Target::Run(run)));
                }
                return Ok(None);
            }
            Order::Start { spec, run } => {
                self.bring_up(now, waiting, (spec, false, run), origin, actions)?;
                return Ok(None);
            }
            Order::Restart { spec } => {
                self.bring_up(now, waiting, (spec, true, None), origin, actions)?;
                return Ok(None);
            }
            Order::Reload { name } => {
                self.reload(now, waiting, &name, origin, actions)?;
                return Ok(None);
            }
            Order::ShutDown => {
                self.shut_down(now, waiting.0, &origin, actions);
                return Ok(None);
            }
            Order::Stop { target, how } => {
                return self.stop_target(now, waiting, (&target, how), &origin, actions);
            }
            Order::Wait { target } => return self.wait_for_end(now, waiting, &target, actions),
            Order::Signal { target, signal, whom } => {
                self.signal(&target, signal, whom, actions)?
            }
            Order::Find(target) => {
                Answer::Found(self.find(&target).ok_or_else(|| no_such_run(&target))?)
            }
            Order::Count => Answer::Counted { live: self.runs.len(), total: self.total },
            Order::List => self.list(now),
            Order::Inspect { name } => self.inspect(now, &name)?,
            Order::Forget { which } => self.forget(which)?,
        };
        Ok(Some(answer))
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
        if self.join((ticket, deadline), id, |first| first.is_same(&identity), actions)? {
            return Ok(());
        }
        if self.shut_down.is_some() {
            return Err(Refusal::ShuttingDown);
        }
        if self.keeper_lost {
            return Err(Refusal::KeeperLost);
        }
        if self.no_room {
            return Err(Refusal::NoRoom);
        }
        if self.units.contains_key(&identity.name) {
            return Err(Refusal::NameOfUnit(identity.name));
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
}

impl Core {
    /// Joins the run of this id, where there is one and it is what the caller means.
    fn join(
        &mut self,
        (ticket, deadline): (Ticket, Option<Duration>),
        id: RunId,
        is_meant: impl Fn(&Identity) -> bool,
        actions: &mut Vec<Action>,
    ) -> Result<bool, Refusal> {
        if let Some(run) = self.runs.get(&id) {
            if run.unit.is_some() || !is_meant(&run.identity) {
                return Err(Refusal::RunTaken { run: id });
            }
            actions.extend(started(&run.identity, run.pid).map(|it| Action::Reply(ticket, it)));
            self.claim(id);
            self.wait(ticket, id, deadline);
            return Ok(true);
        }
        if let Some((first, record)) = self.ended.get(id) {
            if !is_meant(first) {
                return Err(Refusal::RunTaken { run: id });
            }
            actions.extend(started(first, record.pid).map(|it| Action::Reply(ticket, it)));
            actions.push(Action::Reply(ticket, Answer::Ended(Arc::clone(record))));
            return Ok(true);
        }
        if self.ended_of_units.get(id).is_some() {
            return Err(Refusal::RunTaken { run: id });
        }
        Ok(false)
    }
}

/// What is said of a run whose program has been executed.
fn started(identity: &Identity, pid: i32) -> Option<Answer> {
    (pid != 0).then(|| Answer::Started { run: identity.run, name: identity.name.clone(), pid })
}

fn no_such_run(target: &Target) -> Refusal {
    Refusal::NoSuchRun(match target {
        Target::Run(id) => format!("with the id {id}"),
        Target::Name(name) => format!("of the name {name}"),
        Target::Pid(pid) => format!("with the main process {pid}"),
    })
}
