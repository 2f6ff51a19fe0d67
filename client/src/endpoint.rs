//! Where a daemon is reached.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tonic::transport::{self, Channel, Uri};
use tower::service_fn;

/// How long an address may take to accept a connection. A Unix socket answers at once or never.
const CONNECTING: Duration = Duration::from_secs(10);

/// How often a silent connection to another machine is probed: a host that vanishes says nothing.
const PROBING: Duration = Duration::from_secs(20);

/// Where a daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At a Unix socket of this machine.
    Socket(PathBuf),
    /// At an address, `http://host:port`.
    Address(Uri),
}

/// Why a text is not an address.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// It is no URI at all.
    #[error("{0:?} is not a URI; write http://HOST:PORT")]
    Malformed(String),
    /// It asks for something that this client cannot speak.
    #[error("{0:?} does not begin with http://; write http://HOST:PORT")]
    Scheme(String),
    /// Something is missing, or more is there than a host and a port.
    #[error("{0:?} is not just a host and a port; write http://HOST:PORT")]
    Parts(String),
}

impl Endpoint {
    /// Opens a channel: one connection, over which any number of calls run.
    pub(crate) async fn open(&self) -> Result<Channel, transport::Error> {
        match self {
            Self::Socket(path) => {
                let path = path.clone();
                let connector = service_fn(move |_: Uri| {
                    let path = path.clone();
                    async move { io::Result::Ok(TokioIo::new(UnixStream::connect(path).await?)) }
                });
                // gRPC wants an authority, and a socket has none.
                transport::Endpoint::from_static("http://localhost")
                    .connect_with_connector(connector)
                    .await
            }
            Self::Address(uri) => {
                transport::Endpoint::from(uri.clone())
                    .connect_timeout(CONNECTING)
                    .http2_keep_alive_interval(PROBING)
                    .connect()
                    .await
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads an address; a socket is not written as a URI.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::Malformed(text.to_owned()))?;
        if uri.scheme_str() != Some("http") {
            return Err(EndpointError::Scheme(text.to_owned()));
        }
        let just_host_and_port = uri.host().is_some_and(|host| !host.is_empty())
            && uri.port_u16().is_some()
            && uri.path() == "/"
            && uri.query().is_none();
        if !just_host_and_port {
            return Err(EndpointError::Parts(text.to_owned()));
        }
        Ok(Self::Address(uri))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "{}", path.display()),
            // The slash that every URI has at its end is none that anybody wrote.
            Self::Address(uri) => formatter.write_str(uri.to_string().trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let endpoint: Endpoint = "http://[::1]:8080".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://[::1]:8080");
        assert!("http://node-7:1".parse::<Endpoint>().is_ok());
    }

    #[test]
    fn anything_else_is_refused_with_the_form_that_is_wanted() {
        for (text, fault) in [
            ("not a uri", "not a URI"),
            ("", "not a URI"),
            ("https://node:1", "http://"),
            ("node:1", "http://"),
            ("/run/aurae/aurae.sock", "http://"),
            ("http://node", "host and a port"),
            ("http://node:1/path", "host and a port"),
            ("http://node:1/?q", "host and a port"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(fault) && error.ends_with("write http://HOST:PORT"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn reading_an_address_never_panics(text in any::<String>()) {
            text.parse::<Endpoint>().ok();
        }
    }
}
