//! The text of a reason in a gRPC header.
//!
//! A header carries visible ASCII; a reason is any text. So every byte of its UTF-8 that is not visible
//! ASCII, and the percent sign itself, is written `%XX`: exactly the encoding that gRPC prescribes for its
//! own `grpc-message`. Spaces stay as they are, but for the first and the last character, where
//! intermediaries may trim them. The daemon decodes it.

use std::fmt::Write;

/// The longest reason, encoded: the daemon takes no longer one.
pub(crate) const LONGEST: usize = 1024;

/// Writes a reason as visible ASCII.
pub(crate) fn encode(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (position, byte) in text.bytes().enumerate() {
        let at_the_edge = position == 0 || position == last;
        let plain = byte.is_ascii_graphic() || (byte == b' ' && !at_the_edge);
        if plain && byte != b'%' {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            // Writing to a String cannot fail.
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_readable() {
        assert_eq!(encode("nightly backup, ticket #7"), "nightly backup, ticket #7");
    }

    #[test]
    fn what_a_header_cannot_carry_is_escaped() {
        assert_eq!(encode("100% größer\n"), "100%25 gr%C3%B6%C3%9Fer%0A");
        assert_eq!(encode(" a b "), "%20a b%20");
        assert_eq!(encode("%41"), "%2541");
    }

    /// As the percent-encoding of URIs is read (RFC 3986, section 2.1).
    fn decode(encoded: &str) -> String {
        let mut parts = encoded.split('%');
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            prop_assert_eq!(decode(&encoded), text);
        }
    }
}
