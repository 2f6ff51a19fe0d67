//! Programs that listen: they are looked after by PingRank, and told by PrepShutdown that they are to end.

use std::{fs, path::Path};

use api::runtime::{Executable, Readiness, UnitState};
use tests::{
    Need, Options, Tracking, argv,
    drpc::{folder, python, script},
    eventually,
    rpc::named,
};

use super::{FRAMINGS, Served};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        they_are_told_before_they_get_their_signal,
        they_are_told_so_without_cgroups,
        who_does_not_answer_gets_the_signal_all_the_same,
        the_next_daemon_tells_them_too,
        who_does_not_answer_is_told_of_until_it_does,
        nothing_is_said_to_strangers,
        a_place_that_cannot_be_is_none,
    ]
}

/// A unit that serves and listens there.
fn engine(served: &Served, framing: &str, listen: &Path) -> Executable {
    let [python, script] = [python().unwrap(), script()].map(|path| path.display().to_string());
    let (socket, listen) = (served.socket.display().to_string(), listen.display().to_string());
    let words = [&python, &script, "engine", &socket, framing, &listen];
    Executable { readiness: Readiness::Drpc.into(), ..argv(&words.map(|word| word as &str)) }
}

/// What it has printed but for looks whether it answers.
fn told(served: &Served, name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&served.daemon.unit_log(name).stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with("called 2 225"));
    lines.map(str::to_owned).collect()
}

/// PrepShutdown of this rank, which is the instance, in the words of the engine.
const PREPARED: &str = "called 2 218 2";

fn all_are_told(options: Options) {
    let served = Served::with(options, &[]);
    let places = folder();
    for framing in FRAMINGS {
        let listen = places.path().join(framing);
        served.daemon.up(named(framing, engine(&served, framing, &listen)));
        served.daemon.down(framing);
        assert_eq!(told(&served, framing), ["ready 0", PREPARED, "signal 15"], "{framing}");
    }
    // A kill waits for nobody.
    served.daemon.up(named("app", engine(&served, "raw", &places.path().join("app"))));
    // It prints that when it is up already.
    served.daemon.until_logged("app", "ready 0\n");
    let killed = served.daemon.aer(&["stop", "app", "--kill"]).out();
    assert!(killed.contains("stopped app"), "{killed}");
    assert_eq!(told(&served, "app"), ["ready 0"]);
    served.daemon.stop();
}

fn they_are_told_before_they_get_their_signal() {
    all_are_told(Options::default());
}

fn they_are_told_so_without_cgroups() {
    all_are_told(Options::default().tracking(Tracking::BestEffort));
}

/// After five seconds; the end of everything passes the same way.
fn who_does_not_answer_gets_the_signal_all_the_same() {
    let served = Served::usual();
    let places = folder();
    let listen = places.path().join("app");
    fs::write(listen.with_extension("deaf"), "").unwrap();
    served.daemon.up(named("app", engine(&served, "chunked", &listen)));
    served.daemon.down("app");
    assert_eq!(told(&served, "app"), ["ready 0", PREPARED, "signal 15"]);
    // Both have the same time, and either may see first that it is over.
    eventually("it is in the log", || {
        let log = served.daemon.own_log();
        log.contains("not told by PrepShutdown")
    });
    served.daemon.stop();
}

fn the_next_daemon_tells_them_too() {
    let served = Served::usual();
    let places = folder();
    served.daemon.up(named("app", engine(&served, "raw", &places.path().join("app"))));
    served.daemon.replace();
    served.daemon.down("app");
    assert_eq!(told(&served, "app"), ["ready 0", PREPARED, "signal 15"]);
    served.daemon.stop();
}

fn who_does_not_answer_is_told_of_until_it_does() {
    let served = Served::with(Options::default(), &["ping_interval = \"100ms\""]);
    let (daemon, places) = (&served.daemon, folder());
    let listen = places.path().join("app");
    daemon.up(named("app", engine(&served, "raw", &listen)));
    let looked = "called 2 225 2";
    eventually("it is looked whether it answers", || {
        String::from_utf8_lossy(&daemon.unit_log("app").stdout).contains(looked)
    });
    assert!(daemon.status().healthy);
    let ill = listen.with_extension("ill");
    for _ in 0..2 {
        fs::write(&ill, "").unwrap();
        eventually("Status tells that it does not answer", || {
            let problems = daemon.status().problems;
            let is_it = |it: &String| {
                it.starts_with("app does not answer PingRank at") && it.contains("-1025")
            };
            problems.iter().any(is_it)
        });
        assert_eq!(daemon.unit("app").state(), UnitState::Running, "nothing is done about it");
        fs::remove_file(&ill).unwrap();
        eventually("it answers again", || daemon.status().problems.is_empty());
    }
    fs::write(&ill, "").unwrap();
    eventually("Status tells it again", || !daemon.status().problems.is_empty());
    daemon.down("app");
    eventually("who is over has no problem", || daemon.status().problems.is_empty());
    served.daemon.stop();
}

/// A program may name any socket, and the daemon be root: whoever else listens there is not spoken to.
fn nothing_is_said_to_strangers() {
    let served = Served::usual();
    let places = folder();
    let theirs = places.path().join("theirs");
    served.daemon.up(named("victim", engine(&served, "raw", &theirs)));
    let ready = format!("1a{:02x}{}", theirs.as_os_str().len(), hex(&theirs));
    let [python, script] = [python().unwrap(), script()].map(|path| path.display().to_string());
    let socket = served.socket.display();
    let say = format!("{python} {script} once {socket} raw 3 301 1 {ready}; exec sleep 600");
    let liar = Executable { readiness: Readiness::Drpc.into(), ..argv(&["sh", "-c", &say]) };
    served.daemon.up(named("liar", liar));
    served.daemon.down("liar");
    let log = served.daemon.own_log();
    assert!(log.contains("a process of somebody else that listens there"), "{log}");
    eventually("the other was reached, and nothing said", || {
        told(&served, "victim") == ["ready 0", "a session without a call"]
    });
    served.daemon.stop();
}

fn hex(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn a_place_that_cannot_be_is_none() {
    let served = Served::usual();
    let [python, script] = [python().unwrap(), script()].map(|path| path.display().to_string());
    let socket = served.socket.display();
    // "engine.sock", which is no absolute path.
    let ready = "1a0b656e67696e652e736f636b";
    let say = format!("{python} {script} once {socket} chunked 3 301 1 {ready}; exec sleep 600");
    let program = Executable { readiness: Readiness::Drpc.into(), ..argv(&["sh", "-c", &say]) };
    served.daemon.up(named("app", program));
    served.daemon.down("app");
    let log = served.daemon.own_log();
    assert!(log.contains("cannot be where it listens") && log.contains("engine.sock"), "{log}");
    assert!(!log.contains("PrepShutdown"), "{log}");
    served.daemon.stop();
}
