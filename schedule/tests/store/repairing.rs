//! What is kept of a damaged store, and what can be got out of it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use libtest_mimic::Trial;
use schedule::{OpenError, Schedule, repair, salvage};

use crate::making::{Place, View, copy, destroy, disable, enable, files, name, view};

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![
        evidence_is_what_was_found,
        evidence_is_bounded_and_the_first_stays,
        a_store_that_went_back_in_time_is_noticed,
        a_store_that_is_gone_is_noticed,
        a_lost_generation_file_is_a_warning,
        a_panic_of_the_database_is_contained,
        salvage_takes_what_is_there,
        what_is_ahead_makes_up_for_a_damaged_database,
        what_the_disk_has_of_the_database_may_be_old,
        a_damaged_index_costs_nothing,
        repair_gives_a_whole_store,
        repair_leaves_a_whole_store_alone,
        leftovers_of_a_crash_are_cleared,
        an_interrupted_repair_is_finished,
        an_empty_folder_becomes_a_store,
    ]
}

/// A store in which an earlier opening has found a, b and c; since then a was destroyed, c disabled, d added.
fn store() -> (Place, View) {
    let place = Place::quick();
    let mut schedule = place.open();
    let units = ["a", "b", "c"].map(name);
    schedule.commit(units.iter().map(|unit| enable(unit, &[1; 100], 1)).collect()).unwrap();
    drop(schedule);
    let mut schedule = place.open();
    schedule.commit(vec![destroy(&name("a"), 2)]).unwrap();
    schedule.commit(vec![disable(&name("c"), 2)]).unwrap();
    schedule.commit(vec![enable(&name("d"), &[2; 100], 2)]).unwrap();
    let truth = view(&schedule);
    (place, truth)
}

/// Turns a bit of the last message that changed something, and takes away what would make up for it.
fn damage(folder: &Path) {
    damage_database(folder);
    fs::remove_file(folder.join("ahead")).unwrap();
}

fn damage_database(folder: &Path) {
    let bytes = fs::read(folder.join("db")).unwrap();
    let at = bytes.windows(20).rposition(|bytes| bytes == [2; 20]).unwrap();
    let file = File::options().write(true).open(folder.join("db")).unwrap();
    file.write_all_at(&[3], u64::try_from(at).unwrap()).unwrap();
}

fn open_damaged(place: &Place) -> (String, Option<std::path::PathBuf>) {
    match Schedule::open(&place.folder(), &place.options()) {
        Err(error @ OpenError::Damaged { .. }) => {
            let text = error.to_string();
            let OpenError::Damaged { evidence, .. } = error else { unreachable!() };
            (text, evidence)
        }
        other => panic!("{other:?}"),
    }
}

fn evidence_is_what_was_found() {
    let (place, _) = store();
    damage(&place.folder());
    let before = files(&place.folder());
    let (text, evidence) = open_damaged(&place);
    assert_eq!(evidence, Some(place.beside(".damaged-1")));
    assert_eq!(files(&place.beside(".damaged-1")), before);
    assert!(text.contains("repair") && text.contains("damaged-1"), "{text}");
    // The database has cut its log: one more evidence at most, however often it is tried.
    for _ in 0..4 {
        open_damaged(&place);
    }
    assert!(!place.beside(".damaged-3").exists());
    assert!(!place.beside(".opening").exists());
    assert_eq!(files(&place.beside(".damaged-1")), before);
}

fn evidence_is_bounded_and_the_first_stays() {
    let place = store().0;
    for round in 0..7_u8 {
        fs::write(place.folder().join("conf"), [b'x', round, 1, 1, 1, 1, 1, 1, 1, 1]).unwrap();
        open_damaged(&place);
    }
    let kept: Vec<u32> =
        (1..10).filter(|number| place.beside(&format!(".damaged-{number}")).exists()).collect();
    assert_eq!(kept, [1, 5, 6, 7]);
}

