//! What the judge knows of units, and what must hold of them after every step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use units::{
    Action, Answer, Cause, Change, ChangeCause, Command, Core, Event, ExitRecord, Kind, Name, Now,
    Order, Origin, Refusal, Role, RunId, StartLimit, Target, Ticket, UnitDetail, UnitResult,
    UnitSpec, UnitState, Wanted, kept::Fate,
};

use super::facts::Known;

/// Nobody has this one.
const OURS: Ticket = Ticket(u64::MAX);
/// How long a restart is put off that there is no room for.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);

/// A unit, as the changes so far tell.
#[derive(Debug)]
pub(crate) struct KnownUnit {
    spec: Arc<UnitSpec>,
    pub(crate) state: UnitState,
    wanted: Wanted,
    restarts: u32,
    streak: u32,
    up_since: Option<Duration>,
    /// When the window of starts opened, and how many there were in it.
    window: (Duration, u32),
    /// The last run of its program.
    run: Option<RunId>,
    /// The last end of its program; whether that was in this start.
    pub(crate) last: Option<Arc<ExitRecord>>,
    ran: bool,
    last_change: u64,
    /// In this step it began, or came to an end.
    entered: bool,
    /// As what it was ordered to begin, and as what before that.
    ordered: [Arc<UnitSpec>; 2],
}

/// All units.
#[derive(Debug, Default)]
pub(crate) struct Units {
    pub(crate) known: BTreeMap<Name, KnownUnit>,
    changes: u64,
    closing: bool,
    /// There is no keeper: nothing begins, and what is due waits for the next core.
    pub(crate) keeper_lost: bool,
    /// What begins could not be kept: nobody's order begins anything.
    pub(crate) no_room: bool,
}

impl Units {
    /// Before a step: what the event says.
    pub(crate) fn before(&mut self, now: Duration, event: &Event, live: &BTreeMap<RunId, Known>) {
        self.known.values_mut().for_each(|unit| unit.entered = false);
        if let Event::Command(_, Command { deadline, order, .. }) = event {
            self.closing |= *order == Order::ShutDown && deadline.is_none_or(|at| at > now);
            if let Order::Start { spec, .. } | Order::Restart { spec } = order
                && !self.no_room
                && let Some(unit) = self.known.get_mut(&spec.name)
            {
                unit.ordered = [Arc::clone(spec), Arc::clone(&unit.ordered[0])];
            }
        }
        let ended = if let Event::MainExited { run, .. }
        | Event::MainLost { run, .. }
        | Event::Adopted {
            run,
            fate: Fate::Executed { exit: Some(_), .. } | Fate::Lost { .. },
        } = event
        {
            Some(run)
        } else {
            None
        };
        if let Some(run) = ended
            && let Some(run) = live.get(run).filter(|run| run.heard() && run.is_program())
            && let Some(unit) = self.known.get_mut(&run.name)
        {
            let stable = unit.spec.restart.reset_after;
            if unit.up_since.is_some_and(|at| at + stable <= now) {
                unit.streak = 0;
            }
        }
    }

    /// The program of this unit is left alive.
    pub(crate) fn let_go(&mut self, name: &Name, now: Duration) {
        if let Some(unit) = self.known.get_mut(name) {
            let stable = unit.spec.restart.reset_after;
            if unit.up_since.is_some_and(|at| at + stable <= now) {
                unit.streak = 0;
            }
        }
    }

    /// A run of a unit is begun.
    pub(crate) fn spawned(
        &mut self,
        spec: &Arc<UnitSpec>,
        role: Role,
        (run, main_pid): (RunId, i32),
        live: &BTreeMap<RunId, Known>,
    ) {
        assert!(spec.command(role).is_some(), "{role:?} is no command of {spec:?}");
        assert!(!self.closing || matches!(role, Role::OnStop(_)), "{role:?} after the end");
        let beside = live.values().filter(|run| run.name == spec.name);
        for other in beside {
            let Some((_, theirs)) = &other.unit else { unreachable!("a plain run has the name") };
            assert!((*theirs == Role::Main) != (role == Role::Main), "{role:?} beside {theirs:?}");
            assert_eq!(other.pid.unwrap_or(0), main_pid, "{role:?} is told of another process");
        }
        if role == Role::Main {
            assert_eq!(main_pid, 0);
        }
        let unit = self.known.entry(spec.name.clone()).or_insert_with(|| KnownUnit {
            spec: Arc::clone(spec),
            state: UnitState::Inactive,
            wanted: Wanted::Down,
            restarts: 0,
            streak: 0,
            up_since: None,
            window: (Duration::ZERO, 0),
            run: None,
            last: None,
            ran: false,
            last_change: 0,
            entered: false,
            ordered: [Arc::clone(spec), Arc::clone(spec)],
        });
        unit.spec = Arc::clone(spec);
        if role == Role::Main {
            unit.run = Some(run);
        }
    }

