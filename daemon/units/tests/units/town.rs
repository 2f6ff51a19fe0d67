//! A core with units, a clock, and a machine that does what it is told and no more: what is settled is
//! settled at once; everything else happens when the test says so.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use units::{
    Account, Action, Answer, Argv, Cause, Change, Command, CommandLine, CommandSpec, Core, Event,
    ExitRecord, Limits, Name, Now, Order, Origin, Refusal, Role, RunId, StartFailure, StopHow,
    Target, Ticket, UnitDetail, UnitSpec, UnitState, kept::Listener,
};

use crate::making::{LIMITS, exit, person};

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

/// The unit that every story is about.
pub(crate) fn web() -> Name {
    "web".parse().unwrap()
}

pub(crate) fn words(program: &str) -> CommandSpec {
    CommandSpec::Argv(Argv::new([program.as_bytes().to_vec()]).unwrap())
}

/// A line of the command language, which may begin with `-`.
pub(crate) fn line(text: &str) -> CommandSpec {
    CommandSpec::Line(CommandLine::parse(text).unwrap())
}

/// A service, changed as the test wants.
pub(crate) fn service(change: impl FnOnce(&mut UnitSpec)) -> Arc<UnitSpec> {
    let mut spec = UnitSpec::new(web(), words("/bin/web"));
    spec.restart.start_limit = None;
    change(&mut spec);
    assert_eq!(spec.check(), Ok(()));
    Arc::new(spec)
}

pub(crate) fn start(spec: &Arc<UnitSpec>) -> Order {
    Order::Start { spec: Arc::clone(spec), run: None }
}

pub(crate) fn restart(spec: &Arc<UnitSpec>) -> Order {
    Order::Restart { spec: Arc::clone(spec) }
}

pub(crate) fn reload() -> Order {
    Order::Reload { name: web() }
}

pub(crate) fn stop(how: StopHow) -> Order {
    Order::Stop { target: Target::Name(web()), how }
}

pub(crate) fn wait() -> Order {
    Order::Wait { target: Target::Name(web()) }
}

pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A live run, as the core made it.
#[derive(Clone, Copy, Debug)]
struct Live {
    run: RunId,
    role: Role,
    main_pid: i32,
}

/// The core and all around it.
pub(crate) struct Town {
    core: Core,
    pub(crate) now: Duration,
    tickets: u64,
    pids: i32,
    live: Vec<Live>,
    /// Everything that was done since it was last asked for.
    deeds: Vec<Action>,
    answers: BTreeMap<Ticket, Answer>,
    pub(crate) changes: Vec<Arc<Change>>,
    pub(crate) records: Vec<Arc<ExitRecord>>,
    /// What is counted when a run is settled.
    pub(crate) account: Account,
}

