//! From the formats of older versions to today's.
//!
//! A format is converted by a pure function from record to record, into a tree of its own. When that is on the disk the
//! number of the format is changed, which is atomic, and then the old tree is dropped. So a crash leaves the old format
//! or the new one, whole, and perhaps a tree of the other, which the next opening drops.
//!
//! To change the format: write the function, add it to [`STEPS`], and keep a store of the old format in `tests/stores`.

use crate::{
    bookkeeping::Bookkeeping,
    contents::Records,
    store::{Store, Trouble},
};

/// From the bytes of a record to those of the next format, or a sentence about why not.
pub(crate) type Step = fn(&[u8]) -> Result<Vec<u8>, String>;

/// The first converts format 1 to 2, and so on. There is one format so far.
pub(crate) const STEPS: &[Step] = &[];

const FIRST: u64 = 1;

/// The newest format of a store that this program knows; it knows all before that.
#[must_use]
pub fn newest_format() -> u64 {
    newest(STEPS)
}

/// The newest format that is known with these steps.
pub(crate) fn newest(steps: &[Step]) -> u64 {
    u64::try_from(steps.len()).map_or(u64::MAX, |steps| FIRST.saturating_add(steps))
}

/// The steps from this format on, each with the format that it leads to.
fn steps_from(format: u64, steps: &[Step]) -> impl Iterator<Item = (u64, &Step)> {
    (FIRST.saturating_add(1)..).zip(steps).filter(move |(to, _)| *to > format)
}

/// The records in the newest format, in memory only. One that cannot be converted stays as it is: it will not be
/// readable, and is kept.
pub(crate) fn convert(records: Records, from: u64, steps: &[Step]) -> Records {
    steps_from(from, steps).fold(records, |records, (_, step)| convert_once(records, *step))
}

fn convert_once(records: Records, step: Step) -> Records {
    let converted = records.into_iter().map(|(key, value)| {
        let value = step(&value).unwrap_or(value);
        (key, value)
    });
    converted.collect()
}

/// The records in the newest format, in the store too.
pub(crate) fn run(
    store: &mut Store,
    from: u64,
    mut records: Records,
    bookkeeping: &mut Bookkeeping,
    steps: &[Step],
) -> Result<Records, Trouble> {
    for (to, step) in steps_from(from, steps) {
        records = convert_once(records, *step);
        let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        *bookkeeping = Bookkeeping::of(bookkeeping.generation, borrowed.clone());
        drop_all_but(store, to.saturating_sub(1))?;
        store.write(to, borrowed.map(|(key, value)| (key, Some(value))), bookkeeping)?;
        store.set_format(to)?;
        drop_all_but(store, to)?;
    }
    Ok(records)
}

