//! One process at a time.

use std::{fs::File, thread, time::Duration};

use libtest_mimic::Trial;
use schedule::{OpenError, Options, Schedule};

use crate::{
    child::Process,
    making::{PATIENT, Place, enable, name},
};

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![
        a_lock_that_is_held_for_long,
        a_lock_that_is_held_for_a_moment,
        the_databases_own_lock
    ]
}

fn with_patience(place: &Place, patience: Duration) -> Result<Schedule, OpenError> {
    Schedule::open(&place.folder(), &Options { patience, ..place.options() })
}

fn held() -> (Place, Process) {
    let place = Place::quick();
    place.open().commit(vec![enable(&name("web"), b"1", 1)]).unwrap();
    let mut holder = Process::start("hold", &place.folder(), 0);
    assert_eq!(holder.line().as_deref(), Some("held"));
    (place, holder)
}

fn a_lock_that_is_held_for_long() {
    let (place, process) = held();
    let error = with_patience(&place, Duration::from_millis(30)).unwrap_err();
    let OpenError::Locked { folder, holder } = &error else { panic!("{error}") };
    assert_eq!(folder, &place.folder());
    assert_eq!(*holder, Some(process.pid()));
    assert!(error.to_string().contains(&format!("process {} has it locked", process.pid())));
    process.release();
    assert_eq!(place.open().entries().count(), 1);
}

fn a_lock_that_is_held_for_a_moment() {
    let (place, process) = held();
    let opening =
        thread::spawn(move || with_patience(&place, PATIENT).map(|found| found.entries().count()));
    process.release();
    assert_eq!(opening.join().unwrap().unwrap(), 1);
}

/// A child that has not executed its program yet holds it.
fn the_databases_own_lock() {
    let place = Place::quick();
    drop(place.open());
    let file = File::open(place.folder().join("db")).unwrap();
    file.lock().unwrap();
    let error = with_patience(&place, Duration::ZERO).unwrap_err();
    let OpenError::Locked { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(!place.beside(".opening").exists(), "nothing was opened");
    let opening = thread::spawn(move || with_patience(&place, PATIENT).map(drop));
    drop(file);
    opening.join().unwrap().unwrap();
}
