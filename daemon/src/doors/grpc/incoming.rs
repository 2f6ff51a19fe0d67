//! Taking connections from the listener.
//!
//! Invariants: it never fails, and never spins: where the system has no descriptor or no memory for another connection, it
//! pauses. Nothing wakes it but a connection, or the end of such a pause.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::UnixListener,
    time::{Sleep, sleep},
};
use tokio_stream::Stream;

use super::connection::{Connection, Connections};
use crate::clock;

/// How long we wait where the system has no room; whoever connects meanwhile waits at the listener.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is told at most that there is no room, which a client could have as often as it likes.
const TELL: Duration = Duration::from_secs(60);

/// The connections that come.
pub(super) struct Incoming {
    listener: UnixListener,
    open: Connections,
    pause: Option<Pin<Box<Sleep>>>,
    /// When it was last told, on the monotonic clock, and how many connections were closed untold since.
    told: Option<Duration>,
    untold: u64,
}

impl Incoming {
    /// Of this listener.
    pub(super) fn new(listener: UnixListener, open: Connections) -> Self {
        Self { listener, open, pause: None, told: None, untold: 0 }
    }

    /// Whether it is time to tell.
    fn tells(&mut self) -> bool {
        let now = clock::now().monotonic;
        let tells = self.told.is_none_or(|at| now.saturating_sub(at) >= TELL);
        if tells {
            self.told = Some(now);
        }
        tells
    }

    fn refuse(&mut self, user: u32, closed: bool) {
        self.untold += 1;
        if self.tells() {
            let refused = std::mem::take(&mut self.untold);
            tracing::warn!(
                user,
                refused,
                closed,
                "there is no place for more connections; close some, or raise [api] connections"
            );
        }
    }

    fn cannot(&mut self, why: &io::Error) {
        self.pause = Some(Box::pin(sleep(PAUSE)));
        if self.tells() {
            tracing::error!(%why, "cannot take a connection at the API's socket; trying again every {PAUSE:?}");
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            let taken = ready!(self.listener.poll_accept(context));
            match taken.map(|(stream, _)| self.open.open(stream)) {
                Ok(Ok(connection)) => {
                    if !connection.is_admitted() {
                        let user = connection.user();
                        self.refuse(user, false);
                    }
                    return Poll::Ready(Some(Ok(connection)));
                }
                Ok(Err(full)) => self.refuse(full.user, true),
                // Who had connected is gone again.
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => self.cannot(&why),
            }
        }
    }
}
