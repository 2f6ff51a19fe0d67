//! Keeping the limits of a run: its values, written through cgroups-rs to where their controllers are.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cgroups_rs::{
    MaxValue,
    cpu::CpuController,
    memory::{MemController, SetMemory},
    pid::PidController,
};
use units::ResourceLimits;

use super::{
    controllers::{Controller, Controllers, Home, Legacies, needed, remove_legacy},
    usage,
};

/// Processor time is counted over this, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;
/// Microseconds of a period that are one percent of it.
const PERCENT: i64 = 1_000;
/// The bounds of `cpu.shares` (Linux, kernel/sched/sched.h).
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// As many processes and threads as there can be (Linux, PID_MAX_LIMIT in include/linux/threads.h).
const MOST_PIDS: u64 = 4 * 1024 * 1024;

/// What a run has beyond a plain cgroup.
#[derive(Debug)]
pub(super) struct Control {
    limits: ResourceLimits,
    controllers: Arc<Controllers>,
    /// Where the run is in v1 hierarchies, by controller.
    legacy: Vec<(Controller, PathBuf)>,
    /// How often the kernel had killed for want of memory when the cgroup was made.
    killed_before: AtomicU64,
}

/// Where a controller counts for a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter<'a> {
    Unified,
    Legacy(&'a Path),
}

/// Why a run cannot have its limits, although the machine has the controllers.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} in {}: {why}", folder.display())]
pub(crate) struct LimitFailure {
    /// What was tried, limit and value included.
    pub(crate) what: String,
    /// In which cgroup.
    pub(crate) folder: PathBuf,
    /// The kernel's reason.
    pub(crate) why: io::Error,
}

impl Control {
    /// Of the run in this cgroup below `units`; none where it would be of no use: there are no limits, and v2
    /// has no controllers that could count.
    pub(super) fn of(
        limits: &ResourceLimits,
        controllers: &Arc<Controllers>,
        run: &Path,
    ) -> Option<Self> {
        let below = run.ancestors().take(2).filter_map(Path::file_name);
        let below: PathBuf = below.collect::<Vec<_>>().into_iter().rev().collect();
        let legacy: Vec<(Controller, PathBuf)> = needed(limits)
            .into_iter()
            .filter_map(|controller| match controllers.home(controller) {
                Home::Legacy(units) => Some((controller, units.join(&below))),
                Home::Unified | Home::Missing(_) => None,
            })
            .collect();
        let useful = !legacy.is_empty() || !controllers.unified().is_empty();
        useful.then(|| Self {
            limits: *limits,
            controllers: Arc::clone(controllers),
            legacy,
            killed_before: AtomicU64::new(0),
        })
    }

    /// The same, of a run that an earlier daemon made: where it is, since its limits are not known any more.
    pub(super) fn inherited(
        controllers: &Arc<Controllers>,
        run: &Path,
        legacies: &Legacies,
    ) -> Option<Self> {
        let any = ResourceLimits {
            cpu_weight: Some(1),
            cpu_quota: None,
            memory_max: Some(1),
            memory_high: None,
            pids_max: Some(1),
        };
        let mut control = Self::of(&any, controllers, run)?;
        control.limits = ResourceLimits::default();
        control.legacy.retain(|(_, folder)| legacies.may_have(folder) && folder.is_dir());
        let useful = !control.legacy.is_empty() || !controllers.unified().is_empty();
        useful.then_some(control)
    }

    /// Sets the limits of a run whose v2 cgroup, `run`, has been made and is empty; the v1 files by which it
    /// joins.
    pub(super) fn prepare(&self, run: &Path) -> Result<Vec<OwnedFd>, LimitFailure> {
        let name = run.parent().unwrap_or(run);
        let units = name.parent().unwrap_or(name);
        self.controllers.enable_for_runs(units, name).map_err(|why| LimitFailure {
            what: "enable the controllers of its limits".to_owned(),
            folder: name.to_owned(),
            why,
        })?;
        for folder in self.legacy_folders() {
            make(folder).map_err(|why| LimitFailure {
                what: "make its cgroup of version 1".to_owned(),
                folder: folder.to_owned(),
                why,
            })?;
        }
        self.limit_cpu(run)?;
        self.limit_memory(run)?;
        self.limit_pids(run)?;
        let killed =
            self.counter(Controller::Memory).and_then(|counter| usage::killed(run, counter));
        self.killed_before.store(killed.unwrap_or(0), Ordering::Relaxed);
        let open = |folder: &Path| {
            let opened = File::options().write(true).open(folder.join("cgroup.procs"));
            opened.map(OwnedFd::from).map_err(|why| LimitFailure {
                what: "open cgroup.procs for its process to join".to_owned(),
                folder: folder.to_owned(),
                why,
            })
        };
        self.legacy_folders().into_iter().map(open).collect()
    }

    /// Removes what is not in v2.
    pub(super) fn remove(&self) {
        self.legacy_folders().into_iter().for_each(remove_legacy);
    }

