//! Module 16: what runs on this machine.

use std::process::Command;

use api::{
    meta::Status as State,
    runtime::{Executable, RestartWhen, UnitState},
    schedule::Registration,
};
use serde_json::{Value, json};
use tests::{
    Need, Process, argv,
    drpc::{Drpc, fields, number, text},
    rpc::named,
    units::again,
};

use super::{FRAMINGS, Served};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        a_unit_is_started_told_signalled_restarted_and_stopped,
        what_cannot_be_done_has_a_code_and_words,
        the_last_lines_are_told,
        a_name_is_enabled_and_disabled,
        a_long_list_comes_in_parts,
        who_prints_all_the_time_is_not_followed,
        units_outlive_the_daemon,
        aer_speaks_it,
    ]
}

fn sleeping(name: &str) -> Executable {
    named(name, argv(&["sleep", "600"]))
}

/// The unit that 1605 tells of, as name, state, pid, registered and enabled.
fn status(client: &mut Drpc, name: &str) -> (String, String, i64, bool, bool) {
    let answer = client.process(1605, json!([[1, name]]));
    assert_eq!(number(&answer, 1), 0, "{answer}");
    let units = units(&answer);
    assert_eq!(units.len(), 1, "{answer}");
    let unit = &units[0];
    let is = |field| number(unit, field) == 1;
    (text(unit, 1), text(unit, 2), number(unit, 3), is(6), is(7))
}

/// The messages in field 3 of an answer, taken apart.
fn units(answer: &Value) -> Vec<Value> {
    fields(answer, 3)
        .iter()
        .map(|field| json!({"body": parts(field["hex"].as_str().unwrap())}))
        .collect()
}

/// A message's fields. Only what is in these messages: numbers below 2^35, and texts.
fn parts(hex: &str) -> Value {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let mut rest = bytes.as_slice();
    let mut fields = Vec::new();
    let varint = |rest: &mut &[u8]| {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let (first, after) = rest.split_first().unwrap();
            *rest = after;
            value |= u64::from(first & 127) << shift;
            shift += 7;
            if first & 128 == 0 {
                return value;
            }
        }
    };
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let value = varint(&mut rest);
        if key & 7 == 0 {
            fields.push(json!([key >> 3, value]));
        } else {
            let (text, after) = rest.split_at(usize::try_from(value).unwrap());
            rest = after;
            fields.push(json!([key >> 3, {"text": String::from_utf8_lossy(text)}]));
        }
    }
    json!(fields)
}

fn a_unit_is_started_told_signalled_restarted_and_stopped() {
    let served = Served::usual();
    let daemon = &served.daemon;
    // As often as it is wanted here.
    daemon.enable(Executable { restart: Some(again(RestartWhen::No)), ..sleeping("app") });
    for framing in FRAMINGS {
        let mut client = served.client(framing);
        let state = status(&mut client, "app").1;
        assert!(["inactive", "failed"].contains(&state.as_str()), "{state}");
        let started = client.process(1601, json!([[1, "app"], [2, "work"]]));
        assert_eq!((number(&started, 1), number(&started, 5)), (0, 0), "{started}");
        let unit = daemon.unit("app");
        assert_eq!((text(&started, 3), number(&started, 4)), (unit.run_id, i64::from(unit.pid)));
        let told = status(&mut client, "app");
        assert_eq!(told, ("app".to_owned(), "running".to_owned(), unit.pid.into(), true, true));
        let again = client.process(1601, json!([[1, "app"]]));
        assert_eq!((number(&again, 5), number(&again, 4)), (1, number(&started, 4)), "{again}");
        let restarted = client.process(1603, json!([[1, "app"]]));
        assert_eq!(number(&restarted, 1), 0, "{restarted}");
        assert_ne!(number(&restarted, 4), number(&started, 4));
        let stopped = client.process(1602, json!([[1, "app"]]));
        assert_eq!(text(&stopped, 3), text(&restarted, 3), "{stopped}");
        assert_eq!(daemon.unit("app").state(), UnitState::Inactive);
        client.process(1601, json!([[1, "app"]]));
        let killed = client.process(1604, json!([[1, "app"], [2, 9], [3, 1]]));
        assert_eq!(number(&killed, 1), 0, "{killed}");
        daemon.until_state("app", UnitState::Failed);
        let told = client.process(1605, json!([[1, "app"]]));
        assert_eq!(text(&units(&told)[0], 8), "signal 9");
        // Killed at once.
        client.process(1601, json!([[1, "app"]]));
        let forced = client.process(1602, json!([[1, "app"], [3, 1]]));
        assert_eq!(number(&forced, 1), 0, "{forced}");
    }
    served.daemon.stop();
}