    /// A run of a unit is over.
    pub(crate) fn over(&mut self, role: Role, record: &Arc<ExitRecord>) {
        let Some(unit) = self.known.get_mut(&record.name) else {
            unreachable!("{} has a run, and is forgotten", record.name)
        };
        assert_eq!(record.restarts, unit.restarts, "{record:?}");
        if role == Role::Main {
            assert_eq!(unit.run, Some(record.run));
            (unit.last, unit.ran) = (Some(Arc::clone(record)), true);
        }
    }

    /// A change is told.
    pub(crate) fn told(&mut self, now: Duration, change: &Change) {
        self.changes += 1;
        assert_eq!(change.sequence, self.changes, "there is a hole before {change:?}");
        let Some(unit) = self.known.get_mut(&change.name) else {
            unreachable!("a change of what was never begun: {change:?}")
        };
        assert_eq!(change.from, unit.state, "{change:?}");
        assert!(follows(change.from, change.to), "{change:?}");
        let begins =
            matches!(change.from, UnitState::Inactive | UnitState::Failed | UnitState::Waiting)
                && matches!(change.to, UnitState::Before(_) | UnitState::Starting);
        if begins {
            assert!(!self.closing && !self.keeper_lost, "{change:?}");
            unit.begins(now, change);
        }
        if change.from == UnitState::Inactive && !begins {
            // There was no room for what was to begin again.
            assert_eq!(change.result, UnitResult::Resources);
            unit.spec = Arc::clone(&unit.ordered[0]);
            (unit.restarts, unit.streak, unit.ran) = (0, 0, false);
        }
        if change.to == UnitState::Running {
            unit.up_since.get_or_insert(now);
        } else if change.to == UnitState::Waiting {
            let applies = self.keeper_lost || unit.applies(change.result);
            assert!(!self.closing && applies, "{change:?}: {unit:?}");
        } else if (change.from, change.to) == (UnitState::Waiting, UnitState::Failed) {
            unit.is_limited(now, change);
        } else if change.to == UnitState::Failed {
            assert_ne!(change.result, UnitResult::Success);
        }
        (unit.state, unit.entered, unit.last_change) = (change.to, true, change.sequence);
    }

