//! kill -9 in a storm of changes: nothing acknowledged is lost, nothing destroyed comes back.

use std::{path::Path, time::Duration};

use libtest_mimic::Trial;
use schedule::{Change, Options, Schedule};

use crate::{
    child::{Process, say},
    making::{Place, View, name, view},
    model::{self, Model},
};

pub(crate) fn cases() -> Vec<Trial> {
    crate::cases![kill_9_loses_nothing, kill_9_while_opening_loses_nothing]
}

/// What commit number `number` of this round changes; the same in the child and in the test.
fn changes(round: u64, number: u64) -> Vec<Change> {
    let mut state = round.wrapping_mul(1_000_003).wrapping_add(number);
    let mut random = move |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let at = i64::try_from(round * 100_000 + number).unwrap();
    let change = |random: &mut dyn FnMut(u64) -> u64| {
        let unit = name(&format!("unit-{}", random(30)));
        match random(4) {
            0 | 1 => {
                // Of the long ones a few fill the file that is ahead of the database.
                let scale = if round % 5 == 4 { 40 } else { 1 };
                let length = usize::try_from(random(600) * scale).unwrap();
                crate::making::enable(&unit, &vec![b'x'; length], at)
            }
            2 => crate::making::disable(&unit, at),
            _ => crate::making::destroy(&unit, at),
        }
    };
    (0..=random(4)).map(|_| change(&mut random)).collect()
}

/// Commits until it is killed, and says the number of each commit that was acknowledged.
pub(crate) fn storm(folder: &Path, round: u64) {
    say("opening");
    let mut schedule = Schedule::open(folder, &Options::default()).unwrap();
    for number in 0.. {
        schedule.commit(changes(round, number)).unwrap();
        say(&number.to_string());
    }
}

/// Lets a child storm, kills it after so many lines, and tells how many commits it said were acknowledged.
fn kill_after(folder: &Path, round: u64, lines: u64, later: Duration) -> u64 {
    let mut child = Process::start("storm", folder, round);
    for _ in 0..lines {
        child.line().unwrap();
    }
    child.kill(later);
    let mut said = lines;
    while child.line().is_some() {
        said += 1;
    }
    // The first line is not a commit.
    said.saturating_sub(1)
}

fn rounds(count: u64, moment: impl Fn(u64) -> (u64, Duration)) {
    let place = Place::new();
    let mut model = Model::default();
    let mut unacknowledged = 0;
    for round in 0..count {
        let (lines, later) = moment(round);
        let acknowledged = kill_after(&place.folder(), round, lines, later);
        for number in 0..acknowledged {
            model::apply(&mut model, &changes(round, number));
        }
        let found: View = view(&place.open());
        if found != model {
            // The commit that was under way may be there too, as a whole.
            model::apply(&mut model, &changes(round, acknowledged));
            unacknowledged += 1;
        }
        assert_eq!(found, model, "round {round}, {acknowledged} acknowledged");
    }
    println!("of {count} kills {unacknowledged} came between the disk and the answer");
}

fn kill_9_loses_nothing() {
    rounds(60, |round| (2 + (round * 7) % 23, Duration::ZERO));
}

fn kill_9_while_opening_loses_nothing() {
    // An opening takes some ten milliseconds.
    rounds(40, |round| (1, Duration::from_micros(round * 400)));
}
