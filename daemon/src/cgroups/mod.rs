//! The cgroups that runs live in: one v2 cgroup for each, fresh, and never used again.
//!
//! ```text
//! <where we live>/daemon            keeper and daemon, where processes must not sit in inner nodes
//! <where we live>/units/NAME/RUN    one run
//! ```
//! A run with limits is besides in the v1 hierarchies that have their controllers, where v2 does not have
//! them, at `units/NAME/RUN` below our own cgroup there. It is tracked and killed in v2 all the same. Runs
//! without limits are never in those: it would double their cost.
//!
//! `<where we live>` is our own cgroup where it was delegated to us, and `<our own>/<configured name>` at the
//! root of the hierarchy. Nothing is ever written to `cgroup.kill` of anything but one run's cgroup: some
//! kernels kill whatever is born later below it (design: a kernel fault, mended by 8e3599202166).

mod controllers;
mod limits;
mod place;
mod run;
mod statistics;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use controllers::Controllers;
use limits::Control;
pub(crate) use run::{RunCgroup, Watch};
use units::{Name, ResourceLimits, RunId};
pub(crate) use {
    controllers::{Legacies, MissingController},
    usage::{LiveUsage, Pressure},
};

use crate::{clock, configuration::TrackingMode};

/// The folder of nameless commands; no escaped name begins with a single `_`.
const COMMANDS: &str = "_commands";
/// The cgroup of keeper and daemon, where they may not stay where they were started.
const LEAF: &str = "daemon";
/// How long the daemon's start waits for processes that it has killed.
const SWEEP_PATIENCE: Duration = Duration::from_secs(2);

/// Where runs live.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// The folder of all runs, in the filesystem.
    units: PathBuf,
    /// The folder of all that is ours, in the filesystem.
    ours: PathBuf,
    /// The same as the kernel shows it, from the root of the hierarchy.
    shown: String,
    /// The folder of all runs, as /proc/PID/cgroup shows it.
    listed: PathBuf,
    /// Whether v1 hierarchies have the controllers.
    hybrid: bool,
    controllers: Arc<Controllers>,
}

/// A run: its name, whether that was made up, and its id.
pub(crate) type Whose<'a> = (&'a Name, bool, RunId);

/// Why there are no cgroups to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The configuration says so.
    #[error("the configuration says [cgroup] mode = \"off\"")]
    Off,
    /// No cgroup2 is mounted.
    #[error("no cgroup2 filesystem is mounted (/proc/self/mountinfo)")]
    NotMounted,
    /// We are in none.
    #[error("/proc/self/cgroup names no cgroup of version 2")]
    NoOwn,
    /// It cannot be written.
    #[error("cannot make cgroups in {}: {why}", path.display())]
    NotOurs {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// /proc.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Which file.
        path: &'static str,
        /// Why.
        why: io::Error,
    },
}

impl Cgroups {
    /// Finds our place and arranges it; keeper and daemon are moved to a leaf where they must. A daemon
    /// that is not its keeper's first is born in that leaf.
    pub(crate) fn arrange(
        mode: TrackingMode,
        name: &str,
        keeper: i32,
        first: bool,
    ) -> Result<Self, Unusable> {
        match mode {
            TrackingMode::Off => return Err(Unusable::Off),
            TrackingMode::Auto => {}
        }
        let mut place = place::find()?;
        // That of a container outlives its keepers.
        let ours_already = !first || (keeper == 1 && place.own == Path::new("/").join(LEAF));
        if ours_already && place.own.ends_with(LEAF) {
            place.own.pop();
            place.shown.pop();
        }
        if keeper == 1 && place.own == Path::new("/") {
            leave_root(&place.mount);
        }
        // At the root of a hierarchy we are one among others; anywhere else the cgroup is ours alone.
        let ours = if place.own == Path::new("/") {
            place.mount.join(name)
        } else {
            place.mount.join(place.own.strip_prefix("/").unwrap_or(&place.own))
        };
        let cannot = |why| Unusable::NotOurs { path: ours.clone(), why };
        let units = ours.join("units");
        fs::create_dir_all(units.join(COMMANDS)).map_err(cannot)?;
        if place.own != Path::new("/") {
            // No processes in inner nodes (cgroups(7)), and the API's files are not for runs' neighbours.
            let leaf = ours.join(LEAF);
            move_in(&leaf, keeper).map_err(cannot)?;
        }
        let shown = match ours.strip_prefix(&place.mount) {
            Ok(below) => format!("/{}", below.display()),
            Err(_) => ours.display().to_string(),
        };
        let at_root = place.own == Path::new("/");
        let above = at_root.then_some(place.mount.as_path());
        let legacy: Vec<_> =
            place.legacy.into_iter().map(|legacy| legacy.for_runs(&place.shown, name)).collect();
        let controllers = Arc::new(Controllers::find(&ours, above, &legacy));
        let listed = if at_root { place.shown.join(name) } else { place.shown }.join("units");
        Ok(Self { units, ours, shown, listed, hybrid: place.hybrid, controllers })
    }

