//! Killing the daemon while a program prints: is everything in the log, and once?

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use api::runtime::StopRequest;
use tonic::Request;

use crate::{Daemon, procfs, rpc};

/// What some rounds have shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// How often the daemon was killed.
    pub kills: u32,
    /// Programs that did not outlive it, or not as they were.
    pub lost: u32,
    /// Lines that the programs had written before they ended.
    pub written: u64,
    /// Lines found in the log.
    pub found: u64,
}

/// Kills the daemon `rounds` times, each while a program of its own prints numbered lines: at full speed
/// in every other round, otherwise a thousand a second, so that both a full and an empty pipe are met. The program
/// outlives it; then it is stopped.
///
/// # Panics
/// Where a line is missing, doubled, torn or in the wrong place, or the run's end is not recorded as it was.
pub fn rounds(daemon: &Daemon, rounds: u32) -> Counts {
    let mut counts = Counts::default();
    for round in 0..rounds {
        let count_file = daemon.work(&format!("count-{round}"));
        let rate = if round % 2 == 0 { "0" } else { "1000" };
        let (run_id, pid) = {
            let mut run = daemon.run(daemon.probe(&["numbered", &count_file, rate]));
            // Another moment in every round: after more and more output has been seen.
            run.read_until(&format!("{:010}\n", 1 + u64::from(round % 10) * 7));
            daemon.replace();
            (run.started.run_id.clone(), run.started.pid)
        };
        let lives = procfs::alive(pid) && procfs::parent(pid) == Some(daemon.keeper());
        counts.lost += u32::from(!lives);
        let stop = StopRequest { run_id: run_id.clone(), ..StopRequest::default() };
        daemon.order_stop(Request::new(stop)).expect("a run can be stopped");
        let logged = daemon.logs_of(&run_id);
        let exit = logged.exit.expect("the run's end is recorded");
        assert_eq!(rpc::signal(&exit), Some(15), "round {round}: {exit:?}");
        assert_eq!(exit.pid, pid, "round {round}");
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

/// Kills the daemon so often while one program prints numbered lines as fast as it can, and then the program.
///
/// # Panics
/// Where a line is missing, doubled, torn or in the wrong place, or the program does not outlive each daemon.
pub fn one_program(daemon: &Daemon, kills: u32) -> Counts {
    let count_file = daemon.work("count");
    let (run_id, pid) = {
        let mut run = daemon.run(daemon.probe(&["numbered", &count_file, "0"]));
        run.read_until("0000000001\n");
        daemon.replace();
        (run.started.run_id.clone(), run.started.pid)
    };
    for _ in 1..kills {
        daemon.replace();
    }
    assert!(procfs::alive(pid), "it is gone");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    let logged = daemon.logs_of(&run_id);
    assert_eq!(rpc::signal(&logged.exit.expect("its end is recorded")), Some(9));
    let found = check(0, &logged.stdout);
    let counted: u64 =
        fs::read_to_string(&count_file).expect("its count").trim().parse().expect("a number");
    assert!(found == counted || found == counted + 1, "{counted} were written, and {found} found");
    fs::remove_file(count_file).expect("it is there");
    Counts { kills, lost: 0, written: counted.max(found), found }
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
