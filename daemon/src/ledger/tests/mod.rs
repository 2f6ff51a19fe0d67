//! What is kept is read back as it was, and what is damaged is never read as something else.

mod making;

use std::{fs, sync::Arc, time::Duration};

use making::steps;
use proptest::{collection::vec, prelude::*};
use units::{
    Change, Leftovers, Origin, RunId,
    kept::{End, Identity, Kept, KeptEnd, KeptRun, Stage},
};

use super::*;
use crate::{definition::Usual, keeper_instance::KeeperInstance};

const KEEPER: KeeperInstance = KeeperInstance { pid: 7, began: 70 };
const USUAL: Usual =
    Usual { start_timeout: Duration::from_secs(90), stop_timeout: Duration::from_secs(80) };

/// A ledger with these steps, and what should be in it after each of them.
fn written(folder: &std::path::Path, steps: &[(Vec<Keep>, Arc<Change>)]) -> Vec<Kept> {
    let mut opened = open(folder, &KEEPER, USUAL, "series").unwrap();
    let mut all = vec![Kept::default()];
    for (keeps, change) in steps {
        let numbers = Numbers { changes: change.sequence, starts: 5, runs: 6 };
        let actions =
            [Action::Keep { keeps: keeps.clone(), numbers }, Action::Tell(Arc::clone(change))];
        opened.ledger.keep(Duration::ZERO, &actions);
        let mut kept = all.last().unwrap().clone();
        kept.numbers = numbers;
        kept.changes.push(Arc::clone(change));
        for keep in keeps.iter().cloned() {
            match keep {
                // The unit has them.
                Keep::Spec(_) | Keep::NextSpec(_) => {}
                Keep::Unit(unit) => {
                    kept.units.retain(|it| it.spec.name != unit.spec.name);
                    kept.units.push(unit);
                }
                Keep::Forgotten(name) => kept.units.retain(|it| it.spec.name != name),
                Keep::Run(run) => {
                    kept.runs.retain(|it| it.identity.run != run.identity.run);
                    kept.runs.push(run);
                }
                Keep::Ended(end) => {
                    kept.runs.retain(|it| it.identity.run != end.record.run);
                    let same =
                        |it: &KeptEnd| it.record.run == end.record.run && it.of_unit == end.of_unit;
                    kept.ended.retain(|it| !same(it));
                    kept.ended.push(end);
                }
                Keep::Gone(run) => kept.runs.retain(|it| it.identity.run != run),
            }
        }
        all.push(kept);
    }
    all
}

/// The order of ends of units and others means nothing.
fn sorted(mut kept: Kept) -> Kept {
    kept.ended.sort_by_key(|end| end.of_unit);
    kept
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_read_by_the_next_daemon_and_the_one_after(steps in steps()) {
        let folder = folder();
        let expected = written(folder.path(), &steps).pop().unwrap();
        for _ in 0..2 {
            let opened = open(folder.path(), &KEEPER, USUAL, "another").unwrap();
            prop_assert_eq!(sorted(opened.kept), sorted(expected.clone()));
            prop_assert_eq!(opened.series, "series");
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        prop_assert_eq!(files, 1, "nothing is set aside");
    }

    #[test]
    fn of_what_is_cut_the_whole_steps_count(steps in steps(), cut: prop::sample::Index) {
        let folder = folder();
        let all = written(folder.path(), &steps);
        let path = file::path(folder.path());
        let bytes = fs::read(&path).unwrap();
        let begin = frame::scan(&bytes).steps[0].len() + 12;
        let cut = begin + cut.index(bytes.len() - begin + 1);
        fs::write(&path, &bytes[..cut]).unwrap();
        let opened = open(folder.path(), &KEEPER, USUAL, "another").unwrap();
        let kept = sorted(opened.kept);
        prop_assert!(all.into_iter().any(|one| sorted(one) == kept));
        prop_assert_eq!(opened.series, "series");
    }

    #[test]
    fn what_is_damaged_is_never_something_else(steps in steps(), at: prop::sample::Index, bit in 0..8) {
        let folder = folder();
        let all = written(folder.path(), &steps);
        let path = file::path(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        fs::write(&path, &bytes).unwrap();
        let opened = open(folder.path(), &KEEPER, USUAL, "another").unwrap();
        let kept = opened.kept;
        let known = |test: &dyn Fn(&Kept) -> bool| all.iter().any(test);
        let whole = known(&|one| sorted(one.clone()) == sorted(kept.clone()));
        prop_assert!(kept.runs.iter().all(|run| known(&|one| one.runs.contains(run))));
        prop_assert!(kept.ended.iter().all(|end| known(&|one| one.ended.contains(end))));
        prop_assert!(kept.changes.iter().all(|change| known(&|one| one.changes.contains(change))));
        let aside = fs::read_dir(folder.path()).unwrap().count() - 1;
        prop_assert!(aside == 1 || whole, "it was noticed");
        // What a watcher asks for by number cannot be something else.
        prop_assert!(opened.series == "another" || whole);
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..200), entries in vec((0_u32..14, vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..60)), 0..9)) {
        let folder = folder();
        fs::write(file::path(folder.path()), &bytes).unwrap();
        open(folder.path(), &KEEPER, USUAL, "series").unwrap();
        let entries = entries.into_iter().map(|(kind, key, body)| Entry { kind, key: key.into(), body: body.into() }).collect();
        let mut bytes = Vec::new();
        frame::append(&mut bytes, 0, &Step { version: VERSION, entries }.encode_to_vec());
        fs::write(file::path(folder.path()), &bytes).unwrap();
        open(folder.path(), &KEEPER, USUAL, "series").unwrap();
    }
}

