//! What the other threads have for the thread of the doors, which is the main one: it alone speaks for all of the daemon to
//! the keeper, and ends the process.
//!
//! A thread that panics does not live on unnoticed: [`begin`] has those told on which the daemon depends, and it
//! then ends, with the reason told. What a call's task panics with is that call's alone.

use std::{
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::OnceLock,
};

use keeper::protocol::Power;
use tokio::sync::mpsc;

use crate::succession::Departure;

/// Threads without which a daemon only seems to be alive, and in which every panic is their end. The schedule's is
/// another such thread, but there the store's own panics are caught and told as damage: see [`ended_by_panic`].
const VITAL: [&str; 4] = ["main", "supervisor", "spawner", "log-writer"];

/// More than one probe is never under way, and the first failure is the last.
const DEPTH: usize = 16;

/// News.
#[derive(Debug)]
pub(crate) enum News {
    /// The keeper asks whether we are there. It came by way of the supervisor.
    Probe(u32),
    /// The keeper has found us healthy: we are on trial no more.
    Confirmed,
    /// Our keeper was killed: nobody goes back to the daemon before.
    Orphaned,
    /// Another daemon is wanted in our place.
    Leave(Box<Departure>),
    /// The end of the machine is wanted.
    Power {
        /// How.
        power: Power,
        /// Without order.
        force: bool,
        /// Who wants it and why.
        by: String,
    },
    /// Everything ends, by order.
    Stopping,
    /// Our keeper was killed, and the next one has all that we hold.
    Bequeathed,
    /// We cannot go on.
    Failed(String),
}

/// The end that everybody has.
#[derive(Clone, Debug)]
pub(crate) struct Herald(mpsc::Sender<News>);

/// Both ends; from now on panics of vital threads are told, too.
pub(crate) fn begin() -> (Herald, mpsc::Receiver<News>) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    watch_for_panics(Herald(sender.clone()));
    (Herald(sender), receiver)
}

impl Herald {
    /// Tells, without waiting. Where there is no room the main thread takes nothing any more, and the keeper finds that out.
    pub(crate) fn tell(&self, news: News) {
        drop(self.0.try_send(news));
    }
}

/// For [`ended_by_panic`], which a thread may call that knows nothing of us.
static HERALD: OnceLock<Herald> = OnceLock::new();

/// Has panics of vital threads told. Whatever locks the panicking thread has, it still has them here: so nothing is
/// logged by `tracing`, which could want one of them, and the usual hook writes to standard error.
fn watch_for_panics(herald: Herald) {
    HERALD.get_or_init(|| herald.clone());
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let thread = std::thread::current();
        // A task of tokio's is caught by tokio: the call fails, and nothing else.
        let task = tokio::runtime::Handle::try_current().is_ok();
        if let Some(name) = thread.name().filter(|name| VITAL.contains(name) && !task) {
            herald.tell(News::Failed(told(name, panic)));
        }
    }));
}

/// Does what a thread does, and has it told where that ends with a panic.
pub(crate) fn ended_by_panic(thread: &str, work: impl FnOnce()) {
    // Nobody looks at what it leaves: the daemon ends.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
        && let Some(herald) = HERALD.get()
    {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let why = text.unwrap_or_else(|| "without a word".to_owned());
        herald.tell(News::Failed(format!("the thread {thread} panicked: {why}")));
    }
}

fn told(thread: &str, panic: &PanicHookInfo<'_>) -> String {
    let why = panic.payload_as_str().unwrap_or("without a word");
    match panic.location() {
        Some(at) => format!("the thread {thread} panicked at {}:{}: {why}", at.file(), at.line()),
        None => format!("the thread {thread} panicked: {why}"),
    }
}
