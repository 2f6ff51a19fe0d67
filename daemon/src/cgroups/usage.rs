//! What a run uses now, as far as the kernel tells; unavailable where no controller does, never 0.

use std::{fs, path::Path};

use cgroups_rs::{cpu::CpuController, pid::PidController};

use super::{
    controllers::Controller,
    limits::{Control, Counter},
    statistics::value,
};

/// What a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveUsage {
    /// Processor time in user mode so far, in microseconds.
    pub(crate) user_time: Option<u64>,
    /// Processor time in the kernel so far, in microseconds.
    pub(crate) system_time: Option<u64>,
    /// Bytes of memory now.
    pub(crate) memory_now: Option<u64>,
    /// The most bytes of memory at once.
    pub(crate) memory_peak: Option<u64>,
    /// Processes and threads now.
    pub(crate) pids: Option<u64>,
    /// What it read and wrote so far.
    pub(crate) io: Option<IoUsage>,
    /// How it waits; only in [`super::RunCgroup::detailed_usage`].
    pub(crate) pressure: Pressures,
}

/// What was read from and written to block devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IoUsage {
    /// Bytes read.
    pub(crate) read_bytes: u64,
    /// Bytes written.
    pub(crate) write_bytes: u64,
    /// How often it read.
    pub(crate) read_operations: u64,
    /// How often it wrote.
    pub(crate) write_operations: u64,
}

/// What a run waits for (Linux, Documentation/accounting/psi.rst), where the kernel counts that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressures {
    /// A processor.
    pub(crate) cpu: Option<Pressure>,
    /// Memory.
    pub(crate) memory: Option<Pressure>,
    /// A block device.
    pub(crate) io: Option<Pressure>,
}

/// How one thing is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// By some.
    pub(crate) some: Stall,
    /// By all at once, where the kernel counts that.
    pub(crate) full: Option<Stall>,
}

/// Time lost waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Its share of the last ten seconds, in hundredths of a percent.
    pub(crate) average: u32,
    /// All of it, in microseconds.
    pub(crate) total_usec: u64,
}

/// What the run in this cgroup uses.
pub(super) fn usage(run: &Path, control: Option<&Control>) -> LiveUsage {
    // cpu.stat is there without any controller.
    let cpu = CpuController::new(run.to_owned(), true).cpu().stat;
    let counter = |controller| control.and_then(|control| control.counter(controller));
    let memory = counter(Controller::Memory);
    LiveUsage {
        user_time: value(&cpu, "user_usec"),
        system_time: value(&cpu, "system_usec"),
        memory_now: memory.and_then(|counter| match counter {
            Counter::Unified => number(run, "memory.current"),
            Counter::Legacy(folder) => number(folder, "memory.usage_in_bytes"),
        }),
        memory_peak: memory.and_then(|counter| memory_peak(run, counter)),
        pids: counter(Controller::Pids).and_then(|counter| pids(run, counter)),
        io: io(run, control),
        pressure: Pressures::default(),
    }
}

/// How the run in this cgroup waits. It takes no controller.
pub(super) fn pressures(run: &Path) -> Pressures {
    let read = |file| fs::read_to_string(run.join(file)).ok().as_deref().and_then(pressure);
    Pressures {
        cpu: read("cpu.pressure"),
        memory: read("memory.pressure"),
        io: read("io.pressure"),
    }
}

/// The most bytes of memory at once.
pub(super) fn memory_peak(run: &Path, counter: Counter<'_>) -> Option<u64> {
    match counter {
        Counter::Unified => number(run, "memory.peak"),
        Counter::Legacy(folder) => number(folder, "memory.max_usage_in_bytes"),
    }
}

