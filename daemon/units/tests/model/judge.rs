//! Sees every event and every action, and knows what must hold between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use units::{
    Action, Answer, Command, Core, Event, Execution, ExitRecord, Leftovers, Limits, Now, Order,
    Origin, Refusal, Role, RunId, Ticket, UnitSpec,
};

use super::{
    facts::{Asked, Caller, Known},
    units::Units,
};

/// Between two kills never passes more.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All that the judge has noted.
#[derive(Debug)]
pub(crate) struct Judge {
    limits: Limits,
    pub(crate) live: BTreeMap<RunId, Known>,
    over: BTreeSet<RunId>,
    pub(crate) units: Units,
    /// Somebody has a signal sent, from which nothing follows.
    delivers: bool,
    callers: BTreeMap<Ticket, Caller>,
    shut_down: Option<Duration>,
    /// There is no keeper: nothing begins.
    keeper_lost: bool,
}

impl Judge {
    /// One that has seen nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            live: BTreeMap::new(),
            over: BTreeSet::new(),
            units: Units::default(),
            delivers: false,
            callers: BTreeMap::new(),
            shut_down: None,
            keeper_lost: false,
        }
    }

    /// Everybody who has not been answered to the end.
    pub(crate) fn unanswered(&self) -> Vec<(Ticket, Asked)> {
        let waiting = self.callers.iter().filter(|(_, caller)| !caller.done);
        waiting.map(|(ticket, caller)| (*ticket, caller.asked)).collect()
    }

    /// Lets the core take one step, and looks at it.
    pub(crate) fn step(&mut self, core: &mut Core, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        core.step(now, event.clone(), &mut actions);
        self.units.before(now.monotonic, &event, &self.live);
        let origin = self.before(now.monotonic, &event);
        for action in &actions {
            self.action(now.monotonic, &origin, action);
        }
        self.deadlines(core, now.monotonic, event == Event::Tick);
        self.units.after(core, now, &event, &self.live);
        actions
    }

    fn before(&mut self, now: Duration, event: &Event) -> Origin {
        self.delivers = false;
        match event {
            Event::Command(ticket, command) => {
                self.ordered(now, *ticket, command);
                return command.origin.clone();
            }
            Event::CallerGone(ticket) => self.leaves(now, *ticket),
            Event::Inherited { execution, started_by } => {
                let id = execution.run;
                if !self.live.contains_key(&id) && !self.over.contains(&id) {
                    let mut run = Known::new(execution.name.clone(), started_by.clone(), now);
                    run.unadopted = true;
                    self.live.insert(id, run);
                }
            }
            Event::Adopted { run, fate } => {
                if let Some(run) = self.live.get_mut(run) {
                    run.adopted(now, fate);
                }
            }
            Event::Spawned { run, pid } => {
                if let Some(run) = self.live.get_mut(run).filter(|run| run.starting) {
                    (run.starting, run.pid) = (false, Some(*pid));
                    // Said before that, it counts from now on.
                    run.listens |= run.says_so && run.exit.is_none() && run.killed_at.is_none();
                }
            }
            Event::SpawnFailed { run, failure } => {
                if let Some(run) = self.live.get_mut(run).filter(|run| run.starting) {
                    (run.starting, run.failure) = (false, Some(failure.clone()));
                }
            }
            Event::MainExited { run, exit, .. } => {
                if let Some(run) = self.live.get_mut(run).filter(|run| !run.settling) {
                    run.exit.get_or_insert_with(|| exit.clone());
                }
            }
            Event::Tick => self.ticked(now),
            Event::MainLost { run, why, .. } => {
                if let Some(run) = self.live.get_mut(run).filter(|run| run.heard()) {
                    run.lost.get_or_insert_with(|| why.clone());
                }
            }
            Event::Serves { run, listener } => {
                let run = self.live.get_mut(run).filter(|run| !run.settling && run.exit.is_none());
                run.into_iter().for_each(|run| run.says_so |= listener.is_some());
            }
            Event::KeeperLost => (self.keeper_lost, self.units.keeper_lost) = (true, true),
            Event::Room { there } => self.units.no_room = !there,
            Event::Emptied { .. }
            | Event::OutputsLost { .. }
            | Event::Settled { .. }
            | Event::Ready { .. }
            | Event::Prepared { .. }
            | Event::Notified { .. } => {}
        }
        Origin::daemon("")
    }

    /// What is late, or nobody has claimed, is to end.
    fn ticked(&mut self, now: Duration) {
        let Limits { start_timeout, claim_timeout, .. } = self.limits;
        let why = format!("its daemon died, and nobody reclaimed it within {claim_timeout:?}");
        let unclaimed = |run: &&mut Known| {
            let due = run.unclaimed.is_some_and(|since| since + claim_timeout <= now);
            due && run.unwanted_since.is_none() && run.exit.is_none()
        };
        for run in self.live.values_mut().filter(unclaimed) {
            run.unwanted(now, &Origin::daemon(&why));
        }
        for run in self.live.values_mut().filter(|run| run.starting && !run.unadopted) {
            run.late |= run.unwanted_since.is_none() && run.since + start_timeout <= now;
            if run.late {
                run.unwanted_since.get_or_insert(now);
            }
        }
    }

    /// Whether the end of everything is ordered.
    pub(crate) fn is_closing(&self) -> bool {
        self.shut_down.is_some()
    }

    /// The core is lost; whoever waited is gone with it, and what it had done last may be done again.
    pub(crate) fn core_is_lost(&mut self) {
        self.callers.values_mut().for_each(|caller| caller.done = true);
        (self.keeper_lost, self.units.keeper_lost, self.units.no_room) = (false, false, false);
        for run in self.live.values_mut() {
            run.was_settling = std::mem::take(&mut run.settling);
            run.unadopted = true;
        }
    }

    fn ordered(&mut self, now: Duration, ticket: Ticket, command: &Command) {
        let Command { origin, deadline: until, order } = command;
        let asked = match order {
            Order::Execute(execution) => Asked::Execute(execution.run),
            Order::Join { run } => Asked::Execute(*run),
            Order::ShutDown => Asked::ShutDown,
            Order::Start { .. } | Order::Restart { .. } => Asked::Up,
            Order::Stop { .. } | Order::Reload { .. } | Order::Signal { .. } => Asked::Other,
            Order::Wait { .. } | Order::List | Order::Inspect { .. } => Asked::Other,
            Order::Forget { .. } | Order::Find(_) | Order::Count => Asked::Other,
        };
        let caller = Caller { asked, until: *until, told_started: false, done: false };
        assert!(self.callers.insert(ticket, caller).is_none(), "a ticket is used twice");
        if asked == Asked::ShutDown && until.is_none_or(|at| at > now) {
            self.shut_down.get_or_insert(now);
            let plain = self.live.values_mut().filter(|run| run.unit.is_none());
            plain.for_each(|run| run.unwanted(now, origin));
        }
        self.delivers = matches!(order, Order::Signal { .. });
    }

    /// A caller waits no more; a run without any is unwanted.
    fn leaves(&mut self, now: Duration, ticket: Ticket) {
        let Some(caller) = self.callers.get_mut(&ticket).filter(|caller| !caller.done) else {
            return;
        };
        if caller.asked == Asked::ShutDown {
            return;
        }
        caller.done = true;
        let Asked::Execute(id) = caller.asked else { return };
        let waited_for = |other: &Caller| !other.done && other.asked == Asked::Execute(id);
        if !self.callers.values().any(waited_for)
            && let Some(run) = self.live.get_mut(&id)
        {
            let mut by = run.started_by.clone();
            "the call ended before the run did".clone_into(&mut by.reason);
            run.unwanted(now, &by);
        }
    }

    /// A run is over, but for what is written of it.
    fn settles(&mut self, now: Duration, id: RunId, record: &ExitRecord) {
        let run = self.live.get_mut(&id).filter(|run| !run.settling);
        assert!(run.is_some(), "settled twice, or never begun");
        run.into_iter().for_each(|run| {
            if record.leftovers == Leftovers::Left && run.heard() && run.is_program() {
                self.units.let_go(&run.name, now);
            }
            (run.settling, run.starting) = (true, false);
            run.check(id, record);
        });
    }

    fn action(&mut self, now: Duration, origin: &Origin, action: &Action) {
        match action {
            Action::Spawn { execution, origin: by } => {
                assert_eq!(by, origin);
                self.spawns(now, execution, origin);
            }
            Action::SpawnUnit { run, spec, role, told, origin } => {
                self.spawns_unit(now, *run, (spec, *role), told.main_pid, origin);
            }
            Action::Probe { run, .. } => self.looks_after(*run),
            Action::Prepare { run, .. } => self.prepares(now, *run),
            Action::Signal { run, .. } => {
                self.signals(now, *run).into_iter().for_each(|run| run.signalled(now));
            }
            Action::SignalMain { run, signal } => {
                self.signals(now, *run).into_iter().for_each(|run| {
                    assert!(run.exit.is_none(), "{action:?} of nobody");
                    match signal {
                        9 => run.killed_at = Some(now),
                        _ => run.signalled(now),
                    }
                });
            }
            Action::Deliver { run, .. } => {
                assert!(self.delivers);
                let run = self.live.get(run);
                assert!(run.is_some_and(|run| !run.settling && !run.starting), "{action:?}");
            }
            Action::AwaitEmpty { run } => {
                let run = self.live.get_mut(run).filter(|run| !run.settling);
                assert!(run.is_some(), "{action:?} of nothing");
                run.into_iter().for_each(|run| run.clears(now));
            }
            Action::Kill { run } => {
                let delivers = self.delivers;
                let run = self.signals(now, *run).filter(|_| !delivers);
                run.into_iter().for_each(|run| run.killed_at = Some(now));
            }
            Action::Settle { run, record } => self.settles(now, *run, record),
            Action::Release { run: id, record } => {
                let run = self.live.remove(id).filter(|run| run.settling);
                assert!(run.is_some(), "released before it was settled, or twice");
                run.into_iter().for_each(|run| {
                    run.check(*id, record);
                    run.unit.into_iter().for_each(|(_, role)| self.units.over(role, record));
                });
                self.over.insert(*id);
                let mut waiting = self.unanswered().into_iter();
                assert!(!waiting.any(|(_, asked)| asked == Asked::Execute(*id)), "released first");
            }
            Action::Forget { run: id } => {
                let run = self.live.remove(id);
                assert!(run.is_some_and(|run| run.unmade && run.unit.is_none()), "it was made");
            }
            Action::Keep { .. } => {}
            Action::Tell(change) => self.units.told(now, change),
            Action::Reply(ticket, answer) => self.reply(now, origin, *ticket, answer),
        }
    }

    /// A program has said where it listens, or does so still under the next core.
    fn looks_after(&mut self, run: RunId) {
        let run = self.live.get_mut(&run).filter(|run| !run.settling && run.exit.is_none());
        assert!(run.is_some(), "nobody is looked after");
        run.into_iter().for_each(|run| run.listens = true);
    }

    /// A program that listens is told that it is to end, before it gets a signal.
    fn prepares(&mut self, now: Duration, run: RunId) {
        let run = self.signals(now, run);
        run.into_iter().for_each(|run| {
            assert!(run.says_so && run.heard() && run.killed_at.is_none(), "{run:?} is told");
            run.listens = true;
            run.preparing.get_or_insert(now);
        });
    }

    /// The run that a signal is sent to; one of a unit is to end then, if nobody has told of that before.
    fn signals(&mut self, now: Duration, run: RunId) -> Option<&mut Known> {
        let run = self.live.get_mut(&run).filter(|run| !run.settling);
        assert!(run.is_some(), "a signal to nothing");
        let run = run?;
        if run.unit.is_some() && !self.delivers {
            run.unwanted_since.get_or_insert(now);
        }
        Some(run)
    }

    fn spawns(&mut self, now: Duration, execution: &Execution, origin: &Origin) {
        assert!(self.shut_down.is_none(), "nothing is started any more");
        assert!(!self.keeper_lost && !self.units.no_room, "nothing can be made, or kept");
        assert!(!self.over.contains(&execution.run), "a run id means one execution");
        assert!(self.live.values().all(|run| run.name != execution.name), "one name");
        assert!(!self.units.known.contains_key(&execution.name), "it is a unit's name");
        let run = Known::new(execution.name.clone(), origin.clone(), now);
        assert!(self.live.insert(execution.run, run).is_none(), "spawned twice");
        assert!(self.live.len() <= self.limits.live_runs);
    }

    fn spawns_unit(
        &mut self,
        now: Duration,
        id: RunId,
        (spec, role): (&Arc<UnitSpec>, Role),
        main_pid: i32,
        by: &Origin,
    ) {
        assert!(!self.over.contains(&id), "a run id means one execution");
        if let Some(known) = self.live.get_mut(&id).filter(|known| known.unmade) {
            assert_eq!((&known.unit, &known.started_by), (&Some((Arc::clone(spec), role)), by));
            (known.unmade, known.starting) = (false, true);
            return;
        }
        self.units.spawned(spec, role, (id, main_pid), &self.live);
        let mut run = Known::new(spec.name.clone(), by.clone(), now);
        run.unit = Some((Arc::clone(spec), role));
        assert!(self.live.insert(id, run).is_none(), "spawned twice");
        assert!(self.live.len() <= self.limits.live_runs);
    }

    fn reply(&mut self, now: Duration, origin: &Origin, ticket: Ticket, answer: &Answer) {
        if *answer == Answer::Refused(Refusal::DeadlinePassed) {
            self.leaves(now, ticket);
            let caller = self.callers.get_mut(&ticket);
            caller.into_iter().for_each(|caller| caller.done = true);
            return;
        }
        let Some(caller) = self.callers.get_mut(&ticket) else {
            unreachable!("nobody waits at {ticket:?} for {answer:?}")
        };
        assert!(!caller.done, "{answer:?} is one answer too many");
        caller.done = !matches!(answer, Answer::Started { .. });
        self.units.answered(now, answer, &self.live);
        match (answer, caller.asked) {
            (Answer::Started { run, pid, .. }, Asked::Execute(wanted)) => {
                assert_eq!(*run, wanted);
                assert!(!std::mem::replace(&mut caller.told_started, true), "it starts once");
                let known = self.live.get_mut(run);
                assert!(known.as_ref().is_none_or(|run| run.pid == Some(*pid)));
                known.into_iter().for_each(|run| run.unclaimed = None);
            }
            (Answer::Ended(record), Asked::Execute(wanted)) => assert_eq!(record.run, wanted),
            (
                Answer::Refused(Refusal::NameTaken { name, holder }),
                Asked::Execute(_) | Asked::Up,
            ) => {
                assert!(self.live.get(holder).is_some_and(|run| run.name == *name), "it is free");
            }
            (Answer::Counted { live, .. }, Asked::Other) => assert_eq!(*live, self.live.len()),
            (Answer::AllEnded, Asked::ShutDown) => assert!(self.live.is_empty()),
            (Answer::Found(found), Asked::Other) => {
                assert_eq!(found.ended.is_none(), self.live.contains_key(&found.run));
            }
            (Answer::Stopping { run, .. }, Asked::Other) => {
                let run = self.live.get_mut(run).filter(|run| run.unit.is_none());
                run.into_iter().for_each(|run| run.unwanted(now, origin));
            }
            (Answer::Up { .. }, Asked::Up) => {}
            (Answer::Refused(Refusal::NoRoom), Asked::Execute(_) | Asked::Up) => {
                assert!(self.units.no_room);
            }
            (
                Answer::Refused(Refusal::KeeperLost),
                Asked::Execute(_) | Asked::Up | Asked::Other,
            ) => {
                assert!(self.keeper_lost);
            }
            (Answer::Down { .. } | Answer::Reloaded { .. } | Answer::Ended(_), Asked::Other)
            | (Answer::Signalled { .. } | Answer::Units(_) | Answer::Unit(_), Asked::Other)
            | (Answer::Forgotten(_), Asked::Other)
            | (Answer::Refused(_), Asked::Execute(_) | Asked::Up | Asked::Other) => {}
            (answer, asked) => unreachable!("{answer:?} to {asked:?}"),
        }
    }

    fn deadlines(&self, core: &Core, now: Duration, ticked: bool) {
        let next = core.next_deadline();
        let waiting = self.callers.values().any(|caller| !caller.done);
        if self.live.is_empty() && !self.units.waits() && !waiting {
            assert_eq!(next, None, "nothing is left that time could change");
        }
        assert!(!ticked || next.is_none_or(|at| at > now), "what was due is done");
        let bound = self.shut_down.map(|at| (at, at + self.limits.shut_down_timeout));
        for run in self.live.values().filter(|run| !run.settling && !run.was_settling) {
            let Some(since) = run.unwanted_since else {
                assert_eq!(run.killed_at, None, "{run:?} was killed, and nobody wanted that");
                continue;
            };
            if ticked && bound.is_some_and(|(from, to)| run.since < from && to <= now) {
                assert!(run.killed_at.is_some(), "{run:?} outlives the end of everything");
            }
            assert!(next.is_some(), "{run:?} is to end, and would be forgotten");
            let asked = match (run.preparing, run.told_at) {
                (Some(at), None) => {
                    let over = at + self.limits.prepare_timeout <= now;
                    assert!(
                        !ticked || !over || run.killed_at.is_some(),
                        "{run:?} has had its time"
                    );
                    None
                }
                (Some(_), told) => told,
                (None, _) => Some(since),
            };
            let patience = run.patience(self.limits.stop_timeout);
            if ticked && asked.is_some_and(|at| at + patience <= now) {
                assert!(run.killed_at.is_some(), "{run:?} was asked in vain, and not killed");
            }
            let pause_over = run.killed_at.is_some_and(|at| at + LONGEST_PAUSE <= now);
            assert!(!ticked || !pause_over, "{run:?} was killed once, and then forgotten");
        }
        for caller in self.callers.values().filter(|caller| ticked && !caller.done) {
            let bound = caller.until.filter(|_| caller.asked != Asked::ShutDown);
            assert!(bound.is_none_or(|at| at > now), "{caller:?} waits longer than he wished");
        }
    }
}
