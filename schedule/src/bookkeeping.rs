//! How many records there are, and their digest: what tells a store that is whole from one that lost something.
//!
//! The digest is a sum over all records, so that a commit costs what it changes and not what there is. It is there
//! against accidents, not against people: who can write to the store can write anything.
//!
//! It must be written with what it describes, all or nothing. A batch does that, and costs a second write to the disk.
//! So every value ends with the bookkeeping of the commit that wrote it, as field 7 of its message, and the commit of one
//! record needs no batch. Any other commit writes it under [`KEY`] too. The one with the highest generation holds.

use prost::Message;

/// Where it is stored beside the records: no name begins with a zero byte.
pub(crate) const KEY: &[u8] = b"\0bookkeeping";

/// Length of the message: three fields of fixed size, written even where they are zero.
const MESSAGE: usize = 27;
/// What a value ends with: the key of field 7, the length, the message.
const TRAILER: usize = MESSAGE + 2;
const FIELD_7: u8 = 7 << 3 | 2;

/// It is written together with what it describes.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Bookkeeping {
    /// The number of the last commit.
    #[prost(fixed64, tag = "1")]
    pub(crate) generation: u64,
    /// How many records there are.
    #[prost(fixed64, tag = "2")]
    pub(crate) records: u64,
    /// The wrapping sum of their digests.
    #[prost(fixed64, tag = "3")]
    pub(crate) digest: u64,
}

impl Bookkeeping {
    /// What it must be for these records.
    pub(crate) fn of<'a>(
        generation: u64,
        records: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut bookkeeping = Self { generation, ..Self::default() };
        for (key, value) in records {
            bookkeeping.add(key, value);
        }
        bookkeeping
    }

    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.digest = self.digest.wrapping_add(digest(key, value));
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(digest(key, value));
    }

    /// The message, always of the same length.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER);
        for (key, number) in [(9, self.generation), (17, self.records), (25, self.digest)] {
            bytes.push(key);
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    /// A value as it is stored by the commit that this describes.
    pub(crate) fn append_to(&self, value: &[u8]) -> Vec<u8> {
        let message = self.message();
        let length = u8::try_from(message.len()).unwrap_or_default();
        [value, &[FIELD_7, length], message.as_slice()].concat()
    }

    /// A value without what was appended to it, and that. One to which nothing was appended is given back as it is.
    pub(crate) fn split_from(stored: &[u8]) -> (&[u8], Option<Self>) {
        let at = stored.len().checked_sub(TRAILER);
        let Some((value, trailer)) = at.and_then(|at| stored.split_at_checked(at)) else {
            return (stored, None);
        };
        match trailer.split_at_checked(2) {
            Some((&[FIELD_7, length], message)) if usize::from(length) == MESSAGE => {
                Self::decode(message).map_or((stored, None), |found| (value, Some(found)))
            }
            Some(_) | None => (stored, None),
        }
    }

    /// What is wrong, if these are not the same.
    pub(crate) fn check(&self, found: &Self) -> Result<(), String> {
        if self.records != found.records {
            return Err(format!(
                "{} records were written and {} are there",
                self.records, found.records
            ));
        }
        if self.digest != found.digest {
            return Err(format!("its {} records are not those that were written", found.records));
        }
        Ok(())
    }
}

/// FNV-1a over the key's length, the key and the value, then a finalizer, since sums of plain FNV would let similar
/// changes cancel out.
fn digest(key: &[u8], value: &[u8]) -> u64 {
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_le_bytes();
    let bytes = length.iter().chain(key).chain(value);
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is part of the format: a store of today must agree with it for ever.
    #[test]
    fn the_digest_stays() {
        assert_eq!(digest(b"", b""), 0x813f_0174_a236_7c13);
        assert_eq!(digest(b"a", b"bc"), 0xd05d_b19d_7771_29f7);
        assert_ne!(digest(b"ab", b"c"), digest(b"a", b"bc"));
    }

    /// So is this.
    #[test]
    fn what_is_appended_stays() {
        let bookkeeping = Bookkeeping { generation: 1, records: 0, digest: 0x0102 };
        let mut bytes = vec![1, 2, 58, 27, 9, 1, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([25, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bookkeeping.append_to(&[1, 2]), bytes);
        assert_eq!(Bookkeeping::split_from(&bytes), ([1, 2].as_slice(), Some(bookkeeping)));
        for length in 0..bytes.len() {
            let (value, found) = Bookkeeping::split_from(&bytes[..length]);
            assert_eq!((value, found), (&bytes[..length], None));
        }
    }

    #[test]
    fn order_does_not_matter_and_what_is_removed_is_gone() {
        let mut one = Bookkeeping::default();
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        let mut other = Bookkeeping::default();
        other.add(b"b", b"2");
        other.add(b"c", b"3");
        other.add(b"a", b"1");
        assert_ne!(one, other);
        assert!(one.check(&other).unwrap_err().contains("2 records were written and 3 are there"));
        other.remove(b"c", b"3");
        assert_eq!(one, other);
    }
}
