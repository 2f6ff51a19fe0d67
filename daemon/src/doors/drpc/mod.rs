//! The door for dRPC, as DAOS speaks it: a Unix socket of packets; there is none unless the configuration names one
//! (docs/drpc.md).
//!
//! Invariants: nobody is served but whom the kernel names and the configuration lists. A session's faults are its own: what is
//! wrong with its packets ends it, and who does not read goes without answers; nobody else waits for either. A socket that
//! cannot be had is a problem in Status, and tried again.

mod answering;
mod der;
mod engine;
mod engines;
mod lines;
mod listener;
mod process;
mod session;

use std::{
    fs,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::sleep,
};

use self::session::Peer;
use super::{
    Core,
    telling::{Problem, Seldom},
};
use crate::{configuration::DrpcDoor, listeners::Listeners};

pub(crate) use engines::CALL;

/// How long it takes until it is tried again what failed; the first time less, since the socket of a daemon that has died may
/// be held for a moment by a process that has not begun its program yet.
const RETRY: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// How many may be connected at a time, each with a message that is under way, and answers that it has not read.
const SESSIONS: usize = 64;
/// How long we wait where the system has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of this door.
#[derive(Debug)]
pub(crate) struct Drpc {
    settings: DrpcDoor,
    problem: Problem,
    refused: Seldom,
    faults: Seldom,
    /// Whether the socket is ours.
    bound: AtomicBool,
    deaf: Arc<engines::Deaf>,
    /// What the supervisor wants said to programs that listen.
    listeners: Arc<Listeners>,
}

impl Drpc {
    /// As it is configured.
    pub(crate) fn with(settings: DrpcDoor) -> Arc<Self> {
        let (refused, faults) = (Seldom::default(), Seldom::default());
        let (bound, deaf, listeners) = Default::default();
        let problem = Problem::default();
        Arc::new(Self { settings, problem, refused, faults, bound, deaf, listeners })
    }

    /// Where the supervisor leaves what is to be said to programs that listen.
    pub(crate) fn listeners(&self) -> Arc<Listeners> {
        Arc::clone(&self.listeners)
    }

    /// What is wrong, each in a sentence: nobody can connect, or a program does not answer.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.problem.told().into_iter().chain(self.deaf.problems()).collect()
    }
}

/// Serves where it is wanted, until `closed` says so.
pub(crate) fn serve(core: &Core, mut closed: watch::Receiver<bool>) -> Option<JoinHandle<()>> {
    let Some(door) = core.drpc.clone() else {
        core.sockets.give_up(listener::DOOR);
        return None;
    };
    let core = core.clone();
    Some(tokio::spawn(async move {
        tokio::select! {
            () = listen(&core, &door) => {}
            () = engines::attend(&core, &door.listeners, (&door.deaf, door.settings.ping)) => {}
            // An error means that the daemon ends without a word: then so do we.
            ended = closed.wait_for(|closed| *closed) => {
                // Whoever comes later is to find nothing; after a death the next daemon finds that nobody answers.
                if ended.is_ok() && door.bound.load(Ordering::Relaxed) {
                    fs::remove_file(&door.settings.socket).ok();
                }
            }
        }
    }))
}

/// Listens and serves; never ends.
async fn listen(core: &Core, door: &Arc<Drpc>) {
    let path = &door.settings.socket;
    let mut pause = FIRST_RETRY;
    loop {
        match listener::listen(path, &door.settings.uids, &core.sockets) {
            Ok(listener) => {
                door.bound.store(true, Ordering::Relaxed);
                door.problem.clear();
                tracing::info!(socket = %path.display(), "dRPC's clients are served");
                return take(&listener, core, door).await;
            }
            // The first time it is no news yet.
            Err(_) if pause == FIRST_RETRY => {}
            Err(why) => door.problem.set(format!(
                "cannot serve dRPC's clients at {} ([doors.drpc] socket): {why}; it is tried again",
                path.display()
            )),
        }
        sleep(pause).await;
        pause = RETRY;
    }
}

/// Takes those that come; never ends.
async fn take(listener: &UnixListener, core: &Core, door: &Arc<Drpc>) {
    let places = Arc::new(Semaphore::new(SESSIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // It is gone already.
            Err(why) if why.kind() == ErrorKind::ConnectionAborted => continue,
            Err(why) => {
                tracing::debug!(%why, "cannot take a session of dRPC's; trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let peer = match peer_of(&stream, &door.settings.uids) {
            Ok(peer) => peer,
            Err(why) => {
                if let Some(times) = door.refused.times() {
                    tracing::warn!(times, "not served at dRPC's door: {why}");
                }
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if let Some(times) = door.refused.times() {
                tracing::warn!(
                    times,
                    "not served at dRPC's door: {SESSIONS} sessions are open; close one"
                );
            }
            continue;
        };
        let (core, door) = (core.clone(), Arc::clone(door));
        tokio::spawn(async move {
            session::serve(&core, &door, stream, peer).await;
            drop(place);
        });
    }
}

/// Who it is, where that is somebody who is served.
fn peer_of(stream: &UnixStream, uids: &[u32]) -> Result<Peer, String> {
    let unknown = |why: io::Error| format!("the kernel does not say who connects: {why}");
    let credentials = stream.peer_cred().map_err(unknown)?;
    let (uid, pid) = (credentials.uid(), credentials.pid());
    if uids.contains(&uid) {
        return Ok(Peer { uid, pid });
    }
    Err(format!("the user {uid}; [doors.drpc] uids of the configuration says who is"))
}