    /// Whether these limits can be kept on this machine; the error names the first that cannot. No I/O: it
    /// was found out at the start.
    pub(crate) fn supports(&self, limits: &ResourceLimits) -> Result<(), MissingController> {
        self.controllers.supports(limits)
    }

    /// The cgroup of a unit's run, with its limits, which must be supported; [`RunCgroup::limit`] sets them.
    /// Where v2 has controllers, they count for it, limits or not.
    pub(crate) fn of_limited_run(&self, whose: Whose<'_>, limits: &ResourceLimits) -> RunCgroup {
        let run = self.of_run(whose);
        let control = Control::of(limits, &self.controllers, run.path());
        run.controlled(control)
    }

    /// The cgroup of a run that an earlier daemon made, whose limits are not known any more: it is counted
    /// and removed wherever it is.
    pub(crate) fn of_inherited_run(&self, whose: Whose<'_>, legacies: &Legacies) -> RunCgroup {
        let run = self.of_run(whose);
        let control = Control::inherited(&self.controllers, run.path(), legacies);
        run.controlled(control)
    }

    /// What there is in v1 hierarchies now.
    pub(crate) fn legacies(&self) -> Legacies {
        self.controllers.legacies()
    }

    /// The run that a living process belongs to, by its cgroup, which no program can choose but root's. None
    /// where it is no run's, or gone.
    pub(crate) fn run_of_process(&self, pid: i32) -> Option<RunId> {
        let listed = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        run_in(&listed, &self.listed)
    }

    /// The folder below which all runs live.
    pub(crate) fn units(&self) -> &Path {
        &self.units
    }

    /// What the keeper empties at the very end, and removes where we made it.
    pub(crate) fn tree(&self) -> &Path {
        &self.ours
    }

    /// Our place, as the kernel shows it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// How this is called in Status.
    pub(crate) fn tracking(&self) -> &'static str {
        if self.hybrid { "cgroup2 (hybrid)" } else { "cgroup2" }
    }

    /// The cgroup of a run, which need not exist. Nameless commands share a folder that stays, since to
    /// make and remove one costs as much as the run's own.
    fn of_run(&self, (name, anonymous, run): Whose<'_>) -> RunCgroup {
        let folder = if anonymous { COMMANDS.to_owned() } else { escaped(name.as_str()) };
        RunCgroup::new(self.units.join(folder).join(run.to_string()))
    }

    /// Ends and removes cgroups of runs that no keeper remembers: of an instance that was killed. Of those to keep it is
    /// `known` where most live, so that a name's folder need not be listed in which nothing else is.
    pub(crate) fn sweep<'a>(&self, keep: &HashSet<RunId>, known: impl Iterator<Item = Whose<'a>>) {
        let mut expected: HashMap<PathBuf, u64> = HashMap::new();
        for path in known.map(|whose| self.of_run(whose).path().to_owned()) {
            if path.exists()
                && let Some(name) = path.parent()
            {
                *expected.entry(name.to_path_buf()).or_default() += 1;
            }
        }
        let kept = |run: &Path| {
            let id = run.file_name().and_then(|name| name.to_str()).and_then(|id| id.parse().ok());
            id.is_some_and(|id| keep.contains(&id))
        };
        let (mut names, mut left) = (Vec::new(), Vec::new());
        for name in listed(&self.units) {
            let all = expected.get(&name).copied();
            if all.is_some() && all == number_of_folders(&name) {
                continue;
            }
            let (stay, go): (Vec<PathBuf>, Vec<PathBuf>) =
                listed(&name).into_iter().partition(|run| kept(run));
            left.extend(go.into_iter().map(RunCgroup::new));
            // That of a name of which something stays cannot be removed.
            if stay.is_empty() {
                names.push(name);
            }
        }
        for cgroup in &left {
            tracing::warn!(cgroup = %cgroup.shown(), "ending what an earlier instance left behind");
            drop(cgroup.kill(None));
        }
        // They die at the same time; what does not (a process that waits for a dead disk) is left for the
        // next start.
        let deadline = clock::now().monotonic.saturating_add(SWEEP_PATIENCE);
        for cgroup in &left {
            cgroup.await_empty(deadline);
            cgroup.remove();
        }
        names.iter().for_each(|name| remove_unless_shared(name));
        // Last, as those there are the same processes.
        self.controllers.sweep(kept);
    }
}

