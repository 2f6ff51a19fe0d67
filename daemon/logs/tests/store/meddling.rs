//! Somebody else writes in the folder of a log: nothing that was there reads as if it had never been, nothing foreign is
//! opened, and the log goes on.

use std::{fs, io::Write, os::unix::fs::symlink, path::PathBuf};

use logs::{Filter, GapReason, Item, LogName, Options, Position, Stream};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::fixture::{Store, gaps, holds, of, output, run, unit};

/// A log in which one run has printed 6 bytes; its first segment, without the end of its name.
fn printed() -> (Store, LogName, PathBuf) {
    let (store, log) = (Store::new(), unit("web"));
    let mut program = store.start(run(1), &log);
    program.stdout.write_all(b"hello\n").unwrap();
    store.end(program);
    let at = store.root().join("units/web/0000000000000000");
    (store, log, at)
}

fn missing(items: &[Item]) -> u64 {
    let bytes = gaps(items).into_iter().map(|gap| match gap {
        Item::Gap { bytes, .. } => *bytes,
        Item::Chunk { .. } | Item::Start { .. } | Item::End { .. } => 0,
    });
    bytes.sum()
}

/// The next run is kept in full, and what is missing is told before it.
fn goes_on(store: &Store, log: &LogName) {
    let mut program = store.start(run(2), log);
    program.stdout.write_all(b"again\n").unwrap();
    store.end(program);
    let items = store.items(log, Filter::default());
    assert_eq!(output(&items, run(2), Stream::Stdout), b"again\n", "{items:?}");
    assert_eq!(output(&items, run(1), Stream::Stdout), b"", "{items:?}");
    assert!(missing(&items) >= 6, "{items:?}");
}

/// The same where what a program prints comes before the news of its start, as that of a fast one does.
#[test]
fn what_comes_before_its_start_stands_behind_no_hole() {
    let (store, log, at) = printed();
    fs::write(at.with_extension("log"), b"").unwrap();
    let mut program = store.attach(run(2), &log);
    program.stdout.write_all(b"again\n").unwrap();
    holds("it is kept", || {
        !output(&store.items(&log, of(run(2))), run(2), Stream::Stdout).is_empty()
    });
    store.logs.started(run(2), 42, 1_000_000).unwrap();
    store.end(program);
    let items = store.items(&log, Filter::default());
    assert_eq!(output(&items, run(2), Stream::Stdout), b"again\n", "{items:?}");
    assert!(missing(&items) >= 6, "{items:?}");
}

/// Its files are emptied, or removed, some or all, or with their folder.
#[test]
fn what_was_taken_away_is_a_gap() {
    type Taking = fn(&PathBuf);
    let empty: Taking = |at| fs::write(at.with_extension("log"), b"").unwrap();
    let empty_all: Taking = |at| {
        for kind in ["log", "idx"] {
            fs::write(at.with_extension(kind), b"").unwrap();
        }
    };
    let remove: Taking = |at| {
        for kind in ["log", "idx"] {
            fs::remove_file(at.with_extension(kind)).unwrap();
        }
    };
    let remove_folder: Taking = |at| fs::remove_dir_all(at.parent().unwrap()).unwrap();
    for (name, take) in [
        ("emptied", empty),
        ("emptied with its index", empty_all),
        ("removed", remove),
        ("removed with its folder", remove_folder),
    ] {
        let (store, log, at) = printed();
        assert_eq!(output(&store.items(&log, of(run(1))), run(1), Stream::Stdout), b"hello\n");
        take(&at);
        let items = store.items(&log, Filter::default());
        let gap = Item::Gap { run: None, bytes: 6, entries: 0, reason: GapReason::Vanished };
        assert_eq!(gaps(&items), [&gap], "{name}");
        let told = store.logs.problems();
        assert!(
            told.iter().any(|it| it.log == log && it.text.contains("not by auraed")),
            "{told:?}"
        );
        goes_on(&store, &log);
    }
}