    /// An answer that is about units.
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        answer: &Answer,
        live: &BTreeMap<RunId, Known>,
    ) {
        if let Answer::Up { name, run, .. } = answer {
            let unit = &self.known[name];
            assert_eq!(unit.run, Some(*run));
            let up = [UnitState::Running, UnitState::Reloading, UnitState::Exited];
            let done = unit.spec.kind == Kind::Oneshot { remain_after_exit: false };
            assert!(up.contains(&unit.state) || done, "{answer:?}: {unit:?}");
        } else if let Answer::Down { name, state, record } = answer {
            let unit = &self.known[name];
            assert_eq!((*state, record), (unit.state, &unit.last));
            let put_off = self.keeper_lost && *state == UnitState::Waiting;
            assert!(state.is_dead() || *state == UnitState::Exited || put_off, "{answer:?}");
            assert!(live.values().all(|run| run.name != *name), "something of it lives");
        } else if let Answer::Forgotten(names) = answer {
            for name in names {
                let unit = self.known.remove(name);
                assert!(unit.is_some_and(|unit| unit.state.is_dead()), "{name} was not dead");
            }
        } else if let Answer::Units(views) = answer {
            assert!(views.iter().map(|view| &view.name).eq(self.known.keys()));
        } else if let Answer::Refused(refusal) = answer {
            self.refused(now, refusal);
        }
    }

    fn refused(&mut self, now: Duration, refusal: &Refusal) {
        if let Refusal::StartLimit { name, starts, interval, again_in } = refusal {
            let Some(unit) = self.known.get_mut(name) else { unreachable!("{name} is new") };
            unit.ordered = [Arc::clone(&unit.ordered[1]), Arc::clone(&unit.ordered[1])];
            assert!(unit.window.1 >= *starts, "{refusal:?}: {unit:?}");
            assert_eq!(unit.window.0 + *interval, now + *again_in);
        } else if let Refusal::NameOfUnit(name) = refusal {
            assert!(self.known.contains_key(name));
        } else if let Refusal::NoSuchUnit(name) = refusal {
            assert!(!self.known.contains_key(name));
        } else if let Refusal::NotDead { name, state } | Refusal::NotRunning { name, state } =
            refusal
        {
            assert_eq!(self.known[name].state, *state);
        }
    }

    /// After a step: what is shown is what was told, and everything fits together.
    pub(crate) fn after(
        &mut self,
        core: &mut Core,
        now: Now,
        event: &Event,
        live: &BTreeMap<RunId, Known>,
    ) {
        for (name, unit) in &mut self.known {
            let Some(detail) = shown(core, now, name) else { unreachable!("{name} is unknown") };
            unit.is_shown(&detail, now, self.keeper_lost);
            let of = |program: bool| {
                let mut runs = live.iter().filter(|(_, run)| run.name == *name);
                runs.find(|(_, run)| run.is_program() == program)
            };
            let (main, control) = (of(true), of(false));
            assert_eq!(detail.view.run, main.map(|(run, _)| *run));
            assert_eq!(detail.control.map(|(_, run)| run), control.map(|(run, _)| *run));
            let role = control.and_then(|(_, run)| run.unit.as_ref()).map(|(_, role)| *role);
            assert!(fits(unit.state, main.is_some(), role), "{unit:?} with {role:?} and {main:?}");
            unit.is_wanted(detail.view.desired.wanted, &detail.view.desired.by, event);
            let rests = unit.entered && unit.state.is_dead() && !self.closing;
            if rests && !is_stop(event, name) && unit.stopped_itself(&detail) {
                assert!(!unit.applies(detail.view.result), "it should begin again: {unit:?}");
            }
        }
    }

    /// Whether time has something to do for one of them.
    pub(crate) fn waits(&self) -> bool {
        self.known.values().any(|unit| unit.state == UnitState::Waiting)
    }
}

impl KnownUnit {
    fn begins(&mut self, now: Duration, change: &Change) {
        if matches!(change.cause, ChangeCause::Order(_)) {
            (self.restarts, self.streak) = (0, 0);
        } else {
            assert!(matches!(change.cause, ChangeCause::Policy(_)), "{change:?}");
            assert_eq!((change.from, self.wanted), (UnitState::Waiting, Wanted::Up), "{change:?}");
            (self.restarts, self.streak) = (self.restarts + 1, self.streak + 1);
        }
        (self.up_since, self.ran) = (None, false);
        let (opened, starts) = self.window;
        let limit = self.spec.restart.start_limit;
        let is_open = |limit: StartLimit| starts > 0 && now <= opened + limit.interval;
        self.window = if limit.is_some_and(is_open) { (opened, starts + 1) } else { (now, 1) };
        assert!(limit.is_none_or(|limit| self.window.1 <= limit.starts), "too often: {self:?}");
    }

    fn cause(&self) -> Option<&Cause> {
        self.last.as_ref().filter(|_| self.ran).map(|record| &record.cause)
    }

    fn applies(&self, result: UnitResult) -> bool {
        self.spec.restart.applies(result, self.cause())
    }

    /// Its start limit was hit, and rightly so.
    fn is_limited(&self, now: Duration, change: &Change) {
        assert_eq!(change.result, UnitResult::StartLimitHit);
        let Some(limit) = self.spec.restart.start_limit else { unreachable!("it has no limit") };
        assert!(self.window.1 >= limit.starts && now <= self.window.0 + limit.interval);
    }

    fn is_shown(&self, detail: &UnitDetail, now: Now, keeper_lost: bool) {
        let view = &detail.view;
        assert_eq!((view.state, view.restarts), (self.state, self.restarts), "{self:?}");
        assert_eq!(detail.view.last, self.last);
        assert!(detail.changes.len() <= UnitDetail::CHANGES);
        assert_eq!(detail.changes.last().map(|change| change.sequence), Some(self.last_change));
        let due = view.restart_at.is_some();
        assert!(if due {
            self.state == UnitState::Waiting
        } else {
            keeper_lost || self.state != UnitState::Waiting
        });
        if let Some(at) = view.restart_at.filter(|_| self.entered) {
            let pause = Duration::from_nanos((at - now.wall).unsigned_abs());
            let least = self.spec.restart.pause(self.streak + 1);
            let most = (least + self.spec.restart.jitter).max(CROWDED_PAUSE);
            assert!((least..=most).contains(&pause), "{pause:?} is no pause for {self:?}");
        }
    }

