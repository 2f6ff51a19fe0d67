//! Changes of units, as they happen.

pub use api::runtime::watch_response::Event as WatchEvent;
use api::runtime::{WatchRequest, WatchResponse};
use tonic::Streaming;

use crate::{Client, ClientError};

/// Changes of units, as they happen.
#[derive(Debug)]
pub struct WatchStream {
    client: Client,
    /// What is asked for when the connection breaks: from where it stood.
    request: WatchRequest,
    /// None while the connection is broken.
    events: Option<Streaming<WatchResponse>>,
}

const ATTEMPT: &str = "watching the units";

impl Client {
    /// Watches the changes of units.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn watch(&self, what: WatchRequest) -> Result<WatchStream, ClientError> {
        let mut stream = WatchStream { client: self.clone(), request: what, events: None };
        stream.open().await?;
        Ok(stream)
    }
}

impl WatchStream {
    /// The next thing that happened, each once; `None` where the daemon ended the watch. Another daemon begins another
    /// series of numbers, and tells the gap.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        loop {
            let Some(events) = &mut self.events else {
                self.open().await?;
                continue;
            };
            match events.message().await {
                Ok(Some(WatchResponse { event: Some(event) })) => {
                    if self.is_new(&event) {
                        return Ok(Some(event));
                    }
                }
                // A newer daemon may tell of things that this client does not know.
                Ok(Some(WatchResponse { event: None })) => {}
                Ok(None) => return Ok(None),
                Err(status) => {
                    let failure = ClientError::call(self.client.endpoint(), ATTEMPT, &status);
                    self.client.reunite(failure).await?;
                    self.events = None;
                }
            }
        }
    }

    /// Notes where to go on after this; whether it says something that was not said before.
    fn is_new(&mut self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Begin(begin) => {
                let same = self.request.series == begin.series;
                let again = same && self.request.after == Some(begin.after);
                self.request.series.clone_from(&begin.series);
                self.request.after = Some(begin.after);
                !again
            }
            WatchEvent::Gap(gap) => {
                self.request.after = self.request.after.max(Some(gap.last));
                true
            }
            WatchEvent::Change(change) => {
                self.request.after = Some(change.sequence);
                true
            }
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let events = self.client.persist(async || {
            let request = self.client.request(self.request.clone());
            self.client.answer(ATTEMPT, self.client.runtime().watch(request).await)
        });
        self.events = Some(events.await?);
        Ok(())
    }
}
