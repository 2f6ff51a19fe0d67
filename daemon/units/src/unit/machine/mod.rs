//! The state machine of one unit. [`super`] has the theory.
//!
//! `orders.rs` has what people want, `rise.rs` the way up, `fall.rs` the way down, `reports.rs` what runs
//! tell, `outcome.rs` what their ends mean, `kept.rs` what the next core must know. Invariants: at most one run of the program and one of a command at a time; whoever waits is
//! answered once; without runs a unit is dead, remains after its exit, or waits for a moment.

mod draw;
mod fall;
mod kept;
mod orders;
mod outcome;
mod reports;
mod rise;
mod shown;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    restart::StartWindow,
    spec::{Role, Told, UnitSpec},
    state::{Change, ChangeCause, Desired, UnitResult, UnitState, Wanted},
    view::UnitDetail,
};
use crate::{
    Answer, ExitRecord, Name, Now, Origin, Refusal, RunId,
    kept::{Failure, KeptUnit, Part},
    noted::Noted,
    order::{StopHow, Ticket},
};
pub(crate) use draw::Draw;
pub(crate) use outcome::START_STAGE_DEADLINE;

/// A unit. What the next core must know of it is its own state, which it derefs to.
#[derive(Debug)]
pub(crate) struct Unit {
    kept: Noted<KeptUnit>,
    /// The specifications that were kept last: what it is, and is to be started as.
    kept_specs: [Option<Arc<UnitSpec>>; 2],
    /// The moment that the registry knows of.
    pub(crate) armed: Option<Duration>,
    waiting: Vec<(Ticket, Awaited)>,
    history: VecDeque<Arc<Change>>,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// That the start that goes on is over.
    Up,
    /// That the start that comes after the end is over.
    UpAgain,
    /// That it is down, if only for a moment.
    Down,
    /// That it rests: it is dead, or has exited and remains.
    Rest,
    /// That the reload is over that goes on.
    Reloaded,
    /// That the reload is over that comes after that.
    ReloadedAgain,
}

/// What a unit may see and use while it takes a turn.
pub(crate) struct Turn<'core> {
    pub(crate) now: Now,
    /// Whether everything is to end, so that nothing is started any more.
    pub(crate) closing: bool,
    /// Whether nothing can be made, since the keeper is gone.
    pub(crate) keeper_lost: bool,
    /// How many runs live.
    pub(crate) live: usize,
    /// How many more there may be.
    pub(crate) room: usize,
    pub(crate) draw: &'core mut Draw,
    pub(crate) deeds: Vec<Deed>,
}

/// What a unit wants done, in order.
#[derive(Debug)]
pub(crate) enum Deed {
    Spawn { run: RunId, role: Role, told: Told, by: Origin },
    End { run: RunId, how: StopHow, by: Origin },
    Tell(Arc<Change>),
    Reply(Ticket, Answer),
}

impl Unit {
    /// A unit that was never started.
    pub(crate) fn new(spec: Arc<UnitSpec>, by: Origin, now: Now) -> Self {
        let kept = KeptUnit {
            spec,
            desired: Desired { wanted: Wanted::Down, by: by.clone(), at: now.wall },
            state: UnitState::Inactive,
            since: now.wall,
            result: UnitResult::Success,
            failure: None,
            first_run: None,
            main: None,
            control: None,
            last: None,
            ran: false,
            said_ready: false,
            unready: false,
            overdue: false,
            up_since: None,
            by,
            how: StopHow::Usual,
            asked: false,
            next: None,
            restarts: 0,
            streak: 0,
            window: StartWindow::default(),
            timer: None,
            status_text: None,
            started: 0,
        };
        Self {
            kept: Noted::new(kept),
            kept_specs: [None, None],
            armed: None,
            waiting: Vec::new(),
            history: VecDeque::new(),
        }
    }

    fn name(&self) -> &Name {
        &self.spec.name
    }

