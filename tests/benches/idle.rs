//! What an idle node costs: memory of keeper and daemon, and wake-ups in ten seconds; those of the database under the
//! schedule are counted apart, and allowed.

use std::{process::ExitCode, time::Duration};

use tests::{Daemon, Options, procfs, wait::holds_within};

/// Promised in docs/specification.md, in KiB.
const KEEPER_BOUND: u64 = 1536;
const BOTH_BOUND: u64 = 12 * 1024;
const IDLE: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(6);

fn main() -> ExitCode {
    let daemon = Daemon::start(Options::default());
    let (keeper, core) = (daemon.keeper(), daemon.status().daemon_pid);
    let switches = || (procfs::context_switches(keeper), procfs::context_switches(core));
    // The connection that asked for the status has to be gone, and the checksum made of what was logged last, five seconds
    // later: as long without any switch, or a minute.
    let mut last = switches();
    let quiet = holds_within(Duration::from_secs(60), || {
        let _ = holds_within(QUIET, || false);
        let now = switches();
        std::mem::replace(&mut last, now) == now
    });
    println!("idle: {}", if quiet { "quiet" } else { "never quiet within a minute" });
    let before = switches();
    let by_thread = procfs::context_switches_by_thread(core);
    // Ten idle seconds are the thing measured, not a wait for anything.
    let _ = holds_within(IDLE, || false);
    let after = switches();
    let database = by_database(&by_thread, &procfs::context_switches_by_thread(core));
    let memory = (procfs::pss_kib(keeper).unwrap_or(0), procfs::pss_kib(core).unwrap_or(0));
    let both = memory.0 + memory.1;
    println!("idle: keeper {} KiB PSS (bound {KEEPER_BOUND})", memory.0);
    println!("idle: daemon {} KiB PSS, together {both} KiB (bound {BOTH_BOUND})", memory.1);
    // A thread that ends in between takes its count along.
    let by_core = after.1.saturating_sub(before.1).saturating_sub(database);
    let by_keeper = after.0.saturating_sub(before.0);
    println!(
        "idle: wake-ups in {IDLE:?}: keeper {by_keeper}, daemon {by_core} (bound 0), threads of the schedule's database {database}"
    );
    daemon.stop();
    let known = memory.0 > 0 && memory.1 > 0;
    let small = memory.0 <= KEEPER_BOUND && both <= BOTH_BOUND;
    if known && small && by_keeper + by_core == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the database under the schedule costs: it has threads of its own, which nobody can configure to sleep.
fn by_database(before: &[(String, u64)], after: &[(String, u64)]) -> u64 {
    let sum = |threads: &[(String, u64)]| -> u64 {
        threads.iter().filter(|(name, _)| name.starts_with("sled")).map(|(_, count)| count).sum()
    };
    sum(after).saturating_sub(sum(before))
}