    /// Where this run is counted, if it is.
    pub(super) fn counter(&self, controller: Controller) -> Option<Counter<'_>> {
        let mut legacy = self.legacy.iter().filter(|(each, _)| *each == controller);
        match self.controllers.home(controller) {
            Home::Unified => Some(Counter::Unified),
            Home::Legacy(_) => legacy.next().map(|(_, folder)| Counter::Legacy(folder)),
            Home::Missing(_) => None,
        }
    }

    /// How often the kernel had killed for want of memory before the run.
    pub(super) fn killed_before(&self) -> u64 {
        self.killed_before.load(Ordering::Relaxed)
    }

    /// Each once: controllers may share a hierarchy.
    fn legacy_folders(&self) -> Vec<&Path> {
        let mut folders: Vec<&Path> = Vec::new();
        for (_, folder) in &self.legacy {
            if !folders.contains(&folder.as_path()) {
                folders.push(folder);
            }
        }
        folders
    }

    fn limit_cpu(&self, run: &Path) -> Result<(), LimitFailure> {
        let Some((folder, unified)) = self.place(Controller::Cpu, run) else { return Ok(()) };
        let controller = CpuController::new(folder.to_owned(), unified);
        if let Some(weight) = self.limits.cpu_weight {
            let value = if unified { weight } else { shares(weight) };
            let failed = |why| failure("cpu_weight", value, folder, why);
            controller.set_shares(value).map_err(failed)?;
        }
        if let Some(percent) = self.limits.cpu_quota {
            let quota = i64::from(percent).saturating_mul(PERCENT);
            let failed = |why| failure("cpu_quota", format!("{quota} of {PERIOD} µs"), folder, why);
            controller.set_cfs_quota_and_period(Some(quota), Some(PERIOD)).map_err(failed)?;
        }
        Ok(())
    }

    fn limit_memory(&self, run: &Path) -> Result<(), LimitFailure> {
        let Some((folder, unified)) = self.place(Controller::Memory, run) else { return Ok(()) };
        let controller = MemController::new(folder.to_owned(), unified);
        if let Some(high) = self.limits.memory_high {
            let value =
                SetMemory { high: Some(MaxValue::Value(signed(high))), ..SetMemory::default() };
            controller.set_mem(value).map_err(|why| failure("memory_high", high, folder, why))?;
        }
        if let Some(most) = self.limits.memory_max {
            let failed = |why| failure("memory_max", most, folder, why);
            controller.set_limit(signed(most)).map_err(failed)?;
        }
        Ok(())
    }

    fn limit_pids(&self, run: &Path) -> Result<(), LimitFailure> {
        let Some((folder, unified)) = self.place(Controller::Pids, run) else { return Ok(()) };
        let Some(most) = self.limits.pids_max else { return Ok(()) };
        let controller = PidController::new(folder.to_owned(), unified);
        let failed = |why| failure("pids_max", most, folder, why);
        controller.set_pid_max(pids(most)).map_err(failed)
    }

    /// The folder of a controller for this run, and whether it is the v2 one.
    fn place<'a>(&'a self, controller: Controller, run: &'a Path) -> Option<(&'a Path, bool)> {
        self.counter(controller).map(|counter| match counter {
            Counter::Unified => (run, true),
            Counter::Legacy(folder) => (folder, false),
        })
    }
}

/// As systemd converts a weight (systemd.resource-control(5)): both have a middle, 100 and 1024.
fn shares(weight: u64) -> u64 {
    let shares = weight.saturating_mul(1024).saturating_div(100);
    shares.clamp(*SHARES.start(), *SHARES.end())
}

/// More than there can be is no limit; the kernel refuses the number.
fn pids(most: u64) -> MaxValue {
    if most > MOST_PIDS { MaxValue::Max } else { MaxValue::Value(signed(most)) }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Makes a run's folder in a v1 hierarchy. Those above it go with the last run that is in them, which may be
/// now.
fn make(run: &Path) -> io::Result<()> {
    let mut attempts = 0;
    loop {
        match fs::create_dir_all(run) {
            Err(why) if why.kind() == ErrorKind::NotFound && attempts < 100 => attempts += 1,
            other => return other,
        }
    }
}

fn failure(
    field: &str,
    value: impl Display,
    folder: &Path,
    why: cgroups_rs::error::Error,
) -> LimitFailure {
    let cause = std::error::Error::source(&why).and_then(|cause| cause.downcast_ref::<io::Error>());
    let kernels = cause.and_then(io::Error::raw_os_error).map(io::Error::from_raw_os_error);
    LimitFailure {
        what: format!("set the limit {field} to {value}"),
        folder: folder.to_owned(),
        why: kernels.unwrap_or_else(|| io::Error::other(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_processes_than_there_can_be_are_no_limit() {
        assert_eq!(pids(MOST_PIDS), MaxValue::Value(4_194_304));
        assert_eq!(pids(MOST_PIDS + 1), MaxValue::Max);
    }

    #[test]
    fn a_weight_becomes_shares_as_systemd_has_it() {
        for (weight, expected) in
            [(1, 10), (100, 1024), (10_000, 102_400), (0, 2), (u64::MAX, 262_144)]
        {
            assert_eq!(shares(weight), expected, "{weight}");
        }
    }
}
