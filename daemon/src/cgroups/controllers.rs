//! Which controllers can be had for a run, and where: in our v2 hierarchy, or in a v1 hierarchy of its own.
//!
//! Decided once, at the daemon's start, so that a limit that cannot be kept is refused before anything is
//! made. A controller is in one hierarchy only (cgroups(7)): where v2 does not have it, v1 may. Enabling one
//! makes every cgroup below dearer, so it goes no deeper than our own tree until a run needs it.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::unistd::{AccessFlags, access};
use units::ResourceLimits;

use super::{listed, place::Legacy, remove_all};

/// What keeps a limit, or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
    Io,
}

impl Controller {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Pids, Self::Io];

    /// The kernel's name; in v1, io is `blkio`, which has no limit of ours.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }
}

/// Where a controller can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In the hierarchy that runs are tracked in.
    Unified,
    /// In a v1 hierarchy, below this folder, which need not exist.
    Legacy(PathBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

/// A limit that cannot be kept on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit {field} cannot be kept: {why}; leave it out, or give the daemon a cgroup of version 2 that has the controller {controller}"
)]
pub(crate) struct MissingController {
    /// The limit, as [`ResourceLimits`] has it.
    pub(crate) field: &'static str,
    /// The controller that it takes.
    pub(crate) controller: &'static str,
    /// Why it is not to be had.
    pub(crate) why: String,
}

impl MissingController {
    /// The answer to these limits where there are no cgroups at all.
    pub(crate) fn without_cgroups(limits: &ResourceLimits) -> Result<(), Self> {
        let why = "runs are tracked without cgroups (see Status)";
        match wanted(limits).first() {
            None => Ok(()),
            Some((field, controller)) => {
                Err(Self { field, controller: controller.name(), why: why.to_owned() })
            }
        }
    }
}

/// Where each controller is.
#[derive(Debug)]
pub(super) struct Controllers {
    cpu: Home,
    memory: Home,
    pids: Home,
    io: Home,
    /// The folders of all runs in v1 hierarchies, each once.
    pub(super) legacy: Vec<PathBuf>,
    /// Whether what v2 has is enabled for the folders of names.
    enabled: AtomicBool,
}

impl Controllers {
    /// Looks what can be had for `ours`, the root of our tree, and enables it there. `above`, the cgroup
    /// above that, is asked to share what it has, where it is not the machine's but ours to arrange. `legacy`
    /// are the v1 hierarchies, with the folder of ours in each.
    pub(super) fn find(ours: &Path, above: Option<&Path>, legacy: &[Legacy]) -> Self {
        let homes = Controller::ALL.map(|controller| home(controller, ours, above, legacy));
        let mut folders: Vec<PathBuf> = Vec::new();
        for home in &homes {
            if let Home::Legacy(folder) = home
                && !folders.contains(folder)
            {
                folders.push(folder.clone());
            }
        }
        let [cpu, memory, pids, io] = homes;
        Self { cpu, memory, pids, io, legacy: folders, enabled: AtomicBool::new(false) }
    }

    pub(super) fn home(&self, controller: Controller) -> &Home {
        match controller {
            Controller::Cpu => &self.cpu,
            Controller::Memory => &self.memory,
            Controller::Pids => &self.pids,
            Controller::Io => &self.io,
        }
    }

    /// What our own hierarchy has.
    pub(super) fn unified(&self) -> Vec<Controller> {
        let here = |controller: &Controller| *self.home(*controller) == Home::Unified;
        Controller::ALL.into_iter().filter(here).collect()
    }

    /// Whether these limits can be kept; else the first that cannot. No I/O.
    pub(super) fn supports(&self, limits: &ResourceLimits) -> Result<(), MissingController> {
        for (field, controller) in wanted(limits) {
            let missing =
                |why| Err(MissingController { field, controller: controller.name(), why });
            match self.home(controller) {
                Home::Missing(why) => return missing(why.clone()),
                Home::Legacy(_) if field == MEMORY_HIGH => {
                    let why = "the memory controller is in a hierarchy of cgroup version 1, \
                               which has nothing like it (its soft limit slows nothing down)";
                    return missing(why.to_owned());
                }
                Home::Legacy(_) | Home::Unified => {}
            }
        }
        Ok(())
    }

    /// Enables what v2 has for the runs in the folder of a name.
    pub(super) fn enable_for_runs(&self, units: &Path, name: &Path) -> io::Result<()> {
        let controllers = self.unified();
        if controllers.is_empty() {
            return Ok(());
        }
        if !self.enabled.load(Ordering::Relaxed) {
            enable(units, &controllers)?;
            self.enabled.store(true, Ordering::Relaxed);
        }
        // The folder of a name comes and goes with its runs.
        enable(name, &controllers)
    }

