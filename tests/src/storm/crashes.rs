//! kill -9 of keeper and daemon at once under a storm of changes: is what was acknowledged there, and nothing else?

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Random,
    changes::{Changer, compare},
};
use crate::{
    Daemon,
    wait::{Deadline, PATIENCE, pass},
};

const CLIENTS: u64 = 4;

/// What some rounds have shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crashes {
    /// How often keeper and daemon were killed.
    pub kills: u32,
    /// How many of the kills came while the daemon was still starting.
    pub while_starting: u32,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes that were under way at a kill.
    pub under_way: u64,
    /// How many of those were there afterwards.
    pub under_way_found: u64,
}

/// Kills keeper and daemon this often, each at a random moment of a storm.
///
/// # Panics
/// Where something acknowledged is lost, or something destroyed is back; the message has the seed.
pub fn crashes(daemon: &mut Daemon, seed: u64, rounds: u32) -> Crashes {
    let mut counts = Crashes::default();
    let mut random = Random::new(seed);
    let count = Arc::<AtomicU64>::default();
    let mut changers: Vec<Changer> =
        (0..CLIENTS).map(|number| Changer::new(number, random.branch()).counting(&count)).collect();
    for round in 0.. {
        let until = count.load(Ordering::Relaxed) + random.below(60);
        changers = storm(daemon, changers, || count.load(Ordering::Relaxed) < until);
        counts.kills += 1;
        // Also the opening of the store must be killed, at every moment of it.
        while counts.kills < rounds && random.below(4) == 0 {
            daemon.launch_again();
            pass(Duration::from_micros(random.below(60_000)));
            daemon.crash();
            counts.kills += 1;
            counts.while_starting += 1;
        }
        daemon.start_again();
        let complaints = compare(daemon, &mut changers);
        assert!(complaints.is_empty(), "AURAE_SEED={seed}, round {round}: {complaints:#?}");
        if counts.kills >= rounds {
            break;
        }
    }
    counts.acknowledged = count.load(Ordering::Relaxed);
    counts.under_way = changers.iter().map(|changer| changer.had_no_answer).sum();
    counts.under_way_found = changers.iter().map(|changer| changer.of_these_made).sum();
    counts
}

/// Lets all of them change as long as this holds, and kills in the middle of the next changes.
fn storm(daemon: &mut Daemon, changers: Vec<Changer>, goes_on: impl Fn() -> bool) -> Vec<Changer> {
    let begin = |changer: Changer| {
        let client = daemon.change_client();
        daemon.runtime().spawn(changer.change_until_broken(client))
    };
    let begun: Vec<_> = changers.into_iter().map(begin).collect();
    let deadline = Deadline::after(PATIENCE);
    while goes_on() {
        assert!(!deadline.passed(), "the daemon acknowledges nothing");
        std::thread::yield_now();
    }
    daemon.crash();
    begun.into_iter().map(|changer| daemon.block(changer).expect("no panic")).collect()
}
