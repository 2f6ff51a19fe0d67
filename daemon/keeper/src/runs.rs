//! All the keeper remembers: a table of runs, each with its descriptors, its main process and its exit.
//! What a descriptor is for, and what a run is, it does not know.

use std::{
    collections::{BTreeMap, HashSet},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    rc::Rc,
    time::Instant,
};

use keeper::{
    protocol::{Exit, MAIN, Run},
    succession::HeldRun,
};

use crate::process;

/// What is held for a run, by name.
pub(crate) type Held = Vec<(String, OwnedFd)>;

/// One run.
pub(crate) struct Entry {
    /// Its main process; 0 as long as nobody said.
    pub(crate) pid: i32,
    /// How that ended, kept until the daemon releases the run. Boxed: most have not.
    exit: Option<Box<Exit>>,
    /// What is held for it, by name.
    pub(crate) descriptors: Box<[(Rc<str>, OwnedFd)]>,
}

impl Entry {
    /// How its main process ended.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit.as_deref().copied()
    }

    /// Whether its main process was made under a keeper that was killed, and so is no child of ours: its number may be
    /// another's at any time.
    fn is_foreign(&self) -> bool {
        self.descriptors.iter().any(|(name, _)| **name == *MAIN)
    }
}

/// So many names that nobody may have any more are kept at most.
const NAMES: usize = 16;

/// The table: memory of PID 1, which the machine cannot do without. Hence trees, which give back what they need no more, and
/// one copy of each name.
#[derive(Default)]
pub(crate) struct Runs {
    entries: BTreeMap<Run, Entry>,
    by_pid: BTreeMap<i32, Run>,
    names: Vec<Rc<str>>,
    /// Children that failed on their way to the program: to be reaped without a word.
    failed: HashSet<i32>,
    held: usize,
    /// Descriptors of released runs, to be closed when nobody waits for what we are about.
    released: Vec<OwnedFd>,
}

impl Runs {
    /// How many descriptors are held.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Holds a new run's descriptors; false where the run is known already.
    pub(crate) fn hold(&mut self, run: Run, descriptors: Held) -> bool {
        if self.entries.contains_key(&run) {
            return false;
        }
        self.held += descriptors.len();
        let descriptors = descriptors.into_iter().map(|(name, held)| (self.name(name), held));
        let descriptors = descriptors.collect();
        self.entries.insert(run, Entry { pid: 0, exit: None, descriptors });
        true
    }

    /// The one copy of a name.
    fn name(&mut self, name: String) -> Rc<str> {
        if let Some(known) = self.names.iter().find(|known| ***known == *name) {
            return Rc::clone(known);
        }
        if self.names.len() >= NAMES {
            self.names.retain(|name| Rc::strong_count(name) > 1);
        }
        let name: Rc<str> = name.into();
        self.names.push(Rc::clone(&name));
        name
    }

    /// The run's main process is this.
    pub(crate) fn spawned(&mut self, run: Run, pid: i32) {
        if let Some(entry) = self.entries.get_mut(&run) {
            entry.pid = pid;
            if !entry.is_foreign() {
                self.by_pid.insert(pid, run);
            }
        }
    }

    /// The run was not made; a child of the attempt may be about to end.
    pub(crate) fn not_spawned(&mut self, run: &Run, pid: i32) {
        self.release(run);
        if pid > 0 {
            self.failed.insert(pid);
        }
    }

    /// Whether some run's main process is still unknown: then an unknown zombie may be it.
    pub(crate) fn awaits_a_pid(&self) -> bool {
        self.entries.values().any(|entry| entry.pid == 0)
    }

    /// Notes how a process ended; the run whose main process it was.
    pub(crate) fn ended(&mut self, pid: i32, exit: Exit) -> Option<Run> {
        let run = *self.by_pid.get(&pid)?;
        self.entries.get_mut(&run)?.exit = Some(Box::new(exit));
        Some(run)
    }

