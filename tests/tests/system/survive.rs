//! The short forms of the benchmark `survive`: nothing is lost, however the daemon dies.

use std::sync::{Mutex, PoisonError};

use tests::{
    Need, Options, Tracking,
    storm::{
        Death, Plan, Random,
        line::{Lines, add_line},
        seed, storm_alone,
    },
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        fifty_kills_lose_nothing,
        kills_without_cgroups_lose_nothing,
        restarts_and_upgrades_lose_nothing,
        whoever_counts_lines_sees_each_fault,
    ];
    all.extend(cases![[Need::Faults]; panics_lose_nothing, spins_lose_nothing, leaks_lose_nothing]);
    all
}

/// Everything at once, while the daemon dies so often in one of these ways.
fn lose_nothing(options: Options, kills: u32, deaths: &[Death]) {
    // Each takes all of the machine that it can get.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = Plan { seed: seed(), kills, deaths, burst: 3_000_000 };
    let counts = storm_alone(options, &plan);
    println!("{counts}");
    counts.assert_clean();
}

/// Fifty kill -9 of the daemon under services that flap, programs that print, commands and changes of the schedule: no
/// child, no line, no exit and no acknowledged change is lost or there twice.
fn fifty_kills_lose_nothing() {
    lose_nothing(Options::default(), 50, &[Death::Kill]);
}

/// The same without cgroups.
fn kills_without_cgroups_lose_nothing() {
    lose_nothing(Options::default().tracking(Tracking::BestEffort), 10, &[Death::Kill]);
}

/// The same where it is restarted and upgraded, its keeper too, and killed, also before the one that follows serves.
fn restarts_and_upgrades_lose_nothing() {
    lose_nothing(Options::default(), 15, &[Death::Restart, Death::Upgrade, Death::Kill]);
}

/// The same where the supervisor panics.
fn panics_lose_nothing() {
    lose_nothing(Options::default(), 20, &[Death::Panic, Death::Panic, Death::Kill]);
}

/// The same where the supervisor spins until the keeper has had enough of it.
fn spins_lose_nothing() {
    lose_nothing(Options::default(), 6, &[Death::Spin]);
}

/// The same where the supervisor takes all memory that it can get.
fn leaks_lose_nothing() {
    lose_nothing(Options::default(), 8, &[Death::Leak, Death::Kill]);
}

/// Whoever counts the lines sees each that is lost, repeated or torn, however they are cut when they are read.
fn whoever_counts_lines_sees_each_fault() {
    let mut random = Random::new(seed());
    for _ in 0..300 {
        let mut lines: Vec<Vec<u8>> = (1..=40)
            .map(|number| {
                let mut line = Vec::new();
                add_line(number, &mut line);
                line
            })
            .collect();
        let at = usize::try_from(random.below(40)).unwrap();
        let wanted = match random.below(4) {
            0 => (40, 0, 0, 0),
            1 => {
                lines.remove(at);
                (39, 1, 0, 0)
            }
            2 => {
                lines.insert(at + 1, lines[at].clone());
                (40, 0, 1, 0)
            }
            _ => {
                lines[at].remove(3);
                (39, 1, 0, 1)
            }
        };
        let mut counted = Lines::default();
        let mut all = &*lines.concat();
        while !all.is_empty() {
            let length = usize::try_from(1 + random.below(200)).unwrap().min(all.len());
            counted.add(&all[..length]);
            all = &all[length..];
        }
        counted.end(40);
        let found = (counted.found, counted.lost, counted.repeated, counted.torn);
        assert_eq!(found, wanted, "{counted}");
        assert_eq!(counted.are_whole(), wanted == (40, 0, 0, 0));
    }
}
