//! What starts at boot, what does not, and how it runs.

use std::fs;

use api::{
    meta::AuraeMeta,
    runtime::{Executable, ForgetRequest, StopRequest},
};
use schedule::{Change, Schedule};
use tests::{
    Daemon, Fifo, House, Options, argv, command, eventually,
    rpc::{self, named},
    schedule::{appending, commented},
};
use tonic::{Code, Request};
use units::Origin;

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![the_enabled_start]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_failing_one_stops_no_other,
        a_definition_that_cannot_be_read_stops_no_other,
        output_and_comment,
        a_name_is_taken_while_it_runs,
        nothing_enabled_is_quiet,
        names_are_started_in_order,
    ]
}

/// The enabled start with a new keeper, once; what is disabled or destroyed does not. After kill -9 as after an end
/// in order.
fn the_enabled_start(options: Options) {
    let mut daemon = Daemon::start(options);
    for name in ["a-off", "b-gone", "c-on", "d-on", "e-off"] {
        daemon.enable(appending(&daemon, name));
    }
    daemon.disable("a-off").unwrap();
    daemon.disable("e-off").unwrap();
    daemon.destroy("b-gone").unwrap();
    for boot in 1..=3 {
        if boot == 2 {
            daemon.crash();
            daemon.start_again();
        } else {
            daemon.restart();
        }
        eventually("the enabled start", || {
            daemon.began("c-on") == boot && daemon.began("d-on") == boot
        });
        eventually("they end", || daemon.status().runs_live == 0);
        // After a kill -9 of both what was kept is gone on with, and so is the count.
        let wanted = if boot == 2 { 4 } else { 2 };
        assert_eq!(daemon.status().runs_total, wanted, "nothing else was started");
        for name in ["a-off", "b-gone", "e-off"] {
            assert_eq!(daemon.began(name), 0, "{name} was started");
        }
    }
    daemon.stop();
}

/// A missing program, one that cannot be executed, one that fails and one that is killed stop no other, and are told.
fn a_failing_one_stops_no_other() {
    let mut daemon = Daemon::start(Options::default());
    daemon.enable(named("a-missing", argv(&["/nonexistent/program"])));
    daemon.enable(named("b-folder", argv(&["/etc"])));
    daemon.enable(named("c-fails", argv(&["/bin/sh", "-c", "echo up; exit 1"])));
    daemon.enable(named("d-killed", daemon.probe(&["out", "up", "raise", "SIGKILL"])));
    daemon.enable(appending(&daemon, "e-fine"));
    daemon.restart();
    eventually("the one that works is started", || daemon.began("e-fine") == 1);
    eventually("all have ended", || {
        let status = daemon.status();
        status.runs_live == 0 && status.runs_total == 5
    });
    eventually("those that never ran are told by name, with the reason", || {
        let log = daemon.own_log();
        ["a-missing", "b-folder"]
            .iter()
            .all(|name| log.lines().any(|line| line.contains(name) && line.contains("boot")))
    });
    assert_eq!(rpc::code(&daemon.newest_exit("c-fails")), Some(1));
    assert_eq!(rpc::signal(&daemon.newest_exit("d-killed")), Some(9));
    assert_eq!(daemon.registered().len(), 5, "all are registered still");
    daemon.stop();
}

/// A definition that is no message, or that today's rules refuse, stops no other, and is told by name.
fn a_definition_that_cannot_be_read_stops_no_other() {
    let house = House::prepare(Options::default());
    fs::create_dir(house.state_dir()).unwrap();
    let options = schedule::Options::default();
    let mut store = Schedule::open(&house.schedule_folder(), &options).unwrap();
    // Field 3 is a text; this one is no UTF-8.
    let broken = vec![0x1a, 2, 0xff, 0xff];
    let refused = prost_of(&named("b-refused", command("'")));
    let fine = prost_of(&appending(&house, "c-fine"));
    let changes = [("a-broken", broken), ("b-refused", refused), ("c-fine", fine)];
    let by = Origin::daemon("a test");
    let changes = changes.map(|(name, definition)| Change::Enable {
        name: name.parse().unwrap(),
        definition,
        at: 1,
        by: by.clone(),
    });
    assert!(store.commit(changes.to_vec()).unwrap().iter().all(Result::is_ok));
    drop(store);

    let daemon = Daemon::start_in(house);
    eventually("the one that can be read is started", || daemon.began("c-fine") == 1);
    eventually("the others are told by name", || {
        let log = daemon.own_log();
        ["a-broken", "b-refused"].iter().all(|name| {
            log.lines().any(|line| line.contains(name) && line.contains("cannot be started"))
        })
    });
    assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    let error = daemon.show("a-broken").unwrap_err();
    assert_eq!(error.code(), Code::DataLoss, "{error}");
    assert!(error.message().contains("a-broken"), "{error}");
    assert!(daemon.show("c-fine").is_ok());
    daemon.destroy("a-broken").unwrap();
    daemon.enable(appending(&daemon, "b-refused"));
    assert_eq!(daemon.registered().len(), 2);
    daemon.stop();
}

