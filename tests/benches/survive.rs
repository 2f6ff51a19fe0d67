//! A thousand deaths of the daemon under services that flap, 50 MB/s of numbered lines, commands and changes of the
//! schedule: the counts of what was lost, or there twice. Another count as argument; other deaths than kill -9 by their
//! names: `restart` and `upgrade`, which are ordered; `panic`, `spin` and `leak`, with `--profile dev`, whose daemon makes
//! faults. Another storm with AURAE_SEED.

use std::env;

use tests::{
    Need,
    storm::{Death, Plan, seed, storm_alone},
};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    // cargo adds `--bench`.
    let kills = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1000);
    let mut deaths: Vec<Death> = words.iter().filter_map(|word| Death::named(word)).collect();
    if deaths.is_empty() {
        deaths.push(Death::Kill);
    }
    if let (true, Some(why)) =
        (deaths.iter().any(|death| death.needs_faults()), Need::Faults.missing())
    {
        panic!("{why}: cargo bench -p tests --bench survive --profile dev -- {}", words.join(" "));
    }
    let plan = Plan { seed: seed(), kills, deaths: &deaths, burst: 5_000_000 };
    println!("survive: AURAE_SEED={}, {kills} times one of {deaths:?}", plan.seed);
    // Gigabytes are written, and all of them are counted.
    let counts = storm_alone(tests::Options::default().keeping_all_logs(), &plan);
    println!("{counts}");
    counts.assert_clean();
}
