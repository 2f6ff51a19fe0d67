//! The store's files without the crate: its format once more, written down independently.

use std::{collections::BTreeMap, path::Path, thread};

/// Values by key, as they are stored.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

const BOOKKEEPING: &[u8] = b"\0bookkeeping";

/// Its threads may hold a lock for a moment after it was closed.
pub(crate) fn open(folder: &Path) -> sled::Db {
    loop {
        match sled::Config::new().path(folder).flush_every_ms(None).open() {
            Err(error) if error.to_string().contains("could not acquire lock") => {
                thread::yield_now()
            }
            result => return result.unwrap(),
        }
    }
}

/// The records of format 1 in a store that nobody has open.
pub(crate) fn read(folder: &Path) -> Records {
    let database = open(folder);
    let tree = database.open_tree("records-1").unwrap();
    let all = tree.iter().map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())));
    let mut records: Records = all.collect::<Result<_, _>>().unwrap();
    records.remove(BOOKKEEPING);
    for value in records.values_mut() {
        let end = value.len().checked_sub(29).unwrap();
        assert_eq!(value[end..end + 2], [58, 27], "each ends with the bookkeeping");
        value.truncate(end);
    }
    records
}

/// Changes the records of a store that nobody has open, and does the books.
pub(crate) fn edit(folder: &Path, generation: u64, edit: impl FnOnce(&mut Records)) {
    let mut records = read(folder);
    edit(&mut records);
    let database = open(folder);
    let tree = database.open_tree("records-1").unwrap();
    tree.clear().unwrap();
    let books = bookkeeping(generation, &records);
    for (key, value) in &records {
        tree.insert(key.as_slice(), [value, [58, 27].as_slice(), &books].concat()).unwrap();
    }
    tree.insert(BOOKKEEPING, books).unwrap();
    database.flush().unwrap();
}

/// A protobuf message: generation, number of records, digest, each of eight bytes.
fn bookkeeping(generation: u64, records: &Records) -> Vec<u8> {
    let digest =
        records.iter().fold(0_u64, |sum, (key, value)| sum.wrapping_add(digest(key, value)));
    let mut bytes = Vec::new();
    for (field, number) in [(9, generation), (17, records.len() as u64), (25, digest)] {
        bytes.push(field);
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// FNV-1a over length of the key, key and value, finished as splitmix64 is.
fn digest(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in (key.len() as u64).to_le_bytes().iter().chain(key).chain(value) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
