//! Serving: the doors on the main thread, until everything has ended or something goes wrong, and what the keeper is told
//! of it.

use std::{os::fd::AsFd, sync::Arc, thread::JoinHandle, time::Duration};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};
use tokio::{sync::mpsc, task::JoinHandle as Task};

use crate::{
    code,
    doors::{self, grpc::Connections},
    ending,
    keeper_life::KeeperLife,
    memory,
    news::News,
    scheduling::boot::{self, Boot},
    serve::{BeginError, when},
    succession::Departure,
    supervisor::{Callers, Inbox, Message},
};

/// How long calls that are being answered may take to reach their clients when everything has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What is served, and what begins as soon as it is.
pub(crate) struct Served {
    pub(crate) listener: std::os::unix::net::UnixListener,
    /// How many may be connected at a time.
    pub(crate) connections: usize,
    pub(crate) door: doors::Core,
    pub(crate) boot: Boot,
    /// What the other threads say.
    pub(crate) news: mpsc::Receiver<News>,
}

/// Why there is nothing more to serve.
pub(crate) enum Ended {
    /// Every run has ended.
    All,
    /// Another daemon takes over, and every run with it.
    Ourselves,
}

/// Where the news lead.
enum Turn {
    Failed(String),
    Leave,
    Bequeathed,
}

/// Tells that we serve, and from now on what damage is found in logs.
fn announce(door: &doors::Core) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
    tokio::spawn(crate::daemon_log::tell_damage(door.logs.damages()));
}

/// One thread: a call is answered where it is read, without a hand-over. What waits for a disk is read by blocking threads.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().enable_time().on_thread_park(memory::look_after).build()
}

/// Serves until everything has ended, or a thread has without which nothing can be served: that is an error.
pub(crate) fn serve(
    served: Served,
    keeper: &Channel,
    all_ended: &Arc<tokio::sync::Notify>,
    supervisor: JoinHandle<Callers>,
) -> Result<Ended, BeginError> {
    let runtime = runtime().map_err(when("starting tokio"))?;
    let supervisor_ended = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&supervisor_ended);
    // Whoever still waits for an answer is let go with the runtime: see below.
    let (keep, _kept) = std::sync::mpsc::sync_channel(1);
    runtime.handle().spawn_blocking(move || {
        let callers = supervisor.join();
        tell.notify_one();
        drop(keep.send(callers));
    });
    let outcome = runtime.block_on(async {
        let (closing, closed) = tokio::sync::watch::channel(false);
        let Served { listener, connections, door, boot, mut news } = served;
        let (inbox, life) = (door.inbox.clone(), Arc::clone(&door.keeper));
        let open = Connections::at_most(connections);
        let server = doors::grpc::serve(listener, door.clone(), closed.clone(), open.clone())
            .map_err(when("serving gRPC"))?;
        let server = tokio::spawn(server);
        // That it is gone the supervisor finds out, and what runs goes on all the same.
        drop(tell_keeper(keeper, &ToKeeper::Serving));
        // Only now, so that it does not compete with the way here: what programs print waits in their pipes.
        door.logs.resume();
        announce(&door);
        doors::metrics::serve(&door);
        let drunc = doors::drunc::serve(&door, closed.clone());
        let drpc = doors::drpc::serve(&door, closed);
        let core = door.clone();
        crate::power::keep(&door.power);
        tokio::spawn(begin(door, boot));
        tokio::select! {
            () = all_ended.notified() => {}
            turn = turn(&mut news, (keeper, &inbox), &core) => match turn {
                Turn::Failed(why) => return Err(failed(why)),
                Turn::Bequeathed => {
                    supervisor_ended.notified().await;
                    return Ok(Ended::Ourselves);
                }
                Turn::Leave => {
                    supervisor_ended.notified().await;
                    // As in a crash: connections break, in the middle of calls, and clients go on with the next
                    // daemon where they stood. An orderly end would tell them that there is nothing to go on with.
                    return Ok(Ended::Ourselves);
                }
            },
            () = tell_of_closed(&open, keeper) => {}
            () = hang(&inbox, &life) => {
                let bound = inbox.bound();
                return Err(failed(format!(
                    "the supervisor hangs: it has left an order lying for {bound:?}"
                )));
            }
            () = supervisor_ended.notified() => {
                // One that panicked has said so, and so has one that ended in order.
                return said_already(&mut news);
            }
        }
        closing.send(true).ok();
        last_answers(server, [drunc, drpc]).await;
        Ok(Ended::All)
    });
    runtime.shutdown_timeout(Duration::ZERO);
    outcome
}

/// Starts what is enabled; then the start is over.
async fn begin(door: doors::Core, boot: Boot) {
    let schedule = door.schedule.clone();
    boot::boot(door, boot).await;
    schedule.opened().await;
    code::give_back();
}

