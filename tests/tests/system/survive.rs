//! The short form of the benchmark `survive`.

use tests::{Daemon, Options, Tracking, survive::rounds};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; twenty_kills_lose_nothing, kills_without_cgroups_lose_nothing]
}

/// Twenty kill -9 of the daemon while a program prints: every line is in the log, once.
fn twenty_kills_lose_nothing() {
    Daemon::with(Options::default().restart_delay("20ms"), |daemon| {
        let counts = rounds(daemon, 20);
        assert_eq!((counts.kills, counts.written), (20, counts.found));
    });
}

/// The same without cgroups.
fn kills_without_cgroups_lose_nothing() {
    let options = Options::default().tracking(Tracking::BestEffort).restart_delay("20ms");
    Daemon::with(options, |daemon| {
        let counts = rounds(daemon, 5);
        assert_eq!((counts.kills, counts.written), (5, counts.found));
    });
}
