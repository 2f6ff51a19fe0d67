//! The newest changes, ahead of the database: what brings one to the disk in one write.
//!
//! To flush a small change the database writes to a file that grows, waits for that with sync_file_range(2), and needs an
//! fdatasync(2) after it, which has to write the file's new length too. Here a change is one write into a file whose
//! length and blocks do not change, and one fdatasync. The database has it in memory then, and on the disk when this file
//! is full or the store is closed. After a crash the changes that the database lost are read from here.
//!
//! The file `ahead` is a header and then records, one behind the other from its beginning on. The numbers of their
//! commits, the generations, follow one another; where they do not, what lies behind is older, and the database has it.
//! Each record's checksum begins with the header's salt, so that no registration can hold what looks like one.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use prost::Message;

use crate::{bookkeeping::Bookkeeping, contents::Records, copy};

const FILE: &str = "ahead";
/// The file in full: some hundreds of registrations.
const AREA: usize = 128 << 10;
const MAGIC: &[u8; 8] = b"ahead 1\n";
/// Magic, salt, and the checksum of both.
const HEADER: usize = 20;
/// What a record begins with; its length and its checksum follow, four bytes each.
const RECORD: &[u8; 4] = b"next";
const HEAD: usize = 12;

/// One commit.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Noted {
    /// The format of its records.
    #[prost(uint64, tag = "1")]
    pub(crate) format: u64,
    /// After it.
    #[prost(message, required, tag = "2")]
    pub(crate) bookkeeping: Bookkeeping,
    #[prost(message, repeated, tag = "3")]
    pub(crate) changes: Vec<Changed>,
}

/// One record of the database.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Changed {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    /// `None` where it goes.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) value: Option<Vec<u8>>,
}

impl Noted {
    /// This commit.
    pub(crate) fn new(
        format: u64,
        changes: &[(&[u8], Option<&[u8]>)],
        bookkeeping: Bookkeeping,
    ) -> Self {
        let changes = changes
            .iter()
            .map(|(key, value)| Changed { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
        Self { format, bookkeeping, changes: changes.collect() }
    }

    /// What it made of the records.
    pub(crate) fn apply(&self, records: &mut Records) {
        for (key, value) in self.changes() {
            match value {
                Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
                None => drop(records.remove(key)),
            }
        }
    }

    /// What it wrote and removed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|Changed { key, value }| (key.as_slice(), value.as_deref()))
    }
}

type Salt = [u8; 8];

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Ahead {
    folder: PathBuf,
    /// None where there is none, or none that can be used: then all goes to the database at once.
    file: Option<(File, Salt)>,
    /// Where the next record goes; none before it is known what of the file is still needed.
    next: Option<usize>,
}

impl Ahead {
    /// The file of this store, if it has one.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let opened = File::options().read(true).write(true).open(folder.join(FILE));
        let file = match opened {
            Ok(file) => {
                let mut header = Vec::new();
                (&file).take(u64::try_from(HEADER).unwrap_or(0)).read_to_end(&mut header)?;
                salt(&header).map(|salt| (file, salt))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_owned(), file, next: None })
    }

    /// The commits after this one, in order, and whether they are whole. What comes next is written behind them.
    pub(crate) fn after(&mut self, generation: u64) -> (Vec<Noted>, Result<(), String>) {
        let Some((file, salt)) = &self.file else { return (Vec::new(), Ok(())) };
        let mut bytes = vec![0; AREA];
        // It may have been cut short; then what is not there is missing.
        if let Err(error) = read(file, &mut bytes) {
            let path = self.folder.join(FILE);
            return (Vec::new(), Err(format!("reading {} failed ({error})", path.display())));
        }
        let (mut noted, end) = chain(&bytes, *salt);
        let newest = noted.last().map_or(0, |noted| noted.bookkeeping.generation).max(generation);
        noted.retain(|noted| noted.bookkeeping.generation > generation);
        let first = noted.first().map(|noted| noted.bookkeeping.generation);
        let whole = if stray(&bytes, end, *salt).is_some_and(|stray| stray > newest) {
            Err(format!("one of the changes after number {newest} cannot be read"))
        } else if let Some(first) = first.filter(|first| *first != generation.saturating_add(1)) {
            Err(format!("the changes between number {generation} and number {first} are missing"))
        } else {
            self.next = Some(if noted.is_empty() { HEADER } else { end });
            Ok(())
        };
        (noted, whole)
    }

