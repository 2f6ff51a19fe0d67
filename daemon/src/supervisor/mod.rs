//! The supervisor: the one thread that owns all state of runs.
//!
//! It waits for the keeper's messages, for its inbox, for what programs say of themselves, for main processes that end,
//! for cgroups that become empty and for the next deadline; never for a disk, a network or a program. What happens is turned into the core's events, and
//! the core's actions into deeds; nothing is decided here.

mod adoption;
mod deeds;
mod forsaken;
mod inbox;
mod keeping;
mod log_debt;
mod looking;
mod orphan;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::{Exit, ToDaemon, ToKeeper},
};
use logs::LogStore;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use units::{
    Account, Action, Answer, Command, Core, Event, Limits, Order, Origin, RunId, StopHow, Target,
    Ticket, kept::Kept,
};
use uuid::Uuid;

pub(crate) use adoption::{Adopted, Found};
pub(crate) use inbox::{Busy, Caller, Inbox, Message, Receiver};
use log_debt::LogDebt;
pub(crate) use orphan::{Estate, take_signals_over};

use crate::{
    audit::{Attempt, Audit},
    cgroups::{Cgroups, RunCgroup, Watch},
    changes::Changes,
    clock,
    handover::process_exit,
    ledger::Ledger,
    listeners::Listeners,
    memory,
    news::{Herald, News},
    notify::{self, NotifySocket},
    processes::{Descendants, Main},
    spawning::Jobs,
};

/// epoll's name of the inbox; cgroups and main processes have numbers that begin after these.
const INBOX: u64 = 0;
/// epoll's name of the keeper's channel.
const KEEPER: u64 = 1;
/// epoll's name of the socket of notifications.
const NOTIFY: u64 = 2;
/// epoll's name of the socket where the next keeper asks, should ours be killed.
const HEIRS: u64 = 3;
/// epoll's name of the signals.
const SIGNALS: u64 = 4;
const FIRST_RUN: u64 = 5;
/// How often it is looked whether a run is empty that nothing tells of. A look may have been uncertain, and no other
/// event need follow.
const LOOK: Duration = Duration::from_millis(20);
/// How much that the keeper said may go unanswered, and for how long. Its bound is a second at least.
const MOST_HEARD: u64 = 64;
const TELL_HEARD: Duration = Duration::from_millis(100);

/// How runs are tracked.
pub(crate) enum Tracking {
    /// Each in a cgroup.
    Cgroups(Cgroups),
    /// By what can be seen in /proc.
    BestEffort(Descendants),
}

/// What the supervisor holds for a run; the rest is the core's.
struct Held {
    /// Its main process, until its exit is known.
    main: Option<Main>,
    /// The number of that, which stays; 0 where it is not known.
    pid: i32,
    /// How that ended, once it has.
    exit: Option<Box<Exit>>,
    /// Whether it was made under a keeper that was killed, so that nobody tells us how it ends.
    stranger: bool,
    /// epoll's name of its main process.
    main_number: u64,
    /// epoll's name of its cgroup.
    number: u64,
    cgroup: Option<RunCgroup>,
    watch: Option<Watch>,
    /// What its cgroup told when it was empty, until its log is drained too.
    account: Option<Account>,
}

/// What a number that epoll answers with is about.
#[derive(Clone, Copy)]
enum Watched {
    /// The main process of this run.
    Main(RunId),
    /// The cgroup of this run.
    Cgroup(RunId),
}

