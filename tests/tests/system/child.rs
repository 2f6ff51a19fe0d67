//! What a program finds itself to be when it starts.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;
use tests::{
    Daemon, Options, procfs,
    wait::{PATIENCE, holds_within},
};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        only_three_descriptors,
        exactly_six_variables,
        signals_as_new,
        a_session_of_its_own,
        limits_as_they_were,
        huge_pages_as_ever,
    ]
}

fn report(daemon: &Daemon) -> (Value, String) {
    let answer = daemon.answer(daemon.probe(&["report"]));
    (serde_json::from_str(&answer.stdout).expect("the probe's report"), answer.run_id)
}

/// Input is /dev/null, the outputs are two pipes, and nothing else is open.
fn only_three_descriptors(options: Options) {
    Daemon::with(options, |daemon| {
        let (report, _) = report(daemon);
        let open = report["descriptors"].as_object().unwrap();
        assert_eq!(open.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{open:?}");
        assert_eq!(open["0"], "/dev/null");
        let (one, two) = (open["1"].as_str().unwrap(), open["2"].as_str().unwrap());
        assert!(one.starts_with("pipe:") && two.starts_with("pipe:") && one != two, "{open:?}");
    });
}

/// The environment is the documented six variables, whatever the daemon's own is.
fn exactly_six_variables(options: Options) {
    Daemon::with(options.environment("DAEMONS_SECRET", "42"), |daemon| {
        let (report, run_id) = report(daemon);
        let environment = report["environment"].as_object().unwrap();
        let mut keys: Vec<_> = environment.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["AURAE_RUN", "HOME", "LOGNAME", "PATH", "SHELL", "USER"]);
        assert_eq!(environment["AURAE_RUN"], run_id.as_str());
        assert_eq!(environment["USER"], environment["LOGNAME"]);
        for key in ["HOME", "PATH", "SHELL"] {
            assert!(environment[key].as_str().unwrap().starts_with('/'), "{key}: {environment:?}");
        }
    });
}

/// No signal is blocked, none ignored, none caught: SIGPIPE and SIGCHLD work as programs expect.
fn signals_as_new(options: Options) {
    Daemon::with(options, |daemon| {
        let (report, _) = report(daemon);
        let mask = |key: &str| {
            u64::from_str_radix(report["signals"][key].as_str().unwrap(), 16).expect("hexadecimal")
        };
        assert_eq!(mask("blocked"), 0, "blocked");
        // Rust's own start-up ignores SIGPIPE and catches SEGV and BUS in the probe: those are not ours.
        assert_eq!(mask("ignored") & !(1 << 12), 0, "ignored: {:x}", mask("ignored"));
        assert_eq!(mask("caught") & !(1 << 6 | 1 << 10), 0, "caught: {:x}", mask("caught"));
        // A program without such a start-up shows the rest.
        let words = ["/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"];
        let answer = daemon.answer(tests::argv(&words));
        let zeros = |line: &str| line.split(':').nth(1).unwrap().trim().chars().all(|c| c == '0');
        assert_eq!(answer.stdout.lines().count(), 3);
        let masks = answer.stdout.lines().filter(|line| !line.starts_with("SigCgt"));
        assert!(masks.into_iter().all(zeros), "{}", answer.stdout);
    });
}

/// A run leads a session and a process group of its own, so that no terminal's signals reach it.
fn a_session_of_its_own(options: Options) {
    Daemon::with(options, |daemon| {
        let (report, _) = report(daemon);
        assert_eq!(report["session"], report["pid"], "{report}");
        assert_eq!(report["group"], report["pid"], "{report}");
        assert_eq!(report["parent"], daemon.keeper(), "{report}");
    });
}

/// Whatever the daemon raised or lowered for itself, a program gets as the daemon found it.
fn limits_as_they_were(options: Options) {
    Daemon::with(options, |daemon| {
        let (report, _) = report(daemon);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(report["limits"]["nofile"], serde_json::json!([soft, hard]), "{report}");
        let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        assert_eq!(report["oom_score_adj"], own.trim(), "{report}");
    });
}

/// Where the kernel rounds memory up to huge pages, the daemon's is not, and a program has as many as if nobody had started it.
fn huge_pages_as_ever(options: Options) {
    Daemon::with(options, |daemon| {
        let words = ["/bin/grep", "THP_enabled", "/proc/self/status"];
        let ours = fs::read_to_string("/proc/self/status").unwrap();
        let line = ours.lines().find(|line| line.starts_with("THP_enabled")).unwrap_or_default();
        assert_eq!(daemon.answer(tests::argv(&words)).stdout.trim_end(), line);
        let daemon = daemon.status().daemon_pid;
        // A kernel without them has nothing to round up to.
        let size = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
        let size = size.ok().and_then(|size| size.trim().parse().ok()).unwrap_or(usize::MAX / 4);
        let mut found = None;
        // From here on nobody asks it anything: it looks by itself.
        let held = holds_within(PATIENCE, || {
            found = procfs::huge_pages(daemon, size);
            found.as_ref().is_some_and(Vec::is_empty)
        });
        assert!(held, "what may become a huge page: {found:#?}");
    });
}
