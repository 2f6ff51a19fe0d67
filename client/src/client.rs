//! A connection to a daemon, and its calls.

use std::{future::Future, time::Duration};

use api::{
    REASON_KEY,
    observe::{StatusRequest, StatusResponse, observe_client::ObserveClient},
    runtime::{StopRequest, StopResponse, runtime_client::RuntimeClient},
};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{ClientError, Endpoint, RECONNECTING, error, reason};

/// How often a connection is tried that is broken while it is made: so many daemons would have to die one after the other, each
/// just when it has taken it.
const CONNECTING_TRIES: u32 = 5;

/// How long a call that has nothing to wait for may take before the daemon counts as frozen.
pub const QUICK_ANSWER: Duration = Duration::from_secs(10);

/// The largest answer that is taken. Exec's is the largest there is: twice 512 KiB as text, which triples
/// where every byte is replaced, and the same as bytes.
const LARGEST_ANSWER: usize = 16 << 20;

/// A connection to a daemon. A clone shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    channel: Channel,
    reason: Option<MetadataValue<Ascii>>,
    /// How long the connection may stay broken.
    pub(crate) patience: Duration,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Says what was in the way.
    pub async fn connect(endpoint: Endpoint) -> Result<Self, ClientError> {
        let mut tries = 1;
        loop {
            match endpoint.open().await {
                Ok(channel) => {
                    return Ok(Self { endpoint, channel, reason: None, patience: RECONNECTING });
                }
                // A daemon that died over it. Its keeper holds the socket, so that the next one answers.
                Err(source) if tries < CONNECTING_TRIES && error::was_broken(&source) => tries += 1,
                Err(source) => return Err(ClientError::connect(&endpoint, &source)),
            }
        }
    }

    /// The same connection, whose calls say why they are made.
    ///
    /// # Errors
    /// A reason that is too long for a header.
    pub fn with_reason(mut self, text: &str) -> Result<Self, ClientError> {
        let encoded = reason::encode(text);
        let length = encoded.len();
        let fits = length <= reason::LONGEST;
        let value = encoded.parse().ok().filter(|_| fits);
        self.reason = Some(value.ok_or(ClientError::ReasonTooLong { length })?);
        Ok(self)
    }

    /// Asks who is answering, and how it fares.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        let mut observe = self.observe();
        let request = self.request(StatusRequest::default());
        self.within(QUICK_ANSWER, "asking for the status", observe.status(request)).await
    }

    /// Orders the end of a run. The order is given when this returns; the end is seen by the one who waits
    /// for the run.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn stop(&self, what: StopRequest) -> Result<StopResponse, ClientError> {
        let name = what.meta.as_ref().map_or(what.run_id.as_str(), |meta| meta.name.as_str());
        let attempt = format!("stopping {}", named(name));
        let mut runtime = self.runtime();
        let request = self.request(what);
        self.within(QUICK_ANSWER, &attempt, runtime.stop(request)).await
    }

    pub(crate) fn runtime(&self) -> RuntimeClient<Channel> {
        RuntimeClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn observe(&self) -> ObserveClient<Channel> {
        ObserveClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request that carries the reason, if there is one.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(reason) = &self.reason {
            request.metadata_mut().insert(REASON_KEY, reason.clone());
        }
        request
    }

    /// The answer of a call that is given up after `bound`.
    pub(crate) async fn within<T>(
        &self,
        bound: Duration,
        attempt: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(bound, call).await {
            Ok(answer) => self.answer(attempt, answer),
            Err(_) => Err(ClientError::Silent { attempt: attempt.to_owned(), bound }),
        }
    }

    pub(crate) fn answer<T>(
        &self,
        attempt: &str,
        answer: Result<Response<T>, Status>,
    ) -> Result<T, ClientError> {
        answer
            .map(Response::into_inner)
            .map_err(|status| ClientError::call(&self.endpoint, attempt, &status))
    }
}

/// A name as a message has it. It may be any text, and where it is not one that a daemon would take it must
/// not bury the rest of the message.
pub(crate) fn named(name: &str) -> String {
    const LONGEST: usize = 200;
    if name.is_empty() {
        return "\"\"".to_owned();
    }
    match name.char_indices().nth(LONGEST).and_then(|(cut, _)| name.get(..cut)) {
        Some(beginning) => format!("{beginning}…"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn a_name_of_any_length_leaves_room_for_the_rest() {
        assert_eq!(named("backup"), "backup");
        assert_eq!(named(""), "\"\"");
        assert_eq!(named(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(named(&"ä".repeat(201)), format!("{}…", "ä".repeat(200)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_says_nothing_is_given_up() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(Endpoint::Socket(path)).await.unwrap();
        let error = client.status().await.unwrap_err();
        assert_eq!(error.to_string(), "asking for the status: no answer within 10 s");
    }

    /// Whoever takes the connection may be gone before anything was said: nothing was ordered yet, and the next one is asked.
    #[test]
    fn a_daemon_that_dies_over_a_connection_is_followed_by_the_next() {
        for _ in 0..200 {
            let folder = tempdir().unwrap();
            let path = folder.path().join("socket");
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let daemons = std::thread::spawn(move || {
                drop(listener.accept().unwrap());
                listener
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let connected = runtime.unwrap().block_on(Client::connect(Endpoint::Socket(path)));
            assert!(connected.is_ok(), "{connected:?}");
            drop(daemons.join().unwrap());
        }
    }

    #[tokio::test]
    async fn a_reason_that_no_header_can_carry_is_refused() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(Endpoint::Socket(path)).await.unwrap();
        let error = client.with_reason(&"ä".repeat(reason::LONGEST)).unwrap_err();
        assert!(matches!(error, ClientError::ReasonTooLong { .. }), "{error}");
    }
}
