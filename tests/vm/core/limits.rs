//! Limits hold, and what they did is told.

use serde_json::Value;
use tests::{
    vm::{LONG, Machine},
    wait::holds_within,
};

use crate::{PROBE, json, unit};

/// A program that wants more memory than it may have is killed, and the verdict is want of memory; one that wants less is
/// not.
pub(super) fn memory_beyond_the_limit_is_told_as_such(machine: &Machine) {
    let exec = |size: &str| {
        let words = ["-o", "json", "exec", "--memory-max", "32M", "--", PROBE, "alloc", size];
        let output = machine.aer(&words);
        json(&output.out())
    };
    let much = exec("64");
    assert_eq!(much["exit"]["signal"], 9, "{much}");
    assert_eq!(much["exit"]["out_of_memory"], true, "{much}");
    let peak = much["exit"]["usage"]["memory_peak_bytes"].as_u64();
    // 6.1 has the peak as well: since 5.19.
    assert!(peak.is_some_and(|peak| peak <= 32 << 20), "{much}");
    let little = exec("8");
    assert_eq!(little["exit"]["code"], 0, "{little}");
    assert_eq!(little["exit"]["out_of_memory"], false, "{little}");
}

/// A unit gets no more of the processors than its quota, and that it waits is seen as pressure.
pub(super) fn a_quota_holds_and_its_pressure_is_told(machine: &Machine) {
    let words = ["start", "--name", "spinner", "--cpu-quota", "20%", "--", PROBE, "spin", "600000"];
    let _ = machine.told(&words);
    let used = || {
        let unit = unit(machine, "spinner");
        let usage = &unit["usage"];
        let nanoseconds = |key: &str| usage[key].as_u64().unwrap_or(0);
        nanoseconds("user_time_ns") + nanoseconds("system_time_ns")
    };
    let uptime = || {
        let text = machine.agent.read("/proc/uptime");
        text.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    // By the guest's own clock, which the quota is kept by.
    let (from, begun) = (used(), uptime());
    assert!(holds_within(LONG, || uptime() - begun > 4.0), "the guest's clock stands still");
    let (later, spent) = (uptime(), used() - from);
    let share = spent as f64 / 1e9 / (later - begun);
    assert!((0.02..0.26).contains(&share), "a fifth of a processor was {share:.3} of one");
    let pressure = || unit(machine, "spinner")["usage"]["cpu_pressure_percent"].as_f64();
    let held = holds_within(LONG, || pressure().is_some_and(|percent| percent > 20.0));
    assert!(held, "the pressure is {:?}", pressure());
    let _ = machine.told(&["stop", "spinner"]);
    let _ = machine.told(&["forget", "spinner"]);
}

/// Memory that is taken away as fast as it is wanted is seen as pressure.
pub(super) fn memory_pressure_is_told(machine: &Machine) {
    let words = ["start", "--name", "hungry", "--memory-high", "16M", "--memory-max", "256M", "--"];
    let mut words = words.to_vec();
    words.extend([PROBE, "alloc", "64", "pause"]);
    let _ = machine.told(&words);
    let mut last = Value::Null;
    let held = holds_within(LONG, || {
        last = unit(machine, "hungry");
        last["usage"]["memory_pressure_percent"].as_f64().is_some_and(|percent| percent > 1.0)
    });
    assert!(held, "{last}");
    let _ = machine.told(&["stop", "hungry"]);
    let _ = machine.told(&["forget", "hungry"]);
}