#[test]
fn what_a_killed_keeper_left_is_gone_on_with() {
    let folder = folder();
    let mut opened = open(folder.path(), &KEEPER, USUAL, "series").unwrap();
    let keeps = vec![Keep::Gone(RunId::from_bytes([1; 16]))];
    let numbers = Numbers { changes: 9, ..Numbers::default() };
    opened.ledger.keep(Duration::ZERO, &[Action::Keep { keeps, numbers }]);
    let other = KeeperInstance { pid: 7, began: 71 };
    let opened = open(folder.path(), &other, USUAL, "another").unwrap();
    assert_eq!((opened.kept.numbers.changes, opened.series.as_str()), (9, "series"));
    assert!(opened.taken_over && opened.after_kill);
    let next = open(folder.path(), &other, USUAL, "another").unwrap();
    assert!(!next.taken_over && next.after_kill, "it is theirs now");
    assert!(!folder.path().join("ledger.foreign-1").exists());
    let head = |machine: &str| wire::Head { machine: machine.to_owned(), ..wire::Head::default() };
    assert!(reading::was_killed(&head("this"), "this"));
    assert!(!reading::was_killed(&head("before the last boot"), "this"));
    assert!(!reading::was_killed(&head(""), ""), "nobody knows");
}

#[test]
fn a_living_keepers_ledger_and_a_newer_ones_are_moved_aside() {
    let folder = folder();
    let run = RunId::from_bytes([1; 16]);
    let lives = KeeperInstance::of(std::process::id().try_into().unwrap());
    let mut opened = open(folder.path(), &lives, USUAL, "series").unwrap();
    let keeps = vec![Keep::Gone(run)];
    opened.ledger.keep(
        Duration::ZERO,
        &[Action::Keep { keeps, numbers: Numbers { changes: 9, ..Numbers::default() } }],
    );
    let other = KeeperInstance { pid: 7, began: 71 };
    let opened = open(folder.path(), &other, USUAL, "another").unwrap();
    assert_eq!((opened.kept.numbers.changes, opened.series.as_str()), (0, "another"));
    assert!(folder.path().join("ledger.foreign-1").exists());
    let mut newer = Vec::new();
    frame::append(
        &mut newer,
        0,
        &Step { version: VERSION + 1, entries: Vec::new() }.encode_to_vec(),
    );
    fs::write(file::path(folder.path()), newer).unwrap();
    open(folder.path(), &other, USUAL, "third").unwrap();
    assert!(folder.path().join("ledger.newer-1").exists());
}

#[test]
fn damaged_files_are_kept_within_bounds() {
    let folder = folder();
    for round in 0..9_u8 {
        fs::write(file::path(folder.path()), [round; 9]).unwrap();
        open(folder.path(), &KEEPER, USUAL, "series").unwrap();
    }
    let read =
        |number: u8| fs::read(folder.path().join(format!("ledger.damaged-{number}"))).unwrap()[0];
    assert_eq!([read(1), read(2), read(3), read(4)], [0, 6, 7, 8]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn it_is_written_anew_before_it_is_long() {
    let folder = folder();
    let mut opened = open(folder.path(), &KEEPER, USUAL, "series").unwrap();
    let mut longest = 0;
    for number in 0..3000_u32 {
        let comment = "x".repeat(4000);
        let run = RunId::from_bytes([1; 16]);
        let name = "unit".parse().unwrap();
        let identity =
            Identity { run, name, anonymous: false, comment, fingerprint: number.into() };
        let by = Origin::daemon("test");
        let run = KeptRun {
            identity,
            started_by: by,
            stopped_by: None,
            stage: Stage::Running,
            end: End::Unwanted,
            pid: 1,
            started_at: 0,
            exit: None,
            empty: false,
            gone_at: 0,
            failure: None,
            lost: None,
            leftovers: Leftovers::None,
            timer: None,
            unclaimed: false,
            listener: None,
            unit: None,
        };
        opened.ledger.keep(
            Duration::ZERO,
            &[Action::Keep { keeps: vec![Keep::Run(Arc::new(run))], numbers: Numbers::default() }],
        );
        longest = longest.max(fs::metadata(file::path(folder.path())).unwrap().len());
    }
    assert!(longest < GARBAGE + (64 << 10), "{longest}");
    let opened = open(folder.path(), &KEEPER, USUAL, "series").unwrap();
    assert_eq!(opened.kept.runs[0].identity.fingerprint, 2999);
}
