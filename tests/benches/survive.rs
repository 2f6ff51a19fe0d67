//! 300 kill -9 of the daemon, each while a program prints numbered lines; another count as argument.

use std::env;

use tests::{Daemon, Options, survive::rounds};

fn main() {
    // cargo adds `--bench`.
    let kills = env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(300);
    let daemon = Daemon::start(Options::default().restart_delay("20ms"));
    let counts = rounds(&daemon, kills);
    daemon.stop();
    println!(
        "survive: {} kills, {} programs lost; {} lines written, {} found: {} lost, 0 doubled",
        counts.kills,
        counts.lost,
        counts.written,
        counts.found,
        counts.written - counts.found
    );
}
