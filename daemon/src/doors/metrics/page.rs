//! What is told: put together when somebody asks.

use units::{Answer, Name, Order, Origin, UnitView};

use super::{
    Metrics,
    exposition::{Exposition, Kind, seconds},
    latency::BOUNDS,
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
}

/// The page. What cannot be known is left out.
pub(super) async fn page(core: &Core, metrics: &Metrics) -> String {
    let mut page = Exposition::default();
    let origin = Origin::daemon("somebody scrapes the metrics");
    about_the_daemon(core, &mut page);
    if let Ok((live, total)) = core.count(origin.clone()).await {
        page.single("aurae_runs", Kind::Gauge, "Runs that are alive.", live);
        page.single("aurae_runs_total", Kind::Counter, "Runs made since auraed began.", total);
    }
    if let Ok(Answer::Units(views)) = core.ask(Order::List, origin).await {
        let reader = core.clone();
        // Files of the kernel's and of the logs': off the async threads.
        let units = tokio::task::spawn_blocking(move || read(&reader, views)).await;
        about_units(&units.unwrap_or_default(), &mut page);
    }
    about_calls(metrics, &mut page);
    page.into_text()
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
    let unit = |view: UnitView| Unit { usage: usage(&view), logged: logged(&view.name), view };
    views.into_iter().map(unit).collect()
}

fn about_the_daemon(core: &Core, page: &mut Exposition) {
    let who = &core.identity;
    let name = "aurae_build_info";
    page.metric(name, Kind::Gauge, "Which version runs; always 1.");
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("node", who.node.as_str())];
    page.sample(name, &labels, 1);
    let help = "Daemons that the keeper has started, this one included.";
    page.single("aurae_daemon_starts_total", Kind::Counter, help, who.starts);
    page.single(
        "aurae_problems",
        Kind::Gauge,
        "What is wrong, as Status tells it.",
        core.problems().len(),
    );
    let (enabled, disabled) = core.schedule.count();
    let name = "aurae_schedule_units";
    page.metric(name, Kind::Gauge, "Units in the schedule.");
    page.sample(name, &[("status", "enabled")], enabled);
    page.sample(name, &[("status", "disabled")], disabled);
    let name = "aurae_process_resident_memory_bytes";
    page.metric(name, Kind::Gauge, "Memory of our own processes.");
    for (process, pid) in [("daemon", "self".to_owned()), ("keeper", who.keeper.to_string())] {
        if let Some(bytes) = resident(&pid) {
            page.sample(name, &[("process", process)], bytes);
        }
    }
}

/// The resident memory of a process (proc_pid_status(5), VmRSS).
fn resident(pid: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn about_units(units: &[Unit], page: &mut Exposition) {
    let name = "aurae_units";
    page.metric(name, Kind::Gauge, "Units that are known, by state.");
    for state in STATES {
        let count = units.iter().filter(|unit| unit.view.state.to_string() == state).count();
        page.sample(name, &[("state", state)], count);
    }
    let name = "aurae_unit_state";
    page.metric(name, Kind::Gauge, "The state of each unit; always 1.");
    for Unit { view, .. } in units {
        let state = view.state.to_string();
        page.sample(name, &[("unit", view.name.as_str()), ("state", &state)], 1);
    }
    let restarts = |unit: &Unit| Some(unit.view.restarts.to_string());
    let help = "How often it was started again by itself since somebody started it.";
    of_each(units, page, ("aurae_unit_restarts_total", Kind::Counter, help), restarts);
    let help = "CPU time of its run, in user mode and in the kernel.";
    let cpu = |unit: &Unit| {
        let usage = unit.usage.as_ref()?;
        let microseconds = usage.user_time?.saturating_add(usage.system_time?);
        Some(seconds(u128::from(microseconds).saturating_mul(1000)))
    };
    of_each(units, page, ("aurae_unit_cpu_seconds_total", Kind::Counter, help), cpu);
    let memory = |unit: &Unit| Some(unit.usage.as_ref()?.memory_now?.to_string());
    let help = "Memory of its run.";
    of_each(units, page, ("aurae_unit_memory_bytes", Kind::Gauge, help), memory);
    let pids = |unit: &Unit| Some(unit.usage.as_ref()?.pids?.to_string());
    let help = "Processes and threads of its run.";
    of_each(units, page, ("aurae_unit_pids", Kind::Gauge, help), pids);
    let logged = |unit: &Unit| Some(unit.logged?.to_string());
    let help = "What its log has taken since it began, in bytes.";
    of_each(units, page, ("aurae_unit_log_bytes_total", Kind::Counter, help), logged);
    let lost = |unit: &Unit| Some(unit.view.last.as_ref()?.account.lost.to_string());
    let help = "What its last run printed and its log did not take, in bytes.";
    of_each(units, page, ("aurae_unit_log_lost_bytes", Kind::Gauge, help), lost);
}

/// A metric of which each unit has one sample at most.
fn of_each(
    units: &[Unit],
    page: &mut Exposition,
    (name, kind, help): (&str, Kind, &str),
    value: impl Fn(&Unit) -> Option<String>,
) {
    page.metric(name, kind, help);
    for unit in units {
        if let Some(value) = value(unit) {
            page.sample(name, &[("unit", unit.view.name.as_str())], value);
        }
    }
}

fn about_calls(metrics: &Metrics, page: &mut Exposition) {
    let name = "aurae_rpc_duration_seconds";
    let (bucket, sum, count) =
        (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
    page.metric(name, Kind::Histogram, "How long calls took until their answers began.");
    for (method, histogram) in metrics.latencies.all() {
        let method = ("method", method.as_str());
        for (bound, at_most) in BOUNDS.into_iter().zip(histogram.at_most) {
            let bound = seconds(u128::from(bound).saturating_mul(1000));
            page.sample(&bucket, &[method, ("le", &bound)], at_most);
        }
        page.sample(&bucket, &[method, ("le", "+Inf")], histogram.count);
        page.sample(&sum, &[method], seconds(histogram.sum.as_nanos()));
        page.sample(&count, &[method], histogram.count);
    }
}
