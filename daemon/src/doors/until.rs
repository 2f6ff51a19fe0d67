//! A connection that may end at a time that was set when it was taken, and what it holds as long as it lasts.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A stream of which nothing more comes after its time; what is being answered then is answered still.
#[derive(Debug)]
pub(super) struct Until<S, T> {
    pub(super) stream: S,
    over: Option<Pin<Box<Sleep>>>,
    pub(super) held: T,
}

impl<S, T> Until<S, T> {
    /// This stream, for so long, or for as long as both ends like.
    pub(super) fn new(stream: S, span: Option<Duration>, held: T) -> Self {
        Self { stream, over: span.map(|span| Box::pin(sleep(span))), held }
    }
}

impl<S: AsyncRead + Unpin, T: Unpin> AsyncRead for Until<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What is read then is the end.
        let is_over = |over: &mut Pin<Box<Sleep>>| over.as_mut().poll(context).is_ready();
        if self.over.as_mut().is_some_and(is_over) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin, T: Unpin> AsyncWrite for Until<S, T> {
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
