//! The ways into the daemon: each translates between its wire and the core's language, log cursors and the schedule,
//! and does nothing else.

mod bulk;
pub(crate) mod drpc;
pub(crate) mod drunc;
pub(crate) mod grpc;
mod last_lines;
pub(crate) mod metrics;
pub(crate) mod registered;
mod telling;
mod until;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(crate) use bulk::BulkReaders;
use logs::LogStore;
use spawn::Method;
use tokio::sync::mpsc;
use units::{
    Answer, Command, Execution, ExitRecord, Found, Name, Order, Origin, Refusal, RunId, Target,
    Ticket,
};

use crate::{
    audit::{Attempt, Audit, Outcome},
    cgroups::Cgroups,
    changes::Changes,
    clock,
    configuration::Configuration,
    definition::Usual,
    environment::Environment,
    held_sockets::HeldSockets,
    keeper_life::KeeperLife,
    power::PowerPlan,
    scheduling::Schedule,
    succession::Succession,
    supervisor::{Caller, Inbox, Message, Tracking},
};

/// The most of a name that is told, in characters, where nobody has looked at it yet.
const LONGEST_NAME: usize = 255;

/// What a door gets of the daemon.
#[derive(Clone)]
pub(crate) struct Core {
    /// Where orders go.
    pub(crate) inbox: Inbox,
    /// Where output is.
    pub(crate) logs: LogStore,
    /// Where it is written who changed what.
    pub(crate) audit: Audit,
    /// What is enabled.
    pub(crate) schedule: Schedule,
    /// What runs find in their environment, for the variables of command lines.
    pub(crate) environment: Environment,
    /// Where runs live, which says what they use; none where there are no cgroups.
    pub(crate) cgroups: Option<Cgroups>,
    /// What has changed.
    pub(crate) changes: Arc<Changes>,
    /// What units are that do not say otherwise.
    pub(crate) usual: Usual,
    /// Who answers.
    pub(crate) identity: Arc<Identity>,
    /// Whether what the next daemon must know cannot be written.
    pub(crate) ledger_fails: Arc<AtomicBool>,
    /// The end of the machine.
    pub(crate) power: Arc<PowerPlan>,
    /// How another follows.
    pub(crate) succession: Arc<Succession>,
    /// Whether our keeper lives.
    pub(crate) keeper: Arc<KeeperLife>,
    /// Who reads much of a log at once.
    pub(crate) bulk: BulkReaders,
    /// What is told to Prometheus, where anything is.
    pub(crate) metrics: Option<Arc<metrics::Metrics>>,
    /// The door for drunc's clients, where there is one.
    pub(crate) drunc: Option<Arc<drunc::Drunc>>,
    /// The door for dRPC's clients, where there is one.
    pub(crate) drpc: Option<Arc<drpc::Drpc>>,
    /// The sockets that outlive a daemon.
    pub(crate) sockets: Arc<HeldSockets>,
}

/// What Status says and does not change.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The node's name.
    pub(crate) node: String,
    /// The keeper's process.
    pub(crate) keeper: i32,
    /// How many daemons it has started, this one included.
    pub(crate) starts: u32,
    /// How the one before ended; empty for the first.
    pub(crate) previous: String,
    /// When this one began: nanoseconds since the Unix epoch.
    pub(crate) began: i64,
    /// How processes are made.
    pub(crate) method: String,
    /// How runs are tracked.
    pub(crate) tracking: String,
    /// Where they live.
    pub(crate) cgroup: String,
    /// What was wrong when it began.
    pub(crate) problems: Vec<String>,
}

/// A call that waits for its answers. When it is dropped before the last one, the core is told.
pub(crate) struct Call {
    ticket: Ticket,
    answers: mpsc::Receiver<Answer>,
    inbox: Inbox,
    open: bool,
    /// How much the supervisor had dealt with before this, until it is known to get on.
    before: Option<u64>,
    /// Where it is told what came of it, if it was to change anything.
    outcome: Option<Outcome>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The core refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue is full.
    #[error(transparent)]
    Busy(#[from] crate::supervisor::Busy),
    /// An answer that the core does not give to this order: a fault of ours.
    #[error("the core answered something else; please report this")]
    OutOfTurn,
}

impl Identity {
    /// Of this daemon.
    pub(crate) fn new(
        configuration: &Configuration,
        keeper: i32,
        starts: u32,
        previous: String,
    ) -> Self {
        Self {
            node: configuration.node.clone(),
            keeper,
            starts,
            previous,
            began: clock::now().wall,
            method: String::new(),
            tracking: "best effort".to_owned(),
            cgroup: String::new(),
            problems: configuration.problems.clone(),
        }
    }