fn what_cannot_be_done_has_a_code_and_words() {
    let served = Served::usual();
    served.daemon.enable(sleeping("idle"));
    served.daemon.enable(named("broken", argv(&["/nowhere/at/all"])));
    let mut client = served.client("chunked");
    for (method, body, code, word) in [
        (1601, json!([[1, "nobody"]]), -1005, "nobody"),
        (1601, json!([[1, "no name"]]), -1003, "name"),
        (1601, json!([]), -1003, "empty"),
        (1601, json!([[1, "broken"]]), -1025, "nowhere"),
        (1602, json!([[1, "nobody"]]), -1005, "nobody"),
        (1603, json!([[1, "nobody"]]), -1005, "nobody"),
        (1604, json!([[1, "nobody"], [2, 15]]), -1005, "nobody"),
        (1604, json!([[1, "idle"], [2, 99]]), -1003, "99"),
        (1605, json!([[1, "nobody"]]), -1005, "nobody"),
        (1605, json!([]), -1003, "empty"),
        (1606, json!([[1, "idle"]]), -1003, "1605"),
        (1607, json!([[1, "nobody"]]), -1005, "nobody"),
        (1607, json!([[1, "idle"], [2, 10_001]]), -1003, "10000"),
        (1608, json!([[1, "nobody"]]), -1005, "aer enable"),
        (1609, json!([[1, "nobody"]]), -1005, "nobody"),
    ] {
        let answer = client.process(method, body);
        assert_eq!(number(&answer, 1), code, "{method}: {answer}");
        assert!(text(&answer, 2).contains(word), "{method}: {answer}");
    }
    served.daemon.stop();
}

fn the_last_lines_are_told() {
    let served = Served::usual();
    let daemon = &served.daemon;
    let script =
        "for i in $(seq 1 3000); do echo line $i; done; echo oops >&2; printf end; exec sleep 600";
    daemon.up(named("app", argv(&["sh", "-c", script])));
    tests::eventually("it has printed", || {
        let logged = String::from_utf8_lossy(&daemon.unit_log("app").stdout).into_owned();
        logged.ends_with("end") && daemon.unit_log("app").stderr == b"oops\n"
    });
    let lines = |answer: &Value| -> Vec<String> {
        units(answer).iter().map(|line| text(line, 3)).collect()
    };
    for framing in FRAMINGS {
        let mut client = served.client(framing);
        let told = client.process(1607, json!([[1, "app"], [2, 3]]));
        assert_eq!((number(&told, 1), lines(&told).len()), (0, 3), "{told}");
        assert!(lines(&told).contains(&"oops\n".to_owned()), "{told}");
        assert!(lines(&told).contains(&"end".to_owned()), "{told}");
        let oops = units(&told).into_iter().find(|line| text(line, 3) == "oops\n").unwrap();
        assert_eq!(number(&oops, 2), 1, "standard error");
        assert_eq!(lines(&client.process(1607, json!([[1, "app"]]))).len(), 100);
        let all = lines(&client.process(1607, json!([[1, "app"], [2, 10_000]])));
        assert_eq!(all.len(), 3002);
        assert_eq!((all[0].as_str(), all[2999].as_str()), ("line 1\n", "line 3000\n"));
    }
    served.daemon.stop();
}

fn a_name_is_enabled_and_disabled() {
    let served = Served::usual();
    let daemon = &served.daemon;
    daemon.enable(sleeping("app"));
    let mut client = served.client("raw");
    for (method, enabled) in [(1609, false), (1609, false), (1608, true), (1608, true)] {
        let answer = client.process(method, json!([[1, "app"], [2, "tests"]]));
        assert_eq!(number(&answer, 1), 0, "{answer}");
        let told = status(&mut client, "app");
        assert_eq!((told.1.as_str(), told.3, told.4), ("inactive", true, enabled));
        let shown = daemon.show("app").unwrap();
        assert_eq!(shown.changed_by.unwrap().reason, "tests");
        // What it is has stayed.
        assert_eq!(shown.executable.unwrap().command, sleeping("app").command);
    }
    served.daemon.stop();
}

/// Answers have 128 KiB at most in the older framing; all units come in their order.
fn a_long_list_comes_in_parts() {
    let served = Served::usual();
    let long = "x".repeat(180);
    let names: Vec<String> = (0..800).map(|number| format!("u{number:03}{long}")).collect();
    let registrations = names.iter().map(|name| Registration {
        executable: Some(sleeping(name)),
        status: State::Passive.into(),
        ..Registration::default()
    });
    let registrations = tokio_stream::iter(registrations.collect::<Vec<_>>());
    let mut changes = served.daemon.change_client();
    served.daemon.block(changes.import(registrations)).unwrap();
    for (framing, parts) in [("raw", 2), ("chunked", 1)] {
        let mut client = served.client(framing);
        let (mut all, mut after, mut calls) = (Vec::new(), String::new(), 0);
        loop {
            let answer = client.process(1606, json!([[2, after]]));
            assert_eq!(number(&answer, 1), 0, "{answer}");
            all.extend(units(&answer).iter().map(|unit| text(unit, 1)));
            calls += 1;
            if number(&answer, 4) == 0 {
                break;
            }
            after = all.last().unwrap().clone();
        }
        assert_eq!((all == names, calls), (true, parts));
    }
    served.daemon.stop();
}

