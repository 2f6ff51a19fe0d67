//! A damaged store, and one of a newer format, with a daemon that serves all the same.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::schedule::{RepairRequest, Selection, export_item::Item};
use tests::{
    Daemon, Options, argv,
    rpc::named,
    schedule::{appending, files},
};
use tonic::{Code, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        every_file_flipped,
        every_file_cut,
        every_file_emptied,
        every_file_removed,
        the_store_is_gone,
        a_newer_format,
        a_healthy_store_is_not_repaired,
    ]
}

const ON: [&str; 2] = ["a-on", "b-on"];

/// A daemon that is down; its store has two enabled units and a disabled one, all of them also in the copy of the last
/// opening.
fn furnished() -> Daemon {
    let mut daemon = Daemon::start(Options::default());
    for name in ["a-on", "b-on", "c-off"] {
        daemon.enable(appending(&daemon, name));
    }
    daemon.disable("c-off").unwrap();
    daemon.restart();
    tests::eventually("the boot", || ON.iter().all(|name| daemon.began(name) == 1));
    daemon.shut_down();
    daemon
}

fn all() -> Vec<(String, bool, String)> {
    [("a-on", true), ("b-on", true), ("c-off", false)]
        .map(|(name, enabled)| (name.to_owned(), enabled, String::new()))
        .to_vec()
}

/// Does this to each file of the store in turn, always beginning with what the first daemon left. How many files made
/// the schedule unusable.
fn with_each_file(damage: impl Fn(&Path)) -> usize {
    let mut daemon = furnished();
    let paths = daemon.schedule_paths();
    let kept = tempfile::tempdir().unwrap();
    for path in &paths {
        copy(path, &kept.path().join(path.file_name().unwrap()));
    }
    let victims = files(&daemon.schedule_folder());
    let has = |name: &str| {
        let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(name);
        victims.iter().any(named)
    };
    assert!(["db", "conf", "generation", "snap."].iter().all(|name| has(name)), "{victims:?}");
    let mut unusable = 0;
    for victim in &victims {
        damage(victim);
        for name in ON {
            let _ = fs::remove_file(daemon.work(name));
        }
        daemon.start_again();
        unusable += usize::from(!serves(&daemon, victim));
        daemon.shut_down();
        for path in daemon.schedule_paths() {
            remove(&path);
        }
        for path in &paths {
            copy(&kept.path().join(path.file_name().unwrap()), path);
        }
    }
    // In order to the end: the harness looks for leftovers.
    daemon.start_again();
    assert_eq!(daemon.registered(), all());
    daemon.stop();
    unusable
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

/// The daemon serves, whatever became of the store: either everything that was registered is there, or nothing is
/// believed, everybody is told, and a repair mends it. True where the schedule could be used.
fn serves(daemon: &Daemon, victim: &Path) -> bool {
    let victim = victim.display();
    assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n", "{victim}");
    match daemon.enabled() {
        Ok(_) => {
            assert_eq!(daemon.registered(), all(), "{victim}: silently wrong");
            tests::eventually("what can be read is started", || {
                ON.iter().all(|name| daemon.began(name) == 1)
            });
            daemon.enable(appending(daemon, "new"));
            assert_eq!(daemon.registered().len(), 4, "{victim}");
            true
        }
        Err(status) => {
            told(daemon, &status, Code::DataLoss, &victim.to_string());
            export(daemon, &victim.to_string());
            repaired(daemon, &victim.to_string());
            false
        }
    }
}

/// Everybody who asks is told that the schedule cannot be used, and nobody else is disturbed.
fn told(daemon: &Daemon, first: &Status, code: Code, victim: &str) {
    let folder = daemon.schedule_folder().display().to_string();
    let answers = [
        first.clone(),
        daemon.disabled().unwrap_err(),
        daemon.try_list(Selection::All.into()).unwrap_err(),
        daemon.show("a-on").unwrap_err(),
        daemon.try_enable(appending(daemon, "new")).unwrap_err(),
        daemon.disable("a-on").unwrap_err(),
        daemon.destroy("a-on").unwrap_err(),
    ];
    for status in answers {
        assert_eq!(status.code(), code, "{victim}: {status}");
        assert!(status.message().contains(&folder), "{victim}: {status}");
    }
    let status = daemon.status();
    assert!(!status.healthy, "{victim}: Status calls it healthy");
    assert!(status.problems.iter().any(|problem| problem.contains("schedule")), "{status:?}");
    for (service, wanted) in [
        ("", "SERVING"),
        ("runtime.Runtime", "SERVING"),
        ("observe.Observe", "SERVING"),
        ("schedule.Schedule", "NOT_SERVING"),
        ("schedule.ScheduleExecutable", "NOT_SERVING"),
    ] {
        assert_eq!(daemon.health(service), wanted, "{victim}: {service:?}");
    }
    // The echo of `serves` alone: nothing that cannot be read was started.
    assert_eq!((status.runs_total, status.enabled, status.disabled), (1, 0, 0), "{victim}");
    assert!(ON.iter().all(|name| daemon.began(name) == 0), "{victim}: something was started");
}

/// `aer schedule export` prints what can be got out; where that may not be all, or old, it says so, and its status is 1.
fn export(daemon: &Daemon, victim: &str) {
    let exported = daemon.aer(&["schedule", "export"]);
    // The copy of the last opening has all of them.
    for name in ["a-on", "b-on", "c-off"] {
        assert!(exported.out().contains(&format!("name = \"{name}\"")), "{victim}: no {name}");
    }
    let items = daemon.export().unwrap();
    let is_damage = |item: &Option<Item>| matches!(item, Some(Item::Damage(_)));
    if items.iter().any(|item| is_damage(&item.item)) {
        assert_eq!(exported.code(), Some(1), "{victim}: {}", exported.err());
        assert!(exported.err().contains("damaged"), "{victim}: {}", exported.err());
    } else {
        // An index that can be made anew from what it is an index of: nothing is lost.
        assert_eq!(exported.code(), Some(0), "{victim}: {}", exported.err());
        assert_eq!(items.len(), 3, "{victim}: {items:?}");
    }
}

/// `aer schedule repair` makes it usable at once, without a restart, and the damaged files are kept.
fn repaired(daemon: &Daemon, victim: &str) {
    let evidence = |daemon: &Daemon| {
        let is_evidence = |path: &PathBuf| path.display().to_string().contains("schedule.damaged-");
        daemon.schedule_paths().into_iter().filter(is_evidence).count()
    };
    assert!(evidence(daemon) > 0, "{victim}: what was found is not kept");
    let output = daemon.aer(&["schedule", "repair"]);
    assert!(output.status.success(), "{victim}: {}", output.err());
    assert_eq!(daemon.registered(), all(), "{victim}: not all of the last opening was kept");
    let status = daemon.status();
    assert!(status.healthy, "{victim}: {:?}", status.problems);
    tests::eventually("the schedule serves again", || {
        daemon.health("schedule.Schedule") == "SERVING"
    });
    assert!(evidence(daemon) > 0, "{victim}: the evidence is gone");
    daemon.enable(appending(daemon, "new"));
    daemon.destroy("c-off").unwrap();
    assert_eq!(daemon.registered().len(), 3, "{victim}");
    // A repair is no boot.
    assert!(
        ON.iter().all(|name| daemon.began(name) == 0),
        "{victim}: the repair started something"
    );
}

/// A byte of the middle is turned, of all that is not a hole.
fn every_file_flipped() {
    let unusable = with_each_file(|path| {
        let mut bytes = fs::read(path).unwrap();
        let used: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place] != 0).collect();
        let Some(&place) = used.get(used.len() / 2) else { return };
        bytes[place] ^= 0xff;
        fs::write(path, bytes).unwrap();
    });
    assert!(unusable > 0, "no file of the store matters");
}

