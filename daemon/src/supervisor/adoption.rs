//! How a daemon goes on with the runs that it finds.
//!
//! What was kept says how each run stood; the keeper says which process it has, and how that ended; the run's file says
//! whether a process was ever made, and when it began; the cgroup says what lives. Where these agree the run goes on.
//! Where they contradict one another it is lost, with the reason, and what is left of it is ended: nothing is guessed.
//! Invariant: each pidfd is opened before the keeper reaps again, so that it is the process that the keeper means.

use std::{collections::HashMap, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use keeper::protocol::ToKeeper;
use logs::{Attach, LogName};
use units::{
    Argv, Event, Execution, ExitRecord, Name, Origin, RunId,
    kept::{Fate, Identity},
};

use super::{
    Supervisor, Tracking, deeds,
    looking::{self, Look, Opened, Subject, look_at, look_at_all},
};
use crate::{
    cgroups::{Legacies, RunCgroup},
    handover::InheritedRun,
    processes::{self, Main, await_the_unborn},
    runfile::{self, Kept, Unreadable},
    spawning::{self, Job, log_of},
};

/// Where what earlier daemons left is found.
pub(crate) struct Found {
    /// What the keeper holds.
    pub(crate) inherited: Vec<InheritedRun>,
    /// The folder of the runs' files.
    pub(crate) runs: PathBuf,
    /// The keeper's process.
    pub(crate) keeper: i32,
    /// The way of a spawner thread that has not begun.
    pub(crate) spawner: spawning::Keeper,
    /// Whether the keeper before was killed.
    pub(crate) taken_over: bool,
    /// Whether that is so, or was when the keeper's first daemon began.
    pub(crate) after_kill: bool,
}

/// What a boot must know of it.
pub(crate) struct Adopted {
    /// Units that are known.
    pub(crate) units: Vec<Name>,
    /// Runs that never were.
    pub(crate) forgotten: Vec<RunId>,
}

/// What all runs are looked at with.
pub(super) struct Place {
    keeper: i32,
    pub(super) spawner: spawning::Keeper,
    /// Whether no process is on its way from a dead daemon to its program.
    pub(super) all_born: bool,
    legacies: Legacies,
    taken_over: bool,
    after_kill: bool,
}

impl Supervisor {
    /// Goes on with the runs of earlier daemons; then the keeper may reap again.
    pub(crate) fn adopt(&mut self, found: Found) -> Adopted {
        let Found { inherited, runs, keeper, spawner, taken_over, after_kill } = found;
        // A process whose daemon died while it was being made says in its run's file that it was; give it the time.
        let killed = taken_over || after_kill;
        let unknown = inherited.iter().any(|run| run.pid == 0)
            || (killed && self.core.unadopted().any(|(_, pid)| pid == 0));
        let all_born = !unknown || await_the_unborn(Some(keeper).filter(|_| !killed));
        let legacies = self.legacies();
        let place = Place { keeper, spawner, all_born, legacies, taken_over, after_kill };
        let mut inherited: HashMap<RunId, InheritedRun> =
            inherited.into_iter().map(|run| (run.run, run)).collect();
        let known = self.core.unadopted().map(|(identity, kept_pid)| {
            let inherited = inherited.remove(&identity.run);
            self.subject(identity.clone(), (kept_pid, inherited), &place)
        });
        let known: Vec<Subject> = known.collect();
        let units = self.core.unit_names();
        let (number, unit_number) = (known.len(), units.len());
        let looks = look_at_all(&known, &runs);
        for (subject, look) in known.into_iter().zip(looks) {
            self.adopt_run(subject, look, &place);
        }
        for (run, inherited) in inherited {
            if let Some((identity, record)) = self.core.ended(run) {
                let (identity, record) = (identity.clone(), Arc::clone(record));
                self.release_again(inherited, &identity, (record, &place.legacies));
                continue;
            }
            let file = runfile::read(&runs, run);
            let Some(identity) = self.adopt_unknown(run, &file) else { continue };
            let subject = self.subject(identity, (0, Some(inherited)), &place);
            let look = Look { file, ..look_at(&subject, &runs) };
            self.adopt_run(subject, look, &place);
        }
        if number + unit_number > 0 {
            tracing::info!(
                runs = number,
                units = unit_number,
                "gone on with what the daemon before had"
            );
        }
        let forgotten = std::mem::take(&mut self.forgotten);
        for run in &forgotten {
            runfile::remove(&runs, *run);
            let release = ToKeeper::Release { run: run.to_bytes() };
            place.spawner.tell(&release);
        }
        place.spawner.wake();
        self.tell_adopted();
        Adopted { units, forgotten }
    }

    /// The runs that were kept, of which nothing has been found yet.
    pub(crate) fn known(&self) -> Vec<Identity> {
        self.core.unadopted().map(|(identity, _)| identity.clone()).collect()
    }

    fn tell_adopted(&self) {
        let (tell_orphans, tree) = match &self.tracking {
            Tracking::Cgroups(cgroups) => (false, cgroups.tree().as_os_str().as_encoded_bytes()),
            Tracking::BestEffort(_) => (true, &[][..]),
        };
        let tree = tree.to_vec();
        self.tell_keeper(&ToKeeper::Adopted { tell_orphans, tree });
    }

    /// A run that never was.
    pub(super) fn forget(&mut self, run: RunId) {
        deeds::unwatch(self, run);
        self.held.remove(&run);
        if self.unmade.remove(&run) {
            self.forgotten.push(run);
        }
    }

    /// One run: takes up what is held for it, and tells the core what was found.
    fn adopt_run(&mut self, subject: Subject, Look { file, main }: Look, place: &Place) {
        let Subject { identity, kept_pid, inherited, cgroup } = subject;
        let run = identity.run;
        deeds::hold(self, run, cgroup);
        if let Err(why @ Unreadable::Damaged(_)) = &file {
            tracing::error!(%run, name = %identity.name, %why, "what else is known of it has to be enough");
        }
        let fate = match inherited {
            None if place.after_kill => self.examine_forsaken(&identity, kept_pid, &file, place),
            None if kept_pid == 0 => {
                let fate = self.unmade(run);
                // The keeper has never heard of it.
                self.unmade.remove(&run);
                fate
            }
            None => self.lost(run, "the keeper knows nothing of it any more"),
            Some(inherited) => self.examine((&identity, kept_pid), (inherited, file, main), place),
        };
        if let Fate::Lost { why, .. } = &fate {
            tracing::error!(%run, name = %identity.name, why, "its daemon died, and what is known of it contradicts itself; it is ended");
        }
        self.step(Event::Adopted { run, fate });
    }

    fn examine(
        &mut self,
        (identity, kept_pid): (&Identity, i32),
        (inherited, file, main): (
            InheritedRun,
            Result<Kept, Unreadable>,
            Option<Result<Opened, String>>,
        ),
        place: &Place,
    ) -> Fate {
        let run = identity.run;
        let InheritedRun { pid, exit, mut descriptors, .. } = inherited;
        let stranger = self.take_stranger(run, pid, &mut descriptors, place.taken_over);
        let pid = match (pid, &file) {
            (0, Err(Unreadable::Missing)) => return self.unmade(run),
            (0, Ok(file)) if !file.made && place.all_born => return self.unmade(run),
            (0, Ok(file)) if !file.made => {
                return self.lost(run, "its process may still be on its way to its program");
            }
            // Whose child it is then nobody can say, nor could anybody tell its end.
            (0, Ok(_)) if place.taken_over => 0,
            (0, Ok(file)) => self.find_main(run, file.pid, place.keeper).unwrap_or(0),
            (0, Err(why)) => return self.lost(run, &why.to_string()),
            (pid, _) => pid,
        };
        self.attach(run, log_of(&identity.name, identity.anonymous), descriptors);
        if pid == 0 {
            return self.lost(run, "its daemon died before its main process was known");
        }
        if inherited.pid == 0 {
            let spawned = ToKeeper::Spawned { run: run.to_bytes(), pid };
            place.spawner.tell(&spawned);
        }
        let (at, began) = file.as_ref().map_or((0, 0), |file| (file.ordered_at, file.began));
        self.logs.started(run, pid, u64::try_from(at).unwrap_or(0)).ok();
        if kept_pid != 0 && kept_pid != pid {
            let why =
                format!("the keeper says that it is process {pid}, and the ledger {kept_pid}");
            return self.lost(run, &why);
        }
        if exit.is_none()
            && !stranger
            && let Err(why) = self.take_main(run, (pid, began), main)
        {
            return self.lost(run, &why);
        }
        if stranger
            && exit.is_none()
            && let Err(why) = self.find_stranger(run, pid, began)
        {
            return self.lost(run, &why);
        }
        // Of one that runs nobody asks, and without cgroups it is dear to know.
        let over = exit.is_some() || (stranger && !self.has_main(run));
        let empty = over && deeds::is_empty(self, run);
        Fate::Executed { pid, at, exit, empty }
    }

    /// Takes up a main process that lives. Where it was not opened yet, it was not known yet which it is.
    fn take_main(
        &mut self,
        run: RunId,
        (pid, began): (i32, u64),
        main: Option<Result<Opened, String>>,
    ) -> Result<(), String> {
        let cgroup = self.held.get(&run).and_then(|held| held.cgroup.as_ref());
        let opened = main.unwrap_or_else(|| looking::open(pid, cgroup))?;
        if began != 0 && opened.began != began {
            let now = opened.began;
            return Err(format!(
                "its main process {pid} began at tick {began}, and the one that has this number now at {now}"
            ));
        }
        if let Some(cgroup) = cgroup.filter(|_| !opened.is_in_cgroup) {
            let cgroup = cgroup.shown();
            tracing::warn!(%run, pid, cgroup, "its main process is not in its cgroup any more; it is known by its number and when it began");
        }
        deeds::hold_main(self, run, Main { pid, process: opened.process });
        Ok(())
    }

    /// The main process of a run whose daemon died before it could say which that is.
    fn find_main(&self, run: RunId, said: i32, keeper: i32) -> Option<i32> {
        // It said so itself. Until the keeper reaps again it keeps its number, also where it has ended: then it has no
        // environment any more that would tell whose it was.
        let is_it = || processes::is_zombie(said) || self.is_of(run, said);
        if processes::is_main_of(keeper, said) && is_it() {
            return Some(said);
        }
        processes::made_for(Some(keeper), |pid| self.is_of(run, pid))
    }

    /// Whether a process is one of this run.
    pub(super) fn is_of(&self, run: RunId, pid: i32) -> bool {
        match self.held.get(&run).and_then(|held| held.cgroup.as_ref()) {
            Some(cgroup) => cgroup.has(pid),
            None => processes::is_of_run(pid, run),
        }
    }

    pub(super) fn unmade(&mut self, run: RunId) -> Fate {
        if !deeds::is_empty(self, run) {
            return self
                .lost(run, "its file says that no process was made, and something of it lives");
        }
        // It may be there, and is made anew.
        if let Some(cgroup) = self.held.get(&run).and_then(|held| held.cgroup.as_ref()) {
            cgroup.remove();
        }
        self.unmade.insert(run);
        Fate::Unmade
    }

    pub(super) fn lost(&self, run: RunId, why: &str) -> Fate {
        Fate::Lost { why: why.to_owned(), empty: deeds::is_empty(self, run) }
    }

    /// A run that is over, and that the keeper was not told to release, or not for certain.
    fn release_again(
        &mut self,
        inherited: InheritedRun,
        identity: &Identity,
        (record, legacies): (Arc<ExitRecord>, &Legacies),
    ) {
        let InheritedRun { run, descriptors, .. } = inherited;
        self.attach(run, log_of(&identity.name, identity.anonymous), descriptors);
        // Where its end is in the log already it is not written again.
        if let Ok(None) = self.logs.finish(run, deeds::end(&record)) {
            self.owe_end();
        }
        let cgroup = self.cgroup_of(identity, legacies);
        self.jobs.push(Job::Remove { record, cgroup });
    }

    /// A run of which nothing was kept: the ledger was damaged or lost.
    fn adopt_unknown(&mut self, run: RunId, file: &Result<Kept, Unreadable>) -> Option<Identity> {
        let (execution, started_by) = match file {
            Ok(kept) => (kept.execution.clone(), kept.origin.clone()),
            Err(_) => unknown(run),
        };
        tracing::error!(%run, name = %execution.name, "nothing was kept of it but its file: it goes on until it is known who called it, and is stopped otherwise");
        self.step(Event::Inherited { execution: Box::new(execution), started_by });
        let known = self.core.unadopted().find(|(identity, _)| identity.run == run);
        known.map(|(identity, _)| identity.clone())
    }

    fn subject(
        &self,
        identity: Identity,
        (kept_pid, inherited): (i32, Option<InheritedRun>),
        place: &Place,
    ) -> Subject {
        let cgroup = self.cgroup_of(&identity, &place.legacies);
        Subject { identity, kept_pid, inherited, cgroup }
    }

    fn legacies(&self) -> Legacies {
        match &self.tracking {
            Tracking::Cgroups(cgroups) => cgroups.legacies(),
            Tracking::BestEffort(_) => Legacies::default(),
        }
    }

    fn cgroup_of(&self, identity: &Identity, legacies: &Legacies) -> Option<RunCgroup> {
        let Identity { name, anonymous, run, .. } = identity;
        match &self.tracking {
            Tracking::Cgroups(cgroups) => {
                Some(cgroups.of_inherited_run((name, *anonymous, *run), legacies))
            }
            Tracking::BestEffort(_) => None,
        }
    }

    pub(super) fn attach(&self, run: RunId, log: LogName, descriptors: Vec<(String, OwnedFd)>) {
        let (mut stdout, mut stderr) = (None, None);
        for (name, descriptor) in descriptors {
            match name.as_str() {
                "stdout" => stdout = Some(descriptor),
                "stderr" => stderr = Some(descriptor),
                other => tracing::error!(%run, name = other, "the keeper held something unknown"),
            }
        }
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            tracing::error!(%run, "the keeper held no output of it");
            return;
        };
        if let Err(why) = self.logs.attach_one(Attach { run, log, stdout, stderr, resumed: true }) {
            tracing::error!(%run, %why, "its output is not kept");
        }
    }
}

/// A run whose runtime file is missing or damaged has no name any more.
fn unknown(run: RunId) -> (Execution, Origin) {
    let name = Name::from(run);
    let execution = Execution {
        run,
        argv: Argv::from(&name),
        program: name.as_str().as_bytes().to_vec(),
        name,
        anonymous: true,
        comment: String::new(),
        setting: Arc::default(),
    };
    (execution, Origin::daemon("its runtime file was lost"))
}