fn a_store_that_went_back_in_time_is_noticed() {
    let (place, truth) = store();
    let old = place.beside(".old");
    copy(&place.folder(), &old);
    let mut schedule = place.open();
    schedule.commit(vec![destroy(&name("b"), 3)]).unwrap();
    drop(schedule);
    let generation = fs::read(place.folder().join("generation")).unwrap();
    fs::remove_dir_all(place.folder()).unwrap();
    copy(&old, &place.folder());
    assert_eq!(view(&place.open()), truth, "older and whole: after a loss of power that is right");
    fs::write(place.folder().join("generation"), generation).unwrap();
    let (text, _) = open_damaged(&place);
    assert!(text.contains("change 5 was acknowledged"), "{text}");
}

fn a_store_that_is_gone_is_noticed() {
    let place = store().0;
    fs::remove_dir_all(place.folder()).unwrap();
    let (text, _) = open_damaged(&place);
    assert!(text.contains("it is gone") && text.contains("last-good"), "{text}");
    let repaired = repair(&place.folder(), &place.options()).unwrap();
    assert_eq!((repaired.evidence, repaired.kept), (None, 3));
    assert_eq!(place.open().entries().count(), 3);
}

fn a_lost_generation_file_is_a_warning() {
    let (place, truth) = store();
    fs::write(place.folder().join("generation"), "00").unwrap();
    let schedule = place.open();
    assert_eq!(view(&schedule), truth);
    assert!(schedule.warnings()[0].contains("generation"), "{:?}", schedule.warnings());
    drop(schedule);
    assert_eq!(place.open().warnings(), Vec::<String>::new());
}

/// It asserts that no segment of its log is there twice.
fn a_panic_of_the_database_is_contained() {
    let (place, _) = store();
    let mut bytes = fs::read(place.folder().join("db")).unwrap();
    bytes.resize(512 * 1024, 0);
    let twice = [bytes.as_slice(), bytes.as_slice()].concat();
    fs::write(place.folder().join("db"), twice).unwrap();
    let (text, _) = open_damaged(&place);
    assert!(text.contains("duplicate segment"), "{text}");
    assert_eq!(repair(&place.folder(), &place.options()).unwrap().kept, 3);
    assert_eq!(place.open().entries().count(), 3);
}

fn salvage_takes_what_is_there() {
    let (place, truth) = store();
    damage(&place.folder());
    open_damaged(&place);
    let found = salvage(&place.folder(), &place.options()).unwrap();
    let names: Vec<(&str, bool)> =
        found.entries.iter().map(|entry| (entry.name.as_str(), entry.enabled)).collect();
    // What came after the damage is lost; a is from the copy, and said to be.
    assert_eq!(names, [("a", true), ("b", true), ("c", false)]);
    let about: Vec<&str> = found.damage.iter().map(|damage| damage.name.as_str()).collect();
    assert_eq!(about, ["", "a"]);
    assert!(found.damage[0].message.contains("change 4 was acknowledged"), "{:?}", found.damage);
    assert!(found.damage[1].message.contains("last-good"), "{:?}", found.damage);
    assert!(truth.contains_key(&name("d")));
    assert!(!place.beside(".reading").exists());
}

/// The database lost its newest changes, or all; they are ahead of it, behind what an opening has copied.
fn what_is_ahead_makes_up_for_a_damaged_database() {
    let (place, truth) = store();
    damage_database(&place.folder());
    assert_eq!(view(&place.open()), truth);
    let (place, truth) = store();
    fs::write(place.folder().join("db"), [9; 5000]).unwrap();
    open_damaged(&place);
    let entries: Vec<_> = truth.values().cloned().collect();
    let found = salvage(&place.folder(), &place.options()).unwrap();
    assert_eq!((found.entries, found.damage), (entries, vec![]));
    let repaired = repair(&place.folder(), &place.options()).unwrap();
    assert_eq!((repaired.evidence.is_some(), repaired.lost), (true, vec![]));
    assert_eq!(view(&place.open()), truth);
}

