//! The short form of the benchmark `survive`.

use tests::{
    Daemon, Options, Tracking,
    survive::{one_program, rounds},
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; twenty_kills_lose_nothing, one_program_outlives_twenty_daemons, kills_without_cgroups_lose_nothing]
}

/// Twenty kill -9 of the daemon while a program prints: every line is in the log, once.
fn twenty_kills_lose_nothing() {
    Daemon::with(Options::default().restart_delay("20ms"), |daemon| {
        let counts = rounds(daemon, 20);
        assert_eq!((counts.kills, counts.lost, counts.written), (20, 0, counts.found));
    });
}

/// Twenty daemons are killed while one program prints as fast as it can: it goes on, and every line is in the log, once.
fn one_program_outlives_twenty_daemons() {
    Daemon::with(Options::default().restart_delay("20ms"), |daemon| {
        let counts = one_program(daemon, 20);
        assert_eq!((counts.kills, counts.written), (20, counts.found));
    });
}

/// The same without cgroups.
fn kills_without_cgroups_lose_nothing() {
    let options = Options::default().tracking(Tracking::BestEffort).restart_delay("20ms");
    Daemon::with(options, |daemon| {
        let counts = rounds(daemon, 5);
        assert_eq!((counts.kills, counts.lost, counts.written), (5, 0, counts.found));
    });
}