/// Calls get their last answers, and files what was printed last; whoever does not take them in time goes without.
async fn last_answers(
    server: Task<Result<(), tonic::transport::Error>>,
    doors: [Option<Task<()>>; 2],
) {
    if let Ok(Ok(Err(why))) = tokio::time::timeout(LAST_ANSWERS, server).await {
        tracing::error!(%why, "the server ended with an error");
    }
    for door in doors.into_iter().flatten() {
        drop(tokio::time::timeout(LAST_ANSWERS, door).await);
    }
}

fn failed(why: String) -> BeginError {
    BeginError::Failed(why)
}

fn tell_keeper(keeper: &Channel, message: &ToKeeper) -> Result<(), BeginError> {
    keeper.send(&message.encode(), &[], Patience::Wait).map_err(when("telling the keeper"))
}

/// Takes the news, until one says that we cannot go on, or are to leave.
async fn turn(
    news: &mut mpsc::Receiver<News>,
    (keeper, inbox): (&Channel, &Inbox),
    core: &doors::Core,
) -> Turn {
    while let Some(item) = news.recv().await {
        match item {
            News::Probe(number) => {
                // A keeper that is gone is found out by the supervisor.
                drop(tell_keeper(keeper, &ToKeeper::Probed { number }));
            }
            News::Confirmed => {
                core.succession.confirm();
                tracing::info!("the keeper has found this daemon healthy: it is on trial no more");
            }
            News::Orphaned => core.succession.confirm(),
            News::Leave(departure) => match leave(&departure, keeper, inbox) {
                Ok(()) => return Turn::Leave,
                // The supervisor finds out that the keeper is gone; what runs goes on here then.
                Err(why) => tracing::error!(%why, "staying"),
            },
            News::Stopping => drop(tokio::spawn(ending::tell_of_slow(core.clone()))),
            News::Power { power, force, by } => {
                // It then tells the supervisor to stop, as for any other end.
                if let Err(why) = tell_keeper(keeper, &ToKeeper::Power { power, force, by }) {
                    tracing::error!(%why, "power: it is not done");
                }
            }
            News::Bequeathed => return Turn::Bequeathed,
            News::Failed(why) => return Turn::Failed(why),
        }
    }
    // Everybody who could tell is gone, and the supervisor with them.
    std::future::pending().await
}

/// Returns when the supervisor hangs, and a keeper is there that starts the next daemon. Without one, the pipes of what
/// runs would be lost with us; the next keeper ends a daemon that hands nothing over.
async fn hang(inbox: &Inbox, life: &KeeperLife) {
    loop {
        inbox.stalled().await;
        if !life.is_lost() {
            return;
        }
        tracing::error!(
            "the supervisor hangs, and there is no keeper that could start the next daemon; start auraed again"
        );
    }
}

/// Tells the keeper whenever no connection is open any more; never ends. Where there is no room it goes without, and asks
/// us once more than it had to.
async fn tell_of_closed(open: &Connections, keeper: &Channel) {
    loop {
        let at = open.all_closed().await;
        let message = ToKeeper::Disconnected { at };
        drop(keeper.send(&message.encode(), &[], Patience::Now));
    }
}

/// Takes leave: the keeper starts the next daemon when we are gone, however we go from here on. The supervisor leaves
/// everything as it is, so that the runs of calls that are cut off go on.
fn leave(departure: &Departure, keeper: &Channel, inbox: &Inbox) -> Result<(), BeginError> {
    tracing::info!(by = departure.by, "leaving, so that another daemon takes over");
    let Departure { by, programs } = departure;
    let paths = programs.iter().map(|(_, program)| program.path.to_string_lossy().into_owned());
    let message = ToKeeper::Replace {
        by: by.clone(),
        paths: paths.collect(),
        names: programs.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let files: Vec<_> = programs.iter().map(|(_, program)| program.file.as_fd()).collect();
    keeper
        .send(&message.encode(), &files, Patience::Wait)
        .map_err(when("telling the keeper that another daemon is to take over"))?;
    inbox.send(Message::Leave);
    Ok(())
}

/// What a thread has said that has just ended.
fn said_already(news: &mut mpsc::Receiver<News>) -> Result<Ended, BeginError> {
    while let Ok(item) = news.try_recv() {
        match item {
            News::Failed(why) => return Err(failed(why)),
            News::Bequeathed => return Ok(Ended::Ourselves),
            News::Probe(_)
            | News::Confirmed
            | News::Orphaned
            | News::Leave(_)
            | News::Stopping
            | News::Power { .. } => {}
        }
    }
    Err(failed("the supervisor thread ended".to_owned()))
}
