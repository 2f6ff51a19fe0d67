//! Power cuts: the machine is killed while what is enabled changes and units print, and boots again.

use std::{collections::BTreeSet, env, fs, time::Duration};

use libtest_mimic::Trial;
use tests::{
    storm::{Random, seed},
    vm::{Boot, Machine},
    wait::pass,
};

use crate::{
    PROBE,
    disks::{Disk, KERNEL},
    json, status, trials, until_running,
};

/// How often in the tests; AURAE_VM_CUTS says otherwise.
const CUTS: u32 = 10;

/// The longest that a machine works before it is cut.
const LONGEST: u64 = 3000;

pub(crate) fn trials() -> Vec<Trial> {
    trials![loses_nothing_that_was_acknowledged]
}

/// What a client was told of the schedule.
#[derive(Debug, Default)]
struct Known {
    enabled: BTreeSet<String>,
    /// Ordered, and never answered: either way is right.
    open: BTreeSet<String>,
}

/// Whatever moment the power is cut at: every change that was acknowledged is there, no other one is, the filesystem is whole,
/// and what a log has is what was printed, up to some byte.
fn loses_nothing_that_was_acknowledged() {
    let cuts = env::var("AURAE_VM_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS);
    // Logs are on the disk soon, so that there is something to be cut.
    let disk = Disk::make(|root| {
        fs::write(root.join("etc/aurae/auraed.toml"), "[logs]\nsync_interval = \"250ms\"\n")
            .unwrap();
    });
    let seed = seed();
    eprintln!("AURAE_SEED={seed}");
    let mut chance = Random::new(seed);
    let mut known = Known::default();
    let mut lines = 0;
    for cut in 0..=cuts {
        let boot = Boot::of("loses_nothing_that_was_acknowledged", KERNEL);
        let machine = Machine::start(boot.from_disk(&disk.path()));
        until_running(&machine, "steady");
        is_there(&machine, &mut known);
        if cut > 0 {
            lines = lines.max(log_is_cut_cleanly(&machine, cut - 1));
        }
        if cut == cuts {
            machine.agent.kill(1, 34 + 4);
            let _ = machine.ends();
            break;
        }
        works_until_cut(&machine, cut, Duration::from_millis(chance.below(LONGEST)), &mut known);
    }
    disk.is_clean();
    assert!(known.enabled.len() > 1, "nothing was ever acknowledged");
    assert!(lines > 0, "no log ever had a line");
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
    let lost: Vec<_> = known.enabled.difference(&names).collect();
    assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
    let strange: Vec<_> =
        names.difference(&known.enabled).filter(|name| !known.open.contains(*name)).collect();
    assert!(strange.is_empty(), "there, and never asked for: {strange:?}");
    known.open.clear();
    known.enabled = names;
}

/// The log of the unit that printed before this boot has what was printed, in order and once. What had not been synced yet may
/// be missing in it, which is told then, or be zeros (docs/log-format.md); the last line may be cut anywhere.
#[track_caller]
fn log_is_cut_cleanly(machine: &Machine, cut: u32) -> usize {
    let output = machine.aer(&["logs", &format!("writer-{cut}")]);
    let (printed, told) = (output.out(), output.err());
    assert!(!printed.ends_with('\0'), "zeros at the end are cut off\n{told}");
    let zeros = printed.contains('\0');
    let is_whole = |line: &&str| line.len() == 10 && line.bytes().all(|byte| byte.is_ascii_digit());
    let whole: Vec<u32> =
        printed.lines().filter(is_whole).map(|line| line.parse().unwrap()).collect();
    let count = printed.lines().count();
    assert!(whole.is_sorted_by(|one, next| one < next), "out of order, or twice\n{told}");
    let missing = whole.iter().zip(1..).any(|(&line, wanted)| line != wanted);
    // The last one may be a part of a line.
    if missing || whole.len() + 1 < count {
        assert!(zeros || told.contains("missing here"), "lines are missing untold\n{told}");
    }
    whole.len()
}

/// Enables units, one after the other, while another one prints, and cuts the power after this time.
fn works_until_cut(machine: &Machine, cut: u32, after: Duration, known: &mut Known) {
    let name = format!("writer-{cut}");
    let _ = machine.told(&["start", "--name", &name, "--", PROBE, "numbered", "/run/count", "0"]);
    std::thread::scope(|scope| {
        let cutter = scope.spawn(|| {
            pass(after);
            machine.cut_power();
        });
        for number in 0.. {
            let name = format!("unit-{cut}-{number}");
            known.open.insert(name.clone());
            let words = ["--reconnect", "0", "enable", &name, "--", PROBE, "exit", "0"];
            let acknowledged = machine.aer(&words).status.success();
            if acknowledged {
                known.open.remove(&name);
                known.enabled.insert(name);
            }
            if machine.has_ended() || !acknowledged {
                break;
            }
        }
        cutter.join().unwrap();
    });
}
