//! The connections that are open, so that the keeper can be told when none is: nobody waits for anything then.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::Notify,
};
use tonic::transport::server::{Connected, UdsConnectInfo};

use crate::clock;

/// Those that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    open: AtomicUsize,
    /// When the last one was closed: nanoseconds of CLOCK_MONOTONIC.
    closed_at: AtomicU64,
    closed: Notify,
}

impl Connections {
    /// One more, until it is dropped.
    pub(super) fn open(&self, stream: UnixStream) -> Connection {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Connection { stream, of: self.clone() }
    }

    /// Waits until none is open any more that was; when the last one was closed, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) async fn all_closed(&self) -> u64 {
        self.0.closed.notified().await;
        self.0.closed_at.load(Ordering::Relaxed)
    }

    fn close(&self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = u64::try_from(clock::now().monotonic.as_nanos()).unwrap_or(u64::MAX);
            self.0.closed_at.store(now, Ordering::Relaxed);
            self.0.closed.notify_one();
        }
    }
}

/// One of them.
pub(super) struct Connection {
    stream: UnixStream,
    of: Connections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.of.close();
    }
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
