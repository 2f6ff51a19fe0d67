//! Who is served: whom the kernel names and the configuration lists.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use serde_json::json;
use tests::{
    Need, Options,
    drunc::{Drunc, booting, daemon_with, names},
    eventually,
};

use super::{STAYS, everything};
use crate::{Case, cases};

const NOBODY: u32 = 65534;
const SOMEBODY: u32 = 65533;

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python, Need::OtherUser]; only_those_are_served_who_are_listed, who_did_what_is_known, processes_run_as_whom_the_configuration_says]
}

/// Others are told so in the form of each generation, and nothing of theirs is done.
fn only_those_are_served_who_are_listed() {
    let (daemon, address) = daemon_with(Options::default(), &["uids = [0, 65533]"]);
    let mut listed = Drunc::connect(&daemon, address, Some(SOMEBODY));
    assert_eq!(listed.boot("G3", booting("app", STAYS))["status_code"], "RUNNING");
    let mut root = Drunc::connect(&daemon, address, None);
    assert_eq!(names(&root.query("G4", "ps", everything())), ["app"]);
    let mut other = Drunc::connect(&daemon, address, Some(NOBODY));
    // For root by name, too: a name is no identity.
    for method in ["ps", "kill", "flush", "restart"] {
        let order = json!({"gen": "G3", "method": method, "type": "ProcessQuery", "request": everything(), "user": "root"});
        let answer = other.order(&order);
        assert_eq!(answer["flag"], "NOT_EXECUTED_NOT_AUTHORISED", "{answer}");
        assert_eq!(answer["type"], "PlainText");
        assert!(answer["data"]["text"].as_str().unwrap().contains("65534"), "{answer}");
        let answer = other.query("G4", method, everything());
        assert_eq!(
            (&answer["code"], &answer["reason"]),
            (&json!("PERMISSION_DENIED"), &json!("UNAUTHORISED"))
        );
        assert_eq!(answer["domain"], format!("ProcessManager.{method}"));
    }
    let answer = other.query("G1", "killall", json!({}));
    assert_eq!(answer["code"], "PERMISSION_DENIED", "{answer}");
    assert!(answer["message"].as_str().unwrap().starts_with("Unauthorised"), "{answer}");
    for (method, kind) in [
        ("boot", "BootRequest"),
        ("terminate", ""),
        ("describe", ""),
        ("log_on_server", "LogOnServerRequest"),
        ("send_msg", ""),
    ] {
        let answer = other.call("G4", method, kind, json!({}));
        assert_eq!(answer["code"], "PERMISSION_DENIED", "{method}: {answer}");
    }
    assert_eq!(names(&root.query("G4", "ps", everything())), ["app"]);
    drop((listed, root, other));
    daemon.stop();
}

/// In the unit, and in the audit log.
fn who_did_what_is_known() {
    let (daemon, address) = daemon_with(Options::default(), &["uids = [65533]"]);
    let mut client = Drunc::connect(&daemon, address, Some(SOMEBODY));
    client.boot("G4", booting("app", STAYS));
    client.query("G4", "kill", everything());
    let wanted = daemon.units(false)[0].wanted_by.clone().unwrap();
    assert_eq!((wanted.door.as_str(), wanted.reason.as_str()), ("drunc", "kill"));
    assert!(wanted.identity.starts_with("uid:65533 port:"), "{}", wanted.identity);
    let audit = || daemon.aer(&["logs", "--audit"]).out();
    eventually("it is in the audit log", || {
        let text = audit();
        text.contains("\"action\":\"stop\"")
            && text.contains("\"door\":\"drunc\"")
            && text.contains("\"uid\":65533")
    });
    drop(client);
    daemon.stop();
}

/// With that user's rights to its log file, too; and a name that is not mapped is only a name.
fn processes_run_as_whom_the_configuration_says() {
    let lines = ["run_as = 65533", "users = { alice = 65532 }"];
    let (daemon, address) = daemon_with(Options::default(), &lines);
    let mut client = Drunc::connect(&daemon, address, None);
    for (user, uid) in [("tester", SOMEBODY), ("alice", 65532), ("root", SOMEBODY)] {
        let log = daemon.work(&format!("{user}/x.log"));
        let mut request = booting(user, "echo $(id -u) $USER; echo err > /dev/stderr");
        request["process_description"]["metadata"]["user"] = json!(user);
        request["process_description"]["process_logs_path"] = json!(log);
        client.boot("G3", request);
        let text = || fs::read_to_string(&log).unwrap_or_default();
        eventually("it has printed", || text().lines().count() == 2);
        let all = text();
        assert!(all.contains(&format!("{uid} {uid}\n")) && all.contains("err\n"), "{all}");
        assert_eq!(fs::metadata(&log).unwrap().uid(), uid);
    }
    let mut request = booting("app", STAYS);
    request["process_description"]["process_logs_path"] = json!(daemon.path().join("x.log"));
    let answer = client.call("G4", "boot", "BootRequest", request.clone());
    assert!(answer["message"].as_str().unwrap().contains("Permission denied"), "{answer}");
    // It goes on under the next daemon, and its file as that user.
    let log = daemon.work("app.log");
    let mut go = tests::Fifo::make(&daemon.path().join("work"), "go");
    fs::set_permissions(go.path(), fs::Permissions::from_mode(0o666)).unwrap();
    request["process_description"]["process_logs_path"] = json!(log);
    request["process_description"]["executable_and_arguments"] =
        json!([{"exec": format!("echo one; read x < {}; echo two; exec sleep 600", go.path())}]);
    client.boot("G4", request);
    eventually("it has begun", || fs::read_to_string(&log).is_ok_and(|text| text == "one\n"));
    daemon.replace();
    go.release();
    eventually("it goes on", || fs::read_to_string(&log).is_ok_and(|text| text == "one\ntwo\n"));
    drop(client);
    daemon.stop();
}
