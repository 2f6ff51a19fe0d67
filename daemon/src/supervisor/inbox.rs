//! The one queue in front of the supervisor.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, TrySendError},
    },
    time::Duration,
};

use logs::Finished;
use nix::sys::eventfd::{EfdFlags, EventFd};
use spawn::PidFd;
use units::{Answer, Command, Event, RunId, Ticket};

/// Deep enough for a thousand clients that ask at once; the supervisor takes a message in microseconds.
const DEPTH: usize = 1024;

/// Where the answers to one order go.
pub(crate) struct Caller {
    /// Has room for all that the order can get.
    pub(crate) answers: tokio::sync::mpsc::Sender<Answer>,
    /// Whether it wants to hear that the program has been executed. To wake one that does not costs as much
    /// as an answer.
    pub(crate) hears_start: bool,
}

/// What reaches the supervisor, other than from the keeper.
pub(crate) enum Message {
    /// A door's order.
    Order(Ticket, Command, Caller),
    /// A door's caller waits no more.
    CallerGone(Ticket),
    /// A run's program has been executed.
    Spawned {
        /// The run.
        run: RunId,
        /// Its main process.
        pid: i32,
        /// The same, and no other, whoever has its number one day.
        process: PidFd,
    },
    /// Anything else that happened.
    Event(Event),
    /// A run's output is in its log.
    LogFinished(Finished),
    /// Another daemon is about to take over: leave everything as it is.
    Leave,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{DEPTH} orders wait already; try again")]
pub(crate) struct Busy;

/// The end that everybody has.
#[derive(Clone)]
pub(crate) struct Inbox {
    queue: mpsc::SyncSender<Message>,
    bell: Arc<Bell>,
}

/// The supervisor's end.
pub(crate) struct Receiver {
    queue: mpsc::Receiver<Message>,
    bell: Arc<Bell>,
}

/// Wakes the supervisor, once for any number of messages.
struct Bell {
    event: EventFd,
    rung: AtomicBool,
    /// How many messages have been dealt with.
    done: AtomicU64,
    /// How long nothing may be dealt with.
    bound: Duration,
    /// Told when it is longer.
    stalled: tokio::sync::Notify,
}

/// Both ends.
pub(super) fn new(bound: Duration) -> io::Result<(Inbox, Receiver)> {
    let (sender, receiver) = mpsc::sync_channel(DEPTH);
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let bell = Arc::new(Bell {
        event,
        rung: AtomicBool::new(false),
        done: AtomicU64::new(0),
        bound,
        stalled: tokio::sync::Notify::new(),
    });
    let inbox = Inbox { queue: sender, bell: Arc::clone(&bell) };
    Ok((inbox, Receiver { queue: receiver, bell }))
}

/// A ticket that was never used.
pub(crate) fn new_ticket() -> Ticket {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Ticket(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Inbox {
    /// Hands an order in, unless the queue is full.
    pub(crate) fn order(&self, command: Command, caller: Caller) -> Result<Ticket, Busy> {
        let ticket = new_ticket();
        match self.queue.try_send(Message::Order(ticket, command, caller)) {
            Ok(()) => {
                self.bell.ring();
                Ok(ticket)
            }
            Err(TrySendError::Full(_)) => Err(Busy),
            // Nobody is there to answer: the call breaks with the daemon.
            Err(TrySendError::Disconnected(_)) => Ok(ticket),
        }
    }

    /// Says something that must not be lost, waiting for room: the supervisor never waits for the sender.
    pub(crate) fn send(&self, message: Message) {
        // Without a supervisor the daemon is about to end, and nobody is left to be told.
        drop(self.queue.send(message));
        self.bell.ring();
    }
}

/// Looks whether the supervisor gets on: the keeper sees only whether it hears the keeper, and here it is seen whether it
/// hears the doors.
impl Inbox {
    /// How much has been dealt with.
    pub(crate) fn done(&self) -> u64 {
        self.bell.done.load(Ordering::Relaxed)
    }

    /// For how long the supervisor may leave everything lying before it counts as hung.
    pub(crate) fn bound(&self) -> Duration {
        self.bell.bound
    }

    /// Somebody has waited for that long, and nothing was dealt with meanwhile.
    pub(crate) fn stalls(&self) {
        self.bell.stalled.notify_one();
    }

    /// Waits until somebody says so.
    pub(crate) async fn stalled(&self) {
        self.bell.stalled.notified().await;
    }
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It only fails where the counter is full, and then the bell rings already.
            self.event.write(1).ok();
        }
    }
}

impl Receiver {
    /// To be called when the bell rang and before the queue is emptied, so that what comes after rings
    /// again. The counter is read in any case: a ringer may be between its two steps.
    pub(super) fn acknowledge(&self) {
        self.bell.event.read().ok();
        self.bell.rung.store(false, Ordering::Release);
    }

    /// See [`Inbox::bound`].
    pub(super) fn bound(&self) -> Duration {
        self.bell.bound
    }

    /// The message that was taken last has been dealt with.
    pub(super) fn done(&self) {
        self.bell.done.fetch_add(1, Ordering::Relaxed);
    }

    /// The next message, if there is one.
    pub(super) fn next(&self) -> Option<Message> {
        self.queue.try_recv().ok()
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.event.as_fd()
    }
}
