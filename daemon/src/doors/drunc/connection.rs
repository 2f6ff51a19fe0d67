//! The connections of this door: whose each is, and no more than there is room for.
//!
//! Invariants: the kernel says who connects, once for each connection, before a byte of it is read. Who is not served, or
//! cannot be found out, is told so in answer to each call, in the form of its generation, and may stay for a moment only.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};
use tonic::transport::server::Connected;

use super::peer;
use crate::doors::{telling::Seldom, until::Until};

/// How many of those who are served may be connected at a time; a client has one connection.
const SERVED: usize = 128;
/// How many may be told that they are not, and how long each has for the calls that are answered so.
const TOLD: usize = 16;
const TELLING: Duration = Duration::from_secs(5);
/// How long we wait where the system has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// As the kernel says; or why it is not served.
    pub(super) user: Result<u32, Arc<str>>,
    /// From where.
    pub(super) address: SocketAddr,
}

/// What one of them holds as long as it lasts.
pub(super) struct Held {
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

/// One of them.
pub(super) type Connection = Until<TcpStream, Held>;

/// Those that come at this listener. None waits here: they wait at the listener.
pub(super) async fn take(
    listener: TcpListener,
    uids: Vec<u32>,
    to: mpsc::Sender<io::Result<Connection>>,
) {
    let places = (Arc::new(Semaphore::new(SERVED)), Arc::new(Semaphore::new(TOLD)));
    let refusals = Seldom::default();
    loop {
        let (stream, address) = tokio::select! {
            taken = listener.accept() => match taken {
                Ok(taken) => taken,
                Err(why) => {
                    tracing::debug!(%why, "cannot take a connection of drunc's; trying again");
                    sleep(PAUSE).await;
                    continue;
                }
            },
            () = to.closed() => return,
        };
        let user = user_of(&stream, address, &uids);
        if let Err(why) = &user
            && let Some(refused) = refusals.times()
        {
            tracing::warn!(refused, "not served at drunc's door: {why}");
        }
        let of = if user.is_ok() { &places.0 } else { &places.1 };
        // Where there is no place it is closed: there is nobody who could be told.
        let Ok(place) = Arc::clone(of).try_acquire_owned() else { continue };
        let telling = user.is_err().then_some(TELLING);
        // Small answers are not held back.
        stream.set_nodelay(true).ok();
        let held = Held { peer: Peer { user, address }, _place: place };
        let connection = Until::new(stream, telling, held);
        if to.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

fn user_of(stream: &TcpStream, address: SocketAddr, uids: &[u32]) -> Result<u32, Arc<str>> {
    let local = stream
        .local_addr()
        .map_err(|why| format!("the connection from {address} is gone: {why}"))?;
    let uid = peer::uid_of(address, local).map_err(|why| why.to_string())?;
    if uids.contains(&uid) {
        return Ok(uid);
    }
    Err(format!(
        "the user {uid} is not served here; [doors.drunc] uids of the configuration says who is"
    )
    .into())
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.held.peer.clone()
    }
}
