//! Power cuts: the machine is killed while what is enabled changes and units print, and boots again.

use std::{collections::BTreeSet, env, fs, sync::mpsc, thread, time::Duration};

use libtest_mimic::Trial;
use tests::{
    storm::{Random, seed},
    vm::{Boot, Machine, store::Kernel},
    wait::{pass, wall_clock},
};

use crate::{
    PROBE,
    disks::{Disk, KERNEL},
    json, status, trials, until_running,
};

/// How often in the tests; AURAE_VM_CUTS says otherwise.
const CUTS: u32 = 10;

/// How often with the newest kernel.
const CUTS_OF_NEWEST: u32 = 2;

/// The longest that a machine works before it is cut, in milliseconds.
const LONGEST: u64 = 4000;

/// So often it works for longer, so that something is to be on the disk.
const LONGER: u32 = 5;

/// What was printed so long before a cut is there, whatever is lost: twelve times `sync_interval`, since the disk of an emulated
/// machine is slow, and other machines may be emulated beside it.
const SYNCED: Duration = Duration::from_secs(3);

/// A line of the program that prints: ten digits and a newline.
const LINE: usize = 11;

pub(crate) fn trials() -> Vec<Trial> {
    trials![loses_nothing_that_was_acknowledged, loses_nothing_with_the_newest_kernel]
}

/// What a client was told of the schedule.
#[derive(Debug, Default)]
struct Known {
    enabled: BTreeSet<String>,
    /// Ordered, and never answered: either way is right.
    open: BTreeSet<String>,
    /// How many changes were acknowledged, of which so many took back another.
    changes: u32,
    disables: u32,
}