    /// Whether there may be room for changes of so many bytes.
    pub(crate) fn may_fit(&self, bytes: usize) -> bool {
        self.next.is_some_and(|at| at.saturating_add(bytes) < AREA)
    }

    /// Brings a commit to the disk; false where there is no room for it. After an error it may be there or not.
    pub(crate) fn append(&mut self, noted: &Noted) -> io::Result<bool> {
        let (Some((file, salt)), Some(at)) = (&self.file, self.next) else { return Ok(false) };
        let record = encode(noted, *salt);
        let end = at.saturating_add(record.len());
        if end > AREA {
            return Ok(false);
        }
        self.next = None;
        file.write_all_at(&record, u64::try_from(at).unwrap_or(u64::MAX))?;
        file.sync_data()?;
        self.next = Some(end);
        Ok(true)
    }

    /// The database has everything on the disk: the next record is the first one. Makes the file where there is none;
    /// where that fails there is none for now.
    pub(crate) fn begin_again(&mut self) {
        if self.file.is_none() {
            self.file = make(&self.folder).ok();
        }
        self.next = Some(HEADER);
    }
}

/// A file without a record, complete when it gets its name.
fn make(folder: &Path) -> io::Result<(File, Salt)> {
    let salt = RandomState::new().hash_one(std::process::id()).to_le_bytes();
    let mut bytes = [MAGIC.as_slice(), &salt].concat();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.resize(AREA, 0);
    let path = folder.join("ahead.making");
    fs::write(&path, &bytes)?;
    let file = File::options().read(true).write(true).open(&path)?;
    file.sync_all()?;
    fs::rename(&path, folder.join(FILE))?;
    copy::sync(folder)?;
    Ok((file, salt))
}

/// The salt of a header that is whole.
fn salt(header: &[u8]) -> Option<Salt> {
    let (body, checksum) = header.split_last_chunk::<4>()?;
    let (magic, salt) = body.split_first_chunk::<8>()?;
    let whole = magic == MAGIC && crc32fast::hash(body) == u32::from_le_bytes(*checksum);
    whole.then(|| salt.try_into().ok()).flatten()
}

/// The records from the beginning on, as far as their numbers follow one another, and where they end.
fn chain(bytes: &[u8], salt: Salt) -> (Vec<Noted>, usize) {
    let (mut found, mut at) = (Vec::<Noted>::new(), HEADER);
    while let Some((noted, length)) = bytes.get(at..).and_then(|rest| decode(rest, salt)) {
        let last = found.last().map(|last| last.bookkeeping.generation);
        let generation = noted.bookkeeping.generation;
        if last.is_some_and(|last| last.checked_add(1) != Some(generation)) {
            break;
        }
        found.push(noted);
        at = at.saturating_add(length);
    }
    (found, at)
}

/// The highest number of the records from there on, wherever they begin.
fn stray(bytes: &[u8], from: usize, salt: Salt) -> Option<u64> {
    let rest = bytes.get(from..)?;
    let begins = rest.windows(RECORD.len()).enumerate().filter(|(_, word)| *word == RECORD);
    let noted = begins.filter_map(|(at, _)| decode(rest.get(at..)?, salt));
    noted.map(|(noted, _)| noted.bookkeeping.generation).max()
}

fn checksum(payload: &[u8], salt: Salt) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt);
    hasher.update(payload);
    hasher.finalize()
}

fn encode(noted: &Noted, salt: Salt) -> Vec<u8> {
    let payload = noted.encode_to_vec();
    // What is longer than four bytes can tell does not fit either.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut record = Vec::with_capacity(HEAD.saturating_add(payload.len()));
    record.extend_from_slice(RECORD);
    record.extend(length);
    record.extend(checksum(&payload, salt).to_le_bytes());
    record.extend(payload);
    record
}

/// The record at the beginning of these bytes, and its length.
fn decode(bytes: &[u8], salt: Salt) -> Option<(Noted, usize)> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let (word, numbers) = head.split_first_chunk::<4>()?;
    let (length, sum) = numbers.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = rest.get(..length).filter(|_| word == RECORD)?;
    if checksum(payload, salt).to_le_bytes() != sum {
        return None;
    }
    Some((Noted::decode(payload).ok()?, HEAD.saturating_add(length)))
}

