//! A core, a clock, and short words for what goes in and what comes out.

mod adoption;

use std::{sync::Arc, time::Duration};

use units::{
    Account, Action, Answer, Cause, Command, Core, Event, ExitRecord, Now, Order, Refusal, StopHow,
    Target, Ticket,
};

use crate::{
    kept::Shelf,
    making::{LIMITS, execution, exit, name, person, run},
};

pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

pub(crate) const HER: Ticket = Ticket(1);
pub(crate) const HIM: Ticket = Ticket(2);

/// A core, and what time it is.
pub(crate) struct Story {
    core: Core,
    shelf: Shelf,
    pub(crate) seconds: u32,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { core: Core::new(LIMITS), shelf: Shelf::default(), seconds: 0 }
    }

    /// One in which the run 1 has been started by her, and its program executed as process 100.
    pub(crate) fn with_a_run() -> Self {
        let mut story = Self::new();
        story.order(HER, execute(1, 1));
        story.tell(Event::Spawned { run: run(1), pid: 100 });
        story
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let wall = i64::from(self.seconds);
        let now = Now { monotonic: Duration::from_secs(self.seconds.into()), wall };
        let mut actions = Vec::new();
        self.core.step(now, event, &mut actions);
        actions.retain(|action| !self.shelf.take(action));
        actions
    }

    /// The daemon dies, and the next one goes on with what was kept; nobody has said yet what was found.
    pub(crate) fn crash(&mut self) {
        self.core = Core::resume(LIMITS, self.shelf.kept());
    }

    pub(crate) fn order(&mut self, ticket: Ticket, order: Order) -> Vec<Action> {
        let origin = person(if ticket == HER { "she" } else { "he" });
        self.tell(Event::Command(ticket, Command { origin, deadline: None, order }))
    }

    /// The clock shows so many seconds.
    pub(crate) fn tick_at(&mut self, seconds: u32) -> Vec<Action> {
        self.seconds = seconds;
        self.tell(Event::Tick)
    }

    pub(crate) fn main_exits(&mut self, cause: Cause, empty: bool) -> Vec<Action> {
        let exit = exit(cause, self.seconds.into());
        self.tell(Event::MainExited { run: run(1), exit, empty })
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.core.next_deadline().map(|at| at.as_secs())
    }

    /// The next pauses between two kills of something that does not die, in milliseconds.
    pub(crate) fn pauses_between_kills(&mut self, count: usize) -> Vec<u128> {
        let mut monotonic = Duration::from_secs(self.seconds.into());
        let mut pauses = Vec::new();
        while let Some(at) = self.core.next_deadline().filter(|_| pauses.len() < count) {
            pauses.push(at.saturating_sub(monotonic).as_millis());
            monotonic = at;
            let mut actions = Vec::new();
            self.core.step(Now { monotonic, wall: 0 }, Event::Tick, &mut actions);
            actions.retain(|action| !self.shelf.take(action));
            assert_eq!(actions, [kill()]);
        }
        pauses
    }

    /// The run is settled: its record, and the callers who got it before it was released.
    pub(crate) fn over(&mut self) -> (Arc<ExitRecord>, Vec<Ticket>) {
        let mut told = Vec::new();
        for action in self.tell(Event::Settled { run: run(1), account: Account::default() }) {
            if let Action::Reply(ticket, Answer::Ended(_)) = action {
                told.push(ticket);
            } else if let Action::Release { record, .. } = action {
                return (record, told);
            }
        }
        unreachable!("the run was not released")
    }
}

pub(crate) fn execute(number: u8, name_end: u8) -> Order {
    Order::Execute(Box::new(execution(number, name_end, 0)))
}

pub(crate) fn stop(how: StopHow) -> Order {
    Order::Stop { target: Target::Run(run(1)), how }
}

pub(crate) fn is_settle(actions: &[Action]) -> bool {
    matches!(actions, [Action::Settle { .. }])
}

pub(crate) fn started(ticket: Ticket) -> Action {
    Action::Reply(ticket, Answer::Started { run: run(1), name: name(1), pid: 100 })
}

pub(crate) fn stopping(ticket: Ticket) -> Action {
    Action::Reply(ticket, Answer::Stopping { run: run(1), name: name(1) })
}

pub(crate) fn refused(ticket: Ticket, refusal: Refusal) -> Vec<Action> {
    vec![Action::Reply(ticket, Answer::Refused(refusal))]
}

pub(crate) fn signal(signal: i32) -> Action {
    Action::Signal { run: run(1), signal }
}

pub(crate) fn kill() -> Action {
    Action::Kill { run: run(1) }
}

pub(crate) fn await_empty() -> Action {
    Action::AwaitEmpty { run: run(1) }
}
