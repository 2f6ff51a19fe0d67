//! Who is served: whom the kernel names and the configuration lists.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::json;
use tests::{
    Need, Options, argv,
    drpc::{Drpc, number, text},
    eventually,
    rpc::named,
};

use super::Served;
use crate::{Case, cases};

const NOBODY: u32 = 65534;
const SOMEBODY: u32 = 65533;

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython, Need::OtherUser]; only_those_are_served_who_are_listed, who_did_what_is_known]
}

/// Whoever may connect: others find the end of their session.
fn only_those_are_served_who_are_listed() {
    let served = Served::with(Options::default(), &["uids = [0, 65533]"]);
    let mut root = served.client("raw");
    let mut other = Drpc::begin(&served.socket, Some(NOBODY));
    assert_eq!(fs::metadata(&served.socket).unwrap().mode() & 0o777, 0o666, "others are served");
    for _ in 0..5 {
        other.try_open("usual", "raw").unwrap();
        let order =
            json!({"do": "send", "session": "usual", "module": 0, "method": 0, "sequence": 1});
        // It may be closed already.
        other.order(&order);
        assert_eq!(other.read("usual"), json!({"end": true}));
    }
    let told = || served.daemon.own_log().matches("not served at dRPC's door").count();
    eventually("it is told", || told() > 0);
    assert_eq!(told(), 1, "once in a while");
    let mut listed = Drpc::begin(&served.socket, Some(SOMEBODY));
    listed.open("usual", "chunked");
    for client in [&mut listed, &mut root] {
        assert_eq!(text(&client.call((0, 0), json!([[1, "x"]])), 1), "Hello x");
    }
    served.daemon.stop();
}

/// In the unit, and in the audit log, also what was refused.
fn who_did_what_is_known() {
    let served = Served::with(Options::default(), &["uids = [65533]"]);
    let daemon = &served.daemon;
    daemon.up(named("app", argv(&["sleep", "600"])));
    let mut client = Drpc::begin(&served.socket, Some(SOMEBODY));
    client.open("usual", "raw");
    let answer = client.process(1602, json!([[1, "app"], [2, "too \u{7}loud"]]));
    assert_eq!(number(&answer, 1), 0, "{answer}");
    let answer = client.process(1601, json!([[1, "nobody"]]));
    assert_eq!(number(&answer, 1), -1005, "{answer}");
    let answer = client.process(1602, json!([[1, "app"], [2, "x".repeat(1025)]]));
    assert_eq!(number(&answer, 1), -1003, "{answer}");
    let wanted = daemon.unit("app").wanted_by.unwrap();
    assert_eq!((wanted.door.as_str(), wanted.reason.as_str()), ("drpc", "too \u{fffd}loud"));
    assert!(wanted.identity.starts_with("uid:65533 pid:"), "{}", wanted.identity);
    eventually("it is in the audit log", || {
        let text = daemon.aer(&["logs", "--audit"]).out();
        text.contains("\"action\":\"stop\"")
            && text.contains("\"door\":\"drpc\"")
            && text.contains("\"uid\":65533")
            && text.lines().any(|line| line.contains("nobody") && line.contains("refused"))
    });
    served.daemon.stop();
}