    /// The process is about to be reaped, so its number means nothing any more. True for one that failed
    /// on its way to the program.
    pub(crate) fn forget_pid(&mut self, pid: i32) -> bool {
        self.by_pid.remove(&pid);
        self.failed.remove(&pid)
    }

    /// Whether it is a run's main process, or failed to become one.
    pub(crate) fn is_known(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid) || self.is_failed(pid)
    }

    /// Whether it failed on its way to the program.
    pub(crate) fn is_failed(&self, pid: i32) -> bool {
        self.failed.contains(&pid)
    }

    /// Closes what was held for runs that have been dropped.
    pub(crate) fn close_released(&mut self) {
        self.released = Vec::new();
    }

    /// Drops a run; what was held for it is closed by [`Runs::close_released`].
    pub(crate) fn release(&mut self, run: &Run) {
        if let Some(entry) = self.entries.remove(run) {
            self.held = self.held.saturating_sub(entry.descriptors.len());
            self.released.extend(entry.descriptors.into_iter().map(|(_, held)| held));
            if self.by_pid.get(&entry.pid) == Some(run) {
                self.by_pid.remove(&entry.pid);
            }
        }
    }

    /// A run's main process and its end, as the keeper before knew them.
    pub(crate) fn restore(&mut self, run: Run, pid: i32, exit: Option<Exit>) {
        if let Some(entry) = self.entries.get_mut(&run) {
            (entry.pid, entry.exit) = (pid, exit.map(Box::new));
            // One that has ended is reaped, and its number may be another's.
            if exit.is_none() && !entry.is_foreign() {
                self.by_pid.insert(pid, run);
            }
        }
    }

    /// A run that a keeper before us made, which was killed: no child of ours.
    pub(crate) fn inherit(&mut self, run: Run, (pid, exit): (i32, Option<Exit>), held: Held) {
        if self.hold(run, held)
            && let Some(entry) = self.entries.get_mut(&run)
        {
            (entry.pid, entry.exit) = (pid, exit.map(Box::new));
        }
    }

    /// Children that failed, as the keeper before knew them.
    pub(crate) fn restore_failed(&mut self, failed: Vec<i32>) {
        self.failed.extend(failed);
    }

    /// The table, for the keeper that comes after us.
    pub(crate) fn held_runs(&self) -> Vec<HeldRun> {
        let entries = self.entries.iter().map(|(run, entry)| HeldRun {
            run: *run,
            pid: entry.pid,
            exit: entry.exit(),
            descriptors: entry
                .descriptors
                .iter()
                .map(|(name, held)| (name.to_string(), held.as_raw_fd()))
                .collect(),
        });
        entries.collect()
    }

    /// The children that failed, for the same.
    pub(crate) fn failed(&self) -> Vec<i32> {
        self.failed.iter().copied().collect()
    }

    /// Kills the main processes that are no children of ours, which the last kill does not find, and waits for their ends,
    /// but no longer than until then.
    pub(crate) fn kill_foreign(&self, bound: Instant) {
        let all = || self.outputs(&[MAIN]).map(|(_, _, process)| process.as_fd());
        all().for_each(process::kill_stranger);
        all().for_each(|process| process::await_readable(process, bound));
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The runs' ids.
    pub(crate) fn ids(&self) -> Vec<Run> {
        self.entries.keys().copied().collect()
    }

    /// The descriptors of these names, of all runs.
    pub(crate) fn outputs(&self, names: &[&str]) -> impl Iterator<Item = (&Run, &str, &OwnedFd)> {
        self.entries.iter().flat_map(move |(run, entry)| {
            let wanted = entry.descriptors.iter().filter(|(name, _)| names.contains(&&**name));
            wanted.map(move |(name, descriptor)| (run, &**name, descriptor))
        })
    }

    /// One run.
    pub(crate) fn get(&self, run: &Run) -> Option<&Entry> {
        self.entries.get(run)
    }
}