/// A loss of power after many changes, of which the disk has what is ahead, and of the database what it had at first.
fn what_the_disk_has_of_the_database_may_be_old() {
    let place = store().0;
    let mut schedule = place.open();
    let old = place.beside(".old");
    copy(&place.folder(), &old);
    for round in 0..40_i64 {
        let unit = name(&format!("unit-{}", round % 7));
        let change = if round % 5 == 4 {
            destroy(&name(&format!("unit-{}", (round - 1) % 7)), round)
        } else {
            enable(&unit, &[3; 200], round)
        };
        schedule.commit(vec![change]).unwrap();
        let now = place.beside(".now");
        copy(&old, &now);
        for file in ["ahead", "generation"] {
            fs::copy(place.folder().join(file), now.join(file)).unwrap();
        }
        let found = Schedule::open(&now, &place.options()).unwrap();
        assert_eq!(view(&found), view(&schedule), "round {round}");
        drop(found);
        fs::remove_dir_all(&now).unwrap();
    }
}

fn a_damaged_index_costs_nothing() {
    let (place, truth) = store();
    drop(place.open());
    for (path, _) in files(&place.folder()) {
        if path.to_string_lossy().starts_with("snap.") {
            fs::write(place.folder().join(path), b"nothing of the kind").unwrap();
        }
    }
    open_damaged(&place);
    let found = salvage(&place.folder(), &place.options()).unwrap();
    assert_eq!(found.entries, truth.values().cloned().collect::<Vec<_>>());
    let repaired = repair(&place.folder(), &place.options()).unwrap();
    assert!(repaired.evidence.is_some(), "{repaired:?}");
    assert_eq!((repaired.kept, repaired.lost), (truth.len(), vec![]));
    assert_eq!(view(&place.open()), truth);
}

fn repair_gives_a_whole_store() {
    let place = store().0;
    damage(&place.folder());
    open_damaged(&place);
    let repaired = repair(&place.folder(), &place.options()).unwrap();
    assert_eq!(repaired.evidence, Some(place.beside(".damaged-2")));
    assert_eq!((repaired.kept, repaired.lost.len()), (3, 2));
    let mut schedule = place.open();
    assert_eq!(schedule.entries().count(), 3);
    schedule.commit(vec![enable(&name("e"), b"1", 9)]).unwrap();
    drop(schedule);
    assert_eq!(place.open().entries().count(), 4);
    assert_eq!(salvage(&place.folder(), &place.options()).unwrap().damage, []);
}

fn repair_leaves_a_whole_store_alone() {
    let (place, truth) = store();
    let before = files(&place.folder());
    let repaired = repair(&place.folder(), &place.options()).unwrap();
    assert_eq!((repaired.evidence, repaired.kept, repaired.lost), (None, truth.len(), vec![]));
    assert_eq!(files(&place.folder()), before);
}

fn leftovers_of_a_crash_are_cleared() {
    let (place, truth) = store();
    for leftover in [".opening", ".making", ".reading"] {
        fs::create_dir(place.beside(leftover)).unwrap();
        fs::write(place.beside(leftover).join("db"), b"half").unwrap();
    }
    fs::rename(place.beside(".last-good"), place.beside(".last-good.former")).unwrap();
    fs::write(place.folder().join("snap.00000000000FFFFF.generating"), b"half an index").unwrap();
    assert_eq!(view(&place.open()), truth);
    let mut names: Vec<String> = fs::read_dir(place.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["schedule", "schedule.last-good", "schedule.lock", "scratch"]);
}

/// The new store is complete, and the crash came before it was in its place, or after the old one was aside.
fn an_interrupted_repair_is_finished() {
    for aside in [false, true] {
        let (place, truth) = store();
        copy(&place.folder(), &place.beside(".new"));
        damage(&place.folder());
        if aside {
            fs::rename(place.folder(), place.beside(".damaged-1")).unwrap();
        }
        assert_eq!(view(&place.open()), truth);
        assert!(place.beside(".damaged-1").is_dir());
        assert!(!place.beside(".new").exists());
    }
}

fn an_empty_folder_becomes_a_store() {
    let place = Place::quick();
    fs::create_dir(place.folder()).unwrap();
    assert_eq!(place.open().entries().count(), 0);
    drop(place.open());
}
