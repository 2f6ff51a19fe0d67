//! Module 3: programs that say by dRPC that they are ready, and what has happened.

use std::fs;

use api::runtime::{Executable, Readiness, UnitResult, UnitState};
use serde_json::json;
use tests::{
    Fifo, Need, Options, Tracking, argv,
    drpc::{fields, number, python, script},
    eventually,
    rpc::named,
    units::of,
};

use super::{FRAMINGS, Served};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        a_start_is_over_when_the_engine_says_so,
        it_is_so_without_cgroups,
        to_end_before_is_against_the_protocol,
        others_cannot_say_so,
        events_are_in_our_log,
        without_the_door_nobody_could_say_so,
    ]
}

/// A NotifyReady with uri and instance, in hexadecimal.
const READY: &str = "0a0774637020783a312002";

/// A unit that makes this call when it may, and stays.
fn engine(served: &Served, framing: &str, gate: &str) -> Executable {
    let [python, script] = [python().unwrap(), script()].map(|path| path.display().to_string());
    let socket = served.socket.display();
    let say = format!(
        "read go < {gate}; {python} {script} once {socket} {framing} 3 301 0 {READY}; exec sleep 600"
    );
    Executable { readiness: Readiness::Drpc.into(), ..argv(&["sh", "-c", &say]) }
}

fn ready_when_it_says_so(options: Options) {
    let served = Served::with(options, &[]);
    let daemon = &served.daemon;
    for framing in FRAMINGS {
        let mut gate = Fifo::make(daemon.path(), &format!("gate-{framing}"));
        let wanted = named(framing, engine(&served, framing, gate.path()));
        let begun = daemon.begin_start(of(wanted));
        served.knows(framing);
        let unit = daemon.until(framing, "it has a process", |unit| unit.pid > 0);
        assert_eq!(unit.state(), UnitState::Starting);
        gate.release();
        let answer = daemon.answered(begun).unwrap();
        let unit = daemon.unit(framing);
        assert_eq!((unit.state(), unit.pid), (UnitState::Running, answer.pid));
        // It was answered, also where the success of the call number 0 has no byte.
        eventually("it was answered", || {
            let told = String::from_utf8_lossy(&daemon.unit_log(framing).stdout).into_owned();
            told.contains("\"status\": 0")
        });
    }
    served.daemon.stop();
}

fn a_start_is_over_when_the_engine_says_so() {
    ready_when_it_says_so(Options::default());
}

fn it_is_so_without_cgroups() {
    ready_when_it_says_so(Options::default().tracking(Tracking::BestEffort));
}

fn to_end_before_is_against_the_protocol() {
    let served = Served::usual();
    let never = Executable { readiness: Readiness::Drpc.into(), ..argv(&["true"]) };
    let why = served.daemon.try_up(named("app", never)).unwrap_err();
    assert!(why.message().contains("NotifyReady"), "{why}");
    assert_eq!(served.daemon.unit("app").result(), UnitResult::Protocol);
    served.daemon.stop();
}

/// A process that belongs to no unit, though it is root's; the unit goes on waiting.
fn others_cannot_say_so() {
    let served = Served::usual();
    let daemon = &served.daemon;
    let gate = Fifo::make(daemon.path(), "gate");
    let begun = daemon.begin_start(of(named("app", engine(&served, "raw", gate.path()))));
    served.knows("app");
    daemon.until_state("app", UnitState::Starting);
    let mut client = served.client("chunked");
    let answer = client.call((3, 301), json!(READY));
    assert_eq!(answer["status"], 2, "{answer}");
    assert_eq!(daemon.unit("app").state(), UnitState::Starting);
    daemon.down("app");
    daemon.answered(begun).unwrap_err();
    served.daemon.stop();
}

/// One line each, of their severity, answered with their sequence.
fn events_are_in_our_log() {
    let served = Served::usual();
    let mut client = served.client("raw");
    for (severity, word) in [(1, "ERROR"), (2, "WARN"), (3, "INFO"), (0, "INFO")] {
        let text = format!("event of {severity}\u{1b}[2J");
        let event =
            json!([[1, 2], [2, text], [5, severity], [6, "here"], [7, 4], [17, "more\nwords"]]);
        let answer = client.call((3, 304), json!([[1, 42], [2, event]]));
        assert_eq!((number(&answer, 1), fields(&answer, 2)), (42, vec![]), "{answer}");
        eventually("it is in the log", || {
            let log = served.daemon.own_log();
            let of = format!(
                "event of {severity} [2J (id 2, rank 4, incarnation 0, host here): more words"
            );
            log.lines().any(|line| line.contains(&of) && line.contains(word))
        });
    }
    served.daemon.stop();
}

/// It is refused at once instead of after a time-out, and so it is at boot, where the door is gone since it was enabled.
fn without_the_door_nobody_could_say_so() {
    let Served { mut daemon, socket, _folder } = Served::usual();
    let wanted = Executable { readiness: Readiness::Drpc.into(), ..argv(&["sleep", "600"]) };
    daemon.enable(named("app", wanted.clone()));
    daemon.shut_down();
    let text = fs::read_to_string(daemon.config()).unwrap();
    let without = text.replace("[doors.drpc]", "").replace(&format!("socket = {socket:?}"), "");
    fs::write(daemon.config(), without).unwrap();
    daemon.start_again();
    eventually("the boot says why it is not started", || {
        let log = daemon.own_log();
        log.contains("it is enabled and cannot be started") && log.contains("[doors.drpc]")
    });
    let why = daemon.try_up(named("other", wanted.clone())).unwrap_err();
    assert!(why.message().contains("[doors.drpc]"), "{why}");
    let why = daemon.try_enable(named("other", wanted)).unwrap_err();
    assert!(why.message().contains("[doors.drpc]"), "{why}");
    daemon.stop();
}