/// The last lines are told as far as the log went when they were asked for.
fn who_prints_all_the_time_is_not_followed() {
    let served = Served::usual();
    served.daemon.up(named("loud", argv(&["sh", "-c", "while :; do echo x; done"])));
    let mut client = served.client("chunked");
    for _ in 0..4 {
        let answer = client.process(1607, json!([[1, "loud"], [2, 10]]));
        assert_eq!(number(&answer, 1), 0, "{answer}");
        assert!(fields(&answer, 3).len() <= 10, "{answer}");
    }
    served.daemon.down("loud");
    served.daemon.stop();
}

/// What was started by this door goes on when the daemon is killed, and is told by the next.
fn units_outlive_the_daemon() {
    let served = Served::usual();
    let daemon = &served.daemon;
    daemon.enable(sleeping("app"));
    let mut client = served.client("chunked");
    let pid = number(&client.process(1601, json!([[1, "app"]])), 4);
    daemon.replace();
    client.open("usual", "raw");
    let told = status(&mut client, "app");
    assert_eq!((told.1.as_str(), told.2), ("running", pid));
    let by = daemon.unit("app").wanted_by.unwrap();
    assert_eq!(by.door, "drpc", "who wanted it is remembered");
    assert_eq!(number(&client.process(1602, json!([[1, "app"]])), 1), 0);
    served.daemon.stop();
}

/// Each verb of module 16, and what it has no verb for.
fn aer_speaks_it() {
    let served = Served::usual();
    let daemon = &served.daemon;
    let script = "echo one; echo two >&2; echo three; exec sleep 600";
    daemon.enable(named("app", argv(&["sh", "-c", script])));
    drop(served.client("raw"));
    let socket = served.socket.display().to_string();
    let at = |socket: &str, words: &[&str]| {
        let mut command = Command::new(daemon.binary("aer"));
        command.arg("--drpc").arg(socket).args(words);
        Process::start(command, || {}).finish()
    };
    let aer = |words: &[&str]| at(&socket, words);
    let said = |words: &[&str]| {
        let output = aer(words);
        assert!(output.status.success(), "{words:?}: {}", output.err());
        output.out()
    };
    let failed = |words: &[&str]| {
        let output = aer(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", output.out());
        output.err()
    };
    assert!(said(&["disable", "app"]).contains("disabled app"));
    assert!(said(&["list", "--disabled"]).contains("app"));
    assert!(!said(&["list", "--enabled"]).contains("app"));
    assert!(said(&["enable", "app", "--now", "--reason", "tests"]).contains("started app (pid"));
    assert_eq!(daemon.unit("app").wanted_by.unwrap().reason, "tests");
    assert!(said(&["start", "app"]).contains("already up"));
    tests::eventually("it has printed", || daemon.unit_log("app").stdout.ends_with(b"three\n"));
    let output = aer(&["logs", "app", "-n", "3"]);
    assert_eq!((output.out().as_str(), output.err().as_str()), ("one\nthree\n", "two\n"));
    let pid = daemon.unit("app").pid;
    assert!(said(&["inspect", "app"]).contains(&pid.to_string()));
    assert!(said(&["list", "--running", "-o", "json"]).contains(&format!("\"pid\":{pid}")));
    assert!(said(&["restart", "app"]).contains("restarted app"));
    assert!(said(&["signal", "app", "KILL"]).contains("sent"));
    daemon.until_state("app", UnitState::Failed);
    assert!(said(&["start", "app"]).contains("started app"));
    assert!(said(&["stop", "app", "--kill"]).contains("stopped app"));
    assert!(failed(&["start", "nobody"]).contains("DER -1005"));
    assert!(
        failed(&["enable", "new", "--", "true"]).contains("a definition cannot be had by --drpc")
    );
    assert!(failed(&["status"]).contains("this verb cannot be had by --drpc"));
    assert!(failed(&["logs", "app", "-f"]).contains("cannot be had by --drpc"));
    let nowhere = at("/nowhere/at/all", &["list"]);
    assert!(nowhere.err().contains("/nowhere/at/all"), "{}", nowhere.err());
    served.daemon.stop();
}
