//! A store that is damaged, anywhere: what is true, or the news that it is damaged. Never anything else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
};

use libtest_mimic::Trial;
use schedule::{OpenError, Schedule};

use crate::making::{PATIENT, Place, View, destroy, disable, enable, files, name, view};

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![
        flipped_bits,
        flipped_bits_of_many_entries,
        truncations,
        missing_files,
        blocks_of_zeros
    ]
}

/// A store with a history, and what is in it.
fn store() -> (Place, View) {
    let place = Place::quick();
    let mut schedule = place.open();
    for number in 0..60_i64 {
        let unit = name(&format!("unit-{}", number % 35));
        let definition = vec![b'a' + u8::try_from(number % 26).unwrap(); 200];
        schedule.commit(vec![enable(&unit, &definition, number)]).unwrap();
    }
    // Too large for the database's file.
    schedule.commit(vec![enable(&name("large"), &vec![7; 300_000], 100)]).unwrap();
    drop(schedule);
    let mut schedule = place.open();
    for number in 0..12_i64 {
        let change = match number % 3 {
            0 => disable(&name(&format!("unit-{number}")), 200),
            1 => destroy(&name(&format!("unit-{number}")), 200),
            _ => enable(&name(&format!("unit-{number}")), b"again", 200),
        };
        schedule.commit(vec![change]).unwrap();
    }
    let truth = view(&schedule);
    (place, truth)
}

/// What became of the openings.
#[derive(Debug, Default)]
struct Tally {
    true_entries: u64,
    damaged: u64,
}

/// Opens a damaged store in a thread, since it must not hang.
fn open_bounded(place: Place) -> Result<(View, usize), OpenError> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let opened = Schedule::open(&place.folder(), &place.options());
        let result = opened.map(|schedule| (view(&schedule), schedule.unreadable().len()));
        sender.send(result).unwrap();
    });
    receiver.recv_timeout(PATIENT).expect("an opening hangs")
}

/// Opens a store with these files, and asserts that it tells the truth or is called damaged.
fn judge(base: &BTreeMap<PathBuf, Vec<u8>>, truth: &View, what: &str, tally: &mut Tally) {
    let place = Place::quick();
    let folder = place.folder();
    fs::create_dir_all(folder.join("blobs")).unwrap();
    for (path, bytes) in base {
        fs::write(folder.join(path), bytes).unwrap();
    }
    match open_bounded(place) {
        Ok((found, unreadable)) => {
            assert_eq!(unreadable, 0, "{what}");
            assert_eq!(&found, truth, "{what}");
            tally.true_entries += 1;
        }
        Err(OpenError::Damaged { evidence, .. }) => {
            assert!(evidence.is_some(), "{what}");
            tally.damaged += 1;
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Every file, with a number of places in it that is bounded, spread over what is not zero.
fn for_each_place(
    base: &BTreeMap<PathBuf, Vec<u8>>,
    most: usize,
    mut body: impl FnMut(&Path, usize),
) {
    for (path, bytes) in base {
        let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        let step = used.len().div_ceil(most).max(1);
        used.iter().step_by(step).for_each(|&at| body(path, at));
    }
}

fn flipped_bits() {
    let (place, truth) = store();
    let base = files(&place.folder());
    let mut tally = Tally::default();
    for_each_place(&base, 400, |path, at| {
        let mut files = base.clone();
        let bytes = files.get_mut(path).unwrap();
        bytes[at] ^= 1 << (at % 8);
        judge(
            &files,
            &truth,
            &format!("bit {} of byte {at} of {}", at % 8, path.display()),
            &mut tally,
        );
    });
    println!("flipped bits: {tally:?}");
    assert!(tally.damaged > 0 && tally.true_entries > 0, "{tally:?}");
}

/// With a log of several segments, some of which were used before.
fn flipped_bits_of_many_entries() {
    let place = Place::quick();
    let mut schedule = place.open();
    for round in 0..60_u8 {
        let unit = |number: u16| name(&format!("unit-{}", (u16::from(round) * 70 + number) % 2500));
        let changes = (0..100).map(|number| enable(&unit(number), &[round; 300], 1)).collect();
        schedule.commit(changes).unwrap();
    }
    let truth = view(&schedule);
    drop(schedule);
    let base = files(&place.folder());
    assert!(base[Path::new("db")].len() > 3 * 512 * 1024);
    let mut tally = Tally::default();
    for_each_place(&base, 100, |path, at| {
        let mut files = base.clone();
        files.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
        judge(&files, &truth, &format!("byte {at} of {}", path.display()), &mut tally);
    });
    println!("flipped bits of many entries: {tally:?}");
}

fn truncations() {
    let (place, truth) = store();
    let base = files(&place.folder());
    let mut tally = Tally::default();
    for_each_place(&base, 60, |path, at| {
        let mut files = base.clone();
        files.get_mut(path).unwrap().truncate(at);
        judge(&files, &truth, &format!("{} with {at} bytes", path.display()), &mut tally);
    });
    println!("truncations: {tally:?}");
}

fn missing_files() {
    let (place, truth) = store();
    let base = files(&place.folder());
    let mut tally = Tally::default();
    for path in base.keys() {
        let mut files = base.clone();
        files.remove(path);
        judge(&files, &truth, &format!("no {}", path.display()), &mut tally);
    }
    let small: BTreeMap<_, _> = base
        .iter()
        .filter(|(path, _)| !path.starts_with("blobs"))
        .map(|(p, b)| (p.clone(), b.clone()))
        .collect();
    assert!(small.len() < base.len(), "a large value has a file of its own");
    judge(&small, &truth, "no large value", &mut tally);
    println!("missing files: {tally:?}");
    assert!(tally.damaged >= 2, "{tally:?}");
}

fn blocks_of_zeros() {
    let (place, truth) = store();
    let base = files(&place.folder());
    let mut tally = Tally::default();
    for_each_place(&base, 60, |path, at| {
        let mut files = base.clone();
        let bytes = files.get_mut(path).unwrap();
        let block = at / 512 * 512;
        bytes.iter_mut().skip(block).take(512).for_each(|byte| *byte = 0);
        judge(&files, &truth, &format!("zeros at {block} of {}", path.display()), &mut tally);
    });
    println!("blocks of zeros: {tally:?}");
}
