//! What is told: measured when somebody asks.

use units::{Answer, Name, Order, Origin, UnitView};

use super::{
    Metrics,
    family::{Family, Kind, Value},
};
use crate::{cgroups::LiveUsage, doors::Core};

/// Every state that a unit can be in, as the API's words have it.
const STATES: [&str; 10] = [
    "inactive",
    "before",
    "starting",
    "after",
    "running",
    "reloading",
    "exited",
    "stopping",
    "waiting",
    "failed",
];

/// A unit with what was read of it.
struct Unit {
    view: UnitView,
    usage: Option<LiveUsage>,
    /// How much its log has taken since it began.
    logged: Option<u64>,
    /// How many gaps it was given since this daemon began.
    gaps: u64,
}

/// All of it. What cannot be known is left out.
pub(super) async fn measure(core: &Core, metrics: &Metrics) -> Vec<Family> {
    let origin = Origin::daemon("somebody asks for the metrics");
    let mut families = about_the_daemon(core);
    if let Ok((live, total)) = core.count(origin.clone()).await {
        families.push(Family::single("aurae_runs", Kind::Gauge, "Runs that are alive.", live));
        let help = "Runs made since auraed began.";
        let mut runs = Family::new("aurae_runs_total", Kind::Counter, help);
        runs.push([], total);
        families.push(runs);
    }
    if let Ok(Answer::Units(views)) = core.ask(Order::List, origin).await {
        let reader = core.clone();
        // Files of the kernel's and of the logs': off the async threads.
        let units = tokio::task::spawn_blocking(move || read(&reader, views)).await;
        families.extend(about_units(&units.unwrap_or_default()));
    }
    families.push(about_calls(metrics));
    families
}

fn read(core: &Core, views: Vec<UnitView>) -> Vec<Unit> {
    let usage = |view: &UnitView| {
        let run = (&view.name, false, view.run?);
        Some(core.cgroups.as_ref()?.of_limited_run(run, &view.limits).usage())
    };
    let logged = |name: &Name| {
        let end = core.logs.end(&logs::LogName::Unit(name.clone()));
        end.ok().map(|end| end.0)
    };
    let gaps = |name: &Name| core.logs.gaps(&logs::LogName::Unit(name.clone()));
    let unit = |view: UnitView| Unit {
        usage: usage(&view),
        logged: logged(&view.name),
        gaps: gaps(&view.name),
        view,
    };
    views.into_iter().map(unit).collect()
}

fn about_the_daemon(core: &Core) -> Vec<Family> {
    let who = &core.identity;
    let help = "Which version runs; always 1.";
    let mut build = Family::new("aurae_build_info", Kind::Gauge, help);
    build.push([("version", env!("CARGO_PKG_VERSION")), ("node", who.node.as_str())], 1_u64);
    let help = "Daemons that the keeper has started, this one included.";
    let mut starts = Family::new("aurae_daemon_starts_total", Kind::Counter, help);
    starts.push([], u64::from(who.starts));
    let (help, problems) = ("What is wrong, as Status tells it.", core.problems().len());
    let problems = Family::single("aurae_problems", Kind::Gauge, help, problems);
    let (enabled, disabled) = core.schedule.count();
    let mut schedule = Family::new("aurae_schedule_units", Kind::Gauge, "Units in the schedule.");
    schedule.push([("status", "enabled")], enabled);
    schedule.push([("status", "disabled")], disabled);
    let name = "aurae_process_resident_memory_bytes";
    let mut memory = Family::new(name, Kind::Gauge, "Memory of our own processes.");
    for (process, pid) in [("daemon", "self".to_owned()), ("keeper", who.keeper.to_string())] {
        if let Some(bytes) = resident(&pid) {
            memory.push([("process", process)], bytes);
        }
    }
    vec![build, starts, problems, schedule, memory]
}

/// The resident memory of a process (proc_pid_status(5), VmRSS).
fn resident(pid: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn about_units(units: &[Unit]) -> Vec<Family> {
    let mut states = Family::new("aurae_units", Kind::Gauge, "Units that are known, by state.");
    for state in STATES {
        let count = units.iter().filter(|unit| unit.view.state.to_string() == state).count();
        states.push([("state", state)], count);
    }
    let help = "The state of each unit; always 1.";
    let mut state = Family::new("aurae_unit_state", Kind::Gauge, help);
    for Unit { view, .. } in units {
        let text = view.state.to_string();
        state.push([("unit", view.name.as_str()), ("state", &text)], 1_u64);
    }
    let of_each = |name, kind, help, value: fn(&Unit) -> Option<Value>| {
        let mut family = Family::new(name, kind, help);
        for unit in units {
            if let Some(value) = value(unit) {
                family.push([("unit", unit.view.name.as_str())], value);
            }
        }
        family
    };
    let help = "How often it was started again by itself since somebody started it.";
    let restarts = of_each("aurae_unit_restarts_total", Kind::Counter, help, |unit| {
        Some(u64::from(unit.view.restarts).into())
    });
    let help = "CPU time of its run, in user mode and in the kernel.";
    let cpu = of_each("aurae_unit_cpu_seconds_total", Kind::Counter, help, |unit| {
        let usage = unit.usage.as_ref()?;
        let microseconds = usage.user_time?.saturating_add(usage.system_time?);
        Some(Value::Time(u128::from(microseconds).saturating_mul(1000)))
    });
    let help = "Memory of its run.";
    let memory = of_each("aurae_unit_memory_bytes", Kind::Gauge, help, |unit| {
        Some(unit.usage.as_ref()?.memory_now?.into())
    });
    let help = "Processes and threads of its run.";
    let pids = of_each("aurae_unit_pids", Kind::Gauge, help, |unit| {
        Some(unit.usage.as_ref()?.pids?.into())
    });
    let help = "What its log has taken since it began, in bytes.";
    let logged = of_each("aurae_unit_log_bytes_total", Kind::Counter, help, |unit| {
        Some(unit.logged?.into())
    });
    let help = "Gaps in its log, each told where output is missing, since this daemon began.";
    let gaps =
        of_each("aurae_unit_log_gaps_total", Kind::Counter, help, |unit| Some(unit.gaps.into()));
    let help = "What its last run printed and its log did not take, in bytes.";
    let lost = of_each("aurae_unit_log_lost_bytes", Kind::Gauge, help, |unit| {
        Some(unit.view.last.as_ref()?.account.lost.into())
    });
    vec![states, state, restarts, cpu, memory, pids, logged, gaps, lost]
}

fn about_calls(metrics: &Metrics) -> Family {
    let help = "How long calls took until their answers began.";
    let mut calls = Family::new("aurae_rpc_duration_seconds", Kind::Histogram, help);
    for (method, histogram) in metrics.latencies.all() {
        calls.push([("method", method.as_str())], Value::Times(histogram));
    }
    calls
}