    /// Only people change what is wanted, and the unit itself when it gives up.
    fn is_wanted(&mut self, wanted: Wanted, by: &Origin, event: &Event) {
        let was = std::mem::replace(&mut self.wanted, wanted);
        let ordered = if let Event::Command(_, command) = event {
            Some((&command.order, &command.origin))
        } else {
            None
        };
        match (was, wanted) {
            (Wanted::Up, Wanted::Up) | (Wanted::Down, Wanted::Down) => {}
            (Wanted::Down, Wanted::Up) => {
                let Some((Order::Start { spec, .. } | Order::Restart { spec }, who)) = ordered
                else {
                    unreachable!("{event:?} made it wanted up")
                };
                assert_eq!((&spec.name, who), (&self.spec.name, by));
            }
            (Wanted::Up, Wanted::Down) => {
                let stopped = matches!(ordered, Some((Order::Stop { .. } | Order::ShutDown, who)) if who == by);
                assert!(stopped || self.state.is_dead(), "{event:?} made it wanted down");
            }
        }
        if self.state.is_dead() {
            assert_eq!(wanted, Wanted::Down, "{self:?} is dead and wanted");
        }
    }

    /// Whether it came to its end although nobody had ordered that.
    fn stopped_itself(&self, detail: &UnitDetail) -> bool {
        let limited = detail.view.result == UnitResult::StartLimitHit;
        !limited && detail.view.desired.by.identity == "daemon"
    }
}

/// Whether this order stops this unit, perhaps among others.
fn is_stop(event: &Event, name: &Name) -> bool {
    let Event::Command(_, Command { order, .. }) = event else { return false };
    matches!(order, Order::Stop { target: Target::Name(other), .. } if other == name)
        || matches!(order, Order::Stop { target: Target::Run(_) | Target::Pid(_), .. })
        || *order == Order::ShutDown
}

fn shown(core: &mut Core, now: Now, name: &Name) -> Option<UnitDetail> {
    let order = Order::Inspect { name: name.clone() };
    let command = Command { origin: Origin::daemon("judge"), deadline: None, order };
    let mut actions = Vec::new();
    core.step(now, Event::Command(OURS, command), &mut actions);
    let Some(Action::Reply(OURS, Answer::Unit(detail))) = actions.pop() else { return None };
    Some(*detail)
}

/// The changes that there may be.
fn follows(from: UnitState, to: UnitState) -> bool {
    use UnitState::{
        After, Before, Exited, Failed, Inactive, Reloading, Running, Starting, Stopping, Waiting,
    };
    match (from, to) {
        (Inactive | Failed | Waiting, Before(index)) => index == 0,
        (Before(index), Before(next)) | (After(index), After(next)) => next == index + 1,
        (Starting, After(index)) => index == 0,
        (Inactive | Failed | Waiting | Before(_), Starting)
        | (Starting | After(_) | Reloading, Running | Exited)
        | (Running | Exited, Reloading)
        | (Before(_) | Starting | After(_) | Running | Reloading | Exited, Stopping)
        | (Before(_) | Starting | After(_) | Stopping, Waiting | Inactive | Failed)
        | (Inactive, Waiting | Failed)
        // Put off, where there is no keeper.
        | (Waiting, Inactive | Failed | Waiting) => true,
        _ => false,
    }
}

/// Whether a unit in this state may have these runs.
fn fits(state: UnitState, main: bool, control: Option<Role>) -> bool {
    match (state, control) {
        (UnitState::Inactive | UnitState::Failed, None)
        | (UnitState::Waiting | UnitState::Exited, None) => !main,
        (UnitState::Before(at), Some(Role::Before(index))) => !main && at == index,
        (UnitState::Starting | UnitState::Running, None) => main,
        (UnitState::After(at), Some(Role::After(index))) => at == index,
        (UnitState::Reloading, Some(Role::OnReload(_))) => true,
        (UnitState::Stopping, control) => main || control.is_some(),
        _ => false,
    }
}
