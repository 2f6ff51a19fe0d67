//! 200 times kill -9 of keeper and daemon at once, each under a storm of enable, disable and destroy; another count as
//! argument, another storm with AURAE_SEED.

use std::env;

use tests::{
    Daemon, Options,
    storm::{crashes, seed},
};

fn main() {
    // cargo adds `--bench`.
    let kills = env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(200);
    let seed = seed();
    println!("schedule_storm: AURAE_SEED={seed}");
    let mut daemon = Daemon::start(Options::default());
    let counts = crashes(&mut daemon, seed, kills);
    daemon.stop();
    println!(
        "schedule_storm: {} kills ({} while starting), {} changes acknowledged, 0 lost, 0 back; {} were under way, {} of them there",
        counts.kills,
        counts.while_starting,
        counts.acknowledged,
        counts.under_way,
        counts.under_way_found
    );
}
