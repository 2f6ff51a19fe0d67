//! Calls that we make: to programs that have said where they listen. Whether they answer is looked at now and then
//! (PingRank), and they are told that they are to end before they get their signal (PrepShutdown).
//!
//! Invariants: a program says where it listens, and we may be root: so nothing is said to whoever is there until the kernel
//! has told that it belongs to the same run. What a program does with a call, or with none, holds up nobody: each call has
//! its time, and the end goes on without an answer.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net,
    },
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::drpc::{
    envelope::{Call, Response, Status},
    framing::{Assembly, Framing, Violation},
    method, module,
    srv::{DaosResp, RankReq},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, send, socket,
    sockopt::PeerCredentials,
};
use prost::Message;
use tokio::{
    io::Interest,
    net::UnixStream,
    task::AbortHandle,
    time::{sleep, timeout},
};
use units::{Event, Found, Name, Origin, RunId, Target, kept::Listener};

use super::{engine, session};
use crate::{
    doors::Core,
    listeners::{Listeners, Wanted},
    supervisor,
};

/// How long a call may take: no longer than the core waits for it (`prepare_timeout`).
pub(crate) const CALL: Duration = Duration::from_secs(5);
/// So many calls in a row go unanswered before that is told: one that is busy for a moment is no news.
const UNANSWERED: u32 = 3;
/// We make one call of each session.
const SEQUENCE: i64 = 1;

/// Why a call has no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("it is a process of somebody else that listens there, so nothing was said to it")]
    Stranger,
    #[error("the session broke: {0}")]
    Broken(io::Error),
    #[error("it closed the session without an answer")]
    Closed,
    #[error("its answer cannot be read: {0}")]
    Violation(#[from] Violation),
    #[error("its answer cannot be read: {0}")]
    Unreadable(#[from] prost::DecodeError),
    #[error("it answered another call")]
    OutOfTurn,
    #[error("it did not take the call: status {0}")]
    NotTaken(i32),
    #[error("it answered with the error {0} (DER)")]
    Undone(i32),
    #[error("it did not answer within {CALL:?}")]
    TimedOut,
}

impl From<session::Fault> for NoAnswer {
    fn from(fault: session::Fault) -> Self {
        match fault {
            session::Fault::Violation(why) => Self::Violation(why),
            session::Fault::System(why) => Self::Broken(why),
        }
    }
}

/// The runs whose programs do not answer, with that in words.
#[derive(Debug, Default)]
pub(super) struct Deaf(Mutex<BTreeMap<RunId, String>>);

impl Deaf {
    /// What is wrong, each in a sentence.
    pub(super) fn problems(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn set(&self, run: RunId, problem: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, problem);
    }

    /// Whether there was something wrong with it.
    fn clear(&self, run: RunId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run).is_some()
    }
}

/// Does what the supervisor leaves there; never ends.
pub(super) async fn attend(
    core: &Core,
    listeners: &Listeners,
    (deaf, pause): (&Arc<Deaf>, Duration),
) {
    let mut probes: HashMap<RunId, AbortHandle> = HashMap::new();
    loop {
        for (run, wanted) in listeners.take().await {
            probes.retain(|_, probe| !probe.is_finished());
            // It listens elsewhere now, or is to end and has other things to do than to answer.
            if let Some(probe) = probes.remove(&run) {
                probe.abort();
                deaf.clear(run);
            }
            let core = core.clone();
            match wanted {
                Wanted::Probe(listener) => {
                    let probe = tokio::spawn(probe(core, Arc::clone(deaf), (run, listener), pause));
                    probes.insert(run, probe.abort_handle());
                }
                Wanted::Prepare(listener) => drop(tokio::spawn(prepare(core, run, listener))),
            }
        }
    }
}

/// Tells a program that it is to end.
async fn prepare(core: Core, run: RunId, listener: Listener) {
    let name = found(&core, run).await.map(|found| found.name);
    let name = shown(name.as_ref());
    match call(&core, run, &listener, method::PREP_SHUTDOWN).await {
        Ok(()) => tracing::info!(name, %run, "told by PrepShutdown that it is to end"),
        Err(why) => tracing::warn!(
            name, %run, socket = listener.socket, %why, "not told by PrepShutdown that it is to end; it gets its signal"
        ),
    }
    core.inbox.send(supervisor::Message::Event(Event::Prepared { run }));
}

