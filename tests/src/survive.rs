//! Killing the daemon while a program prints: is everything in the log, and once?

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use api::runtime::exit_record::Cause;

use crate::{Daemon, eventually};

/// What some rounds have shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// How often the daemon was killed.
    pub kills: u32,
    /// Lines that the programs had written before they ended.
    pub written: u64,
    /// Lines found in the log.
    pub found: u64,
}

/// Kills the daemon `rounds` times, each while a program of its own prints numbered lines: at full speed
/// in every other round, otherwise a thousand a second, so that both a full and an empty pipe are met.
///
/// # Panics
/// Where a line is missing, doubled, torn or in the wrong place, or the run's end is not recorded as lost.
pub fn rounds(daemon: &Daemon, rounds: u32) -> Counts {
    let mut counts = Counts::default();
    for round in 0..rounds {
        let count_file = daemon.work(&format!("count-{round}"));
        let rate = if round % 2 == 0 { "0" } else { "1000" };
        let run_id = {
            let mut run = daemon.run(daemon.probe(&["numbered", &count_file, rate]));
            // Another moment in every round: after more and more output has been seen.
            run.read_until(&format!("{:010}\n", 1 + u64::from(round % 10) * 7));
            let before = daemon.status().daemon_pid;
            kill(Pid::from_raw(before), Signal::SIGKILL).expect("the daemon lives");
            eventually("the keeper starts another daemon", || {
                daemon.status_if_there().is_some_and(|status| status.daemon_pid != before)
            });
            run.started.run_id.clone()
        };
        let logged = daemon.logs_of(&run_id);
        let exit = logged.exit.expect("the run's end is recorded");
        assert!(
            matches!(&exit.cause, Some(Cause::Lost(why)) if !why.is_empty()),
            "round {round}: a run whose daemon died is recorded as lost, not as {:?}",
            exit.cause
        );
        let output = daemon.aer(&["logs", &run_id]);
        assert!(output.status.success(), "round {round}: aer logs: {}", output.err());
        assert_eq!(
            output.stdout.len(),
            logged.stdout.len(),
            "round {round}: aer logs and Logs differ"
        );
        let found = check(round, &output.stdout);
        // The program counts after it has written, so that it may have been killed in between.
        let counted = fs::read_to_string(&count_file).expect("the program wrote its count");
        let counted: u64 = counted.trim().parse().expect("a number");
        assert!(
            found == counted || found == counted + 1,
            "round {round}: the program wrote {counted} lines, the log has {found}"
        );
        counts.kills += 1;
        counts.written += counted.max(found);
        counts.found += found;
        fs::remove_file(count_file).expect("it is there");
    }
    counts
}

/// Lines 1, 2, 3 … each whole and once: how many.
///
/// # Panics
/// Where one is not.
#[must_use]
pub fn check(round: u32, output: &[u8]) -> u64 {
    let mut expected = 0;
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        expected += 1;
        let wanted = format!("{expected:010}\n");
        assert!(
            line == wanted.as_bytes(),
            "round {round}: line {expected} reads {:?}",
            String::from_utf8_lossy(line)
        );
    }
    expected
}
