//! Stores and records of other versions.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Trial;
use schedule::{ChangeError, OpenError, Schedule};

use crate::{
    making::{Place, destroy, disable, enable, files, name, origin, view},
    raw,
};

/// Field 100, the text "newer".
const UNKNOWN: &[u8] = b"\xa2\x06\x05newer";

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![
        format_1_opens,
        a_newer_format_is_refused,
        unknown_fields_survive,
        an_unreadable_record_is_left_alone,
        an_unreadable_record_can_be_replaced_or_destroyed,
        a_door_of_a_newer_version,
    ]
}

/// Written by examples/write_store.rs when the format was released.
fn format_1_opens() {
    let place = Place::quick();
    fs::create_dir_all(place.folder().join("blobs")).unwrap();
    for (path, bytes) in read_dump(include_str!("../stores/format-1/store.txt")) {
        fs::write(place.folder().join(path), bytes).unwrap();
    }
    let mut schedule = place.open();
    assert_eq!(schedule.unreadable(), []);
    assert_eq!(schedule.warnings(), Vec::<String>::new());
    let found: Vec<(&str, bool, i64, i64)> = schedule
        .entries()
        .map(|entry| (entry.name.as_str(), entry.enabled, entry.registered_at, entry.changed_at))
        .collect();
    assert_eq!(found, [("db", false, 2, 4), ("newer", true, 6, 6), ("web", true, 1, 1)]);
    let web = schedule.entry(&name("web")).unwrap();
    assert_eq!(web.definition, b"definition of web");
    assert_eq!(web.changed_by.to_string(), "uid:1000 pid:4711 by grpc (first)");
    schedule.commit(vec![disable(&name("newer"), 7)]).unwrap();
    drop(schedule);
    assert!(raw::read(&place.folder())[b"newer".as_slice()].ends_with(UNKNOWN));
}

fn store() -> Place {
    let place = Place::quick();
    let mut schedule = place.open();
    schedule.commit(vec![enable(&name("web"), b"1", 1), enable(&name("db"), b"2", 1)]).unwrap();
    drop(schedule);
    place
}

fn a_newer_format_is_refused() {
    let place = store();
    let database = raw::open(&place.folder());
    database.insert("format", "7").unwrap();
    database.flush().unwrap();
    drop(database);
    let before = files(&place.folder());
    let error = Schedule::open(&place.folder(), &place.options()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, known: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("format 7") && text.contains("up to 1") && text.contains("install"),
        "{text}"
    );
    // The index of the log is written anew at each opening.
    assert_eq!(before[Path::new("db")], files(&place.folder())[Path::new("db")]);
    let repaired = schedule::repair(&place.folder(), &place.options());
    assert!(repaired.unwrap_err().to_string().contains("cannot repair"), "it is not damaged");
}

fn unknown_fields_survive() {
    let place = store();
    raw::edit(&place.folder(), 9, |records| {
        records.values_mut().for_each(|value| value.extend(UNKNOWN));
    });
    let mut schedule = place.open();
    schedule.commit(vec![disable(&name("web"), 2), enable(&name("db"), b"3", 2)]).unwrap();
    drop(schedule);
    let records = raw::read(&place.folder());
    assert!(records[b"web".as_slice()].ends_with(UNKNOWN), "only its state was changed");
    assert!(!records[b"db".as_slice()].ends_with(UNKNOWN), "it was replaced");
}

/// Three ways in which a record can be strange, while the books are right.
fn strange() -> Place {
    let place = store();
    raw::edit(&place.folder(), 9, |records| {
        let web = records[b"web".as_slice()].clone();
        records.insert(b"version".to_vec(), vec![9, 1, 2, 3]);
        records.insert(b"wire".to_vec(), vec![1, 0xff, 0xff]);
        records.insert(b"other".to_vec(), web);
        records.insert(b"\xff no name".to_vec(), vec![]);
    });
    place
}

fn an_unreadable_record_is_left_alone() {
    let place = strange();
    let before = raw::read(&place.folder());
    let mut schedule = place.open();
    let damage = schedule.unreadable();
    let names: Vec<&str> = damage.iter().map(|damage| damage.name.as_str()).collect();
    assert_eq!(names, ["other", "version", "wire", "\u{fffd} no name"]);
    assert!(damage[0].message.contains("record of \"web\""), "{damage:?}");
    assert!(damage[1].message.contains("version 9"), "{damage:?}");
    assert_eq!(schedule.entries().count(), 2);
    let unit = name("version");
    let results = schedule.commit(vec![disable(&unit, 2), enable(&name("new"), b"1", 2)]).unwrap();
    assert!(matches!(&results[0], Err(ChangeError::Unreadable { name, .. }) if *name == unit));
    assert_eq!(results[1], Ok(()));
    drop(schedule);
    assert_eq!(place.open().entries().count(), 3);
    let mut after = raw::read(&place.folder());
    after.remove(b"new".as_slice()).unwrap();
    assert_eq!(before, after);
}

fn an_unreadable_record_can_be_replaced_or_destroyed() {
    let place = strange();
    let mut schedule = place.open();
    let changes = vec![enable(&name("wire"), b"1", 5), destroy(&name("other"), 5)];
    assert_eq!(schedule.commit(changes).unwrap(), [Ok(()), Ok(())]);
    assert_eq!(schedule.unreadable().len(), 2);
    drop(schedule);
    let schedule = place.open();
    assert_eq!(schedule.unreadable().len(), 2);
    assert_eq!(schedule.entry(&name("wire")).unwrap().registered_at, 5);
    assert_eq!(view(&schedule).len(), 3);
}

/// Going back one version must not make a unit unreadable.
fn a_door_of_a_newer_version() {
    let place = store();
    raw::edit(&place.folder(), 9, |records| {
        let value = records.get_mut(b"web".as_slice()).unwrap();
        let at = value.windows(4).position(|bytes| bytes == b"grpc").unwrap();
        value[at..at + 4].copy_from_slice(b"dbus");
    });
    let schedule = place.open();
    let by = &schedule.entry(&name("web")).unwrap().changed_by;
    assert_eq!(by.identity, format!("{} by dbus", origin().identity));
    assert_eq!(by.reason, origin().reason);
}

/// The files of a text that examples/write_store.rs has printed, where the format of the text is told.
fn read_dump(text: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut current: Option<&mut Vec<u8>> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", path, length] => {
                let bytes = vec![0; length.parse().unwrap()];
                current = Some(files.entry(PathBuf::from(path)).or_insert(bytes));
            }
            [offset, hex] => {
                let offset: usize = offset.parse().unwrap();
                let bytes = current.as_deref_mut().unwrap();
                for (index, pair) in hex.as_bytes().chunks(2).enumerate() {
                    let pair = std::str::from_utf8(pair).unwrap();
                    bytes[offset + index] = u8::from_str_radix(pair, 16).unwrap();
                }
            }
            _ => panic!("{line:?} is no line of a dump"),
        }
    }
    files
}
