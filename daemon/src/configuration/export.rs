//! Where metrics are sent.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tonic::codegen::http::Uri;

/// How often, where nobody says otherwise: as long as a scrape's usual interval.
const INTERVAL: Duration = Duration::from_secs(15);

/// A collector of OpenTelemetry's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Export {
    /// `http://HOST:PORT`.
    pub(crate) endpoint: String,
    /// How often.
    pub(crate) interval: Duration,
}

/// The section of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    #[serde(deserialize_with = "endpoint")]
    endpoint: Option<String>,
    #[serde(deserialize_with = "interval")]
    interval: Option<Duration>,
}

impl Section {
    /// What it says, if anything.
    pub(super) fn export(self) -> Option<Export> {
        let interval = self.interval.unwrap_or(INTERVAL);
        self.endpoint.map(|endpoint| Export { endpoint, interval })
    }
}

fn endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let wanted = "write \"http://\", a host and a port, such as \"http://127.0.0.1:4317\"";
    let wrong = |why: String| D::Error::custom(format!("{text:?} is no endpoint: {why}; {wanted}"));
    let uri: Uri = text.parse().map_err(|why| wrong(format!("{why}")))?;
    match (uri.scheme_str(), uri.port_u16(), uri.path()) {
        (Some("http"), Some(_), "" | "/") => Ok(Some(text)),
        (Some("http"), None, _) => Err(wrong("it has no port".to_owned())),
        (Some("http"), Some(_), path) => Err(wrong(format!("gRPC has no path {path:?}"))),
        _ => Err(wrong("only http is spoken: let a collector of this machine go on in TLS".into())),
    }
}

/// At least a second: each time all units are looked at.
fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let span = super::file::duration(from)?;
    if span.is_some_and(|span| span < Duration::from_secs(1)) {
        return Err(D::Error::custom("an interval is a second at least"));
    }
    Ok(span)
}
