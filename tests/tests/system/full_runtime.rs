//! A runtime folder that is full: what runs can be stopped and that is remembered, nothing new begins, and nothing is
//! promised that the next daemon could not know.

use std::fs;

use api::runtime::{StopResponse, UnitState};
use tests::{
    Daemon, House, Need, Options, argv, eventually,
    mount::{Mount, fill},
    rpc::named,
    units::{because, stopping},
};
use tonic::{Code, Request, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Mounts]; what_is_stopped_stays_stopped, what_cannot_be_kept_is_not_promised]
}

/// A daemon whose runtime folder is a small disk of its own.
fn small() -> Daemon {
    let house = House::prepare(Options::default().restart_delay("100ms"));
    fs::create_dir(house.runtime_dir()).unwrap();
    house.keep(Mount::memory(&house.runtime_dir(), "8m").unwrap());
    Daemon::start_in(house)
}

fn fill_up(daemon: &Daemon) {
    fill(&daemon.runtime_dir().join("filler"));
}

fn make_room(daemon: &Daemon) {
    fs::remove_file(daemon.runtime_dir().join("filler")).unwrap();
}

/// Uses up the room that is kept ahead: what is said at such length needs some each time. The last answer.
fn use_up(
    daemon: &Daemon,
    name: &str,
    is_enough: impl Fn(&Result<StopResponse, Status>) -> bool,
) -> Result<StopResponse, Status> {
    let reason = "x".repeat(1024);
    let mut answers = (0..5000).map(|_| daemon.order_stop(because(&reason, stopping(name))));
    answers.find(is_enough).expect("there is no end to the room")
}

/// With room kept ahead, orders to stop are kept although there is none left, also over the death of the daemon, which
/// the next one survives; starts are refused and begin nothing. With room again all is well, by itself.
fn what_is_stopped_stays_stopped() {
    let daemon = small();
    let names: Vec<String> = (0..20).map(|number| format!("unit-{number}")).collect();
    for name in &names {
        daemon.up(named(name, daemon.probe(&["pause"])));
    }
    fill_up(&daemon);
    let (stopped, others) = names.split_at(10);
    for name in stopped {
        daemon.down(name);
    }
    let last = use_up(&daemon, &stopped[0], |_| !daemon.status().healthy);
    assert!(last.is_ok(), "it was kept in the room ahead: {last:?}");
    let refused = |status: &Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("the runtime folder is full"), "{status}");
        assert!(status.message().contains("nothing was begun"), "{status}");
    };
    refused(&daemon.try_up(named("another", daemon.probe(&["pause"]))).unwrap_err());
    refused(&daemon.exec(argv(&["/bin/true"])).unwrap_err());
    let said = daemon.aer(&["status"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(said.out().contains("ledger"), "{}", said.out());
    daemon.replace();
    for name in stopped {
        assert_eq!(daemon.unit(name).state(), UnitState::Inactive, "{name}");
    }
    for name in others {
        assert_eq!(daemon.unit(name).state(), UnitState::Running, "{name}");
    }
    daemon.down(&others[0]);
    daemon.replace();
    assert_eq!(daemon.unit(&others[0]).state(), UnitState::Inactive);
    make_room(&daemon);
    eventually("it goes on by itself", || daemon.status().healthy);
    daemon.up(named("another", daemon.probe(&["pause"])));
    daemon.stop();
}

/// When even the room that was kept ahead is used up, an order is carried out and not acknowledged.
fn what_cannot_be_kept_is_not_promised() {
    let daemon = small();
    daemon.up(named("web", daemon.probe(&["pause"])));
    daemon.up(named("quiet", daemon.probe(&["pause"])));
    daemon.down("quiet");
    fill_up(&daemon);
    let refused = use_up(&daemon, "quiet", Result::is_err).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("it was done, but"), "{refused}");
    let refused = daemon.order_stop(Request::new(stopping("web"))).unwrap_err();
    assert!(refused.message().contains("it was done, but"), "{refused}");
    assert_eq!(daemon.unit("web").state(), UnitState::Inactive, "it was done");
    assert!(!daemon.status().healthy);
    make_room(&daemon);
    eventually("it goes on by itself", || daemon.status().healthy);
    daemon.replace();
    assert_eq!(daemon.unit("web").state(), UnitState::Inactive, "it was kept then");
    daemon.stop();
}
