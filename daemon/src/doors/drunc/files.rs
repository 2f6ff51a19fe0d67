//! The files that processes of this door print to, beside the log store.
//!
//! The store has everything first; the files are copied from it, so that no third process stands between a program and its
//! log, and a file on a disk that is full or hangs holds nobody up. Invariants: a file holds what its newest run has printed,
//! from the first byte on, so its length says where the next daemon goes on; what is missing in it is told in the daemon's
//! log, and is in the store.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use units::{Name, Origin, RunId, UnitState};

use super::{
    copying::{Beginning, Copy},
    process::{Process, may_be_ours},
};
use crate::doors::{Answer, Core, Order};

/// How many threads may wait for the disks of these files at a time.
const WRITERS: usize = 8;
/// Changes that are looked at in one go.
const CHANGES: usize = 256;
/// Copies that are remembered: those that are done make room for others.
const REMEMBERED: usize = 8192;

/// Copies to all files until the daemon ends, and then what is left.
pub(super) async fn keep(core: Core, mut closed: watch::Receiver<bool>) {
    let mut files =
        Files { core, copies: HashMap::new(), writers: Arc::new(Semaphore::new(WRITERS)) };
    let mut changes = files.core.changes.subscribe();
    let mut seen = files.core.changes.newest();
    files.go_on().await;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = closed.wait_for(|closed| *closed) => break,
        }
        loop {
            let following = files.core.changes.after(seen, CHANGES);
            let Some(last) = following.changes.last().map(|change| change.sequence) else { break };
            seen = last;
            if following.gap.is_some() {
                files.go_on().await;
            }
            for change in &following.changes {
                if change.to == UnitState::Running
                    && may_be_ours(&change.name)
                    && let Some(run) = change.run
                {
                    files.follow(&change.name, run).await;
                }
            }
        }
    }
    for (_, (_, copy)) in files.copies.drain() {
        drop(copy.await);
    }
}

/// All of them.
struct Files {
    core: Core,
    /// The newest run of each unit that is copied, and the task that does.
    copies: HashMap<Name, (RunId, JoinHandle<()>)>,
    writers: Arc<Semaphore>,
}

impl Files {
    /// Goes on with what there is: of an earlier daemon, or when changes were missed.
    async fn go_on(&mut self) {
        let origin = Origin::daemon("the files of drunc's processes are copied");
        let Ok(Answer::Units(views)) = self.core.ask(Order::List, origin).await else { return };
        for process in views.into_iter().filter_map(Process::of) {
            if let Some(run) = process.newest_run() {
                self.copy(&process, run, false);
            }
        }
    }

    /// A run has begun.
    async fn follow(&mut self, name: &Name, run: RunId) {
        let origin = Origin::daemon("the file of a process of drunc's is copied");
        let order = Order::Inspect { name: name.clone() };
        let Ok(Answer::Unit(detail)) = self.core.ask(order, origin).await else { return };
        if let Some(process) = Process::of(detail.view) {
            self.copy(&process, run, true);
        }
    }

    fn copy(&mut self, process: &Process, run: RunId, begins: bool) {
        let path = PathBuf::from(&process.description.process_logs_path);
        if path.as_os_str().is_empty() {
            return;
        }
        if self.copies.len() >= REMEMBERED {
            self.copies.retain(|_, (_, copy)| !copy.is_finished());
        }
        let name = process.name().clone();
        let before = match self.copies.remove(&name) {
            Some((same, copy)) if same == run => {
                self.copies.insert(name, (same, copy));
                return;
            }
            other => other.map(|(_, copy)| copy),
        };
        let began = process.view.last.as_ref().filter(|last| last.run == run);
        let copy = Copy {
            core: self.core.clone(),
            writers: Arc::clone(&self.writers),
            beginning: match (begins, process.lives()) {
                (true, _) => Beginning::Empty,
                (false, true) => Beginning::AsItIs,
                (false, false) => Beginning::IfThere,
            },
            // Of one that lives: it runs since then.
            since: began.map_or(process.view.since, |last| last.started_at),
            path,
            user: process.view.spec.setting.user.clone(),
            name: name.clone(),
            run,
        };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // The run before this one has ended, and its last bytes come before the file is made empty.
                drop(before.await);
            }
            copy.all().await;
        });
        self.copies.insert(name, (run, task));
    }
}
