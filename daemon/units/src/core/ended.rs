//! The runs that ended lately.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::{ExitRecord, RunId, order::Target, run::Identity};

/// How many are remembered, so that a late caller joins instead of executing again.
const REMEMBERED: usize = 512;

/// The last runs to end.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The latest at the back.
    order: VecDeque<RunId>,
    ends: HashMap<RunId, (Identity, Arc<ExitRecord>)>,
}

impl Ended {
    pub(crate) fn push(&mut self, identity: Identity, record: Arc<ExitRecord>) {
        if self.order.len() >= REMEMBERED
            && let Some(first) = self.order.pop_front()
        {
            self.ends.remove(&first);
        }
        self.order.push_back(identity.run);
        self.ends.insert(identity.run, (identity, record));
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&(Identity, Arc<ExitRecord>)> {
        self.ends.get(&run)
    }

    /// The last one that ended of those that fit; of those that had a pid, the last one that began.
    pub(crate) fn find(&self, target: &Target) -> Option<&(Identity, Arc<ExitRecord>)> {
        let mut ends = self.order.iter().rev().filter_map(|run| self.ends.get(run));
        match target {
            Target::Run(id) => self.get(*id),
            Target::Name(name) => ends.find(|(first, _)| first.name == *name),
            Target::Pid(pid) => ends
                .filter(|(_, record)| record.pid == *pid && record.pid != 0)
                .max_by_key(|(_, record)| record.started_at),
        }
    }
}
