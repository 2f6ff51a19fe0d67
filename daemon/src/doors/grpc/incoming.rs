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
use crate::doors::telling::Seldom;

/// How long we wait where the system has no room; whoever connects meanwhile waits at the listener.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that come.
pub(super) struct Incoming {
    listener: UnixListener,
    open: Connections,
    pause: Option<Pin<Box<Sleep>>>,
    refusals: Seldom,
    failures: Seldom,
}

impl Incoming {
    /// Of this listener.
    pub(super) fn new(listener: UnixListener, open: Connections) -> Self {
        Self {
            listener,
            open,
            pause: None,
            refusals: Seldom::default(),
            failures: Seldom::default(),
        }
    }

    fn refuse(&self, user: u32, closed: bool) {
        if let Some(refused) = self.refusals.times() {
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
        if let Some(times) = self.failures.times() {
            tracing::error!(%why, times, "cannot take a connection at the API's socket; trying again every {PAUSE:?}");
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