    /// What there is in v1 hierarchies now.
    pub(super) fn legacies(&self) -> Legacies {
        Legacies(self.legacy.iter().flat_map(|units| listed(units)).collect())
    }

    /// Removes what runs of an earlier instance left in v1 hierarchies; `keep` says which to leave.
    pub(super) fn sweep(&self, keep: impl Fn(&Path) -> bool) {
        for units in &self.legacy {
            for run in listed(units).iter().flat_map(|name| listed(name)) {
                if !keep(&run) {
                    remove_legacy(&run);
                }
            }
        }
    }
}

/// Of which names there are runs in v1 hierarchies, looked at once for all: most have none.
#[derive(Debug, Default)]
pub(crate) struct Legacies(HashSet<PathBuf>);

impl Legacies {
    /// Whether a run may be here.
    pub(super) fn may_have(&self, run: &Path) -> bool {
        run.parent().is_some_and(|name| self.0.contains(name))
    }
}

const MEMORY_HIGH: &str = "memory_high";

/// The limits that are set, and what each takes.
fn wanted(limits: &ResourceLimits) -> Vec<(&'static str, Controller)> {
    let ResourceLimits { cpu_weight, cpu_quota, memory_max, memory_high, pids_max } = limits;
    let all = [
        (cpu_weight.is_some(), "cpu_weight", Controller::Cpu),
        (cpu_quota.is_some(), "cpu_quota", Controller::Cpu),
        (memory_max.is_some(), "memory_max", Controller::Memory),
        (memory_high.is_some(), MEMORY_HIGH, Controller::Memory),
        (pids_max.is_some(), "pids_max", Controller::Pids),
    ];
    all.into_iter().filter(|(set, ..)| *set).map(|(_, field, c)| (field, c)).collect()
}

/// The controllers that these limits take, each once.
pub(super) fn needed(limits: &ResourceLimits) -> Vec<Controller> {
    let mut needed: Vec<Controller> =
        wanted(limits).into_iter().map(|(_, controller)| controller).collect();
    // Those of one controller stand together.
    needed.dedup();
    needed
}

fn home(controller: Controller, ours: &Path, above: Option<&Path>, legacy: &[Legacy]) -> Home {
    let name = controller.name();
    let why = match unified(name, ours, above) {
        Ok(()) => return Home::Unified,
        Err(why) => why,
    };
    let Some(found) = legacy.iter().find(|place| place.controllers.iter().any(|c| c == name))
    else {
        return Home::Missing(why);
    };
    match access(&found.existing, AccessFlags::W_OK) {
        Ok(()) => Home::Legacy(found.units.clone()),
        Err(errno) => {
            let folder = found.existing.display();
            Home::Missing(format!("cannot make cgroups in {folder}: {}", errno.desc()))
        }
    }
}

/// Sees that children of `ours` can have the controller of that name in v2.
fn unified(name: &str, ours: &Path, above: Option<&Path>) -> Result<(), String> {
    if !has(ours, name) {
        if let Some(above) = above.filter(|above| has(above, name)) {
            write(above, &format!("+{name}"))
                .map_err(|why| format!("cannot enable it in {}: {why}", above.display()))?;
        }
        if !has(ours, name) {
            return Err(format!("the cgroup {} has no controller {name}", ours.display()));
        }
    }
    write(ours, &format!("+{name}"))
        .map_err(|why| format!("cannot enable the controller in {}: {why}", ours.display()))
}

/// Whether a cgroup has a controller that it can share with its children.
fn has(cgroup: &Path, name: &str) -> bool {
    let list = fs::read_to_string(cgroup.join("cgroup.controllers")).unwrap_or_default();
    list.split_whitespace().any(|controller| controller == name)
}

fn enable(cgroup: &Path, controllers: &[Controller]) -> io::Result<()> {
    let words: Vec<String> = controllers.iter().map(|c| format!("+{}", c.name())).collect();
    write(cgroup, &words.join(" "))
}

fn write(cgroup: &Path, text: &str) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.subtree_control"), text)
}

/// Removes a run's folder from a v1 hierarchy, and what is empty then of what is above it: the folder of its
/// name, and those that are there for runs alone.
pub(super) fn remove_legacy(run: &Path) {
    remove_all(run);
    // RUN, NAME, units, ours: the last is refused where others live in it, ourselves for one.
    for folder in run.ancestors().skip(1).take(3) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}
