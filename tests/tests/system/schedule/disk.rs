//! A disk that is full, and a folder that is read-only.

use std::fs;

use tests::{
    Daemon, House, Need, Options, argv, eventually,
    mount::{Mount, fill},
    rpc::named,
    schedule::{appending, commented},
};
use tonic::{Code, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Mounts]; a_full_disk, booting_on_a_full_disk, a_read_only_folder]
}

/// A house whose state is on a small disk of its own.
fn small() -> House {
    let house = House::prepare(Options::default());
    fs::create_dir(house.state_dir()).unwrap();
    house.keep(Mount::memory(&house.state_dir(), "16m").unwrap());
    house
}

/// Enables until the disk does not take it: which were acknowledged, and the refusal.
fn enable_until_refused(daemon: &Daemon) -> (Vec<String>, Status) {
    let mut acknowledged = Vec::new();
    // What is on the disk already, half empty pages and the like, holds a few.
    for number in 0..2000 {
        let name = format!("unit-{number:04}");
        let executable = named(&name, argv(&["/bin/true"]));
        match daemon.try_enable(commented(&"c".repeat(4000), executable)) {
            Ok(_) => acknowledged.push(name),
            Err(status) => return (acknowledged, status),
        }
    }
    panic!("the full disk took 8 MB")
}

/// As large as those that were refused.
fn refused_before() -> api::runtime::Executable {
    commented(&"c".repeat(4000), named("z", argv(&["/bin/true"])))
}

#[track_caller]
fn says_why(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    for word in ["schedule", "nothing was changed", "make room"] {
        assert!(status.message().contains(word), "{word:?} is not in {status}");
    }
}

fn names(daemon: &Daemon) -> Vec<String> {
    daemon.registered().into_iter().map(|(name, ..)| name).collect()
}

/// On a full disk a change is refused with the reason, and what was acknowledged stays; when there is room again, so
/// are changes, without a restart.
fn a_full_disk() {
    let mut daemon = Daemon::start_in(small());
    daemon.enable(named("before", argv(&["/bin/true"])));
    let filler = daemon.state_dir().join("filler");
    fill(&filler);
    let (mut acknowledged, refused) = enable_until_refused(&daemon);
    says_why(&refused);
    acknowledged.insert(0, "before".to_owned());
    assert_eq!(names(&daemon), acknowledged);
    let again = daemon.try_enable(refused_before()).unwrap_err();
    assert_eq!(again.code(), Code::Unavailable, "{again}");
    assert!(again.message().contains("cannot change the schedule"), "{again}");
    assert!(again.message().to_lowercase().contains("no space"), "{again}");
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0", "programs run all the same");
    fs::remove_file(&filler).unwrap();
    daemon.enable(named("zz-after", argv(&["/bin/true"])));
    acknowledged.push("zz-after".to_owned());
    assert_eq!(names(&daemon), acknowledged);
    daemon.crash();
    daemon.start_again();
    assert_eq!(names(&daemon), acknowledged, "after a crash");
    daemon.stop();
}

/// A daemon that starts on a full disk starts what is enabled, and refuses changes until there is room.
fn booting_on_a_full_disk() {
    let mut daemon = Daemon::start_in(small());
    daemon.enable(appending(&daemon, "web"));
    daemon.shut_down();
    let filler = daemon.state_dir().join("filler");
    fill(&filler);
    daemon.start_again();
    assert_eq!(daemon.registered().len(), 1, "it can be read");
    eventually("it is started", || daemon.began("web") == 1);
    let (acknowledged, refused) = enable_until_refused(&daemon);
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("schedule"), "{refused}");
    assert_eq!(daemon.registered().len(), 1 + acknowledged.len());
    fs::remove_file(&filler).unwrap();
    daemon.enable(named("zz-after", argv(&["/bin/true"])));
    let before = names(&daemon);
    daemon.restart();
    assert_eq!(names(&daemon), before);
    daemon.stop();
}

/// From a read-only folder what is enabled starts, and changes are refused with the reason; writable again, it takes
/// them without a restart.
fn a_read_only_folder() {
    let mut daemon = Daemon::start(Options::default());
    daemon.enable(appending(&daemon, "web"));
    daemon.enable(appending(&daemon, "off"));
    daemon.disable("off").unwrap();
    daemon.shut_down();
    daemon.keep(Mount::read_only(&daemon.schedule_folder()).unwrap());
    daemon.start_again();
    eventually("it is started", || daemon.began("web") == 1);
    let before = daemon.registered();
    assert_eq!(before.len(), 2);
    let refused = daemon.try_enable(named("new", argv(&["/bin/true"]))).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let said = refused.message().to_lowercase();
    assert!(said.contains("schedule") && said.contains("read-only"), "{refused}");
    assert_eq!(daemon.destroy("web").unwrap_err().code(), Code::Unavailable);
    let status = daemon.status();
    assert!(!status.healthy, "that nothing can be changed is worth knowing");
    assert!(status.problems.iter().any(|it| it.contains("schedule")), "{:?}", status.problems);
    assert_eq!((daemon.registered(), daemon.began("off")), (before, 0));
    daemon.unmount();
    daemon.enable(named("new", argv(&["/bin/true"])));
    daemon.destroy("off").unwrap();
    assert_eq!(names(&daemon), ["new", "web"]);
    daemon.stop();
}