/// A definition as the daemon stores it.
fn prost_of(executable: &Executable) -> Vec<u8> {
    prost::Message::encode_to_vec(executable)
}

/// The output is in the unit's log, the comment in the environment, the exit record, the daemon's log, List and Show;
/// the exit record says that the daemon started it.
fn output_and_comment() {
    let mut daemon = Daemon::start(Options::default());
    let comment = "serves pages, Ärger included";
    let script = "echo \"$AURAE_COMMENT\"; echo problem >&2; echo \"$AURAE_RUN\"";
    daemon.enable(commented(comment, named("web", argv(&["/bin/sh", "-c", script]))));
    daemon.restart();
    eventually("it has run", || {
        let status = daemon.status();
        status.runs_total == 1 && status.runs_live == 0
    });
    let exit = daemon.newest_exit("web");
    assert_eq!((rpc::code(&exit), exit.comment.as_str()), (Some(0), comment));
    assert_eq!(exit.name, "web");
    let by = exit.started_by.unwrap();
    assert_eq!((by.door.as_str(), by.reason.contains("enabled")), ("daemon", true), "{by:?}");
    let logged = daemon.unit_log("web");
    let out = String::from_utf8(logged.stdout).unwrap();
    assert_eq!(out, format!("{comment}\n{}\n", exit.run_id));
    assert_eq!(logged.stderr, b"problem\n");
    assert_eq!(daemon.logs_of(&exit.run_id).stdout, out.as_bytes());
    eventually("its start is in the daemon's log", || {
        let log = daemon.own_log();
        log.lines().any(|line| {
            line.contains("started") && line.contains(&exit.run_id) && line.contains("serves pages")
        })
    });
    assert_eq!(daemon.registered(), [("web".to_owned(), true, comment.to_owned())]);
    assert_eq!(daemon.show("web").unwrap().executable.unwrap().comment, comment);
    daemon.stop();
}

/// What was started at boot has its name until it is forgotten, also when it is registered no more.
fn a_name_is_taken_while_it_runs() {
    let mut daemon = Daemon::start(Options::default());
    let mut up = Fifo::make(daemon.path(), "up");
    daemon.enable(named("web", daemon.probe(&["say", up.path(), "up", "pause"])));
    daemon.restart();
    assert_eq!(up.line(), "up");
    daemon.destroy("web").unwrap();
    let error = daemon.exec(named("web", argv(&["/bin/true"]))).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    assert!(error.message().contains("web"), "{error}");
    let meta = Some(AuraeMeta { name: "web".to_owned(), ..AuraeMeta::default() });
    daemon.order_stop(Request::new(StopRequest { meta, ..StopRequest::default() })).unwrap();
    let error = daemon.exec(named("web", argv(&["/bin/true"]))).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    let meta = Some(AuraeMeta { name: "web".to_owned(), ..AuraeMeta::default() });
    let forget = ForgetRequest { meta, ..ForgetRequest::default() };
    let mut client = daemon.runtime_client();
    daemon.block(client.forget(forget)).unwrap();
    daemon.exec(named("web", argv(&["/bin/true"]))).unwrap();
    daemon.stop();
}

/// With nothing enabled a boot starts nothing and says nothing is wrong.
fn nothing_enabled_is_quiet() {
    let mut daemon = Daemon::start(Options::default());
    daemon.enable(appending(&daemon, "off"));
    daemon.disable("off").unwrap();
    daemon.restart();
    // Answered when the schedule is open, which the status does not wait for.
    assert_eq!(daemon.enabled().unwrap(), []);
    let status = daemon.status();
    assert!(status.healthy, "{:?}", status.problems);
    assert_eq!((status.runs_total, status.enabled, status.disabled), (0, 0, 1));
    assert!(!daemon.own_log().contains("cannot be started"));
    daemon.stop();
}

/// Units are started in the order of their names, boot after boot. Two threads make processes, so that neighbours may
/// change places; by far the most pairs are in order.
fn names_are_started_in_order() {
    let mut daemon = Daemon::start(Options::default());
    let names: Vec<String> = (0..50).map(|number| format!("unit-{number:03}")).collect();
    // Not in this order.
    for name in names.iter().rev() {
        daemon.enable(named(name, argv(&["/bin/echo", "up"])));
    }
    for _ in 0..2 {
        daemon.restart();
        eventually("all have run", || {
            let status = daemon.status();
            status.runs_total == 50 && status.runs_live == 0
        });
        let began: Vec<i64> =
            names.iter().map(|name| daemon.newest_exit(name).started_at).collect();
        let pairs = began.iter().enumerate().flat_map(|(place, first)| {
            began[place + 1..].iter().map(move |second| first <= second)
        });
        let (all, inverted) =
            pairs.fold((0, 0), |(all, bad), fine| (all + 1, bad + u32::from(!fine)));
        assert!(inverted * 20 < all, "{inverted} of {all} pairs were started out of order");
    }
    daemon.stop();
}
