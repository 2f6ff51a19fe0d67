//! What the registry notes: names, pids, who waits for what, and until when.
//!
//! Everything is found by a key: no step costs more where there are more runs or units.

use std::time::Duration;

use super::{Core, Waited};
use crate::{Name, RunId, order::Ticket, run::Run};

impl Core {
    pub(super) fn add(&mut self, run: Run) {
        self.total = self.total.saturating_add(1);
        let id = run.identity.run;
        if run.unit.is_none() {
            self.names.entry(run.identity.name.clone()).or_default().push(id);
        }
        self.note_pid(id, run.pid);
        self.runs.insert(id, run);
    }

    /// Notes the main process of a run; 0 is none.
    pub(super) fn note_pid(&mut self, id: RunId, pid: i32) {
        if pid != 0 {
            self.pids.insert((pid, id));
        }
    }

    /// Takes a run out that is over.
    pub(super) fn remove(&mut self, id: RunId) -> Option<Run> {
        let run = self.runs.remove(&id)?;
        self.pids.remove(&(run.pid, id));
        if let Some(at) = run.timer {
            self.timers.remove(&(at, id));
        }
        Some(run)
    }

    /// The live runs whose main processes have, or had, this pid.
    pub(super) fn of_pid(&self, pid: i32) -> impl Iterator<Item = &Run> {
        let all = RunId::from_bytes([0; 16])..=RunId::from_bytes([0xff; 16]);
        let found = self.pids.range((pid, *all.start())..=(pid, *all.end()));
        found.filter_map(|(_, id)| self.runs.get(id))
    }

    /// The live run of this name.
    pub(super) fn holder(&self, name: &Name) -> Option<RunId> {
        self.names.get(name).and_then(|holders| holders.last()).copied()
    }

    pub(super) fn free(&mut self, name: &Name, id: RunId) {
        if let Some(holders) = self.names.get_mut(name) {
            holders.retain(|holder| *holder != id);
            if holders.is_empty() {
                self.names.remove(name);
            }
        }
    }

    pub(super) fn wait(&mut self, ticket: Ticket, id: RunId, deadline: Option<Duration>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.callers.push(ticket);
            self.enlist(ticket, Waited::Run(id), deadline);
        }
    }

    /// Notes what a ticket waits for.
    pub(super) fn enlist(&mut self, ticket: Ticket, waited: Waited, deadline: Option<Duration>) {
        self.tickets.insert(ticket, (waited, deadline));
        self.call_deadlines.extend(deadline.map(|at| (at, ticket)));
    }

    /// Forgets a ticket; what it waited for.
    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Waited> {
        let (waited, deadline) = self.tickets.remove(&ticket)?;
        if let Some(at) = deadline {
            self.call_deadlines.remove(&(at, ticket));
        }
        Some(waited)
    }

    pub(super) fn arm(&mut self, id: RunId, at: Duration) {
        self.disarm(id);
        if let Some(run) = self.runs.get_mut(&id) {
            run.timer = Some(at);
            self.timers.insert((at, id));
        }
    }

    pub(super) fn disarm(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id)
            && let Some(at) = run.timer
        {
            run.timer = None;
            self.timers.remove(&(at, id));
        }
    }
}
