//! One registration as bytes: a version byte, then a protobuf message.
//!
//! Fields are only ever added. A newer version may have written fields that this one does not know; they survive every
//! change but the one that replaces the whole definition, so that a machine that goes one version back and forth loses
//! nothing.

use prost::{
    DecodeError, Message,
    bytes::Buf,
    encoding::{DecodeContext, decode_key, skip_field},
};
use units::{Door, Name, Origin};

use crate::Entry;

/// The only version so far.
const VERSION: u8 = 1;
/// The highest number of a field that is known here.
const LAST_FIELD: u32 = 7;

#[derive(Clone, PartialEq, Message)]
struct Record {
    /// Again, so that a value under a wrong key is noticed.
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    enabled: bool,
    #[prost(bytes = "vec", tag = "3")]
    definition: Vec<u8>,
    #[prost(sfixed64, tag = "4")]
    registered_at: i64,
    #[prost(sfixed64, tag = "5")]
    changed_at: i64,
    #[prost(message, optional, tag = "6")]
    changed_by: Option<Author>,
    // 7 is appended by the store, and taken off: see bookkeeping.rs.
}

#[derive(Clone, PartialEq, Message)]
struct Author {
    #[prost(string, tag = "1")]
    door: String,
    #[prost(string, tag = "2")]
    identity: String,
    #[prost(string, tag = "3")]
    reason: String,
}

/// The bytes of an entry, with the fields that were unknown when it was read.
pub(crate) fn encode(entry: &Entry, unknown: &[u8]) -> Vec<u8> {
    let record = Record {
        name: entry.name.as_str().to_owned(),
        enabled: entry.enabled,
        definition: entry.definition.clone(),
        registered_at: entry.registered_at,
        changed_at: entry.changed_at,
        changed_by: Some(Author {
            door: entry.changed_by.door.to_string(),
            identity: entry.changed_by.identity.clone(),
            reason: entry.changed_by.reason.clone(),
        }),
    };
    let mut bytes = vec![VERSION];
    bytes.extend(record.encode_to_vec());
    bytes.extend(unknown);
    bytes
}

/// The entry under this key, or a sentence about what is wrong with it.
pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Entry, String> {
    let name = name(key)?;
    let record = Record::decode(message(value)?).map_err(|error| error.to_string())?;
    if record.name != name.as_str() {
        return Err(format!("it is the record of {:?}, stored under the name {name}", record.name));
    }
    Ok(Entry {
        name,
        enabled: record.enabled,
        definition: record.definition,
        registered_at: record.registered_at,
        changed_at: record.changed_at,
        changed_by: record.changed_by.unwrap_or_default().into(),
    })
}

/// The fields of a readable record that this version does not know, as they were written.
pub(crate) fn unknown_fields(value: &[u8]) -> Vec<u8> {
    message(value).ok().and_then(|message| collect_unknown(message).ok()).unwrap_or_default()
}

fn name(key: &[u8]) -> Result<Name, String> {
    let text = std::str::from_utf8(key).map_err(|_| "it is not stored under a name".to_owned())?;
    text.parse().map_err(|error| format!("it is not stored under a name: {error}"))
}

fn message(value: &[u8]) -> Result<&[u8], String> {
    match value.split_first() {
        Some((&VERSION, message)) => Ok(message),
        Some((version, _)) => {
            Err(format!("it has version {version}, and this program knows version {VERSION} only"))
        }
        None => Err("it is empty".to_owned()),
    }
}

fn collect_unknown(message: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut unknown = Vec::new();
    let mut rest = message;
    while rest.has_remaining() {
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        if number > LAST_FIELD {
            let length = field.len().saturating_sub(rest.len());
            unknown.extend(field.iter().take(length));
        }
    }
    Ok(unknown)
}