    /// With what was found out about the machine, to be shared by the doors.
    pub(crate) fn with(mut self, method: Method, tracking: &Tracking) -> Arc<Self> {
        self.method = method.to_string();
        if let Tracking::Cgroups(cgroups) = tracking {
            cgroups.tracking().clone_into(&mut self.tracking);
            cgroups.shown().clone_into(&mut self.cgroup);
        }
        Arc::new(self)
    }
}

impl Core {
    /// Hands an execution in; with `hears_start`, the call's first step is its start.
    pub(crate) fn execute(
        &self,
        execution: Execution,
        origin: Origin,
        patience: Option<Duration>,
        hears_start: bool,
    ) -> Result<Call, Unanswered> {
        let deadline = patience.map(|patience| clock::now().monotonic.saturating_add(patience));
        let order = Order::Execute(Box::new(execution));
        self.order(Command { origin, deadline, order }, hears_start)
    }

    /// Goes on with a run that an earlier [`Core::execute`] made, as its caller; nothing is executed.
    pub(crate) fn join(
        &self,
        run: RunId,
        origin: Origin,
        patience: Option<Duration>,
    ) -> Result<Call, Unanswered> {
        let deadline = patience.map(|patience| clock::now().monotonic.saturating_add(patience));
        self.order(Command { origin, deadline, order: Order::Join { run } }, true)
    }

    fn order(&self, command: Command, hears_start: bool) -> Result<Call, Unanswered> {
        crate::faults::point("doors");
        // Two: the most that a call gets.
        let (sender, answers) = mpsc::channel(2);
        let before = Some(self.inbox.done());
        let attempt = Attempt::of_order(&command.order);
        let mut outcome = attempt.map(|attempt| self.audit.begin(attempt, &command.origin));
        let ordered = self.inbox.order(command, Caller { answers: sender, hears_start });
        if let (Err(why), Some(outcome)) = (&ordered, &mut outcome) {
            outcome.tell::<(), _>(Err(why));
        }
        let (ticket, inbox) = (ordered?, self.inbox.clone());
        Ok(Call { ticket, answers, inbox, open: true, before, outcome })
    }

    /// Hands an order in that has one answer, and waits for it.
    pub(crate) async fn ask(&self, order: Order, origin: Origin) -> Result<Answer, Unanswered> {
        self.ask_within(order, origin, None).await
    }

    /// The same of a caller who waits for so long.
    pub(crate) async fn ask_within(
        &self,
        order: Order,
        origin: Origin,
        patience: Option<Duration>,
    ) -> Result<Answer, Unanswered> {
        let deadline = patience.map(|patience| clock::now().monotonic.saturating_add(patience));
        self.order(Command { origin, deadline, order }, false)?.next().await
    }

    /// What is known about a run, if anything is.
    pub(crate) async fn find(
        &self,
        target: Target,
        origin: Origin,
    ) -> Result<Option<Found>, Unanswered> {
        let answer = match self.ask(Order::Find(target), origin).await {
            Err(Unanswered::Refused(Refusal::NoSuchRun(_))) => return Ok(None),
            answer => answer?,
        };
        let Answer::Found(found) = answer else { return Err(Unanswered::OutOfTurn) };
        Ok(Some(found))
    }

