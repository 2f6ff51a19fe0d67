//! The fourth generation: typed messages, dead ones stay until flush, faults have details.

use serde_json::json;
use tests::{
    Need,
    drunc::{booting, names, uuid},
    eventually,
    units::stopping,
};

use super::{STAYS, asleep, everything, stated, states, with_client};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python];
        the_dead_are_told_until_they_are_flushed,
        faults_have_details,
        faults_of_logs_are_answers,
        a_crash_is_nobodys_wish,
        leaves_end_first,
        the_rest_is_answered,
    ]
}

fn the_dead_are_told_until_they_are_flushed() {
    with_client(&[], |daemon, client| {
        let mut request = booting("app", STAYS);
        request["process_restriction"]["data_mount"] = json!("/data");
        request["process_description"]["metadata"]["tree_id"] = json!("");
        let answer = client.call("G4", "boot", "BootRequest", request);
        assert_eq!(
            (&answer["data"]["name"], &answer["data"]["flag"]),
            (&json!("test-node"), &json!("EXECUTED_SUCCESSFULLY"))
        );
        assert_eq!(answer["data"]["token"]["user_name"], "tester");
        assert_eq!(answer["data"]["values"].as_array().map(Vec::len), Some(1));
        let booted = &answer["data"]["values"][0];
        let pid = daemon.units(false)[0].pid;
        assert_eq!(booted["remote_pid"], json!(pid.to_string()));
        assert_eq!(booted["process_restriction"]["data_mount"], "/data");
        assert_eq!(booted["process_description"]["metadata"]["tree_id"], "", "as it was asked for");
        assert!(booted.get("return_code").is_none());
        let ends = client.boot("G4", booting("ends", "exit 7"));
        eventually("it has ended", || {
            let all =
                client.query("G4", "ps", json!({"names": ["ends"], "user": "-", "session": "-"}));
            all["data"]["values"][0]["return_code"] == 7
        });
        assert!(ends.get("remote_pid").is_some() || ends["status_code"] == "DEAD");
        asleep(daemon);
        let killed = client.query(
            "G4",
            "kill",
            json!({"uuids": [booted["uuid"]], "user": "-", "session": "-"}),
        );
        assert_eq!(states(&killed), stated(&[("app", "DEAD")]));
        assert_eq!(killed["data"]["values"][0]["return_code"], -3);
        assert!(killed["data"]["values"][0].get("remote_pid").is_none());
        assert_eq!(
            states(&client.query("G4", "ps", everything())),
            stated(&[("app", "DEAD"), ("ends", "DEAD")])
        );
        let again =
            client.query("G4", "restart", json!({"names": ["app"], "user": "-", "session": "-"}));
        assert_eq!(uuid(&again["data"]["values"][0]), uuid(booted));
        assert_eq!(names(&client.query("G4", "flush", everything())), ["ends"]);
        assert_eq!(states(&client.query("G4", "ps", everything())), stated(&[("app", "RUNNING")]));
        let all = client.call("G4", "terminate", "", json!({}));
        assert_eq!(states(&all), stated(&[("app", "DEAD")]));
        assert_eq!(names(&client.query("G4", "flush", everything())), ["app"]);
        assert!(names(&client.query("G4", "ps", everything())).is_empty());
    });
}

/// INTERNAL with a reason and the call; but of logs an answer with a flag.
fn faults_have_details() {
    with_client(&[], |_, client| {
        client.boot("G4", booting("one", STAYS));
        client.boot("G4", booting("two", STAYS));
        let nowhere = json!({"process_description": booting("x", "true")["process_description"]});
        for (method, kind, request, text, reason) in [
            (
                "restart",
                "ProcessQuery",
                everything(),
                "There are more than 1 processes corresponding to the query",
                "SEVERAL_PROCESSES",
            ),
            (
                "restart",
                "ProcessQuery",
                json!({"user": "-", "session": "-"}),
                "The process corresponding to the query doesn't exist",
                "NO_SUCH_PROCESS",
            ),
            (
                "boot",
                "BootRequest",
                nowhere,
                "No allowed host provided! bailing",
                "NO_ALLOWED_HOST",
            ),
        ] {
            let answer = client.call("G4", method, kind, request);
            assert_eq!(
                (&answer["code"], &answer["message"]),
                (&json!("INTERNAL"), &json!(text)),
                "{answer}"
            );
            assert_eq!(answer["status"], json!({"code": 13, "message": text}));
            assert_eq!(
                (&answer["reason"], &answer["domain"]),
                (&json!(reason), &json!(format!("ProcessManager.{method}")))
            );
        }
        let answer = client.query("G4", "ps", json!({"names": ["("]}));
        assert_eq!(
            (&answer["code"], &answer["reason"]),
            (&json!("INTERNAL"), &json!("BAD_REQUEST_FORMAT"))
        );
        let answer = client.call("G4", "send_msg", "", json!({}));
        assert_eq!(
            (&answer["code"], &answer["domain"]),
            (&json!("UNIMPLEMENTED"), &json!("ProcessManager.send_msg"))
        );
    });
}