/// As much as there is.
fn read(file: &File, mut bytes: &mut [u8]) -> io::Result<()> {
    let mut at = 0;
    while !bytes.is_empty() {
        match file.read_at(bytes, at) {
            Ok(0) => break,
            Ok(count) => {
                at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                bytes = bytes.split_at_mut_checked(count).map_or(&mut [], |(_, rest)| rest);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commit(generation: u64, size: usize) -> Noted {
        let bookkeeping = Bookkeeping { generation, records: 1, digest: 7 };
        let value = vec![u8::try_from(generation % 251).unwrap(); size];
        Noted::new(1, &[(b"unit", Some(&value)), (b"gone", None)], bookkeeping)
    }

    /// A file in which the commits after this number are noted, and what it holds.
    fn noted(folder: &Path, sizes: &[usize], first: u64) -> Vec<Noted> {
        let mut ahead = Ahead::open(folder).unwrap();
        ahead.begin_again();
        let commits: Vec<Noted> =
            (first..).zip(sizes).map(|(generation, size)| commit(generation, *size)).collect();
        for commit in &commits {
            assert!(ahead.append(commit).unwrap());
        }
        commits
    }

    #[test]
    fn what_the_database_has_is_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let commits = noted(folder.path(), &[10, 300, 0], 5);
        for has in 4..8_u64 {
            let (found, whole) = Ahead::open(folder.path()).unwrap().after(has);
            assert_eq!(whole, Ok(()));
            assert_eq!(found, commits[usize::try_from(has - 4).unwrap()..]);
        }
        let (found, whole) = Ahead::open(folder.path()).unwrap().after(3);
        assert_eq!((found.len(), whole.is_err()), (3, true), "number 4 is missing");
    }

    /// Older records lie behind the newer ones, and are not taken for them.
    #[test]
    fn begun_again_it_forgets_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        noted(folder.path(), &[100, 100, 100, 100], 1);
        let commits = noted(folder.path(), &[100, 30], 5);
        let mut ahead = Ahead::open(folder.path()).unwrap();
        assert_eq!(ahead.after(4), (commits.clone(), Ok(())));
        let next = commit(7, 40);
        assert!(ahead.append(&next).unwrap());
        let all = [commits, vec![next]].concat();
        assert_eq!(Ahead::open(folder.path()).unwrap().after(4), (all, Ok(())));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let commits = noted(folder.path(), &[100], 1);
        let mut ahead = Ahead::open(folder.path()).unwrap();
        assert!(!ahead.append(&commit(2, 1)).unwrap(), "before it was read");
        assert_eq!(ahead.after(0).1, Ok(()));
        assert!(!ahead.append(&commit(2, AREA)).unwrap());
        assert_eq!(Ahead::open(folder.path()).unwrap().after(0), (commits, Ok(())));
    }

    /// A registration that holds a record is none: whoever writes it does not know the salt.
    #[test]
    fn what_looks_like_a_record_in_a_value_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let forged = encode(&commit(900, 10), [0; 8]);
        let bookkeeping = Bookkeeping { generation: 1, ..Bookkeeping::default() };
        let commit = Noted::new(1, &[(b"unit", Some(&forged))], bookkeeping);
        let mut ahead = Ahead::open(folder.path()).unwrap();
        ahead.begin_again();
        assert!(ahead.append(&commit).unwrap());
        ahead.begin_again();
        assert_eq!(Ahead::open(folder.path()).unwrap().after(1), (Vec::new(), Ok(())));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// A flipped bit or a cut end: what is given is true and has no hole, and what is not given is missed, or was
        /// the last.
        #[test]
        fn damage_is_seen(sizes in proptest::collection::vec(0..200_usize, 1..12), place: usize, cut: bool) {
            let folder = tempfile::tempdir().unwrap();
            let commits = noted(folder.path(), &sizes, 1);
            let path = folder.path().join(FILE);
            let mut bytes = fs::read(&path).unwrap();
            let used = chain(&bytes, salt(&bytes[..HEADER]).unwrap()).1;
            let at = place % used;
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << (place % 8);
            }
            fs::write(&path, &bytes).unwrap();
            let (found, whole) = Ahead::open(folder.path()).unwrap().after(0);
            prop_assert_eq!(&found[..], &commits[..found.len()]);
            prop_assert!(found.len() < commits.len());
            let last_alone = found.len() + 1 == commits.len();
            let header = at < HEADER;
            prop_assert!(whole.is_err() || last_alone || header || cut);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), &bytes).unwrap();
            drop(Ahead::open(folder.path()).unwrap().after(0));
            let whole = [b"next".as_slice(), &bytes].concat();
            drop(decode(&whole, [0; 8]));
        }
    }
}
