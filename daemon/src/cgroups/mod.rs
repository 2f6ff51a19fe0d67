//! The cgroups that runs live in: one v2 cgroup for each, fresh, and never used again.
//!
//! ```text
//! <where we live>/daemon            keeper and daemon, where processes must not sit in inner nodes
//! <where we live>/units/NAME/RUN    one run
//! ```
//! `<where we live>` is our own cgroup where it was delegated to us, and `<our own>/<configured name>` at the
//! root of the hierarchy. Nothing is ever written to `cgroup.kill` of anything but one run's cgroup: some
//! kernels kill whatever is born later below it (design: a kernel fault, mended by 8e3599202166).

mod place;
mod run;
mod statistics;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use run::{RunCgroup, Watch};
use units::Execution;

use crate::configuration::TrackingMode;

/// The folder of nameless commands; no escaped name begins with a single `_`.
const COMMANDS: &str = "_commands";
/// The cgroup of keeper and daemon, where they may not stay where they were started.
const LEAF: &str = "daemon";

/// Where runs live.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// The folder of all runs, in the filesystem.
    units: PathBuf,
    /// The folder of all that is ours, in the filesystem.
    ours: PathBuf,
    /// The same as the kernel shows it, from the root of the hierarchy.
    shown: String,
    /// Whether v1 hierarchies have the controllers.
    hybrid: bool,
    /// Whether the memory controller counts in runs' cgroups.
    memory: bool,
}

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
        if !first && place.own.ends_with(LEAF) {
            place.own.pop();
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
        let enabled = fs::read_to_string(units.join("cgroup.subtree_control")).unwrap_or_default();
        let memory = enabled.split_whitespace().any(|controller| controller == "memory");
        let hybrid = place.hybrid;
        Ok(Self { units, ours, shown, hybrid, memory })
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
    pub(crate) fn of_run(&self, execution: &Execution) -> RunCgroup {
        let folder = if execution.anonymous {
            COMMANDS.to_owned()
        } else {
            escaped(execution.name.as_str())
        };
        RunCgroup::new(self.units.join(folder).join(execution.run.to_string()), self.memory)
    }

    /// Ends and removes cgroups of runs that no keeper remembers: of an instance that was killed.
    pub(crate) fn sweep(&self, keep: &[units::RunId]) {
        for name in folders(&self.units) {
            for run in folders(&name) {
                let id = run.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
                if id.is_none_or(|id| !keep.contains(&id)) {
                    let cgroup = RunCgroup::new(run, false);
                    tracing::warn!(cgroup = %cgroup.shown(), "ending what an earlier instance left behind");
                    drop(cgroup.kill());
                    cgroup.remove();
                }
            }
            remove_unless_shared(&name);
        }
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
    let reserved = name.starts_with('_')
        || controllers.iter().any(|controller| name.starts_with(controller))
        || ["misc.", "irq.", "dmem.", "perf_event."].iter().any(|c| name.starts_with(c));
    if reserved { format!("_{name}") } else { name.to_owned() }
}

fn move_in(leaf: &Path, keeper: i32) -> io::Result<()> {
    fs::create_dir_all(leaf)?;
    let procs = leaf.join("cgroup.procs");
    fs::write(&procs, keeper.to_string())?;
    fs::write(&procs, std::process::id().to_string())
}

/// The folders in a folder.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_name_is_a_file_of_the_kernels() {
        assert_eq!(escaped("cgroup.procs"), "_cgroup.procs");
        assert_eq!(escaped("memory.max"), "_memory.max");
        assert_eq!(escaped("_x"), "__x");
        assert_eq!(escaped("nginx"), "nginx");
    }
}
