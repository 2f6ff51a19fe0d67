//! The core tests with every kind of daemon, and what the daemon says about its kind.

use libtest_mimic::Trial;
use tests::{Daemon, Need, Options, Tracking, argv, procfs, rpc::named};

use crate::{
    Case, Core, adopt, boot, cases, child, command, ends, exec, orphaned, run, schedule, stop,
    trial, units,
};

/// nobody, who owns nothing.
const ORDINARY: u32 = 65534;

/// Every test that any daemon must pass.
fn core() -> Vec<Core> {
    [
        boot::core(),
        child::core(),
        command::core(),
        ends::core(),
        exec::core(),
        run::core(),
        schedule::core(),
        stop::core(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Those of units that this kind of daemon could tell apart: how a process is made changes nothing for a unit.
fn of_units(kind: &str) -> Vec<Core> {
    match kind {
        "" => [units::tracked(), units::equipped(), adopt::core(), orphaned::core()]
            .into_iter()
            .flatten()
            .collect(),
        "best_effort::" => {
            [units::equipped(), adopt::core(), orphaned::core()].into_iter().flatten().collect()
        }
        "ordinary_user::" => {
            [units::tracked(), adopt::core(), orphaned::core()].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Every core test with every kind of daemon, and those of units.
pub(crate) fn trials() -> Vec<Trial> {
    let kinds: [(&str, &[Need], Options); 6] = [
        ("", &[], Options::default()),
        ("best_effort::", &[], Options::default().tracking(Tracking::BestEffort)),
        ("clone3::", &[Need::Cgroup], Options::default().spawn("clone3")),
        ("clone::", &[Need::Cgroup], Options::default().spawn("clone")),
        ("ordinary_user::", &[Need::OtherUser], Options::default().user(ORDINARY)),
        (
            "delegated::",
            &[Need::OtherUser, Need::Cgroup],
            Options::default().user(ORDINARY).delegated(),
        ),
    ];
    let mut trials = Vec::new();
    for (prefix, needs, options) in &kinds {
        for Core { name, body } in core().into_iter().chain(of_units(prefix)) {
            let name = format!("{prefix}{}", name.strip_prefix("system::").unwrap_or(name));
            let options = options.clone();
            trials.push(trial(&name, needs, move || body(options)));
        }
    }
    trials
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all =
        cases![[Need::Cgroup]; says_cgroup, says_each_spawn_method, lives_in_the_root_cgroup];
    all.extend(cases![[]; says_best_effort, refuses_unknown_spawn_method]);
    all.extend(cases![[Need::OtherUser]; an_ordinary_user_gets_best_effort]);
    all.extend(cases![[Need::OtherUser, Need::Cgroup]; a_delegated_cgroup_is_used]);
    all
}

/// Status names the tracking and the cgroup below which runs live, each in its name's folder; nameless ones
/// share one.
fn says_cgroup() {
    Daemon::with(Options::default(), |daemon| {
        let status = daemon.status();
        assert!(["cgroup2", "cgroup2 (hybrid)"].contains(&status.tracking.as_str()), "{status:?}");
        let base = tests::cgroup::mount().unwrap().join(status.cgroup.trim_start_matches('/'));
        assert!(base.is_dir(), "{}", base.display());
        let lives = |executable, folder: &str| {
            let run = daemon.run(executable);
            let cgroup = procfs::cgroup(&run.started.pid.to_string()).unwrap();
            let wanted = format!("units/{folder}/{}", run.started.run_id);
            assert!(cgroup.ends_with(&wanted), "{} does not end with {wanted}", cgroup.display());
            assert!(
                cgroup.to_string_lossy().contains(status.cgroup.trim_end_matches('/')),
                "{cgroup:?}"
            );
        };
        lives(named("web", daemon.probe(&["pause"])), "web");
        lives(daemon.probe(&["pause"]), "_commands");
    });
}

/// The configured spawn method is the one that Status names.
fn says_each_spawn_method() {
    for method in ["clone3-into-cgroup", "clone3", "clone"] {
        Daemon::with(Options::default().spawn(method), |daemon| {
            assert_eq!(daemon.status().spawn_method, method);
            assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        });
    }
}

/// Started from a shell in the root cgroup, the daemon makes its own below it and takes it away again.
fn lives_in_the_root_cgroup() {
    Daemon::with(Options::default().uncaged(), |daemon| {
        assert!(daemon.status().tracking.starts_with("cgroup2"));
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
        assert!(!daemon.cgroups().is_empty(), "it did not make the cgroup it was told to");
    });
}

/// Without cgroups, Status says "best effort" and names no cgroup.
fn says_best_effort() {
    Daemon::with(Options::default().tracking(Tracking::BestEffort), |daemon| {
        let status = daemon.status();
        assert_eq!(status.tracking, "best effort");
        assert_eq!(status.cgroup, "");
        assert_ne!(status.spawn_method, "clone3-into-cgroup");
        assert!(daemon.cgroups().is_empty());
    });
}

/// A spawn method that does not exist is an error of the file that names the line.
fn refuses_unknown_spawn_method() {
    let house = tests::House::prepare(Options::default().spawn("fork"));
    let said = house.refused().err();
    assert!(said.contains("fork") || said.contains("method"), "{said}");
}

/// An ordinary user's daemon runs as that user, says "best effort", and needs no configuration of cgroups.
fn an_ordinary_user_gets_best_effort() {
    Daemon::with(Options::default().user(ORDINARY), |daemon| {
        assert_eq!(daemon.status().tracking, "best effort");
        assert_eq!(daemon.answer(argv(&["/usr/bin/id", "-u"])).stdout.trim(), ORDINARY.to_string());
    });
}

/// A cgroup that was handed to an ordinary user is used.
fn a_delegated_cgroup_is_used() {
    Daemon::with(Options::default().user(ORDINARY).delegated(), |daemon| {
        assert!(daemon.status().tracking.starts_with("cgroup2"), "{}", daemon.status().tracking);
    });
}
