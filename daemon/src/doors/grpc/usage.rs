//! What units use at present.

use api::runtime;
use tonic::Status;
use units::UnitView;

use super::{follow::blocking, unit};
use crate::{
    cgroups::{LiveUsage, Pressure},
    doors::Core,
};

/// Nanoseconds of a microsecond.
const NANOSECONDS: u64 = 1000;

/// Units in a line, each with what it uses. Reads files of the kernel, off the async threads.
pub(super) async fn with_usage(
    core: &Core,
    units: Vec<UnitView>,
) -> Result<Vec<runtime::UnitView>, Status> {
    let cgroups = core.cgroups.clone();
    blocking(move || {
        let usage = |view: &UnitView| {
            let run =
                cgroups.as_ref()?.of_limited_run((&view.name, false, view.run?), &view.limits);
            Some(on_the_wire(&run.usage()))
        };
        units.iter().map(|view| unit::view(view, usage(view))).collect()
    })
    .await
}

/// The same of one unit, with pressure.
pub(super) async fn in_full(core: &Core, view: UnitView) -> Result<runtime::UnitView, Status> {
    let cgroups = core.cgroups.clone();
    blocking(move || {
        let usage = view.run.zip(cgroups).map(|(run, cgroups)| {
            let run = cgroups.of_limited_run((&view.name, false, run), &view.limits);
            on_the_wire(&run.detailed_usage())
        });
        unit::view(&view, usage)
    })
    .await
}

fn on_the_wire(usage: &LiveUsage) -> runtime::LiveUsage {
    let nanoseconds = |time: u64| time.saturating_mul(NANOSECONDS);
    let percent = |pressure: Pressure| f64::from(pressure.some.average) / 100.0;
    runtime::LiveUsage {
        user_time_ns: usage.user_time.map(nanoseconds),
        system_time_ns: usage.system_time.map(nanoseconds),
        memory_bytes: usage.memory_now,
        memory_peak_bytes: usage.memory_peak,
        pids: usage.pids,
        read_bytes: usage.io.map(|io| io.read_bytes),
        written_bytes: usage.io.map(|io| io.write_bytes),
        cpu_pressure_percent: usage.pressure.cpu.map(percent),
        memory_pressure_percent: usage.pressure.memory.map(percent),
        io_pressure_percent: usage.pressure.io.map(percent),
    }
}