/// The supervisor.
pub(crate) struct Supervisor {
    core: Core,
    ledger: Ledger,
    /// Runs that the keeper knows although their processes were never made.
    unmade: HashSet<RunId>,
    /// Those of them that never were.
    forgotten: Vec<RunId>,
    /// Boxed: a table has room for twice as many as it holds.
    held: HashMap<RunId, Box<Held>>,
    by_number: HashMap<u64, Watched>,
    next_number: u64,
    /// The runs of which somebody wants to know when they are empty, and nothing tells.
    looked_for: HashSet<RunId>,
    /// When that was last looked at, on the monotonic clock.
    last_look: Duration,
    callers: Callers,
    tracking: Tracking,
    epoll: Epoll,
    inbox: Receiver,
    keeper: Channel,
    notify: NotifySocket,
    estate: Estate,
    logs: LogStore,
    log_debt: LogDebt,
    audit: Audit,
    jobs: Jobs,
    changes: Arc<Changes>,
    /// Told once when everything has ended.
    all_ended: Arc<tokio::sync::Notify>,
    herald: Herald,
    /// Where it is left what programs that listen are to be told; none where nobody tells them.
    listeners: Option<Arc<Listeners>>,
    /// Another daemon is about to take over.
    leaving: bool,
    /// How many of the keeper's messages have been dealt with, and how many of these it knows of.
    heard: u64,
    heard_told: u64,
    /// When it is told of the rest, on the monotonic clock.
    tell_heard_at: Option<Duration>,
    shut_down: Option<Ticket>,
    /// What has happened and waits for its step.
    events: VecDeque<Event>,
    /// Whether a step is under way.
    stepping: bool,
    /// Empty between steps; kept for its room.
    actions: Vec<Action>,
}

/// Who waits for an answer.
pub(crate) type Callers = HashMap<Ticket, Caller>;

/// What a supervisor needs.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    /// Where what the next daemon must know is written.
    pub(crate) ledger: Ledger,
    /// What the daemon before wrote there.
    pub(crate) kept: Kept,
    pub(crate) tracking: Tracking,
    pub(crate) inbox: Receiver,
    pub(crate) keeper: Channel,
    pub(crate) notify: NotifySocket,
    pub(crate) estate: Estate,
    pub(crate) logs: LogStore,
    pub(crate) audit: Audit,
    pub(crate) jobs: Jobs,
    pub(crate) changes: Arc<Changes>,
    pub(crate) all_ended: Arc<tokio::sync::Notify>,
    pub(crate) herald: Herald,
    pub(crate) listeners: Option<Arc<Listeners>>,
}

/// Both ends of a new inbox, whose orders may lie for so long.
pub(crate) fn inbox(bound: Duration) -> io::Result<(Inbox, Receiver)> {
    inbox::new(bound)
}

