//! The two outputs of a program, passed through.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt, Stderr, Stdout};

use super::{STDERR, STDOUT};
use crate::failure::Failure;

/// Standard output and standard error. Writing does not block the thread, so that signals are seen even where
/// nobody reads; what was written is out when the call returns.
pub(crate) struct Outputs {
    stdout: Stdout,
    stderr: Stderr,
}

impl Outputs {
    /// Those of this process.
    pub(crate) fn new() -> Self {
        Self { stdout: tokio::io::stdout(), stderr: tokio::io::stderr() }
    }

    /// Passes bytes on to standard output.
    pub(crate) async fn stdout(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        pass(&mut self.stdout, bytes)
            .await
            .map_err(|source| Failure::Output { stream: STDOUT, source })
    }

    /// Passes bytes on to standard error.
    pub(crate) async fn stderr(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        pass(&mut self.stderr, bytes)
            .await
            .map_err(|source| Failure::Output { stream: STDERR, source })
    }
}

async fn pass(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    output.write_all(bytes).await?;
    output.flush().await
}
