//! The schedule against a map, closed and opened again at random.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use schedule::{Change, ChangeError, Entry};
use units::Name;

use crate::making::{Place, destroy, disable, enable, import, name, view};

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![any_history_is_kept, ten_thousand_entries, an_entry_keeps_when_it_was_registered]
}

pub(crate) type Model = BTreeMap<Name, Entry>;

/// What the schedule must do.
pub(crate) fn apply(model: &mut Model, changes: &[Change]) -> Vec<Result<(), ChangeError>> {
    changes.iter().map(|change| apply_one(model, change)).collect()
}

fn apply_one(model: &mut Model, change: &Change) -> Result<(), ChangeError> {
    let (name, enabled, definition, at, by) = match change {
        Change::Enable { name, definition, at, by } => (name, true, definition, *at, by),
        Change::Import { name, enabled, definition, at, by } => {
            (name, *enabled, definition, *at, by)
        }
        Change::Disable { name, at, by } => {
            let entry = model.get_mut(name).ok_or_else(|| ChangeError::Unknown(name.clone()))?;
            *entry =
                Entry { enabled: false, changed_at: *at, changed_by: by.clone(), ..entry.clone() };
            return Ok(());
        }
        Change::Destroy { name, .. } => {
            return model.remove(name).map(drop).ok_or_else(|| ChangeError::Unknown(name.clone()));
        }
    };
    let registered_at = model.get(name).map_or(at, |entry| entry.registered_at);
    let entry = Entry {
        name: name.clone(),
        enabled,
        definition: definition.clone(),
        registered_at,
        changed_at: at,
        changed_by: by.clone(),
    };
    model.insert(name.clone(), entry);
    Ok(())
}

fn any_change() -> impl Strategy<Value = Change> {
    let unit = (0..12_u8).prop_map(|number| name(&format!("unit-{number}")));
    let definition = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..400),
        1 => (0..200_000_usize).prop_map(|length| vec![3; length]),
    ];
    (unit, 0..6_u8, definition, any::<i64>()).prop_map(|(unit, kind, definition, at)| match kind {
        0 | 1 => enable(&unit, &definition, at),
        2 => import(&unit, false, &definition, at),
        3 => disable(&unit, at),
        _ => destroy(&unit, at),
    })
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(any_change(), 0..8).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

fn any_history_is_kept() {
    let mut runner =
        TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let histories = proptest::collection::vec(any_step(), 1..40);
    let result = runner.run(&histories, |history| {
        let place = Place::quick();
        let mut schedule = place.open();
        let mut model = Model::new();
        for step in history {
            match step {
                Step::Commit(changes) => {
                    let expected = apply(&mut model, &changes);
                    prop_assert_eq!(schedule.commit(changes).unwrap(), expected);
                }
                Step::Reopen => {
                    drop(schedule);
                    schedule = place.open();
                    prop_assert_eq!(schedule.warnings(), Vec::<String>::new());
                }
            }
            prop_assert_eq!(&view(&schedule), &model);
        }
        drop(schedule);
        prop_assert_eq!(view(&place.open()), model);
        Ok(())
    });
    result.unwrap();
}

fn ten_thousand_entries() {
    let place = Place::new();
    let mut schedule = place.open();
    let units: Vec<Name> = (0..10_000).map(|number| name(&format!("unit-{number}"))).collect();
    let changes = units.iter().map(|unit| import(unit, true, &[5; 300], 1)).collect();
    assert!(schedule.commit(changes).unwrap().iter().all(Result::is_ok));
    // Half of them again, in small commits, so that the database cleans up behind itself.
    for batch in units.chunks(100).step_by(2) {
        schedule.commit(batch.iter().map(|unit| enable(unit, &[6; 300], 2)).collect()).unwrap();
    }
    let truth = view(&schedule);
    assert_eq!(truth.len(), 10_000);
    drop(schedule);
    let schedule = place.open();
    assert_eq!(view(&schedule), truth);
    let names: Vec<&Name> = schedule.entries().map(|entry| &entry.name).collect();
    assert!(names.is_sorted());
}

fn an_entry_keeps_when_it_was_registered() {
    let place = Place::quick();
    let mut schedule = place.open();
    let unit = name("web");
    let changes = vec![enable(&unit, b"1", 10), disable(&unit, 20), enable(&unit, b"2", 30)];
    schedule.commit(changes).unwrap();
    drop(schedule);
    let schedule = place.open();
    let entry = schedule.entry(&unit).unwrap();
    assert!(entry.enabled);
    assert_eq!((entry.registered_at, entry.changed_at), (10, 30));
    assert_eq!(entry.definition, b"2");
}
