//! One session: its packets in, calls one after the other, its packets out.
//!
//! Invariants: nothing is allocated but for bytes that have come. Reading never waits for writing: answers that are not read
//! wait, so many and no more, and what is beyond is dropped. The answers keep the order of the calls.

use std::{io, os::fd::AsRawFd, sync::Arc, time::Duration};

use api::drpc::{
    envelope::Response,
    framing::{Assembly, Framing, MESSAGE, Violation},
};
use nix::sys::socket::{MsgFlags, recv, send};
use prost::Message;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use units::{Door, Origin};

use super::{Drpc, answering};
use crate::doors::Core;

/// Answers that may wait to be read, and their bytes: beyond what the kernel holds, which is about 200 KiB. A client that
/// reads at all has one, and the largest fits.
const UNREAD: usize = 64;
const UNREAD_BYTES: usize = 2 * MESSAGE;
/// How long a client from which nothing more is taken has to read the last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// A body that says nothing, for an answer that would have no byte otherwise: a field 15 that no message has.
const NOTHING: [u8; 2] = [0x78, 0x00];

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Its user.
    pub(super) uid: u32,
    /// Its process, where that is in our pid namespace; it may be gone.
    pub(super) pid: Option<i32>,
}

impl Peer {
    /// Who, as audit log and units tell it.
    pub(super) fn identity(&self) -> String {
        match self.pid {
            Some(pid) => format!("uid:{} pid:{pid}", self.uid),
            None => format!("uid:{}", self.uid),
        }
    }

    /// Who, and why.
    pub(super) fn origin(&self, reason: String) -> Origin {
        Origin { door: Door::Drpc, identity: self.identity(), reason }
    }
}

/// A call's circumstances.
pub(super) struct Caller<'a> {
    pub(super) core: &'a Core,
    pub(super) stream: &'a UnixStream,
    pub(super) peer: Peer,
    pub(super) framing: Framing,
}

/// Why a session ended that its client did not end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// What came is not as it must be.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The socket.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The packets of an answer, and its share of what may wait.
type Waiting = (Vec<Vec<u8>>, OwnedSemaphorePermit);

/// Where answers go.
struct Answers {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    dropped: u64,
}

/// Serves it to its end.
pub(super) async fn serve(core: &Core, door: &Drpc, stream: UnixStream, peer: Peer) {
    let stream = Arc::new(stream);
    let (queue, waiting) = mpsc::channel(UNREAD);
    let mut writer = tokio::spawn(write(Arc::clone(&stream), waiting));
    let mut answers = Answers { queue, room: Arc::new(Semaphore::new(UNREAD_BYTES)), dropped: 0 };
    let ended = read(core, (&stream, peer), &mut answers).await;
    let Answers { queue, dropped, .. } = answers;
    drop(queue);
    let who = peer.identity();
    if dropped > 0 {
        tracing::info!(%who, dropped, "a session of dRPC's has ended that did not read all its answers");
    }
    if let Err(why) = ended
        && let Some(times) = door.faults.times()
    {
        tracing::warn!(%who, times, "a session of dRPC's is closed: {why}");
    }
    // What was answered before is sent all the same.
    drop(timeout(LAST_ANSWERS, &mut writer).await);
    writer.abort();
}

/// Takes calls until there are no more.
async fn read(
    core: &Core,
    (stream, peer): (&UnixStream, Peer),
    answers: &mut Answers,
) -> Result<(), Fault> {
    let mut assembly = Assembly::default();
    while let Some(packet) = receive(stream).await? {
        let Some(message) = assembly.take(&packet)? else { continue };
        drop(packet);
        let framing = assembly.framing().unwrap_or(Framing::Raw);
        let caller = Caller { core, stream, peer, framing };
        let response = answering::answer(&caller, &message).await;
        if !answers.send(&response, framing) && answers.dropped == 1 {
            let who = peer.identity();
            tracing::warn!(%who, "a session of dRPC's does not read its answers: more are dropped");
        }
    }
    Ok(())
}

/// The next packet; none at the end. A packet without a byte looks like the end.
pub(super) async fn receive(stream: &UnixStream) -> Result<Option<Vec<u8>>, Fault> {
    let take = || -> io::Result<Result<Vec<u8>, Violation>> {
        let (socket, now) = (stream.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        // How long it is, before there is room for it.
        let length = recv(socket, &mut [], now | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)?;
        if length > MESSAGE {
            return Ok(Err(Violation::TooLarge(u64::try_from(length).unwrap_or(u64::MAX))));
        }
        let mut packet = vec![0; length];
        if length > 0 {
            let count = recv(socket, &mut packet, now)?;
            packet.truncate(count);
        }
        Ok(Ok(packet))
    };
    let packet = match stream.async_io(Interest::READABLE, take).await {
        // As who was killed leaves.
        Err(why) if why.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        packet => packet??,
    };
    Ok((!packet.is_empty()).then_some(packet))
}

impl Answers {
    /// Whether there was room for it.
    fn send(&mut self, response: &Response, framing: Framing) -> bool {
        let mut message = response.encode_to_vec();
        if message.is_empty() && framing == Framing::Raw {
            message = Response { body: NOTHING.to_vec(), ..Response::default() }.encode_to_vec();
        }
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(length);
        let sent = match (framing.packets(&message), room) {
            (Ok(packets), Ok(room)) => self.queue.try_send((packets, room)).is_ok(),
            (Err(_), _) | (_, Err(_)) => false,
        };
        if !sent {
            self.dropped = self.dropped.saturating_add(1);
        }
        sent
    }
}

/// Sends answers as the client reads them.
async fn write(stream: Arc<UnixStream>, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some((packets, _room)) = waiting.recv().await {
        for packet in packets {
            let put = || {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(send(stream.as_raw_fd(), &packet, flags)?)
            };
            // Who is gone, reading finds out.
            if stream.async_io(Interest::WRITABLE, put).await.is_err() {
                return;
            }
        }
    }
}