/// The run in whose cgroup, or below it, the line `0::PATH` is; `units` is the folder of all runs.
fn run_in(listed: &[u8], units: &Path) -> Option<RunId> {
    let path = place::own_cgroup(listed)?;
    let below = path.strip_prefix(units).ok()?;
    below.iter().nth(1)?.to_str()?.parse().ok()
}

/// Removes a cgroup, and only where that fails, what the run made below it first.
fn remove_all(path: &Path) {
    if fs::remove_dir(path).is_err() {
        for below in folders(path) {
            remove_all(&below);
        }
        drop(fs::remove_dir(path));
    }
}

/// Removes the folder of a name, which fails where another of its runs lives.
fn remove_unless_shared(folder: &Path) {
    if !folder.ends_with(COMMANDS) {
        drop(fs::remove_dir(folder));
    }
}

/// A name that the kernel could take for one of its own files gets a `_` before it (systemd's
/// CGROUP_DELEGATION document, "naming").
fn escaped(name: &str) -> String {
    let controllers =
        ["cgroup.", "cpu.", "cpuset.", "memory.", "io.", "pids.", "rdma.", "hugetlb."];
    // Files of version 1 without a dot.
    let legacy = ["tasks", "notify_on_release", "release_agent"];
    let reserved = name.starts_with('_')
        || legacy.contains(&name)
        || controllers.iter().any(|controller| name.starts_with(controller))
        || ["misc.", "irq.", "dmem.", "perf_event."].iter().any(|c| name.starts_with(c));
    if reserved { format!("_{name}") } else { name.to_owned() }
}

/// What a container sees as the root is none to the kernel, which hands down no controller of a cgroup with processes: all
/// that are there are of this container, and go into a leaf (CGROUP_DELEGATION, "container start"). The true root has no type.
fn leave_root(mount: &Path) {
    if !mount.join("cgroup.type").exists() {
        return;
    }
    let leaf = mount.join(LEAF);
    let listed = fs::read_to_string(mount.join("cgroup.procs")).unwrap_or_default();
    if let Err(why) = fs::create_dir_all(&leaf) {
        tracing::debug!(%why, "the container's root cgroup stays as it is");
        return;
    }
    for pid in listed.lines() {
        // One that has ended meanwhile is where it should be.
        if let Err(why) = fs::write(leaf.join("cgroup.procs"), pid) {
            tracing::debug!(%why, pid, "a process stays in the container's root cgroup");
        }
    }
}

fn move_in(leaf: &Path, keeper: i32) -> io::Result<()> {
    fs::create_dir_all(leaf)?;
    let procs = leaf.join("cgroup.procs");
    // A daemon that is not the first finds both there, and to move nobody takes as long as to move somebody: the kernel waits
    // until no processor is about to make a process (`cgroup_attach_lock` in kernel/cgroup/cgroup.c), up to 30 ms.
    let there = fs::read_to_string(&procs).unwrap_or_default();
    for pid in [keeper.to_string(), std::process::id().to_string()] {
        if !there.lines().any(|line| line == pid) {
            fs::write(&procs, pid)?;
        }
    }
    Ok(())
}

/// The cgroups in a cgroup.
fn folders(path: &Path) -> Vec<PathBuf> {
    // Most runs have none, and need not be listed.
    if number_of_folders(path) == Some(0) { Vec::new() } else { listed(path) }
}

/// How many folders are in a folder of cgroupfs, which has a link for itself, one for its name, and one for each folder in
/// it, as those of most filesystems have (`kernfs_refresh_inode` in fs/kernfs/inode.c).
fn number_of_folders(path: &Path) -> Option<u64> {
    fs::metadata(path).ok()?.nlink().checked_sub(2)
}

/// The same of one that mostly has some.
fn listed(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}
