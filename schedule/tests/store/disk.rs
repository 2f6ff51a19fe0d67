//! A disk that is full, and one that is read-only.

#![expect(clippy::disallowed_methods, reason = "a wait for what nothing tells of")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::geteuid,
};
use schedule::{CommitError, Options, Schedule};

use crate::making::{Place, enable, name, view};

/// How long a disk may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn cases() -> Vec<Trial> {
    let mut trials = crate::cases![a_folder_that_cannot_be_written];
    trials.push(root("full_disk", full_disk));
    trials.push(root("opening_on_a_full_disk", opening_on_a_full_disk));
    trials.push(root("read_only_disk", read_only_disk));
    trials
}

/// A test that mounts.
fn root(test: &str, body: fn()) -> Trial {
    let test = format!("store::disk::{test}");
    if geteuid().is_root() {
        return Trial::test(test, move || {
            body();
            Ok(())
        });
    }
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Trial::test(test, || Err(Failed::from("on CI the tests run as root")));
    }
    Trial::test(test, || Ok(())).with_kind("needs root, to mount").with_ignored_flag(true)
}

/// A small disk of its own.
struct Disk(Place);

impl Disk {
    fn new() -> Self {
        let place = Place::quick();
        let root = place.root();
        mount(Some("none"), root, Some("tmpfs"), MsFlags::empty(), Some("size=6m")).unwrap();
        Self(place)
    }

    fn read_only(&self, read_only: bool) {
        let flags =
            if read_only { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
        let none = None::<&str>;
        // Busy as long as a child of another test, on its way to its program, has a copy of what was open here.
        let begun = Instant::now();
        loop {
            match mount(none, self.0.root(), none, flags, Some("size=6m")) {
                Err(Errno::EBUSY) if begun.elapsed() < PATIENCE => thread::yield_now(),
                outcome => return outcome.unwrap(),
            }
        }
    }

    /// Leaves no byte.
    fn fill(&self) {
        let filler = self.0.beside(".filler");
        let mut bytes = fs::read(&filler).unwrap_or_default();
        for size in [65_536, 4096] {
            loop {
                let longer = [bytes.as_slice(), &vec![1; size]].concat();
                if fs::write(&filler, &longer).is_err() {
                    break;
                }
                bytes = longer;
            }
        }
        drop(fs::write(&filler, &bytes));
    }

    fn empty(&self) {
        fs::remove_file(self.0.beside(".filler")).unwrap();
    }

    /// The other disk is where a copy can be read.
    fn options(&self, scratch: &Path) -> Options {
        Options { scratch: scratch.to_owned(), ..Options::default() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount2(self.0.root(), MntFlags::MNT_DETACH).unwrap();
    }
}

fn full_disk() {
    let (disk, other) = (Disk::new(), Place::quick());
    let place = &disk.0;
    let mut schedule = Schedule::open(&place.folder(), &disk.options(other.root())).unwrap();
    let mut refused = 0;
    disk.fill();
    for round in 0..200_i64 {
        let before = view(&schedule);
        let changes = vec![enable(&name(&format!("unit-{round}")), &[9; 8000], round)];
        match schedule.commit(changes) {
            Ok(results) => {
                assert_eq!(results, [Ok(())]);
                assert_eq!(view(&schedule).len(), before.len() + 1);
            }
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(error, CommitError::Write { .. } | CommitError::Closed(_)),
                    "{error}"
                );
                assert_eq!(view(&schedule), before, "nothing of it is acknowledged");
                if refused % 3 == 0 {
                    disk.empty();
                    schedule.commit(vec![enable(&name("room"), b"1", round)]).unwrap();
                    disk.fill();
                }
            }
        }
    }
    assert!(refused > 5, "{refused} commits were refused");
    disk.empty();
    let truth = view(&schedule);
    drop(schedule);
    let schedule = Schedule::open(&place.folder(), &disk.options(other.root())).unwrap();
    let mut found = view(&schedule);
    // The last commit that failed may be there as a whole.
    found.retain(|name, _| truth.contains_key(name));
    assert_eq!(found, truth);
}

fn opening_on_a_full_disk() {
    let (disk, other) = (Disk::new(), Place::quick());
    let place = &disk.0;
    let options = disk.options(other.root());
    let mut schedule = Schedule::open(&place.folder(), &options).unwrap();
    schedule.commit(vec![enable(&name("web"), &[1; 300], 1)]).unwrap();
    let truth = view(&schedule);
    drop(schedule);
    disk.fill();
    let mut schedule = Schedule::open(&place.folder(), &options).unwrap();
    assert_eq!(view(&schedule), truth);
    assert!(!schedule.warnings().is_empty());
    disk.empty();
    schedule.commit(vec![enable(&name("db"), &[1; 300], 1)]).unwrap();
    drop(schedule);
    assert_eq!(Schedule::open(&place.folder(), &options).unwrap().entries().count(), 2);
}

/// What is enabled starts at boot even then, and it heals by itself.
fn read_only_disk() {
    let (disk, other) = (Disk::new(), Place::quick());
    let place = &disk.0;
    let options = disk.options(other.root());
    let mut schedule = Schedule::open(&place.folder(), &options).unwrap();
    schedule.commit(vec![enable(&name("web"), &[1; 300], 1)]).unwrap();
    let truth = view(&schedule);
    drop(schedule);
    disk.read_only(true);
    let mut schedule = Schedule::open(&place.folder(), &options).unwrap();
    assert_eq!(view(&schedule), truth);
    assert!(schedule.warnings().iter().any(|text| text.contains("can be read and not changed")));
    let error = schedule.commit(vec![enable(&name("db"), b"1", 2)]).unwrap_err();
    assert!(matches!(error, CommitError::Closed(_)), "{error}");
    assert_eq!(view(&schedule), truth);
    assert!(fs::read_dir(other.root()).unwrap().next().is_none(), "no copy is left");
    disk.read_only(false);
    schedule.commit(vec![enable(&name("db"), b"1", 2)]).unwrap();
    drop(schedule);
    assert_eq!(Schedule::open(&place.folder(), &options).unwrap().entries().count(), 2);
}

/// For root no folder is read-only; then this only opens it.
fn a_folder_that_cannot_be_written() {
    let place = Place::quick();
    let mut schedule = place.open();
    schedule.commit(vec![enable(&name("web"), &[1; 300], 1)]).unwrap();
    let truth = view(&schedule);
    drop(schedule);
    let options = place.options();
    let folders = [place.folder(), place.folder().join("blobs"), place.root().to_owned()];
    let set = |mode| {
        for folder in &folders {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o500);
    let opened = Schedule::open(&place.folder(), &options);
    set(0o700);
    assert_eq!(view(&opened.unwrap()), truth);
}