    /// What a door refuses itself, before anybody else hears of it, is in the audit log all the same.
    pub(crate) fn tell_refused(
        &self,
        (action, name): (&'static str, &str),
        by: &Origin,
        why: &str,
    ) {
        let name: String = name.chars().take(LONGEST_NAME).collect();
        let attempt =
            if name.is_empty() { Attempt::all(action) } else { Attempt::of(action, &name) };
        self.audit.begin(attempt, by).tell::<(), _>(Err(&why));
    }

    /// What is wrong, each in a sentence.
    pub(crate) fn problems(&self) -> Vec<String> {
        let keeper = self.keeper.problem().into_iter();
        let ledger = self.ledger_fails.load(Ordering::Relaxed).then(|| {
            "the ledger in the runtime folder cannot be written, or has little room left: nothing new is begun, and should \
             this daemon die, the next one may not know what happened since; make room there"
                .to_owned()
        });
        let logs = self.logs.problems().into_iter();
        let logs =
            logs.map(|problem| format!("log {}: {}", problem.log.folder().display(), problem.text));
        let metrics = self.metrics.iter().flat_map(|metrics| metrics.problems());
        let drunc = self.drunc.as_ref().and_then(|drunc| drunc.problem());
        let drpc = self.drpc.iter().flat_map(|drpc| drpc.problems());
        let doors = metrics.chain(drunc).chain(drpc);
        let schedule = self.schedule.problems();
        let first = self.identity.problems.iter().cloned();
        let own = first.chain(keeper).chain(ledger).chain(logs).chain(schedule);
        own.chain(doors).collect()
    }

    /// How many runs are alive, and how many were made.
    pub(crate) async fn count(&self, origin: Origin) -> Result<(usize, u64), Unanswered> {
        let answer = self.ask(Order::Count, origin).await?;
        let Answer::Counted { live, total } = answer else { return Err(Unanswered::OutOfTurn) };
        Ok((live, total))
    }
}

/// What a caller of [`Order::Execute`] hears.
pub(crate) enum Step {
    /// The program has been executed.
    Started {
        /// Its run.
        run: RunId,
        /// The name it runs under.
        name: Name,
        /// Its main process.
        pid: i32,
    },
    /// The run is over, and its output in the log.
    Ended(Arc<ExitRecord>),
}

impl Call {
    /// The next step of an execution. After its end there is none: ask no further.
    pub(crate) async fn step(&mut self) -> Result<Step, Unanswered> {
        let answer = self.next().await?;
        if let Answer::Started { run, name, pid } = answer {
            return Ok(Step::Started { run, name, pid });
        }
        let Answer::Ended(record) = answer else { return Err(Unanswered::OutOfTurn) };
        Ok(Step::Ended(record))
    }

    /// The end of an execution.
    pub(crate) async fn end(&mut self) -> Result<Arc<ExitRecord>, Unanswered> {
        loop {
            if let Step::Ended(record) = self.step().await? {
                return Ok(record);
            }
        }
    }

    async fn next(&mut self) -> Result<Answer, Unanswered> {
        let Some(answer) = self.answer().await else {
            // The supervisor is gone, and the daemon in a moment. As in any death the connection breaks then, and the
            // client goes on with the next daemon: an answer would tell it that there is nothing to go on with.
            return std::future::pending().await;
        };
        self.open = matches!(answer, Answer::Started { .. });
        let answer = if let Answer::Refused(refusal) = answer { Err(refusal) } else { Ok(answer) };
        if let Some(mut outcome) = self.outcome.take() {
            outcome.tell(answer.as_ref());
        }
        Ok(answer?)
    }
}

impl Call {
    /// The next answer. As long as it is not known that the supervisor takes orders at all, that is looked at, too: the
    /// timer is gone with the call, so that nothing wakes a daemon that has nothing to do.
    async fn answer(&mut self) -> Option<Answer> {
        while let Some(before) = self.before {
            let bound = self.inbox.bound();
            let begun = clock::now().monotonic;
            if let Ok(answer) = tokio::time::timeout(bound, self.answers.recv()).await {
                self.before = None;
                return answer;
            }
            // Where we were stopped ourselves, so was the supervisor.
            let held_up = clock::now().monotonic.saturating_sub(begun) > bound + clock::HELD_UP;
            if self.inbox.done() != before {
                self.before = None;
            } else if !held_up {
                self.inbox.stalls();
                self.before = None;
            }
        }
        self.answers.recv().await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.open {
            self.inbox.send(Message::CallerGone(self.ticket));
        }
    }
}