/// The text is in the place of lines.
fn faults_of_logs_are_answers() {
    with_client(&[], |_, client| {
        client.boot("G4", booting("one", STAYS));
        client.boot("G4", booting("two", STAYS));
        for (query, text) in [
            (everything(), "There are more than 1 processes corresponding to the query"),
            (
                json!({"user": "-", "session": "-"}),
                "The process corresponding to the query doesn't exist",
            ),
        ] {
            let answer = client.call("G4", "logs", "LogRequest", json!({"query": query}));
            assert_eq!(answer["data"]["flag"], "NOT_EXECUTED_BAD_REQUEST_FORMAT", "{answer}");
            assert_eq!(answer["data"]["lines"], json!([text]));
        }
        let answer = client.call(
            "G4",
            "logs",
            "LogRequest",
            json!({"query": {"names": ["one"], "user": "-", "session": "-"}, "how_far": -1}),
        );
        assert_eq!(answer["data"]["flag"], "NOT_EXECUTED_BAD_REQUEST_FORMAT", "{answer}");
    });
}

/// SIGKILL alone, and it counts as an end of its own.
fn a_crash_is_nobodys_wish() {
    with_client(&[], |daemon, client| {
        client.boot(
            "G4",
            booting("app", "trap 'echo heard' QUIT TERM; echo up; while :; do sleep 600; done"),
        );
        let crashed = client.query("G4", "kill", json!({"names": ["app"], "crash": true}));
        assert_eq!(crashed["data"]["values"][0]["return_code"], -9, "{crashed}");
        let unit = &daemon.units(false)[0];
        let exit = unit.last_exit.clone().expect("it has ended");
        assert!(exit.stopped_by.is_none(), "nobody wanted it: {exit:?}");
        client.query("G4", "restart", everything());
        eventually("it has set its traps", || {
            let logs = client.call("G4", "logs", "LogRequest", json!({"query": everything()}));
            logs["data"]["lines"] == json!(["up\n"])
        });
        let killed = client.query("G4", "kill", everything());
        assert_eq!(
            killed["data"]["values"][0]["return_code"], -9,
            "it ignores SIGQUIT, and has half a second"
        );
        let exit = daemon.units(false)[0].last_exit.clone().expect("it has ended");
        assert!(exit.stopped_by.is_some_and(|by| by.door == "drunc"));
    });
}

/// By the number of dots in their places.
fn leaves_end_first() {
    with_client(&[], |daemon, client| {
        for (name, tree) in [("root", "0"), ("leaf", "0.1.2"), ("branch", "0.1")] {
            let mut request = booting(name, STAYS);
            request["process_description"]["metadata"]["tree_id"] = json!(tree);
            client.boot("G4", request);
        }
        client.call("G4", "terminate", "", json!({}));
        let mut ends: Vec<(i64, String)> = daemon
            .units(false)
            .iter()
            .map(|unit| (unit.since, tests::units::name_in(unit.meta.as_ref()).to_owned()))
            .collect();
        ends.sort_unstable();
        let order: Vec<&str> =
            ends.iter().map(|(_, name)| name.split('@').next().unwrap()).collect();
        assert_eq!(order, ["leaf", "branch", "root"]);
    });
}

fn the_rest_is_answered() {
    with_client(&[], |daemon, client| {
        let told = client.call("G4", "describe", "", json!({}));
        let data = &told["data"];
        assert_eq!(
            (&data["type"], &data["session"], &data["name"]),
            (&json!("process_manager"), &json!("no_session"), &json!("test-node"))
        );
        assert!(data["endpoint"].as_str().is_some_and(|at| at.starts_with("127.0.0.1:")));
        assert_eq!(data["commands"].as_array().map(Vec::len), Some(10));
        for method in ["log_on_server", "echo_on_server"] {
            let request = json!({"text": format!("by {method}\nx"), "severity": "ERROR"});
            let answer = client.call("G4", method, "LogOnServerRequest", request);
            assert_eq!(answer["data"]["flag"], "EXECUTED_SUCCESSFULLY", "{answer}");
            eventually("it is in the log", || {
                daemon.own_log().contains(&format!("says: by {method} x"))
            });
        }
        client.boot("G4", booting("app", "echo one; echo two; exec sleep 600"));
        // A unit of this door is like any other: who stops it does so here, too.
        eventually("it has printed", || {
            let logs = client.call(
                "G4",
                "logs",
                "LogRequest",
                json!({"query": everything(), "how_far": 1}),
            );
            logs["data"]["lines"] == json!(["two\n"])
        });
        let name = tests::units::name_in(daemon.units(false)[0].meta.as_ref()).to_owned();
        daemon.order_stop(tonic::Request::new(stopping(&name))).unwrap();
        assert_eq!(states(&client.query("G4", "ps", everything())), stated(&[("app", "DEAD")]));
    });
}
