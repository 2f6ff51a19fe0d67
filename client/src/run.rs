//! What a run does, as it does it.

use api::runtime::RunFrame;
pub use api::runtime::run_frame::Frame;
use tonic::Streaming;

use crate::{ClientError, Endpoint};

/// A run that is watched. Dropping it before its end stops the run.
#[derive(Debug)]
pub struct RunStream {
    endpoint: Endpoint,
    attempt: String,
    frames: Streaming<RunFrame>,
}

impl RunStream {
    pub(crate) fn new(endpoint: Endpoint, attempt: String, frames: Streaming<RunFrame>) -> Self {
        Self { endpoint, attempt, frames }
    }

    /// The next thing that the run did. [`Frame::Exit`] is the last: nothing comes after it.
    ///
    /// # Errors
    /// As [`ClientError`] says; the end of the stream before the exit is one.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            let message = self.frames.message().await;
            match message
                .map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))?
            {
                Some(RunFrame { frame: Some(frame) }) => return Ok(frame),
                // A newer daemon may tell of things that this client does not know.
                Some(RunFrame { frame: None }) => {}
                None => return Err(ClientError::NoExit { attempt: self.attempt.clone() }),
            }
        }
    }
}
