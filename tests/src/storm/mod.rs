//! A storm over one daemon, which dies again and again under it: is anything lost, or there twice?
//!
//! At the same time services end and are started again, programs print numbered lines, clients execute commands, and
//! others change the schedule. Each keeps an account of its own of what really happened; in the end what the daemons
//! told is held against that. The moments and ways of the deaths, and all else that is chance, come from one seed.

mod chance;
mod changes;
mod commands;
mod counts;
mod crashes;
mod killer;
pub mod line;
mod lives;
mod prints;
mod task;

use std::{path::PathBuf, time::Duration};

use client::{Client, Endpoint};

pub use chance::{Random, seed};
pub use counts::Counts;
pub use crashes::{Crashes, crashes};
pub use killer::{Death, Faults, limit_memory};
pub use lives::Ending;
use task::Task;

use crate::{Daemon, Options, binaries, wait::wall_clock};

/// How long a client of the storm goes without a daemon.
const WITHOUT_DAEMON: Duration = Duration::from_secs(120);

/// A daemon that spins is ended so soon. On a busy machine one that does not may be, too.
const HANG_BOUND: &str = "answer_timeout = \"2s\"";

/// What kind of storm.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'p> {
    /// Where all chance comes from.
    pub seed: u64,
    /// How often the daemon dies.
    pub kills: u32,
    /// In which ways, one of them each time.
    pub deaths: &'p [Death],
    /// How many bytes are printed between two deaths, at 50 MB/s: nothing removes them yet.
    pub burst: u64,
}

/// The same over a daemon of its own, which is stopped in the end, and leaves nothing behind.
///
/// # Panics
/// Where a part of the storm cannot begin or end, or something is left.
#[must_use]
pub fn storm_alone(options: Options, plan: &Plan<'_>) -> Counts {
    let faults = Faults::new();
    let mut options = faults.options(options.restart_delay("20ms"));
    if plan.deaths.contains(&Death::Spin) {
        options = options.config("daemon", HANG_BOUND);
    }
    let daemon = Daemon::start(options);
    if plan.deaths.contains(&Death::Leak) {
        // Later daemons have it from the keeper.
        [daemon.keeper(), daemon.status().daemon_pid].into_iter().for_each(limit_memory);
    }
    let counts = storm(&daemon, &faults, plan);
    daemon.stop();
    counts
}

/// Has the daemon die as the plan says, under everything at once; what came of it.
///
/// # Panics
/// Where a part of the storm cannot begin or end, because no daemon answers.
#[must_use]
pub fn storm(daemon: &Daemon, faults: &Faults, plan: &Plan<'_>) -> Counts {
    let mut random = Random::new(plan.seed);
    let mut counts = Counts::of(plan.seed);
    let services = lives::Services::begin(daemon, &mut random);
    let mut printers = prints::Printers::begin(daemon, plan.burst);
    let callers = commands::Callers::begin(daemon, &mut random);
    let changers = changes::Changers::begin(daemon, &mut random);
    let begun = wall_clock();
    let deaths = plan.deaths;
    let mut killer = killer::Killer {
        daemon,
        faults,
        deaths,
        random: random.branch(),
        last: 0,
        unborn: Vec::new(),
        releases: if deaths.contains(&Death::Upgrade) {
            binaries::releases(daemon.path()).to_vec()
        } else {
            Vec::new()
        },
        waits: None,
    };
    for _ in 0..plan.kills {
        killer.kill(&mut counts, || printers.print());
    }
    killer.answering();
    killer.last_order_was_carried_out(&mut counts);
    let took = u64::try_from(wall_clock() - begun).expect("time goes on");
    counts.took = Duration::from_nanos(took);
    callers.end(&mut counts);
    changers.end(daemon, &mut counts);
    printers.end(daemon, &mut counts);
    services.end(daemon, &mut counts);
    let status = daemon.status();
    if (status.runs_live, status.healthy) != (0, true) {
        counts.complain(format!("in the end: {status:?}"));
    }
    let may_hang = plan.deaths.contains(&Death::Spin);
    if status.daemon_starts != plan.kills + 1 && !may_hang {
        counts.complain(format!("{} daemons were started", status.daemon_starts));
    }
    counts
}

/// A client that bears deaths.
async fn client_at(socket: PathBuf) -> Client {
    let client = Client::connect(Endpoint::Socket(socket)).await;
    client.expect("the keeper holds the socket").reconnecting_for(WITHOUT_DAEMON)
}