/// The second half of what is not a hole is missing.
fn every_file_cut() {
    let unusable = with_each_file(|path| {
        let bytes = fs::read(path).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last / 2);
        fs::write(path, &bytes[..end]).unwrap();
    });
    assert!(unusable > 0, "no file of the store matters");
}

/// Nothing is left but the name.
fn every_file_emptied() {
    let unusable = with_each_file(|path| fs::write(path, "").unwrap());
    assert!(unusable > 0, "no file of the store matters");
}

/// One file is missing.
fn every_file_removed() {
    let unusable = with_each_file(|path| fs::remove_file(path).unwrap());
    assert!(unusable > 0, "no file of the store matters");
}

/// A store that has been there and is gone is not taken for an empty one.
fn the_store_is_gone() {
    let mut daemon = furnished();
    fs::remove_dir_all(daemon.schedule_folder()).unwrap();
    for name in ON {
        fs::remove_file(daemon.work(name)).unwrap();
    }
    daemon.start_again();
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    let status = daemon.enabled().unwrap_err();
    told(&daemon, &status, Code::DataLoss, "the whole store");
    let output = daemon.aer(&["schedule", "repair"]);
    assert!(output.status.success(), "{}", output.err());
    assert_eq!(daemon.registered(), all());
    daemon.enable(named("new", argv(&["/bin/true"])));
    daemon.stop();
}

/// A store of a newer format is FAILED_PRECONDITION with both numbers, and neither repaired nor changed.
fn a_newer_format() {
    let mut daemon = furnished();
    let folder = daemon.schedule_folder();
    let database = sled::open(&folder).unwrap();
    database.insert("format", "7").unwrap();
    database.flush().unwrap();
    drop(database);
    for name in ON {
        fs::remove_file(daemon.work(name)).unwrap();
    }
    daemon.start_again();
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    let status = daemon.enabled().unwrap_err();
    for words in ["format 7", "up to 1"] {
        assert!(status.message().contains(words), "{words:?} is not in {status}");
    }
    told(&daemon, &status, Code::FailedPrecondition, "a newer format");
    let before = fs::read(folder.join("db")).unwrap();
    let mut change = daemon.change_client();
    let refused = daemon.block(change.repair(RepairRequest {})).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(!daemon.aer(&["schedule", "repair"]).status.success());
    assert!(!daemon.aer(&["schedule", "export"]).status.success());
    assert!(fs::read(folder.join("db")).unwrap() == before, "it was changed");
    daemon.stop();
}

/// Of a whole store a repair changes nothing, and says so.
fn a_healthy_store_is_not_repaired() {
    let mut daemon = furnished();
    daemon.start_again();
    assert_eq!(daemon.registered(), all());
    let before = daemon.schedule_paths();
    let output = daemon.aer(&["schedule", "repair"]);
    assert!(output.status.success(), "{}", output.err());
    assert!(output.out().contains("whole") && output.out().contains('3'), "{}", output.out());
    assert_eq!((daemon.registered(), daemon.schedule_paths()), (all(), before));
    daemon.stop();
}
