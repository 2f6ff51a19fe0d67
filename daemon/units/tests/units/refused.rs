//! What cannot be said of a unit: each field, by its name.

use std::{sync::Arc, time::Duration};

use units::{
    EnvironmentFile, ExitSet, Kind, Readiness, ResourceLimits, RestartWhen, Setting, StartLimit,
    Stdin, UnitSpec,
};

use crate::town::{milliseconds, web, words};

type Change = fn(&mut UnitSpec);

fn set(it: &mut UnitSpec, change: impl FnOnce(&mut Setting)) {
    change(Arc::make_mut(&mut it.setting));
}

fn limit(it: &mut UnitSpec, limits: ResourceLimits) {
    set(it, |setting| setting.limits = limits);
}

fn oneshot(it: &mut UnitSpec, remain_after_exit: bool) {
    it.kind = Kind::Oneshot { remain_after_exit };
}

const NO_LIMITS: ResourceLimits = ResourceLimits {
    cpu_weight: None,
    cpu_quota: None,
    memory_max: None,
    memory_high: None,
    pids_max: None,
};

const FIELDS: [(&str, Change); 33] = [
    ("comment", |it| it.comment = "a\0".to_owned()),
    ("environment", |it| set(it, |it| it.environment = vec![("1A".to_owned(), String::new())])),
    ("environment", |it| set(it, |it| it.environment = vec![("A".to_owned(), "\0".to_owned())])),
    ("environment_files", |it| {
        let file = EnvironmentFile { path: "file".to_owned(), optional: true };
        set(it, |it| it.environment_files = vec![file]);
    }),
    ("working_directory", |it| set(it, |it| it.working_directory = Some("tmp".to_owned()))),
    ("working_directory", |it| set(it, |it| it.working_directory = Some("/a\0".to_owned()))),
    ("umask", |it| set(it, |it| it.umask = Some(0o1000))),
    ("nice", |it| set(it, |it| it.nice = Some(20))),
    ("nice", |it| set(it, |it| it.nice = Some(-21))),
    ("stdin", |it| set(it, |it| it.stdin = Stdin::File("file".to_owned()))),
    ("limits.cpu_weight", |it| limit(it, ResourceLimits { cpu_weight: Some(0), ..NO_LIMITS })),
    ("limits.cpu_weight", |it| limit(it, ResourceLimits { cpu_weight: Some(10_001), ..NO_LIMITS })),
    ("limits.cpu_quota", |it| limit(it, ResourceLimits { cpu_quota: Some(0), ..NO_LIMITS })),
    ("limits.memory_max", |it| {
        limit(it, ResourceLimits { memory_max: Some((8 << 20) - 1), ..NO_LIMITS })
    }),
    ("limits.memory_high", |it| limit(it, ResourceLimits { memory_high: Some(0), ..NO_LIMITS })),
    ("limits.pids_max", |it| limit(it, ResourceLimits { pids_max: Some(0), ..NO_LIMITS })),
    ("stop.signal", |it| it.stop.signal = 0),
    ("stop.signal", |it| it.stop.signal = 65),
    ("restart.delay", |it| {
        it.restart.delay = Duration::ZERO;
        (it.restart.max_delay, it.restart.steps) = (Some(milliseconds(1)), 1);
    }),
    ("restart.max_delay", |it| {
        (it.restart.max_delay, it.restart.steps) = (Some(milliseconds(99)), 1);
    }),
    ("restart.max_delay", |it| it.restart.steps = 1),
    ("restart.steps", |it| it.restart.max_delay = Some(milliseconds(1_000))),
    ("restart.start_limit.starts", |it| {
        it.restart.start_limit = Some(StartLimit { starts: 0, interval: milliseconds(1) });
    }),
    ("restart.start_limit.interval", |it| {
        it.restart.start_limit = Some(StartLimit { starts: 1, interval: Duration::ZERO });
    }),
    ("restart.prevent", |it| {
        it.restart.prevent = ExitSet { signals: [65].into(), ..ExitSet::default() };
    }),
    ("start_timeout", |it| it.start_timeout = Some(Duration::ZERO)),
    ("run_limit", |it| it.run_limit = Some(Duration::ZERO)),
    ("restart.when", |it| {
        oneshot(it, false);
        it.restart.when = RestartWhen::Always;
    }),
    ("restart.when", |it| {
        oneshot(it, true);
        it.restart.when = RestartWhen::OnSuccess;
    }),
    ("readiness", |it| {
        oneshot(it, true);
        it.readiness = Readiness::Notify;
    }),
    ("run_limit", |it| {
        oneshot(it, true);
        it.run_limit = Some(milliseconds(1));
    }),
    ("on_reload", |it| {
        oneshot(it, false);
        it.on_reload = vec![words("/bin/a")];
    }),
    ("restart.success", |it| {
        it.restart.success = ExitSet { signals: [0].into(), ..ExitSet::default() };
    }),
];

#[test]
fn each_field_that_cannot_be_is_named_with_what_would_be_right() {
    for (field, change) in FIELDS {
        let mut spec = UnitSpec::new(web(), words("/bin/web"));
        change(&mut spec);
        let refused = spec.check().unwrap_err();
        assert_eq!(refused.field, field, "{refused}");
        let advice = ["expected", "leave it out", "give a", "bound it", "NUL", "less than"];
        assert!(advice.iter().any(|words| refused.why.contains(words)), "{refused}");
    }
}

#[test]
fn what_lies_just_within_every_bound_is_taken() {
    let mut spec = UnitSpec::new(web(), words("/bin/web"));
    set(&mut spec, |it| {
        (it.umask, it.nice) = (Some(0o777), Some(-20));
        it.working_directory = Some("/".to_owned());
        it.stdin = Stdin::Data(vec![0]);
    });
    let limits = ResourceLimits {
        cpu_weight: Some(10_000),
        cpu_quota: Some(1),
        memory_max: Some(8 << 20),
        memory_high: Some(u64::MAX),
        pids_max: Some(1),
    };
    limit(&mut spec, limits);
    (spec.stop.signal, spec.stop.timeout) = (64, Duration::ZERO);
    (spec.restart.delay, spec.restart.max_delay, spec.restart.steps) =
        (milliseconds(1), Some(milliseconds(1)), 1);
    assert_eq!(spec.check(), Ok(()));
}