impl From<Author> for Origin {
    /// A door that only a newer version has is told as part of the identity; an author is never written back, so
    /// nothing is lost by that.
    fn from(author: Author) -> Self {
        let Author { door, identity, reason } = author;
        match door.parse::<Door>() {
            Ok(door) => Self { door, identity, reason },
            Err(_) => {
                Self { door: Door::Daemon, identity: format!("{identity} by {door}"), reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let definition = proptest::collection::vec(any::<u8>(), 0..200);
        let by = (any::<bool>(), ".*", ".*").prop_map(|(daemon, identity, reason)| Origin {
            door: if daemon { Door::Daemon } else { Door::Grpc },
            identity,
            reason,
        });
        ("[a-z0-9_][a-z0-9_.@:+-]{0,20}", any::<bool>(), definition, any::<i64>(), any::<i64>(), by)
            .prop_map(|(name, enabled, definition, registered_at, changed_at, changed_by)| Entry {
                name: name.parse().unwrap(),
                enabled,
                definition,
                registered_at,
                changed_at,
                changed_by,
            })
    }

    /// One field that this version does not know, of any wire type.
    fn any_unknown() -> impl Strategy<Value = Vec<u8>> {
        let field = |number: u32, wire_type, content: &[u8]| {
            let mut bytes = Vec::new();
            encode_key(number, wire_type, &mut bytes);
            bytes.extend(content);
            bytes
        };
        let number = (LAST_FIELD + 1)..=((1 << 29) - 1);
        (number, 0..5_u8, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(
            move |(number, kind, value, bytes)| {
                let mut varint = Vec::new();
                encode_varint(value, &mut varint);
                let mut delimited = Vec::new();
                encode_varint(u64::try_from(bytes.len()).unwrap(), &mut delimited);
                delimited.extend(&bytes);
                match kind {
                    0 => field(number, WireType::Varint, &varint),
                    1 => field(number, WireType::SixtyFourBit, &value.to_le_bytes()),
                    2 => field(number, WireType::ThirtyTwoBit, &value.to_le_bytes()[..4]),
                    3 => {
                        let inner = field(2, WireType::LengthDelimited, &delimited);
                        let mut group = field(number, WireType::StartGroup, &inner);
                        group.extend(field(number, WireType::EndGroup, &[]));
                        group
                    }
                    _ => field(number, WireType::LengthDelimited, &delimited),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(entry in any_entry()) {
            let value = encode(&entry, &[]);
            prop_assert_eq!(unknown_fields(&value), Vec::<u8>::new());
            prop_assert_eq!(decode(entry.name.as_str().as_bytes(), &value), Ok(entry));
        }

        /// Wherever a newer version puts its fields, they are all there after a change.
        #[test]
        fn unknown_fields_survive(
            entry in any_entry(),
            unknown in proptest::collection::vec(any_unknown(), 0..6),
            after in any::<prop::sample::Index>(),
        ) {
            let cut = after.index(unknown.len() + 1);
            let known = encode(&entry, &[]);
            let mut value = vec![VERSION];
            value.extend(unknown[..cut].concat());
            value.extend(&known[1..]);
            value.extend(unknown[cut..].concat());
            let key = entry.name.as_str().as_bytes();
            prop_assert_eq!(decode(key, &value), Ok(entry.clone()));
            let changed = Entry { enabled: !entry.enabled, changed_at: 5, ..entry.clone() };
            let written = encode(&changed, &unknown_fields(&value));
            prop_assert_eq!(unknown_fields(&written), unknown.concat());
            prop_assert_eq!(decode(key, &written), Ok(changed));
        }

        #[test]
        fn decoding_is_total(key in "[a-z]{0,3}", value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let read = decode(key.as_bytes(), &value);
            let unknown = unknown_fields(&value);
            prop_assert!(read.is_ok() || read.is_err_and(|text| !text.is_empty()));
            prop_assert!(unknown.len() <= value.len());
        }

        /// With a right version byte and a name the fields themselves are tried.
        #[test]
        fn decoding_strange_fields_is_total(value in proptest::collection::vec(0..40_u8, 0..80)) {
            let value = [&[VERSION, 10, 1, b'a'], value.as_slice()].concat();
            if let Ok(entry) = decode(b"a", &value) {
                let written = encode(&entry, &unknown_fields(&value));
                prop_assert_eq!(decode(b"a", &written), Ok(entry));
            }
        }
    }

    /// The format, written down as bytes: it must be readable for ever.
    #[test]
    fn the_format_stays() {
        let entry = Entry {
            name: "web".parse().unwrap(),
            enabled: true,
            definition: vec![0xde, 0xad],
            registered_at: 1,
            changed_at: -1,
            changed_by: Origin { door: Door::Grpc, identity: "me".into(), reason: "so".into() },
        };
        let mut bytes = vec![1, 10, 3, b'w', b'e', b'b', 16, 1, 26, 2, 0xde, 0xad];
        bytes.extend([33, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([41, 255, 255, 255, 255, 255, 255, 255, 255]);
        bytes.extend([50, 14, 10, 4, b'g', b'r', b'p', b'c', 18, 2, b'm', b'e', 26, 2, b's', b'o']);
        assert_eq!(encode(&entry, &[]), bytes);
        assert_eq!(decode(b"web", &bytes), Ok(entry));
    }
}
