//! The door for clients of drunc's process manager: three of its generations at one listener on this machine; there is none
//! unless the configuration names one (docs/drunc.md).
//!
//! Invariants: the protocol has no security of its own, so nobody is served but whom the kernel names and the configuration
//! lists. What comes in by this door is a unit like any other, with this door as its owner; nothing else is seen, ended or
//! forgotten here. The door keeps nothing by itself: the next daemon finds all of it in the core. A listener that cannot be
//! had is a problem in Status, and tried again.

mod booting;
mod connection;
mod copying;
mod ending;
mod envelope;
mod fault;
mod files;
mod first;
mod fourth;
mod hosts;
mod lines;
mod peer;
mod process;
mod processes;
mod script;
mod selection;
mod third;

use std::{
    future::Future,
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use api::drunc::{
    first::dune_process_manager::process_manager_server::ProcessManagerServer as FirstServer,
    fourth::process_manager_server::ProcessManagerServer as FourthServer,
    third::process_manager_server::ProcessManagerServer as ThirdServer,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use self::{fault::Fault, first::First, fourth::Fourth, processes::Processes, third::Third};
use super::{Core, telling::Problem};
use crate::{configuration::DruncDoor, held_sockets::HeldSockets};

/// Its name with the keeper.
const DOOR: &str = "drunc";
/// How long it takes until it is tried again what failed.
const RETRY: Duration = Duration::from_secs(5);
/// The largest request: a script of 128 KiB fits many times.
const LARGEST_REQUEST: usize = 1 << 20;
/// Connections that are taken and not served yet: the server takes them at once.
const TAKEN: usize = 16;
/// Calls of one connection at a time; more wait.
const STREAMS: u32 = 64;
/// How often a silent connection is asked whether somebody is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Letters of a line that a client has written to our log.
const LONGEST_LINE: usize = 4096;

/// What is known of this door.
#[derive(Debug)]
pub(crate) struct Drunc {
    settings: Arc<DruncDoor>,
    problem: Problem,
}

impl Drunc {
    /// As it is configured.
    pub(crate) fn with(settings: DruncDoor) -> Arc<Self> {
        Arc::new(Self { settings: Arc::new(settings), problem: Problem::default() })
    }

    /// Why nobody can connect, where that is so.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.told()
    }
}

/// Serves where it is wanted, until `closed` says so; then the task ends when all files have what was printed.
pub(crate) fn serve(core: &Core, closed: watch::Receiver<bool>) -> Option<JoinHandle<()>> {
    let Some(door) = core.drunc.clone() else {
        core.sockets.give_up(DOOR);
        return None;
    };
    let (core, mut until) = (core.clone(), closed.clone());
    let files = tokio::spawn(files::keep(core.clone(), closed.clone()));
    Some(tokio::spawn(async move {
        tokio::select! {
            () = listen(&core, &door, closed) => {}
            // An error means that the daemon ends without a word: then so do we.
            _ = until.wait_for(|closed| *closed) => {}
        }
        drop(files.await);
    }))
}

/// Listens and serves; never ends but when it is closed.
async fn listen(core: &Core, door: &Drunc, closed: watch::Receiver<bool>) {
    let at = door.settings.listen;
    loop {
        let why = match listener(at, &core.sockets).await {
            Ok(listener) => {
                door.problem.clear();
                tracing::info!(listen = %at, "drunc's clients are served");
                match served(listener, core, door, closed.clone()).await {
                    Ok(()) => return,
                    Err(why) => io::Error::other(why),
                }
            }
            Err(why) => why,
        };
        door.problem.set(format!(
            "cannot serve drunc's clients at {at}: {why}; free it, or choose another as [doors.drunc] listen and send \
             SIGHUP to auraed"
        ));
        sleep(RETRY).await;
    }
}

/// The listener of the daemon before, at which some may wait, or a new one, which the next daemon gets.
async fn listener(at: SocketAddr, sockets: &HeldSockets) -> io::Result<TcpListener> {
    let is_there = |socket: &OwnedFd| {
        let listener = socket.try_clone().map(net::TcpListener::from);
        listener.and_then(|listener| listener.local_addr()).is_ok_and(|has| has == at)
    };
    if let Some(socket) = sockets.take(DOOR, is_there) {
        return TcpListener::from_std(socket.into());
    }
    let listener = TcpListener::bind(at).await?;
    sockets.hold(DOOR, listener.as_fd());
    Ok(listener)
}

async fn served(
    listener: TcpListener,
    core: &Core,
    door: &Drunc,
    mut closed: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let processes = Processes::new(core.clone(), Arc::clone(&door.settings));
    let (to, connections) = mpsc::channel(TAKEN);
    tokio::spawn(connection::take(listener, door.settings.uids.clone(), to));
    let first = FirstServer::new(First(processes.clone()));
    let third = ThirdServer::new(Third(processes.clone()));
    let fourth = FourthServer::new(Fourth(processes));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(STREAMS)
        .add_service(first.max_decoding_message_size(LARGEST_REQUEST))
        .add_service(third.max_decoding_message_size(LARGEST_REQUEST))
        .add_service(fourth.max_decoding_message_size(LARGEST_REQUEST))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), async move {
            drop(closed.wait_for(|closed| *closed).await);
        })
        .await
}

/// Carries out what was begun, also should the client go away meanwhile.
async fn finish<T: Send + 'static>(
    act: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let failed = |why| Err(Fault::Failed(format!("a call ended without an answer: {why}")));
    tokio::spawn(act).await.unwrap_or_else(failed)
}

/// Writes what a client has to say to our log, as one line.
fn told(severity: &str, text: &str) {
    let kept = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.chars().take(LONGEST_LINE).map(kept).collect();
    match severity.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => tracing::error!("a client of drunc's says: {line}"),
        "WARNING" | "WARN" => tracing::warn!("a client of drunc's says: {line}"),
        "DEBUG" => tracing::debug!("a client of drunc's says: {line}"),
        _ => tracing::info!("a client of drunc's says: {line}"),
    }
}
