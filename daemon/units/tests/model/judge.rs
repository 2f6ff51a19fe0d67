//! Sees every event and every action, and knows what must hold between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use units::{Action, Answer, Core, Event, Limits, Now, Order, Origin, Refusal, RunId, Ticket};

use super::facts::{Asked, Caller, Known};

/// Between two kills never passes more.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All that the judge has noted.
#[derive(Debug)]
pub(crate) struct Judge {
    limits: Limits,
    pub(crate) live: BTreeMap<RunId, Known>,
    over: BTreeSet<RunId>,
    callers: BTreeMap<Ticket, Caller>,
    shut_down: Option<Duration>,
}

impl Judge {
    /// One that has seen nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            live: BTreeMap::new(),
            over: BTreeSet::new(),
            callers: BTreeMap::new(),
            shut_down: None,
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
        let origin = self.before(now.monotonic, &event);
        for action in &actions {
            self.action(now.monotonic, &origin, action);
        }
        self.deadlines(core, now.monotonic, event == Event::Tick);
        actions
    }

    fn before(&mut self, now: Duration, event: &Event) -> Origin {
        match event {
            Event::Command(ticket, command) => {
                let asked = match &command.order {
                    Order::Execute(execution) => Asked::Execute(execution.run, command.deadline),
                    Order::ShutDown => Asked::ShutDown,
                    Order::Stop { .. } | Order::Find(_) | Order::Count => Asked::Other,
                };
                let caller = Caller { asked, told_started: false, done: false };
                assert!(self.callers.insert(*ticket, caller).is_none(), "a ticket is used twice");
                let in_time = command.deadline.is_none_or(|at| at > now);
                if asked == Asked::ShutDown && in_time {
                    self.shut_down.get_or_insert(now);
                    self.live.values_mut().for_each(|run| run.unwanted(now, &command.origin));
                }
                return command.origin.clone();
            }
            Event::CallerGone(ticket) => self.leaves(now, *ticket),
            Event::Inherited { execution, started_by, pid, exit, failure, empty, .. } => {
                let id = execution.run;
                if !self.live.contains_key(&id) && !self.over.contains(&id) {
                    let mut run = Known::new(execution.name.clone(), started_by.clone(), now);
                    (run.inherited, run.starting, run.exit) = (true, false, exit.clone());
                    run.failure.clone_from(failure);
                    run.pid = (*pid != 0).then_some(*pid);
                    run.unwanted_since = Some(now);
                    if exit.is_none() && !empty {
                        let why = "its daemon died, and it cannot be taken up again";
                        run.stopped_by = Some(Origin::daemon(why));
                    }
                    self.live.insert(id, run);
                }
            }
            Event::Spawned { run, pid } => {
                if let Some(run) = self.live.get_mut(run).filter(|run| run.starting) {
                    (run.starting, run.pid) = (false, Some(*pid));
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
            Event::Tick => {
                let start_timeout = self.limits.start_timeout;
                for run in self.live.values_mut().filter(|run| run.starting) {
                    run.late |= run.unwanted_since.is_none() && run.since + start_timeout <= now;
                    if run.late {
                        run.unwanted_since.get_or_insert(now);
                    }
                }
            }
            Event::Emptied { .. } | Event::Settled { .. } => {}
        }
        Origin::daemon("")
    }

    /// A caller waits no more; a run without any is unwanted.
    fn leaves(&mut self, now: Duration, ticket: Ticket) {
        let Some(caller) = self.callers.get_mut(&ticket).filter(|caller| !caller.done) else {
            return;
        };
        let Asked::Execute(id, _) = caller.asked else { return };
        caller.done = true;
        let waited_for = |other: &Caller| {
            !other.done && matches!(other.asked, Asked::Execute(other, _) if other == id)
        };
        if !self.callers.values().any(waited_for)
            && let Some(run) = self.live.get_mut(&id)
        {
            let mut by = run.started_by.clone();
            "the call ended before the run did".clone_into(&mut by.reason);
            run.unwanted(now, &by);
        }
    }

    fn action(&mut self, now: Duration, origin: &Origin, action: &Action) {
        match action {
            Action::Spawn { execution, origin: by } => {
                assert_eq!(by, origin);
                assert!(self.shut_down.is_none(), "nothing is started any more");
                assert!(!self.over.contains(&execution.run), "a run id means one execution");
                assert!(self.live.values().all(|run| run.name != execution.name), "one name");
                let run = Known::new(execution.name.clone(), origin.clone(), now);
                assert!(self.live.insert(execution.run, run).is_none(), "spawned twice");
                assert!(self.live.len() <= self.limits.live_runs);
            }
            Action::Signal { run, .. } => {
                assert!(self.live.get(run).is_some_and(|run| !run.settling), "{action:?}");
            }
            Action::AwaitEmpty { run } => {
                let run = self.live.get_mut(run).filter(|run| !run.settling);
                assert!(run.is_some(), "{action:?} of nothing");
                run.into_iter().for_each(|run| {
                    run.starting = false;
                    run.unwanted_since.get_or_insert(now);
                });
            }
            Action::Kill { run } => {
                let run = self.live.get_mut(run).filter(|run| !run.settling);
                assert!(run.is_some(), "{action:?} of nothing");
                run.into_iter().for_each(|run| run.killed_at = Some(now));
            }
            Action::Settle { run: id, record } => {
                let run = self.live.get_mut(id).filter(|run| !run.settling);
                assert!(run.is_some(), "settled twice, or never begun");
                run.into_iter().for_each(|run| {
                    (run.settling, run.starting) = (true, false);
                    run.check(*id, record);
                });
            }
            Action::Release { run: id, record } => {
                let run = self.live.remove(id).filter(|run| run.settling);
                assert!(run.is_some(), "released before it was settled, or twice");
                run.into_iter().for_each(|run| run.check(*id, record));
                self.over.insert(*id);
                let waiting = self.unanswered();
                let of_run = |asked| matches!(asked, Asked::Execute(other, _) if other == *id);
                assert!(!waiting.iter().any(|(_, asked)| of_run(*asked)), "released before told");
            }
            Action::Reply(ticket, answer) => self.reply(now, origin, *ticket, answer),
        }
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
        match (answer, caller.asked) {
            (Answer::Started { run, pid, .. }, Asked::Execute(wanted, _)) => {
                assert_eq!(*run, wanted);
                assert!(!std::mem::replace(&mut caller.told_started, true), "it starts once");
                let known = self.live.get(run);
                assert!(known.is_none_or(|run| run.pid == Some(*pid)));
            }
            (Answer::Ended(record), Asked::Execute(wanted, _)) => assert_eq!(record.run, wanted),
            (Answer::Refused(Refusal::NameTaken { name, holder }), Asked::Execute(..)) => {
                assert!(self.live.get(holder).is_some_and(|run| run.name == *name), "it is free");
            }
            (Answer::Counted { live, .. }, Asked::Other) => assert_eq!(*live, self.live.len()),
            (Answer::AllEnded, Asked::ShutDown) => assert!(self.live.is_empty()),
            (Answer::Found(found), Asked::Other) => {
                assert_eq!(found.ended.is_none(), self.live.contains_key(&found.run));
            }
            (Answer::Stopping { run, .. }, Asked::Other) => {
                let run = self.live.get_mut(run);
                run.into_iter().for_each(|run| run.unwanted(now, origin));
            }
            (Answer::Refused(_), Asked::Execute(..) | Asked::Other) => {}
            (answer, asked) => unreachable!("{answer:?} to {asked:?}"),
        }
    }

    fn deadlines(&self, core: &Core, now: Duration, ticked: bool) {
        let next = core.next_deadline();
        if self.live.is_empty() {
            assert_eq!(next, None, "nothing is left that time could change");
        }
        assert!(!ticked || next.is_none_or(|at| at > now), "what was due is done");
        let bound = self.shut_down.map(|at| (at, at + self.limits.shut_down_timeout));
        for run in self.live.values().filter(|run| !run.settling) {
            let Some(since) = run.unwanted_since else {
                assert_eq!(run.killed_at, None, "{run:?} was killed, and nobody wanted that");
                continue;
            };
            if ticked && bound.is_some_and(|(from, to)| run.since < from && to <= now) {
                assert!(run.killed_at.is_some(), "{run:?} outlives the end of everything");
            }
            assert!(next.is_some(), "{run:?} is to end, and would be forgotten");
            if ticked && since + self.limits.stop_timeout <= now {
                assert!(run.killed_at.is_some(), "{run:?} was asked in vain, and not killed");
            }
            let pause_over = run.killed_at.is_some_and(|at| at + LONGEST_PAUSE <= now);
            assert!(!ticked || !pause_over, "{run:?} was killed once, and then forgotten");
        }
        for caller in self.callers.values().filter(|caller| ticked && !caller.done) {
            let Asked::Execute(_, Some(at)) = caller.asked else { continue };
            assert!(at > now, "{caller:?} waits longer than he wished");
        }
    }
}