/// Looks whether a program answers, until its run is over.
async fn probe(core: Core, deaf: Arc<Deaf>, (run, listener): (RunId, Listener), pause: Duration) {
    let mut unanswered = 0_u32;
    loop {
        sleep(pause).await;
        let Some(Found { name, .. }) = found(&core, run).await else { break };
        match call(&core, run, &listener, method::PING_RANK).await {
            Ok(()) => {
                unanswered = 0;
                if deaf.clear(run) {
                    tracing::info!(%name, %run, "answers PingRank again");
                }
            }
            Err(why) => {
                unanswered = unanswered.saturating_add(1);
                let problem = format!(
                    "{name} does not answer PingRank at {} ({unanswered} times): {why}; restart it if it is stuck",
                    listener.socket
                );
                if unanswered == UNANSWERED {
                    tracing::warn!(%run, "{problem}");
                }
                if unanswered >= UNANSWERED {
                    deaf.set(run, problem);
                }
            }
        }
    }
    deaf.clear(run);
}

/// The run, while it lives.
async fn found(core: &Core, run: RunId) -> Option<Found> {
    let origin = Origin::daemon("whether it answers is looked at");
    let found = core.find(Target::Run(run), origin).await.ok()??;
    found.ended.is_none().then_some(found)
}

fn shown(name: Option<&Name>) -> &str {
    name.map_or("", Name::as_str)
}

/// Makes one call to a program, within its time.
async fn call(core: &Core, run: RunId, listener: &Listener, method: i32) -> Result<(), NoAnswer> {
    let answered = timeout(CALL, answer(core, run, listener, method)).await;
    let body = answered.map_err(|_| NoAnswer::TimedOut)??;
    match DaosResp::decode(body.as_slice())?.status {
        0 => Ok(()),
        code => Err(NoAnswer::Undone(code)),
    }
}

/// The answer's own message.
async fn answer(
    core: &Core,
    run: RunId,
    listener: &Listener,
    method: i32,
) -> Result<Vec<u8>, NoAnswer> {
    let (of, path) = (core.clone(), listener.socket.clone());
    // Elsewhere: the path is a program's, and may lie on a filesystem that hangs.
    let reached = tokio::task::spawn_blocking(move || reach(&of, &path)).await;
    let (socket, theirs) = reached
        .map_err(|why| NoAnswer::Unreachable(io::Error::other(why)))?
        .map_err(NoAnswer::Unreachable)?;
    if theirs != Some(run) {
        return Err(NoAnswer::Stranger);
    }
    let stream = UnixStream::from_std(socket).map_err(NoAnswer::Broken)?;
    let framing = if listener.chunked { Framing::Chunked } else { Framing::Raw };
    let body = RankReq { rank: listener.rank }.encode_to_vec();
    let call = Call { module: module::MGMT, method, sequence: SEQUENCE, body };
    for packet in framing.packets(&call.encode_to_vec())? {
        let put = || {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(send(stream.as_raw_fd(), &packet, flags)?)
        };
        stream.async_io(Interest::WRITABLE, put).await.map_err(NoAnswer::Broken)?;
    }
    let mut assembly = Assembly::of(framing);
    let message = loop {
        let packet = session::receive(&stream).await?.ok_or(NoAnswer::Closed)?;
        if let Some(message) = assembly.take(&packet)? {
            break message;
        }
    };
    let Response { sequence, status, body } = Response::decode(message.as_slice())?;
    match (sequence, status) {
        (SEQUENCE, status) if status == i32::from(Status::Success) => Ok(body),
        (SEQUENCE, status) => Err(NoAnswer::NotTaken(status)),
        _ => Err(NoAnswer::OutOfTurn),
    }
}

/// A session with whoever listens there, and whose run that is. May block.
fn reach(core: &Core, path: &str) -> io::Result<(net::UnixStream, Option<RunId>)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let ours: OwnedFd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(ours.as_raw_fd(), &UnixAddr::new(path)?)?;
    let pid = getsockopt(&ours, PeerCredentials)?.pid();
    let run = engine::run_of_peer(core, &ours, pid);
    Ok((net::UnixStream::from(ours), run))
}
