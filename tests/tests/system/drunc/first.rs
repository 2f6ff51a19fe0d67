//! The first generation: envelopes in no package, all of a query must hold, faults are gRPC's.

use serde_json::json;
use tests::{
    Need,
    drunc::{booting, names, uuid},
    eventually,
};

use super::{STAYS, asleep, stated, states, with_client};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python]; all_of_a_query_selects, one_or_several_are_killed, lines_and_restarts_work]
}

/// Texts are patterns, the uuid's too, and what is absent holds.
fn all_of_a_query_selects() {
    with_client(&[], |_, client| {
        let mut ids = Vec::new();
        for (name, user, session) in
            [("a-one", "u1", "s1"), ("a-two", "u2", "s1"), ("b-one", "u1", "s2")]
        {
            let mut request = booting(name, STAYS);
            request["process_description"]["metadata"] =
                json!({"name": name, "user": user, "session": session});
            let booted = client.boot("G1", request);
            assert!(booted.get("return_code").is_none(), "it runs: {booted}");
            ids.push(uuid(&booted));
        }
        for (query, wanted) in [
            (json!({}), &["a-one", "a-two", "b-one"][..]),
            (json!({"name": "one"}), &["a-one", "b-one"]),
            (json!({"name": "one", "session": "1"}), &["a-one"]),
            (json!({"name": "one", "user": "u2"}), &[]),
            (json!({"user": "^u1$", "session": "s2"}), &["b-one"]),
            (json!({"uuid": {"uuid": ids[1]}}), &["a-two"]),
            (json!({"uuid": {"uuid": &ids[1][..13]}, "name": "two"}), &["a-two"]),
            (json!({"session": ""}), &["a-one", "a-two", "b-one"]),
        ] {
            let answer = client.query("G1", "list_process", query.clone());
            assert_eq!(names(&answer), wanted, "{query}");
            assert_eq!(answer["token"]["user_name"], "tester");
        }
        for method in ["is_alive", "kill", "restart"] {
            for (query, wanted) in
                [(json!({}), "more than 1"), (json!({"name": "x"}), "doesn't exist")]
            {
                let answer = client.query("G1", method, query);
                assert_eq!(answer["code"], "UNKNOWN", "{answer}");
                assert!(answer["message"].as_str().unwrap().contains(wanted), "{answer}");
            }
        }
        let answer = client.query("G1", "list_process", json!({"name": "("}));
        assert_eq!(answer["code"], "UNKNOWN", "{answer}");
        let answer = client.call("G1", "boot", "LogRequest", json!({}));
        assert!(answer["message"].as_str().unwrap().contains("BootRequest"), "{answer}");
    });
}

/// kill needs exactly one that lives; killall takes many, and with force skips the dead, which are told until flush.
fn one_or_several_are_killed() {
    with_client(&[], |daemon, client| {
        let ids: Vec<String> = ["one", "two", "three"]
            .map(|name| uuid(&client.boot("G1", booting(name, STAYS))))
            .into();
        let alive = client.query("G1", "is_alive", json!({"name": "one"}));
        assert_eq!(alive["data"]["status_code"], "RUNNING");
        asleep(daemon);
        let killed = client.query("G1", "kill", json!({"name": "one"}));
        assert_eq!(
            (&killed["data"]["status_code"], &killed["data"]["return_code"]),
            (&json!("DEAD"), &json!(-3))
        );
        assert_eq!(
            client.query("G1", "is_alive", json!({"name": "one"}))["data"]["status_code"],
            "DEAD"
        );
        let again = client.query("G1", "kill", json!({"name": "one"}));
        assert_eq!(again["message"], format!("The process {} is already dead!", ids[0]));
        let again = client.query("G1", "killall", json!({}));
        assert_eq!(again["message"], format!("The process {} is already dead!", ids[0]));
        assert_eq!(
            states(&client.query("G1", "list_process", json!({}))),
            stated(&[("one", "DEAD"), ("two", "RUNNING"), ("three", "RUNNING")]),
            "and none is killed then"
        );
        let all = client.query("G1", "killall", json!({"force": true}));
        assert_eq!(states(&all), stated(&[("two", "DEAD"), ("three", "DEAD")]));
        assert_eq!(names(&client.query("G1", "flush", json!({"name": "t"}))), ["two", "three"]);
        assert_eq!(names(&client.query("G1", "list_process", json!({}))), ["one"]);
    });
}

/// What never worked there: logs are LogLines, and a restart keeps the uuid.
fn lines_and_restarts_work() {
    with_client(&[], |_, client| {
        let id =
            uuid(&client.boot("G1", booting("app", "echo hello; echo there >&2; exec sleep 600")));
        eventually("it has printed", || {
            let logs = client.call("G1", "logs", "LogRequest", json!({"query": {"name": "app"}}));
            let lines = logs["stream"].as_array().cloned().unwrap_or_default();
            let mut lines: Vec<_> =
                lines.iter().map(|line| line["data"]["line"].as_str().unwrap()).collect();
            lines.sort_unstable();
            lines == ["hello\n", "there\n"]
        });
        client.query("G1", "kill", json!({}));
        let again = client.query("G1", "restart", json!({}));
        assert_eq!((uuid(&again["data"]), &again["data"]["status_code"]), (id, &json!("RUNNING")));
    });
}
