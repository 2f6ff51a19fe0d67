//! The thread that owns the store.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, PoisonError,
        mpsc::{Receiver, RecvError, SyncSender, sync_channel},
    },
    time::Duration,
};

use schedule::{Change, ChangeError, Entry, OpenError, Options, Repair, RepairError, Salvage};
use tokio::sync::oneshot;
use units::Name;

use crate::{memory, news};

use super::{Changed, DEPTH, Gates, Health, Job, Location, Shared, Unchanged, View, cause};

/// For how long a store that could not be opened before is tried again, when somebody asks.
const SECOND_PATIENCE: Duration = Duration::from_millis(500);

/// Starts it, and begins to open the store.
pub(super) fn start(
    location: Location,
    shared: Arc<Shared>,
    gates: Gates,
) -> io::Result<SyncSender<Job>> {
    let (jobs, receiver) = sync_channel(DEPTH);
    let mut thread =
        Thread { location, shared, schedule: None, said: String::new(), trial: gates.trial };
    std::thread::Builder::new().name("schedule".to_owned()).spawn(move || {
        news::ended_by_panic("schedule", || {
            // Nothing is sent: the answer is that the sender is gone.
            if let Some(later) = gates.later {
                later.recv().ok();
                thread.show(View::opening());
            }
            thread.open(Options::default().patience);
            memory::schedule_is_there();
            thread.work(&receiver);
        });
    })?;
    Ok(jobs)
}

struct Thread {
    location: Location,
    shared: Arc<Shared>,
    schedule: Option<schedule::Schedule>,
    /// Why it could not be opened, as the log has it: each try would say it again.
    said: String,
    /// Until the daemon is on trial no more.
    trial: Option<Receiver<()>>,
}

/// A caller of [`Job::Change`], and how many changes of the commit are his.
struct Waiting {
    answer: oneshot::Sender<Changed>,
    changes: usize,
}

impl Thread {
    fn options(&self, patience: Duration) -> Options {
        let scratch = self.location.scratch.clone();
        Options { scratch, patience, keep_format: self.trial.is_some() }
    }

    fn open(&mut self, patience: Duration) {
        let opened = schedule::Schedule::open(&self.location.folder, &self.options(patience));
        let view = match opened {
            Ok(schedule) => {
                for warning in schedule.warnings() {
                    tracing::warn!(warning, "the schedule");
                }
                for damage in schedule.unreadable() {
                    tracing::error!(
                        name = damage.name,
                        why = damage.message,
                        "registered, and cannot be read"
                    );
                }
                let entry = |entry: &Entry| (entry.name.clone(), Arc::new(entry.clone()));
                let entries: BTreeMap<Name, Arc<Entry>> = schedule.entries().map(entry).collect();
                let enabled = entries.values().filter(|entry| entry.enabled);
                // Later openings are no boots.
                self.shared.at_start.set(enabled.map(Arc::clone).collect()).ok();
                let view = View::Open {
                    entries,
                    unreadable: schedule.unreadable(),
                    warnings: schedule.warnings().to_vec(),
                };
                self.schedule = Some(schedule);
                view
            }
            Err(why) => {
                let said = format!("{why}{}", cause(&why));
                if std::mem::replace(&mut self.said, said.clone()) != said {
                    tracing::error!(why = said, "nothing enabled is started");
                }
                View::Unusable(Arc::new(why))
            }
        };
        self.show(view);
    }

    fn show(&self, view: View) {
        let health = match &view {
            View::Opening(_) => Health::Opening,
            View::Open { .. } => Health::Open,
            View::Unusable(_) => Health::Unusable,
        };
        *self.shared.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.shared.health.send_replace(health);
    }