/// The same where no daemon ran: its index says what there was.
#[test]
fn what_was_taken_away_meanwhile_is_a_gap() {
    let (mut store, log, at) = printed();
    store.logs.close();
    fs::write(at.with_extension("log"), b"").unwrap();
    store.reopen(Options::default());
    let items = store.items(&log, Filter::default());
    let gap = Item::Gap { run: None, bytes: 6, entries: 0, reason: GapReason::Vanished };
    assert_eq!(gaps(&items), [&gap]);
    assert!(items.iter().any(|item| matches!(item, Item::End { .. })), "its end is known");
    // Positions are never given twice.
    let end = store.logs.reader(log.clone(), Position(6), Filter::default());
    assert_eq!(end.position(), Position(6));
    goes_on(&store, &log);
}

/// A file that is cut short while it is written: zeros that nobody printed are no output.
#[test]
fn a_hole_is_no_output() {
    let (store, log) = (Store::new(), unit("web"));
    let mut program = store.start(run(1), &log);
    let mut reader = store.logs.reader(log.clone(), Position(0), Filter::default());
    program.stdout.write_all(&[b'x'; 40_000]).unwrap();
    let mut read = 0;
    while read < 40_000 {
        if let Item::Chunk { bytes, .. } = crate::fixture::follow(&mut reader) {
            read += bytes.len();
        }
    }
    fs::write(store.root().join("units/web/0000000000000000.log"), b"").unwrap();
    program.stdout.write_all(b"y\0z\n").unwrap();
    store.end(program);
    let items = store.items(&log, Filter::default());
    let told = output(&items, run(1), Stream::Stdout);
    assert!(told.ends_with(b"y\0z\n"), "{} bytes", told.len());
    // Up to the end of a page nobody can tell whose the zeros are.
    assert!(told.len() < 4 + 4096 && missing(&items) + told.len() as u64 == 40_004, "{items:?}");
}

/// Links, FIFOs and folders in the place of files are left alone, told, and do not stop the log.
#[test]
fn what_is_foreign_is_left_alone() {
    for kind in ["link", "fifo", "folder"] {
        for extension in ["log", "idx"] {
            let (mut store, log, at) = printed();
            store.logs.close();
            let victim = store.folder.path().join("victim");
            fs::write(&victim, b"not a log").unwrap();
            let place = at.with_extension(extension);
            fs::remove_file(&place).unwrap();
            match kind {
                "link" => symlink(&victim, &place).unwrap(),
                "fifo" => mkfifo(&place, Mode::S_IRWXU).unwrap(),
                _ => fs::create_dir(&place).unwrap(),
            }
            store.reopen(Options::default());
            let items = store.items(&log, Filter::default());
            assert_eq!(output(&items, run(1), Stream::Stdout), b"", "{kind} {extension}");
            assert!(!gaps(&items).is_empty(), "{kind} {extension}");
            holds("it is told", || {
                let told = store.logs.problems();
                told.iter().any(|it| it.log == log && it.text.contains("left alone"))
            });
            let mut program = store.start(run(2), &log);
            program.stdout.write_all(b"again\n").unwrap();
            store.end(program);
            let items = store.items(&log, Filter::default());
            assert_eq!(output(&items, run(2), Stream::Stdout), b"again\n", "{kind} {extension}");
            assert_eq!(fs::read(&victim).unwrap(), b"not a log");
            assert!(!place.symlink_metadata().unwrap().is_file());
        }
    }
}

/// A folder that is a link leads nowhere: nothing is written behind it.
#[test]
fn a_folder_that_is_a_link_is_not_entered() {
    let store = Store::new();
    let elsewhere = store.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("0000000000000000.log"), b"a secret\n").unwrap();
    fs::create_dir_all(store.root().join("units")).unwrap();
    symlink(&elsewhere, store.root().join("units/web")).unwrap();
    let log = unit("web");
    let mut reader = store.logs.reader(log.clone(), Position(0), Filter::default());
    let told = reader.next(100).unwrap_err();
    assert!(told.source.to_string().contains("symbolic link"), "{told}: {}", told.source);
    let mut program = store.start(run(1), &log);
    program.stdout.write_all(b"hello\n").unwrap();
    let finished = store.end(program);
    assert_eq!(finished.lost, 6);
    assert_eq!(fs::read(elsewhere.join("0000000000000000.log")).unwrap(), b"a secret\n");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}