/// Drops the records of all other formats: what an interrupted conversion has left.
pub(crate) fn drop_all_but(store: &mut Store, format: u64) -> Result<(), Trouble> {
    for other in store.formats()? {
        if other != format {
            store.drop_format(other)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "no reaper is near: a test makes its children itself"
    )]

    use std::{
        collections::BTreeMap,
        env, fs,
        io::{BufRead, BufReader, Write},
        path::{Path, PathBuf},
        process::{Command, Stdio},
        thread,
        time::Duration,
    };

    use units::Origin;

    use super::*;
    use crate::{Change, OpenError, Options, Schedule, record};

    const FOLDER: &str = "SCHEDULE_MIGRATES";
    const RECORDS: i64 = 40;

    /// Adds a letter to every definition.
    fn add(value: &[u8], letter: u8) -> Result<Vec<u8>, String> {
        let mut entry = record::decode(b"unit-0", value).or_else(|_| {
            let text = String::from_utf8_lossy(value);
            let at = text.find("unit-").ok_or("no name")?;
            let name: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_digit() || "unit-".contains(*c))
                .collect();
            record::decode(name.as_bytes(), value)
        })?;
        entry.definition.push(letter);
        Ok(record::encode(&entry, &record::unknown_fields(value)))
    }

    fn step_a(value: &[u8]) -> Result<Vec<u8>, String> {
        say();
        add(value, b'a')
    }

    fn step_b(value: &[u8]) -> Result<Vec<u8>, String> {
        say();
        add(value, b'b')
    }

    /// In the child, one line for each record, so that it can be killed at any of them.
    fn say() {
        if env::var_os(FOLDER).is_some() {
            writeln!(std::io::stdout(), "record").unwrap();
        }
    }

    const BOTH: &[Step] = &[step_a, step_b];

    fn options(folder: &Path) -> Options {
        Options { scratch: folder.parent().unwrap().join("scratch"), ..Options::default() }
    }

    fn open(folder: &Path, steps: &'static [Step]) -> Result<Schedule, OpenError> {
        Schedule::open_with(folder, &options(folder), steps)
    }

    fn make() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("schedule");
        let mut schedule = open(&folder, &[]).unwrap();
        let change = |number| Change::Enable {
            name: format!("unit-{number}").parse().unwrap(),
            definition: vec![b'x'],
            at: number,
            by: Origin::daemon("a test"),
        };
        schedule.commit((0..RECORDS).map(change).collect()).unwrap();
        (root, folder)
    }

    fn definitions(schedule: &Schedule) -> BTreeMap<Vec<u8>, usize> {
        let mut found = BTreeMap::new();
        for entry in schedule.entries() {
            *found.entry(entry.definition.clone()).or_default() += 1;
        }
        found
    }

    fn all(definition: &[u8]) -> BTreeMap<Vec<u8>, usize> {
        BTreeMap::from([(definition.to_vec(), usize::try_from(RECORDS).unwrap())])
    }

    #[test]
    fn each_step_is_taken_once_and_in_order() {
        let (_root, folder) = make();
        assert_eq!(definitions(&open(&folder, &BOTH[..1]).unwrap()), all(b"xa"));
        for _ in 0..2 {
            assert_eq!(definitions(&open(&folder, BOTH).unwrap()), all(b"xab"));
        }
        let error = open(&folder, &BOTH[..1]).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
        let store = Store::open(&folder, Duration::from_secs(5)).unwrap();
        assert_eq!(store.formats().unwrap(), [3], "the old trees are gone");
    }

    /// As long as it is to be kept the old format is on the disk, whatever is read of it.
    #[test]
    fn a_format_that_is_to_be_kept_is_converted_by_the_first_commit() {
        let (_root, folder) = make();
        let kept = Options { keep_format: true, ..options(&folder) };
        for _ in 0..2 {
            let schedule = Schedule::open_with(&folder, &kept, BOTH).unwrap();
            assert_eq!((definitions(&schedule), schedule.warnings()), (all(b"xab"), &[][..]));
        }
        // The program that knows no other goes on with it, and changes it.
        let disable = |number: u32| Change::Disable {
            name: format!("unit-{number}").parse().unwrap(),
            at: 1,
            by: Origin::daemon("a test"),
        };
        open(&folder, &[]).unwrap().commit(vec![disable(1)]).unwrap();
        let mut schedule = Schedule::open_with(&folder, &kept, BOTH).unwrap();
        schedule.commit(vec![disable(2)]).unwrap();
        assert_eq!(definitions(&schedule), all(b"xab"));
        drop(schedule);
        assert_eq!(whole_format(&folder), 3);
        let schedule = open(&folder, BOTH).unwrap();
        let disabled: Vec<_> = schedule.entries().filter(|entry| !entry.enabled).collect();
        assert_eq!((disabled.len(), definitions(&schedule)), (2, all(b"xab")));
    }

    #[test]
    fn a_record_that_cannot_be_converted_stays() {
        fn refuse_one(value: &[u8]) -> Result<Vec<u8>, String> {
            if record::decode(b"unit-7", value).is_ok() {
                Err("no".into())
            } else {
                add(value, b'a')
            }
        }
        let (_root, folder) = make();
        let schedule = open(&folder, &[refuse_one]).unwrap();
        assert_eq!(schedule.entry(&"unit-7".parse().unwrap()).unwrap().definition, b"x");
        assert_eq!(schedule.entry(&"unit-8".parse().unwrap()).unwrap().definition, b"xa");
    }

    /// Not a test of its own: what `a_kill_leaves_the_old_format_or_the_new` starts and kills.
    #[test]
    fn the_child() {
        if let Some(folder) = env::var_os(FOLDER) {
            drop(open(Path::new(&folder), BOTH).unwrap());
            writeln!(std::io::stdout(), "record").unwrap();
        }
    }

    /// kill -9 at each of the records, and, by waiting a little, in the writing that follows them.
    #[test]
    fn a_kill_leaves_the_old_format_or_the_new() {
        let mut formats = BTreeMap::new();
        for round in 0..30_u64 {
            let (_root, folder) = make();
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["--exact", "migrate::tests::the_child", "--nocapture"])
                .env(FOLDER, &folder)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines =
                BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let wanted = match round {
                0..10 => 1 + usize::try_from(round * 8).unwrap(),
                _ if round % 2 == 0 => 40,
                _ => 80,
            };
            let seen = lines.by_ref().filter(|line| line.contains("record")).take(wanted);
            assert_eq!(seen.count(), wanted);
            if round >= 10 {
                // The moment is what varies; nothing is waited for.
                thread::sleep(Duration::from_micros(round * 200));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            drop(lines);
            let format = whole_format(&folder);
            *formats.entry(format).or_insert(0) += 1;
            assert_eq!(definitions(&open(&folder, BOTH).unwrap()), all(b"xab"), "round {round}");
        }
        println!("formats found after a kill: {formats:?}");
        assert!(formats.len() > 1, "{formats:?}");
    }

    /// Which format a copy of the store has; all records are of it.
    fn whole_format(folder: &Path) -> u64 {
        let copied = folder.with_extension("copy");
        drop(fs::remove_dir_all(&copied));
        crate::copy::copy_folder(folder, &copied).unwrap();
        let mut store = Store::open(&copied, Duration::from_secs(5)).unwrap();
        let format = store.format().unwrap().unwrap();
        let (records, bookkeeping, read) = store.read(format);
        read.unwrap();
        let expected: &[u8] =
            [b"x".as_slice(), b"xa", b"xab"][usize::try_from(format).unwrap() - 1];
        for (key, value) in &records {
            assert_eq!(record::decode(key, value).unwrap().definition, expected);
        }
        let borrowed = records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        let bookkeeping = bookkeeping.unwrap();
        bookkeeping.check(&Bookkeeping::of(bookkeeping.generation, borrowed)).unwrap();
        format
    }
}
