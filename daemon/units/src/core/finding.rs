//! Which run somebody means.

use std::sync::Arc;

use super::Core;
use crate::{
    ExitRecord,
    order::{Found, Target},
    run::Identity,
};

impl Core {
    /// The run that is meant, live or lately ended.
    pub(super) fn find(&self, target: &Target) -> Option<Found> {
        let live = match target {
            Target::Run(id) => self.runs.get(id),
            Target::Name(name) => self.holder(name).and_then(|id| self.runs.get(&id)),
            // A main process that lives is the only one with its pid.
            Target::Pid(pid) => {
                self.of_pid(*pid).max_by_key(|run| (run.exit.is_none(), run.started_at))
            }
        };
        // A unit's program counts for more than a command that was run under its name before.
        if let Target::Name(name) = target
            && let Some(unit) = self.units.get(name)
        {
            return self.found_of_unit(name, unit);
        }
        // A pid whose process has ended may have been another run's since.
        let by_pid = matches!(target, Target::Pid(_));
        let lately = self.ended_of_units.find(target);
        let ended = self.ended.find(target).into_iter().chain(lately);
        let ended = ended.max_by_key(|(_, record)| record.started_at).filter(|(_, record)| {
            live.is_none_or(|run| {
                by_pid && run.exit.is_some() && run.started_at < record.started_at
            })
        });
        match (ended, live) {
            (Some((identity, record)), _) => {
                Some(found(identity, record.pid, Some(Arc::clone(record))))
            }
            (None, Some(run)) => Some(found(&run.identity, run.pid, None)),
            (None, None) => None,
        }
    }
}

fn found(identity: &Identity, pid: i32, ended: Option<Arc<ExitRecord>>) -> Found {
    Found {
        run: identity.run,
        name: identity.name.clone(),
        anonymous: identity.anonymous,
        pid,
        ended,
    }
}