    fn work(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            crate::faults::point("schedule");
            let mut next = Some(job);
            while let Some(job) = next.take() {
                match job {
                    Job::Change(changes, answer) => {
                        let first = Waiting { answer, changes: changes.len() };
                        next = self.commit_together(changes, first, jobs);
                    }
                    // Who asked may be gone.
                    Job::Export(answer) => drop(answer.send(self.export())),
                    // Where it did nothing there is no answer: the daemon is ending.
                    Job::Repair(answer) => drop(self.repair().map(|repair| answer.send(repair))),
                    Job::Retry(answer) => {
                        // Readers are many, and each would wait for those before it.
                        drop(self.usable(Duration::ZERO));
                        answer.send(()).ok();
                    }
                }
            }
        }
    }

    /// Commits these changes with those that wait behind them; the first job behind those.
    fn commit_together(
        &mut self,
        mut changes: Vec<Change>,
        first: Waiting,
        jobs: &Receiver<Job>,
    ) -> Option<Job> {
        let mut callers = vec![first];
        let mut next = None;
        while callers.len() < DEPTH && next.is_none() {
            match jobs.try_recv() {
                Ok(Job::Change(more, answer)) => {
                    callers.push(Waiting { answer, changes: more.len() });
                    changes.extend(more);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        match self.commit(changes) {
            Ok(results) => {
                let mut results = results.into_iter();
                for Waiting { answer, changes } in callers {
                    drop(answer.send(Ok(results.by_ref().take(changes).collect())));
                }
            }
            Err(why) => {
                tracing::error!(%why, "the schedule was not changed");
                for Waiting { answer, .. } in callers {
                    drop(answer.send(Err(why.clone())));
                }
            }
        }
        next
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<Vec<Result<(), ChangeError>>, Unchanged> {
        self.await_confirmation().map_err(|RecvError| Unchanged::Ending)?;
        let touched: Vec<Name> = changes.iter().map(|change| name_of(change).clone()).collect();
        let schedule = self.usable(SECOND_PATIENCE).map_err(|why| Unchanged::Unusable { why })?;
        let results =
            schedule.commit(changes).map_err(|why| Unchanged::Commit { why: Arc::new(why) })?;
        let new: Vec<(Name, Option<Arc<Entry>>)> = touched
            .into_iter()
            .map(|name| {
                let entry = schedule.entry(&name).cloned().map(Arc::new);
                (name, entry)
            })
            .collect();
        let left = schedule.unreadable();
        self.refresh(new, left);
        Ok(results)
    }

    /// What readers see after a commit.
    fn refresh(&self, new: Vec<(Name, Option<Arc<Entry>>)>, left: Vec<schedule::Damage>) {
        let mut view = self.shared.view.write().unwrap_or_else(PoisonError::into_inner);
        if let View::Open { entries, unreadable, .. } = &mut *view {
            *unreadable = left;
            for (name, entry) in new {
                match entry {
                    Some(entry) => drop(entries.insert(name, entry)),
                    None => drop(entries.remove(&name)),
                }
            }
        }
    }

    /// The store; one that could not be opened is tried again where that may have passed.
    fn usable(&mut self, patience: Duration) -> Result<&mut schedule::Schedule, Arc<OpenError>> {
        if self.schedule.is_none() && self.shared.may_have_passed() {
            self.open(patience);
        }
        match (
            &mut self.schedule,
            &*self.shared.view.read().unwrap_or_else(PoisonError::into_inner),
        ) {
            (Some(schedule), _) => Ok(schedule),
            (None, View::Unusable(why)) => Err(Arc::clone(why)),
            (None, View::Opening(_) | View::Open { .. }) => {
                let folder = self.location.folder.clone();
                Err(Arc::new(OpenError::Locked { folder, holder: None }))
            }
        }
    }

    fn export(&mut self) -> Result<Salvage, Arc<OpenError>> {
        match self.usable(SECOND_PATIENCE) {
            Ok(schedule) => Ok(Salvage {
                entries: schedule.entries().cloned().collect(),
                damage: schedule.unreadable(),
            }),
            Err(_) => schedule::salvage(&self.location.folder, &self.options(SECOND_PATIENCE))
                .map_err(Arc::new),
        }
    }

    /// Nothing is written as long as the daemon may have to make way for the one before it, which may know older formats
    /// only. That is over in milliseconds, one way or the other.
    fn await_confirmation(&mut self) -> Result<(), RecvError> {
        if let Some(trial) = &self.trial {
            trial.recv()?;
            self.trial = None;
        }
        Ok(())
    }

    fn repair(&mut self) -> Option<Result<Repair, RepairError>> {
        self.await_confirmation().ok()?;
        if let Ok(schedule) = self.usable(SECOND_PATIENCE) {
            let (kept, lost) = (schedule.entries().count(), schedule.unreadable());
            return Some(Ok(Repair { evidence: None, kept, lost }));
        }
        let repaired = schedule::repair(&self.location.folder, &self.options(SECOND_PATIENCE));
        if let Ok(repair) = &repaired {
            let (kept, lost) = (repair.kept, repair.lost.len());
            if lost == 0 && repair.evidence.is_none() {
                tracing::info!(kept, "the schedule is whole; nothing was repaired");
            } else {
                tracing::warn!(kept, lost, "the schedule was repaired");
            }
            self.show(View::opening());
            self.open(SECOND_PATIENCE);
        }
        Some(repaired)
    }
}

fn name_of(change: &Change) -> &Name {
    match change {
        Change::Enable { name, .. }
        | Change::Import { name, .. }
        | Change::Disable { name, .. }
        | Change::Destroy { name, .. } => name,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use schedule::Change;
    use units::Origin;

    use super::super::*;

    fn within(folder: &Path) -> Location {
        Location { folder: folder.join("schedule"), scratch: folder.to_owned() }
    }

    fn enable(name: &str) -> Vec<Change> {
        let (name, by) = (name.parse().unwrap(), Origin::daemon("a test"));
        vec![Change::Enable { name, definition: b"it".to_vec(), at: 1, by }]
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn many_changes_at_once_each_get_their_own_answer() {
        let folder = tempfile::tempdir().unwrap();
        let location = within(folder.path());
        let schedule = Schedule::start(location.clone(), Gates::default()).unwrap();
        runtime().block_on(async {
            let mut calls = tokio::task::JoinSet::new();
            for number in 0..100 {
                let schedule = schedule.clone();
                calls.spawn(async move {
                    let name = format!("unit-{number}");
                    let by = Origin::daemon("a test");
                    let changes = match number % 2 {
                        0 => enable(&name),
                        _ => vec![Change::Disable { name: name.parse().unwrap(), at: 2, by }],
                    };
                    (number, schedule.change(changes).await.unwrap())
                });
            }
            while let Some(done) = calls.join_next().await {
                let (number, results) = done.unwrap();
                assert_eq!(results.len(), 1);
                assert_eq!(results.first().unwrap().is_ok(), number % 2 == 0, "{number}");
            }
            assert_eq!(schedule.entries().await.unwrap().len(), 50);
            assert!(schedule.holds(&"unit-0".parse().unwrap()).await);
            assert!(!schedule.holds(&"unit-1".parse().unwrap()).await);
        });
    }

    #[test]
    fn nothing_is_written_on_trial() {
        let folder = tempfile::tempdir().unwrap();
        let location = within(folder.path());
        let on_trial = || {
            let (confirm, trial) = std::sync::mpsc::sync_channel(1);
            let gates = Gates { trial: Some(trial), ..Gates::default() };
            (confirm, Schedule::start(location.clone(), gates).unwrap())
        };
        runtime().block_on(async {
            let (confirm, schedule) = on_trial();
            let mut change = Box::pin(schedule.change(enable("a")));
            tokio::select! {
                biased;
                answer = &mut change => panic!("{answer:?}"),
                entries = schedule.entries() => assert_eq!(entries.unwrap().len(), 0),
            }
            confirm.try_send(()).unwrap();
            assert!(change.await.unwrap().remove(0).is_ok());
            schedule.change(enable("b")).await.unwrap();
            drop(schedule);
            let (confirm, schedule) = on_trial();
            drop(confirm);
            let why = schedule.change(enable("c")).await.unwrap_err();
            assert!(matches!(why, Unchanged::Ending), "{why}");
            assert_eq!(schedule.entries().await.unwrap().len(), 2);
        });
    }

    #[test]
    fn a_store_that_was_in_the_way_is_opened_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let location = within(folder.path());
        fs::write(&location.folder, "a file").unwrap();
        let schedule = Schedule::start(location.clone(), Gates::default()).unwrap();
        runtime().block_on(async {
            let refused = schedule.change(enable("a")).await.unwrap_err();
            assert!(matches!(refused, Unchanged::Unusable { .. }), "{refused}");
            assert_eq!(schedule.problems().len(), 1);
            fs::remove_file(&location.folder).unwrap();
            schedule.change(enable("a")).await.unwrap();
            assert_eq!(schedule.problems(), Vec::<String>::new());
        });
    }
}
