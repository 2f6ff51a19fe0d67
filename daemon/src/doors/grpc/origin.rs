//! Who calls, and why.

use std::time::Duration;

use tonic::{Request, Status, metadata::MetadataMap};
use units::{Door, Origin};

use super::{connection::Peer, status::invalid};

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 1024;

/// Who calls, as the kernel knows it, and why, as they say.
pub(super) fn of<T>(request: &Request<T>) -> Result<Origin, Status> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.credentials);
    let identity = peer.map_or_else(
        || "unknown".to_owned(),
        |peer| match peer.pid() {
            Some(pid) => format!("uid:{} pid:{pid}", peer.uid()),
            None => format!("uid:{}", peer.uid()),
        },
    );
    let reason = match request.metadata().get(api::REASON_KEY) {
        None => String::new(),
        Some(value) => decode(value.as_bytes())?,
    };
    Ok(Origin { door: Door::Grpc, identity, reason })
}

/// A reason beyond visible ASCII comes percent-encoded (RFC 3986, section 2.1), since metadata is ASCII.
fn decode(text: &[u8]) -> Result<String, Status> {
    if text.len() > LONGEST_REASON {
        let why = format!("it is {} bytes long; at most {LONGEST_REASON} are allowed", text.len());
        return Err(invalid(api::REASON_KEY, why));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        // from_str_radix alone would take a sign.
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if byte == b'%' => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let reason = String::from_utf8_lossy(&bytes);
    // It is shown in logs and on terminals.
    Ok(reason.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
}

/// How long the caller waits: the header `grpc-timeout` (gRPC over HTTP2, "Timeout").
pub(super) fn patience(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reasons_are_decoded() {
        assert_eq!(decode(b"because").unwrap(), "because");
        assert_eq!(decode(b"100%25 sch%C3%B6n").unwrap(), "100% schön");
        assert_eq!(decode(b"50% off").unwrap(), "50% off");
        assert_eq!(decode(b"a%0Ab").unwrap(), "a\u{fffd}b");
        assert!(decode(&[b'x'; 1025]).is_err());
    }

    #[test]
    fn time_outs_are_read() {
        let read = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            patience(&metadata)
        };
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("5m"), Some(Duration::from_millis(5)));
        assert_eq!(read("5"), None);
        assert_eq!(read("S"), None);
    }

    proptest! {
        #[test]
        fn no_metadata_hurts(text in any::<Vec<u8>>()) {
            drop(decode(&text));
            if let Ok(value) = tonic::metadata::MetadataValue::try_from(text.as_slice()) {
                let mut metadata = MetadataMap::new();
                metadata.insert("grpc-timeout", value);
                patience(&metadata);
            }
        }
    }
}