impl Supervisor {
    /// A supervisor that knows what was kept, and has done nothing about it yet.
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&parts.inbox, EpollEvent::new(EpollFlags::EPOLLIN, INBOX))?;
        epoll.add(&parts.keeper, EpollEvent::new(EpollFlags::EPOLLIN, KEEPER))?;
        epoll.add(&parts.notify, EpollEvent::new(EpollFlags::EPOLLIN, NOTIFY))?;
        epoll.add(&parts.estate.signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        Ok(Self {
            core: Core::resume(parts.limits, parts.kept).with_seed(Uuid::new_v4().into_bytes()),
            ledger: parts.ledger,
            unmade: HashSet::new(),
            forgotten: Vec::new(),
            held: HashMap::new(),
            by_number: HashMap::new(),
            next_number: FIRST_RUN,
            looked_for: HashSet::new(),
            last_look: Duration::ZERO,
            callers: HashMap::new(),
            tracking: parts.tracking,
            epoll,
            log_debt: LogDebt::new(parts.inbox.bound()),
            inbox: parts.inbox,
            keeper: parts.keeper,
            notify: parts.notify,
            estate: parts.estate,
            logs: parts.logs,
            audit: parts.audit,
            jobs: parts.jobs,
            changes: parts.changes,
            all_ended: parts.all_ended,
            herald: parts.herald,
            listeners: parts.listeners,
            leaving: false,
            heard: 0,
            heard_told: 0,
            tell_heard_at: None,
            shut_down: None,
            events: VecDeque::new(),
            stepping: false,
            actions: Vec::new(),
        })
    }

    /// Supervises until another daemon is to take over; whose calls are still open then.
    pub(crate) fn run(mut self) -> Callers {
        loop {
            memory::look_after();
            let mut events = [EpollEvent::empty(); 64];
            let ready = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(why) => {
                    tracing::error!(%why, "the supervisor cannot wait; the keeper starts the next daemon");
                    return self.callers;
                }
            };
            let ready = events.get(..ready).unwrap_or_default();
            crate::faults::point("supervisor");
            if ready.iter().any(|event| event.data() == INBOX) {
                self.inbox.acknowledge();
            }
            self.take_inbox();
            for event in ready {
                // From here on all of it is another's.
                if self.leaving {
                    return self.callers;
                }
                match event.data() {
                    INBOX => {}
                    NOTIFY => self.take_notices(),
                    KEEPER if self.take_keeper() => {}
                    KEEPER => self.lose_keeper(),
                    HEIRS => self.take_heir(),
                    SIGNALS => self.take_signals(),
                    number => self.take_watched(number),
                }
            }
            if self.leaving {
                return self.callers;
            }
            let now = clock::now().monotonic;
            if self.core.next_deadline().is_some_and(|at| at <= now) {
                self.step(Event::Tick);
            }
            if self.tell_heard_at.is_some_and(|at| at <= now) {
                self.tell_heard();
            }
            self.keep_again(now);
            self.look_at_log_writer(now);
            self.look_again();
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let look = Some(LOOK).filter(|_| self.has_to_look());
        let due = [self.tell_heard_at, self.ledger.retry_at(), self.log_debt.due_at()];
        let deadline = self.core.next_deadline().into_iter().chain(due.into_iter().flatten()).min();
        let left = deadline.map(|at| at.saturating_sub(clock::now().monotonic));
        let Some(left) = left.into_iter().chain(look).min() else { return EpollTimeout::NONE };
        // Rounded up, so that the deadline has passed when we wake.
        let left = left + Duration::from_nanos(999_999);
        let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::ZERO)
    }

    fn take_inbox(&mut self) {
        if self.leaving {
            return;
        }
        while let Some(message) = self.inbox.next() {
            match message {
                Message::Order(ticket, command, caller) => {
                    self.callers.insert(ticket, caller);
                    self.step(Event::Command(ticket, command));
                }
                Message::CallerGone(ticket) => {
                    self.callers.remove(&ticket);
                    self.step(Event::CallerGone(ticket));
                }
                Message::Spawned { run, pid, process } => {
                    deeds::hold_main(self, run, Main { pid, process });
                    self.step(Event::Spawned { run, pid });
                }
                Message::Event(event) => self.step(event),
                Message::LogFinished(finished) => {
                    self.log_debt.paid(clock::now().monotonic, self.logs.turns());
                    deeds::log_finished(self, &finished);
                }
                // What comes after it is for the next daemon.
                Message::Leave => {
                    self.leaving = true;
                    return;
                }
            }
            self.inbox.done();
        }
    }

    /// Takes the keeper's messages; false where the keeper is gone.
    fn take_keeper(&mut self) -> bool {
        if self.estate.life.is_lost() {
            return true;
        }
        loop {
            let packet = match self.keeper.receive(Patience::Now) {
                Ok(Some(packet)) => packet,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.owe_heard();
                    return true;
                }
                Ok(None) | Err(_) => return false,
            };
            // What a spawner said before the keeper said this must be known first.
            self.take_inbox();
            match ToDaemon::decode(&packet.bytes) {
                Ok(ToDaemon::Exited { run, pid: _, exit }) => {
                    self.main_exited(RunId::from_bytes(run), process_exit(exit));
                }
                Ok(ToDaemon::OrphanReaped) => deeds::look_for_empty(self),
                Ok(ToDaemon::Refused { run, why }) => self.refused(RunId::from_bytes(run), &why),
                Ok(ToDaemon::Stop) => self.stop(),
                Ok(ToDaemon::Probe { number }) => self.herald.tell(News::Probe(number)),
                Ok(ToDaemon::Confirmed) => self.herald.tell(News::Confirmed),
                Ok(message) => tracing::error!(?message, "the keeper sent a message out of turn"),
                Err(why) => tracing::error!(%why, "the keeper sent a message that cannot be read"),
            }
            self.heard += 1;
        }
    }

    /// What the keeper said has been dealt with. It is told of much at once, or of little a little later: it has to know
    /// in seconds, and each word wakes it.
    fn owe_heard(&mut self) {
        if self.heard - self.heard_told >= MOST_HEARD {
            self.tell_heard();
        } else if self.heard > self.heard_told && self.tell_heard_at.is_none() {
            self.tell_heard_at = Some(clock::now().monotonic.saturating_add(TELL_HEARD));
        }
    }

    fn tell_heard(&mut self) {
        self.tell_heard_at = None;
        if std::mem::replace(&mut self.heard_told, self.heard) != self.heard {
            self.tell_keeper(&ToKeeper::Heard { messages: self.heard });
        }
    }

    /// Takes what programs say of themselves; what is left has its turn after everybody else's.
    fn take_notices(&mut self) {
        for _ in 0..notify::MESSAGES_A_TURN {
            let Some((sender, notice)) = self.notify.receive() else { return };
            if notice.is_empty() {
                continue;
            }
            // What a spawner said of a process must be known before what the process says.
            self.take_inbox();
            let run = match &self.tracking {
                Tracking::Cgroups(cgroups) => cgroups.run_of_process(sender),
                Tracking::BestEffort(_) => notify::claimed_run(sender),
            };
            // Nothing is logged of one that is nobody's: anybody may send as many as he likes.
            let Some(run) = run else { continue };
            if let Some(status) = notice.status {
                self.step(Event::Notified { run, status });
            }
            if notice.ready {
                self.step(Event::Ready { run });
            }
        }
    }

    fn take_watched(&mut self, number: u64) {
        match self.by_number.get(&number).copied() {
            // The keeper tells how; what can be found out meanwhile need not be waited for then.
            Some(Watched::Main(run)) if self.is_stranger(run) => self.stranger_ended(run),
            Some(Watched::Main(run)) => deeds::look_ahead(self, run),
            Some(Watched::Cgroup(run)) => self.take_cgroup(run),
            None => {}
        }
    }

    fn take_cgroup(&mut self, run: RunId) {
        let empty =
            self.held.get(&run).and_then(|held| held.watch.as_ref()).is_some_and(Watch::is_empty);
        if empty {
            deeds::unwatch(self, run);
            self.step(Event::Emptied { run });
        }
    }

    /// The keeper could not hold a run's output; without that a death of ours would cost lines.
    fn refused(&mut self, run: RunId, why: &str) {
        tracing::error!(%run, why, "the keeper cannot hold its output; it is killed");
        let origin = Origin::daemon(&format!("the keeper cannot hold its output: {why}"));
        let order = Order::Stop { target: Target::Run(run), how: StopHow::Kill };
        let command = Command { origin, deadline: None, order };
        self.step(Event::Command(inbox::new_ticket(), command));
    }

    /// The keeper was told to stop.
    fn stop(&mut self) {
        tracing::info!("stopping: every run is told to end");
        self.herald.tell(News::Stopping);
        let origin = Origin::daemon("the daemon is stopping");
        self.audit.tell(&Attempt::all("shutdown"), &origin);
        let command = Command { origin, deadline: None, order: Order::ShutDown };
        let ticket = inbox::new_ticket();
        self.shut_down = Some(ticket);
        self.step(Event::Command(ticket, command));
    }

    /// One transition of the core, and its deeds. What deeds cause waits until all deeds of this one are done, so
    /// that changes are told in the order of their numbers.
    fn step(&mut self, event: Event) {
        self.events.push_back(event);
        if std::mem::replace(&mut self.stepping, true) {
            return;
        }
        let mut actions = std::mem::take(&mut self.actions);
        while let Some(event) = self.events.pop_front() {
            self.core.step(clock::now(), event, &mut actions);
            self.keep(&actions);
            crate::faults::point("deeds");
            for action in actions.drain(..) {
                deeds::perform(self, action);
            }
        }
        self.actions = actions;
        self.stepping = false;
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if self.shut_down == Some(ticket) {
            if answer == Answer::AllEnded {
                self.all_ended.notify_one();
            }
            return;
        }
        let last = !matches!(answer, Answer::Started { .. });
        let answer = self.promised(answer);
        if let Some(caller) = self.callers.get(&ticket)
            && (last || caller.hears_start)
        {
            // There is room; that a caller is gone, it says itself.
            drop(caller.answers.try_send(answer));
        }
        if last {
            self.callers.remove(&ticket);
        }
    }

    fn tell_keeper(&self, message: &ToKeeper) {
        if self.estate.life.is_lost() {
            return;
        }
        // It takes messages at once; where its channel is full for a moment, we wait for it as for a call.
        if let Err(why) = self.keeper.send(&message.encode(), &[], Patience::Wait) {
            tracing::error!(%why, "cannot tell the keeper");
        }
    }

    fn number(&mut self, watched: Watched) -> u64 {
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1).max(FIRST_RUN);
        self.by_number.insert(number, watched);
        number
    }
}