impl Town {
    pub(crate) fn new() -> Self {
        Self::with(Limits { live_runs: 32, ..LIMITS })
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            core: Core::new(limits).with_seed([7; 16]),
            now: Duration::from_secs(1),
            tickets: 0,
            pids: 100,
            live: Vec::new(),
            deeds: Vec::new(),
            answers: BTreeMap::new(),
            changes: Vec::new(),
            records: Vec::new(),
            account: Account::default(),
        }
    }

    /// One in which this unit is up.
    pub(crate) fn with_up(spec: &Arc<UnitSpec>) -> Self {
        let mut town = Self::new();
        let start = town.order(start(spec));
        town.executes(Role::Main);
        assert!(matches!(town.answer(start), Some(Answer::Up { .. })));
        town
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let wall = i64::try_from(self.now.as_nanos()).unwrap();
        let mut actions = Vec::new();
        self.core.step(Now { monotonic: self.now, wall }, event, &mut actions);
        for action in actions {
            self.note(action);
        }
    }

    fn note(&mut self, action: Action) {
        self.deeds.push(action.clone());
        match action {
            Action::SpawnUnit { run, role, told, .. } => {
                self.live.push(Live { run, role, main_pid: told.main_pid });
            }
            Action::Settle { run, .. } => {
                let account = self.account.clone();
                self.tell(Event::Settled { run, account });
            }
            Action::Release { run, record } => {
                self.live.retain(|live| live.run != run);
                self.records.push(record);
            }
            Action::Tell(change) => self.changes.push(change),
            Action::Reply(_, Answer::Started { .. }) => {}
            Action::Reply(ticket, answer) => {
                assert_eq!(self.answers.insert(ticket, answer), None, "answered twice");
            }
            Action::Spawn { .. }
            | Action::Probe { .. }
            | Action::Prepare { .. }
            | Action::Signal { .. }
            | Action::SignalMain { .. }
            | Action::Deliver { .. }
            | Action::Kill { .. }
            | Action::Forget { .. }
            | Action::Keep { .. }
            | Action::AwaitEmpty { .. } => {}
        }
    }

    pub(crate) fn order(&mut self, order: Order) -> Ticket {
        self.order_by(person("she"), order)
    }

    pub(crate) fn order_by(&mut self, origin: Origin, order: Order) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.tell(Event::Command(ticket, Command { origin, deadline: None, order }));
        ticket
    }

    /// An order that is answered at once.
    pub(crate) fn ask(&mut self, order: Order) -> Answer {
        let ticket = self.order(order);
        self.answers.remove(&ticket).unwrap()
    }

    /// An order that is refused at once.
    pub(crate) fn refused(&mut self, order: Order) -> Refusal {
        let answer = self.ask(order);
        let Answer::Refused(refusal) = answer else { panic!("{answer:?} is no refusal") };
        refusal
    }

    pub(crate) fn answer(&self, ticket: Ticket) -> Option<&Answer> {
        self.answers.get(&ticket)
    }

    /// What was refused meanwhile.
    pub(crate) fn refusal(&self, ticket: Ticket) -> Refusal {
        match self.answer(ticket) {
            Some(Answer::Refused(refusal)) => refusal.clone(),
            answer => panic!("{answer:?} is no refusal"),
        }
    }

    /// What was done about processes since this was last called, in words.
    pub(crate) fn done(&mut self) -> Vec<String> {
        let deeds = std::mem::take(&mut self.deeds);
        let role = |run: &RunId| {
            let known = self.live.iter().find(|live| live.run == *run);
            known.map_or_else(|| "one that is over".to_owned(), |live| format!("{:?}", live.role))
        };
        let tell = |deed: &Action| match deed {
            Action::SpawnUnit { role, .. } => Some(format!("spawn {role:?}")),
            Action::Signal { run, signal } => Some(format!("signal {signal} all of {}", role(run))),
            Action::SignalMain { run, signal } => Some(format!("signal {signal} {}", role(run))),
            Action::Deliver { run, signal, whom } => {
                Some(format!("deliver {signal} {whom:?} {}", role(run)))
            }
            Action::Kill { run } => Some(format!("kill {}", role(run))),
            Action::AwaitEmpty { run } => Some(format!("await {}", role(run))),
            Action::Spawn { .. } => Some("spawn".to_owned()),
            Action::Probe { run, listener } => {
                Some(format!("probe {} at {}", role(run), listener.socket))
            }
            Action::Prepare { run, listener } => {
                Some(format!("prepare {} at {}", role(run), listener.socket))
            }
            Action::Settle { .. }
            | Action::Forget { .. }
            | Action::Keep { .. }
            | Action::Release { .. }
            | Action::Tell(_)
            | Action::Reply(..) => None,
        };
        deeds.iter().filter_map(tell).collect()
    }

    fn run(&self, role: Role) -> Live {
        let found = self.live.iter().find(|live| live.role == role);
        *found.unwrap_or_else(|| panic!("{role:?} does not live: {:?}", self.live))
    }

    pub(crate) fn id(&self, role: Role) -> RunId {
        self.run(role).run
    }

    /// The main process that the command of this role was told of.
    pub(crate) fn main_pid(&self, role: Role) -> i32 {
        self.run(role).main_pid
    }

    pub(crate) fn lives(&self, role: Role) -> bool {
        self.live.iter().any(|live| live.role == role)
    }

    /// The program or command of this role is executed; its pid.
    pub(crate) fn executes(&mut self, role: Role) -> i32 {
        self.pids += 1;
        let pid = self.pids;
        self.tell(Event::Spawned { run: self.id(role), pid });
        pid
    }

    pub(crate) fn fails(&mut self, role: Role, stage: i32) {
        let failure = StartFailure { stage, errno: 2, message: "no such file".to_owned() };
        self.tell(Event::SpawnFailed { run: self.id(role), failure });
    }

    pub(crate) fn says_ready(&mut self) {
        self.tell(Event::Ready { run: self.id(Role::Main) });
    }

    /// The same, by dRPC.
    pub(crate) fn serves(&mut self) {
        self.tell(Event::Serves { run: self.id(Role::Main), listener: None });
    }

    /// The same, and it listens there.
    pub(crate) fn listens(&mut self, socket: &str) {
        let listener = Some(Listener { socket: socket.to_owned(), rank: 3, chunked: true });
        self.tell(Event::Serves { run: self.id(Role::Main), listener });
    }

    /// Its main process ends and leaves nothing.
    pub(crate) fn ends(&mut self, role: Role, cause: Cause) {
        self.ends_leaving(role, cause, true);
    }

    pub(crate) fn ends_leaving(&mut self, role: Role, cause: Cause, empty: bool) {
        let exit = exit(cause, i64::try_from(self.now.as_nanos()).unwrap());
        self.tell(Event::MainExited { run: self.id(role), exit, empty });
    }

    pub(crate) fn empties(&mut self, role: Role) {
        self.tell(Event::Emptied { run: self.id(role) });
    }

    /// The run that was begun last is executed.
    pub(crate) fn executes_last(&mut self) {
        let run = self.live.last().unwrap().run;
        self.pids += 1;
        self.tell(Event::Spawned { run, pid: self.pids });
    }

    /// The run that was begun last ends and leaves nothing.
    pub(crate) fn ends_last(&mut self, cause: Cause) {
        let run = self.live.last().unwrap().run;
        self.tell(Event::MainExited { run, exit: exit(cause, 0), empty: true });
    }

    /// A command is executed and ends with this status.
    pub(crate) fn does(&mut self, role: Role, status: i32) {
        self.executes(role);
        self.ends(role, Cause::Exited(status));
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.tell(Event::Tick);
    }

    /// Goes to the next moment at which something is due; how long that took.
    pub(crate) fn pass_to_deadline(&mut self) -> Duration {
        let at = self.core.next_deadline().unwrap();
        let time = at.saturating_sub(self.now);
        self.pass(time);
        time
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.core.next_deadline().map(|at| at.saturating_sub(self.now))
    }

    pub(crate) fn detail(&mut self) -> UnitDetail {
        let answer = self.ask(Order::Inspect { name: web() });
        let Answer::Unit(detail) = answer else { panic!("{answer:?} is no unit") };
        *detail
    }

    pub(crate) fn state(&mut self) -> UnitState {
        self.detail().view.state
    }

    /// The states that it has been in since this was last called.
    pub(crate) fn path(&mut self) -> Vec<UnitState> {
        std::mem::take(&mut self.changes).iter().map(|change| change.to).collect()
    }
}
