//! The connections of this door: whose each is, and no more than there is room for.
//!
//! Invariants: the kernel says who connects, once for each connection, before a byte of it is read. Who is not served, or
//! cannot be found out, is told so in answer to each call, in the form of its generation, and may stay for a moment only.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

use super::peer;
use crate::clock;

/// How many of those who are served may be connected at a time; a client has one connection.
const SERVED: usize = 128;
/// How many may be told that they are not, and how long each has for the calls that are answered so.
const TOLD: usize = 16;
const TELLING: Duration = Duration::from_secs(5);
/// How often it is told at most that somebody was not served.
const TELL: Duration = Duration::from_secs(60);
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

/// One of them.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// Until when it is told that it is not served.
    telling: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

/// Those that come at this listener. None waits here: they wait at the listener.
pub(super) async fn take(
    listener: TcpListener,
    uids: Vec<u32>,
    to: mpsc::Sender<io::Result<Connection>>,
) {
    let places = (Arc::new(Semaphore::new(SERVED)), Arc::new(Semaphore::new(TOLD)));
    let mut refusals = Refusals::default();
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
        if let Err(why) = &user {
            refusals.tell(why);
        }
        let of = if user.is_ok() { &places.0 } else { &places.1 };
        // Where there is no place it is closed: there is nobody who could be told.
        let Ok(place) = Arc::clone(of).try_acquire_owned() else { continue };
        let telling = user.is_err().then(|| Box::pin(sleep(TELLING)));
        // Small answers are not held back.
        stream.set_nodelay(true).ok();
        let connection =
            Connection { stream, peer: Peer { user, address }, telling, _place: place };
        if to.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

/// Those who were not served, of whom it is told once in a while: they could come as often as they like.
#[derive(Default)]
struct Refusals {
    told: Option<Duration>,
    untold: u64,
}

impl Refusals {
    fn tell(&mut self, why: &str) {
        self.untold += 1;
        let now = clock::now().monotonic;
        if self.told.is_none_or(|at| now.saturating_sub(at) >= TELL) {
            let refused = std::mem::take(&mut self.untold);
            self.told = Some(now);
            tracing::warn!(refused, "not served at drunc's door: {why}");
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
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What is read then is the end.
        let over = |telling: &mut Pin<Box<Sleep>>| telling.as_mut().poll(context).is_ready();
        if self.telling.as_mut().is_some_and(over) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