/// How often the kernel has killed a process for want of memory. What a run limits for itself further below
/// is its own affair.
pub(super) fn killed(run: &Path, counter: Counter<'_>) -> Option<u64> {
    let (folder, files) = match counter {
        // The second alone before Linux 5.2.
        Counter::Unified => (run, ["memory.events.local", "memory.events"].as_slice()),
        Counter::Legacy(folder) => (folder, ["memory.oom_control"].as_slice()),
    };
    let text = files.iter().find_map(|file| fs::read_to_string(folder.join(file)).ok())?;
    value(&text, "oom_kill")
}

/// What was read and written. A v1 hierarchy is not joined for it.
pub(super) fn io(run: &Path, control: Option<&Control>) -> Option<IoUsage> {
    match control?.counter(Controller::Io)? {
        Counter::Unified => fs::read_to_string(run.join("io.stat")).ok().map(|text| sum(&text)),
        Counter::Legacy(_) => None,
    }
}

fn pids(run: &Path, counter: Counter<'_>) -> Option<u64> {
    let (folder, unified) = match counter {
        Counter::Unified => (run, true),
        Counter::Legacy(folder) => (folder, false),
    };
    PidController::new(folder.to_owned(), unified).get_pid_current().ok()
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// Over all devices: lines of `MAJOR:MINOR rbytes=1 wbytes=2 rios=3 wios=4 …` (Linux, cgroup-v2.rst, io.stat).
fn sum(text: &str) -> IoUsage {
    let mut usage = IoUsage::default();
    for (key, value) in text.split_whitespace().filter_map(|word| word.split_once('=')) {
        let Ok(value) = value.parse::<u64>() else { continue };
        let counted = match key {
            "rbytes" => &mut usage.read_bytes,
            "wbytes" => &mut usage.write_bytes,
            "rios" => &mut usage.read_operations,
            "wios" => &mut usage.write_operations,
            _ => continue,
        };
        *counted = counted.saturating_add(value);
    }
    usage
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and of `full`.
fn pressure(text: &str) -> Option<Pressure> {
    let line = |kind: &str| {
        text.lines().find_map(|line| line.strip_prefix(kind)).and_then(|words| {
            let word = |key: &str| words.split_whitespace().find_map(|word| word.strip_prefix(key));
            let average = hundredths(word("avg10=")?)?;
            Some(Stall { average, total_usec: word("total=")?.parse().ok()? })
        })
    };
    Some(Pressure { some: line("some ")?, full: line("full ") })
}

/// `12.34` is 1234.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.')?;
    let rest = Some(rest).filter(|rest| rest.len() == 2)?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(rest.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pressure_is_read() {
        let text =
            "some avg10=1.05 avg60=0.00 avg300=0.00 total=12\nfull avg10=100.00 avg60=0 total=7\n";
        let some = Stall { average: 105, total_usec: 12 };
        let full = Some(Stall { average: 10_000, total_usec: 7 });
        assert_eq!(pressure(text), Some(Pressure { some, full }));
        let first = text.lines().next().unwrap();
        assert_eq!(pressure(first), Some(Pressure { some, full: None }));
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn all_devices_are_added_up() {
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=9 dios=9\n8:16 rbytes=10 wios=40\n";
        let expected =
            IoUsage { read_bytes: 11, write_bytes: 2, read_operations: 3, write_operations: 44 };
        assert_eq!(sum(text), expected);
        assert_eq!(sum(""), IoUsage::default(), "what never touched a device");
    }

    proptest! {
        #[test]
        fn pressure_is_read_as_it_is_written(average in 0..=10_000_u32, total_usec: u64) {
            let (whole, rest) = (average / 100, average % 100);
            let text = format!("some avg10={whole}.{rest:02} avg60=0.00 total={total_usec}\n");
            let some = Stall { average, total_usec };
            prop_assert_eq!(pressure(&text), Some(Pressure { some, full: None }));
        }

        #[test]
        fn any_text_is_read_without_harm(
            text in "(some |full |8:0 |(rbytes|avg10|total)=[0-9.]{0,22}|[ \n]){0,12}|\\PC*",
        ) {
            pressure(&text);
            prop_assert_eq!(sum(&text).write_bytes, 0);
        }
    }
}
