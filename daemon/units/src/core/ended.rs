//! The runs that ended lately.

use std::{collections::VecDeque, sync::Arc};

use crate::{ExitRecord, RunId, order::Target, run::Identity};

/// How many are remembered, so that a late caller joins instead of executing again.
const REMEMBERED: usize = 512;

/// The last runs to end, the latest at the back.
#[derive(Debug, Default)]
pub(crate) struct Ended(VecDeque<(Identity, Arc<ExitRecord>)>);

impl Ended {
    pub(crate) fn push(&mut self, identity: Identity, record: Arc<ExitRecord>) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((identity, record));
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&(Identity, Arc<ExitRecord>)> {
        self.0.iter().find(|(identity, _)| identity.run == run)
    }

    /// The last one that ended of those that fit; of those that had a pid, the last one that began.
    pub(crate) fn find(&self, target: &Target) -> Option<&(Identity, Arc<ExitRecord>)> {
        match target {
            Target::Run(id) => self.get(*id),
            Target::Name(name) => self.0.iter().rev().find(|(first, _)| first.name == *name),
            Target::Pid(pid) => self
                .0
                .iter()
                .filter(|(_, record)| record.pid == *pid && record.pid != 0)
                .max_by_key(|(_, record)| record.started_at),
        }
    }
}