    /// Changes the state, and tells.
    fn enter(
        &mut self,
        turn: &mut Turn<'_>,
        to: UnitState,
        cause: ChangeCause,
        record: Option<Arc<ExitRecord>>,
    ) {
        let from = std::mem::replace(&mut self.state, to);
        self.since = turn.now.wall;
        let over = self.last.as_ref().filter(|_| self.ran);
        let change = Arc::new(Change {
            sequence: turn.draw.change(),
            at: turn.now.wall,
            name: self.name().clone(),
            from,
            to,
            run: self.main.map(|main| main.run).or_else(|| over.map(|record| record.run)),
            pid: self.main.map_or(0, |main| main.pid),
            cause,
            result: self.result,
            record,
        });
        if self.history.len() >= UnitDetail::CHANGES {
            self.history.pop_front();
        }
        self.history.push_back(Arc::clone(&change));
        turn.deeds.push(Deed::Tell(change));
    }

    /// Notes what went wrong, unless something has before.
    fn fail(&mut self, result: UnitResult, why: String, record: Option<Arc<ExitRecord>>) {
        if self.result == UnitResult::Success {
            self.result = result;
            self.failure = Some(Box::new(Failure { why, record }));
        }
    }

    /// Something is wrong with it that it does not end by; said until it ends, or has something worse to say.
    pub(crate) fn complain(&mut self, why: String) {
        if self.failure.is_none() {
            self.failure = Some(Box::new(Failure { why, record: None }));
        }
    }

    fn want(&mut self, turn: &Turn<'_>, wanted: Wanted, by: Origin) {
        self.desired = Desired { wanted, by, at: turn.now.wall };
    }

    fn arm(&mut self, turn: &Turn<'_>, patience: Option<Duration>) {
        self.timer = patience.map(|time| turn.now.monotonic.saturating_add(time));
    }

    /// Begins a run of this command; false where there is no room for one.
    fn spawn(&mut self, turn: &mut Turn<'_>, role: Role) -> bool {
        let Some(room) = turn.room.checked_sub(1) else { return false };
        turn.room = room;
        let run = self.first_run.take().unwrap_or_else(|| turn.draw.run());
        let part = Part { run, role, pid: 0 };
        let told = self.told(role);
        match role {
            Role::Main => self.main = Some(part),
            Role::Before(_) | Role::After(_) | Role::OnStop(_) | Role::OnReload(_) => {
                self.control = Some(part);
            }
        }
        let by = self.by.clone();
        turn.deeds.push(Deed::Spawn { run: part.run, role, told, by });
        true
    }

    /// Whoever waits for one of these waits no more.
    fn take_waiting(&mut self, awaited: &[Awaited]) -> Vec<Ticket> {
        let taken = self.waiting.extract_if(.., |(_, one)| awaited.contains(one));
        taken.map(|(ticket, _)| ticket).collect()
    }

    /// Whoever waits for one thing waits for another; whether anybody does.
    fn wait_instead(&mut self, former: Awaited, latter: Awaited) -> bool {
        let mut anybody = false;
        for (_, awaited) in self.waiting.iter_mut().filter(|(_, awaited)| *awaited == former) {
            *awaited = latter;
            anybody = true;
        }
        anybody
    }

    fn answer(&mut self, turn: &mut Turn<'_>, awaited: &[Awaited], answer: &Answer) {
        for ticket in self.take_waiting(awaited) {
            turn.deeds.push(Deed::Reply(ticket, answer.clone()));
        }
    }

    fn refuse(&mut self, turn: &mut Turn<'_>, awaited: &[Awaited], refusal: Refusal) {
        self.answer(turn, awaited, &Answer::Refused(refusal));
    }

    /// The caller of this ticket waits no more.
    pub(crate) fn forget_ticket(&mut self, ticket: Ticket) {
        self.waiting.retain(|(one, _)| *one != ticket);
    }
}