/// Whatever moment the power is cut at: every change that was acknowledged is there, no other one is, the filesystem is whole,
/// and what a log has is what was printed, up to some byte, with all of it that was to be on the disk by then.
fn loses_nothing_that_was_acknowledged() {
    let cuts = env::var("AURAE_VM_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    loses_nothing("loses_nothing_that_was_acknowledged", KERNEL, cuts);
}

fn loses_nothing_with_the_newest_kernel() {
    loses_nothing("loses_nothing_with_the_newest_kernel", Kernel::Newest, CUTS_OF_NEWEST);
}

fn loses_nothing(name: &str, kernel: Kernel, cuts: u32) {
    // Logs are on the disk soon, so that there is something to be cut.
    let disk = Disk::of(kernel, |root| {
        fs::write(root.join("etc/aurae/auraed.toml"), "[logs]\nsync_interval = \"250ms\"\n")
            .unwrap();
    });
    let seed = seed();
    eprintln!("AURAE_SEED={seed}");
    let mut chance = Random::new(seed);
    let mut known = Known::default();
    let (mut kept, mut due, mut gaps, mut zeros, mut synced) = (0, 0, 0, 0, 0);
    for cut in 0..=cuts {
        let machine = Machine::start(Boot::of(name, kernel).from_disk(&disk.path()));
        until_running(&machine, "steady");
        is_there(&machine, &mut known);
        if cut > 0 {
            let found = log_is_cut_cleanly(&machine, cut - 1);
            assert!(
                found.whole >= synced,
                "{synced} lines were on the disk, and {} are as they were",
                found.whole
            );
            kept += found.lines;
            due += synced;
            gaps += found.gaps;
            zeros += found.zeros;
        }
        if cut == cuts {
            machine.agent.kill(1, 34 + 4);
            let _ = machine.ends();
            break;
        }
        let longer = if cut % LONGER == LONGER - 1 { SYNCED } else { Duration::ZERO };
        let after = longer + Duration::from_millis(chance.below(LONGEST));
        synced = works_until_cut(&machine, cut, after, &mut known);
    }
    disk.is_clean();
    let Known { changes, disables, .. } = known;
    eprintln!(
        "{cuts} cuts of {kernel:?}: {changes} changes acknowledged, {disables} of them disables, none lost; {kept} lines kept, \
         {due} of them synced, {gaps} gaps told, {zeros} zeros"
    );
    assert!(changes > disables, "nothing was ever acknowledged");
    // Few cuts may all come early.
    assert!(disables > 0 || cuts < LONGER, "nothing was ever taken back");
    assert!(kept > 0, "no log ever had a line");
    assert!(due > 0 || cuts < LONGER, "nothing was ever on the disk for long enough");
}

/// What is enabled is what was acknowledged, and maybe what was open.
#[track_caller]
fn is_there(machine: &Machine, known: &mut Known) {
    let status = status(machine);
    assert_eq!(status["problems"], serde_json::json!([]), "{status}");
    let listed = machine.told(&["-o", "json", "list", "--enabled"]);
    let names = listed.lines().map(|line| json(line)["name"].as_str().unwrap().to_owned());
    let mut names: BTreeSet<String> = names.collect();
    assert!(names.remove("steady"), "{names:?}");
    // One that was to be taken back, and was not answered, may be gone.
    let lost: Vec<_> =
        known.enabled.difference(&names).filter(|name| !known.open.contains(*name)).collect();
    assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
    let strange: Vec<_> =
        names.difference(&known.enabled).filter(|name| !known.open.contains(*name)).collect();
    assert!(strange.is_empty(), "there, and never asked for: {strange:?}");
    known.open.clear();
    known.enabled = names;
}

/// What a log has after a cut.
#[derive(Debug, Default)]
struct Found {
    lines: usize,
    /// Of these, before anything was missing.
    whole: usize,
    /// How many were told.
    gaps: usize,
    zeros: usize,
}

/// The byte of this place in what the program printed.
fn printed_at(place: usize) -> u8 {
    let number = format!("{:010}\n", place / LINE + 1);
    number.as_bytes()[place % LINE]
}

/// The log of the unit that printed before this boot has what was printed, each byte in its place, up to some byte. What had
/// not been synced yet may be zeros, each in the place of one byte, or be missing, which is told then, as often as it is so
/// (docs/log-format.md).
#[track_caller]
fn log_is_cut_cleanly(machine: &Machine, cut: u32) -> Found {
    let output = machine.aer(&["logs", &format!("writer-{cut}")]);
    let (printed, told) = (output.stdout.as_slice(), output.err());
    assert!(printed.last() != Some(&0), "zeros at the end are cut off\n{told}");
    let mut found = Found { gaps: told.matches("missing here").count(), ..Found::default() };
    // The place of the next byte in what was printed, and how often some were left out.
    let (mut place, mut left_out) = (0, 0);
    let mut whole = None;
    let mut at = 0;
    while at < printed.len() {
        if printed[at] == printed_at(place) || printed[at] == 0 {
            if printed[at] == 0 {
                found.zeros += 1;
                whole.get_or_insert(place / LINE);
            }
            (at, place) = (at + 1, place + 1);
            continue;
        }
        left_out += 1;
        whole.get_or_insert(place / LINE);
        assert!(
            left_out <= found.gaps,
            "untold, something is missing before line {}\n{told}",
            place / LINE
        );
        // On with the next whole line.
        let Some(next) = next_line(printed, at) else { break };
        let after = (next.1 - 1) * LINE;
        assert!(after > place, "line {} comes twice, or too late\n{told}", next.1);
        (at, place) = (next.0, after);
    }
    found.lines = place / LINE;
    found.whole = whole.unwrap_or(found.lines);
    found
}

/// Where the next whole line begins after this place, and its number.
fn next_line(printed: &[u8], from: usize) -> Option<(usize, usize)> {
    (from.max(1)..printed.len()).find_map(|at| {
        let line = printed.get(at..at + LINE).filter(|_| printed[at - 1] == b'\n')?;
        let number = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.parse().ok()?;
        Some((at, number))
    })
}

/// Enables and disables units, one after the other, while another one prints, and cuts the power so long after both have begun.
/// How many lines are to be on the disk by then.
fn works_until_cut(machine: &Machine, cut: u32, after: Duration, known: &mut Known) -> usize {
    let name = format!("writer-{cut}");
    let _ = machine.told(&["start", "--name", &name, "--", PROBE, "numbered", "/run/count", "0"]);
    let (begin, begun) = mpsc::sync_channel(1);
    let mut counted = Vec::new();
    thread::scope(|scope| {
        let cutter = scope.spawn(move || {
            begun.recv().expect("both begin");
            pass(after);
            let at = wall_clock();
            machine.cut_power();
            at
        });
        for number in 0.. {
            let printed = machine.agent.ask(&["read", "/run/count"], &[]);
            let printed =
                printed.ok().and_then(|count| String::from_utf8(count).ok()?.trim().parse().ok());
            counted.extend(printed.map(|count: usize| (wall_clock(), count)));
            if number > 0 && printed.is_some() {
                // It is waited for the first only.
                let _ = begin.try_send(());
            }
            // Every other takes back one that there is, and so the first after every other cut.
            let taken_back = known.enabled.first().filter(|_| (cut + number) % 2 == 1).cloned();
            let disables = taken_back.is_some();
            let name = taken_back.unwrap_or_else(|| format!("unit-{cut}-{number}"));
            known.open.insert(name.clone());
            let words = ["--reconnect", "0", "enable", &name, "--", PROBE, "exit", "0"];
            let disable = ["--reconnect", "0", "disable", &name];
            let words = if disables { &disable[..] } else { &words };
            let acknowledged = machine.aer(words).status.success();
            if acknowledged {
                known.open.remove(&name);
                known.changes += 1;
                if disables {
                    known.enabled.remove(&name);
                    known.disables += 1;
                } else {
                    known.enabled.insert(name);
                }
            }
            if machine.has_ended() || !acknowledged {
                break;
            }
        }
        drop(begin);
        let cut = cutter.join().unwrap();
        let synced = i64::try_from(SYNCED.as_nanos()).expect("some seconds");
        let synced = counted.iter().rev().find(|(at, _)| cut - *at >= synced);
        synced.map_or(0, |(_, count)| *count)
    })
}
