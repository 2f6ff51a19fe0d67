//! What the store holds, in memory: the view that is served, and on which changes are tried before they are written.

use std::collections::BTreeMap;

use units::{Name, Origin};

use crate::{Change, ChangeError, Damage, Entry, record};

/// Values by key, as they are in the store. Names are ASCII, so the order of their bytes is the order of names.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// One record, as it is stored and as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) value: Vec<u8>,
    /// The entry, or what is wrong with the value.
    reading: Result<Entry, String>,
}

/// All records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents(BTreeMap<Vec<u8>, Held>);

/// What changes come to: a record for each key, or none where it goes.
pub(crate) type Plan = BTreeMap<Vec<u8>, Option<Held>>;

impl Held {
    fn read(key: &[u8], value: Vec<u8>) -> Self {
        let reading = record::decode(key, &value);
        Self { value, reading }
    }

    fn new(entry: Entry, unknown: &[u8]) -> Self {
        Self { value: record::encode(&entry, unknown), reading: Ok(entry) }
    }
}

impl Contents {
    pub(crate) fn read(records: Records) -> Self {
        let held = records.into_iter().map(|(key, value)| {
            let held = Held::read(&key, value);
            (key, held)
        });
        Self(held.collect())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().filter_map(|held| held.reading.as_ref().ok())
    }

    pub(crate) fn entry(&self, name: &Name) -> Option<&Entry> {
        self.0.get(key(name)).and_then(|held| held.reading.as_ref().ok())
    }

    pub(crate) fn unreadable(&self) -> Vec<Damage> {
        let damage = self.0.iter().filter_map(|(key, held)| {
            let message = held.reading.as_ref().err()?;
            Some(Damage::of_record(key, message.clone()))
        });
        damage.collect()
    }

    /// As they are stored.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, held)| (key.as_slice(), held.value.as_slice()))
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(|held| held.value.as_slice())
    }

    /// What these changes come to, each on top of those before it. One that cannot be made is left out.
    pub(crate) fn plan(&self, changes: Vec<Change>) -> (Plan, Vec<Result<(), ChangeError>>) {
        let mut plan = Plan::new();
        let results = changes.into_iter().map(|change| self.plan_one(&mut plan, change)).collect();
        (plan, results)
    }

    /// The plan has been written.
    pub(crate) fn apply(&mut self, plan: Plan) {
        for (key, held) in plan {
            match held {
                Some(held) => drop(self.0.insert(key, held)),
                None => drop(self.0.remove(&key)),
            }
        }
    }

    fn plan_one(&self, plan: &mut Plan, change: Change) -> Result<(), ChangeError> {
        match change {
            Change::Enable { name, definition, at, by } => {
                self.register(plan, (name, true, definition), at, by);
            }
            Change::Import { name, enabled, definition, at, by } => {
                self.register(plan, (name, enabled, definition), at, by);
            }
            Change::Disable { name, at, by } => self.disable(plan, name, at, by)?,
            Change::Destroy { name, .. } => {
                self.planned(plan, &name).ok_or_else(|| ChangeError::Unknown(name.clone()))?;
                plan.insert(key(&name).to_vec(), None);
            }
        }
        Ok(())
    }

    fn register(
        &self,
        plan: &mut Plan,
        (name, enabled, definition): (Name, bool, Vec<u8>),
        at: i64,
        by: Origin,
    ) {
        let known = self.planned(plan, &name).and_then(|held| held.reading.as_ref().ok());
        let registered_at = known.map_or(at, |entry| entry.registered_at);
        let entry =
            Entry { name, enabled, definition, registered_at, changed_at: at, changed_by: by };
        // Fields that are unknown here belong to what is replaced.
        plan.insert(key(&entry.name).to_vec(), Some(Held::new(entry, &[])));
    }

    fn disable(&self, plan: &mut Plan, name: Name, at: i64, by: Origin) -> Result<(), ChangeError> {
        let Some(held) = self.planned(plan, &name) else {
            return Err(ChangeError::Unknown(name));
        };
        let entry = match &held.reading {
            Ok(entry) => entry.clone(),
            Err(message) => return Err(ChangeError::Unreadable { name, message: message.clone() }),
        };
        let entry = Entry { enabled: false, changed_at: at, changed_by: by, ..entry };
        let held = Held::new(entry, &record::unknown_fields(&held.value));
        plan.insert(key(&name).to_vec(), Some(held));
        Ok(())
    }

    /// What is under this name once the plan is carried out.
    fn planned<'a>(&'a self, plan: &'a Plan, name: &Name) -> Option<&'a Held> {
        plan.get(key(name)).map_or_else(|| self.0.get(key(name)), Option::as_ref)
    }
}

fn key(name: &Name) -> &[u8] {
    name.as_str().as_bytes()
}
