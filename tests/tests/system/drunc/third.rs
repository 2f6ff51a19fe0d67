//! The third generation: envelopes, flags, and its rules of selection, deletion and restart.

use serde_json::{Value, json};
use tests::{
    Need,
    drunc::{booting, names, uuid},
    eventually,
};

use super::{STAYS, asleep, everything, stated, states, with_client};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python];
        a_process_is_booted_told_killed_restarted_and_flushed,
        any_of_a_query_selects,
        faults_are_answers_with_a_flag,
        all_of_ours_are_terminated_and_no_others,
        the_last_lines_are_told,
    ]
}

/// The life of a process: what is answered is what was asked for, and more; killed it is gone for ps, and not for restart.
fn a_process_is_booted_told_killed_restarted_and_flushed() {
    with_client(&[], |daemon, client| {
        let mut request = booting("app", STAYS);
        request["process_description"]["env"] = json!({"A": "1"});
        request["process_description"]["metadata"]["tree_id"] = json!("");
        let order = json!({"gen": "G3", "method": "boot", "type": "BootRequest", "request": request, "user": "me"});
        let answer = client.order(&order);
        assert_eq!(answer["flag"], "EXECUTED_SUCCESSFULLY", "{answer}");
        assert_eq!(answer["token"], json!({"token": "me-token", "user_name": "me"}));
        assert_eq!(
            (&answer["name"], &answer["type"]),
            (&json!("test-node"), &json!("ProcessInstance"))
        );
        let booted = &answer["data"];
        let id = uuid(booted);
        let metadata = &booted["process_description"]["metadata"];
        assert_eq!(
            (&metadata["hostname"], &metadata["uuid"]["uuid"]),
            (&json!("localhost"), &json!(id))
        );
        assert_eq!(metadata["tree_id"], "0.0.1", "its shell cannot show one without");
        assert_eq!(booted["process_description"]["env"], json!({"A": "1"}));
        assert_eq!(
            (&booted["status_code"], &booted["return_code"]),
            (&json!("RUNNING"), &json!(0))
        );
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);

        let listed = client.query("G3", "ps", everything());
        assert_eq!(states(&listed), stated(&[("app", "RUNNING")]));
        // One that runs is not flushed.
        assert!(names(&client.query("G3", "flush", everything())).is_empty());
        asleep(daemon);
        let killed = client.query("G3", "kill", json!({"uuids": [{"uuid": id}]}));
        assert_eq!(states(&killed), stated(&[("app", "DEAD")]));
        assert_eq!(killed["data"]["values"][0]["return_code"], -3, "SIGQUIT: {killed}");
        assert!(names(&client.query("G3", "ps", everything())).is_empty(), "killed, it is gone");
        assert_eq!(names(&client.query("G4", "ps", everything())), ["app"], "and not for others");

        let again = client.query("G3", "restart", json!({"names": ["app"]}));
        assert_eq!(
            (uuid(&again["data"]), &again["data"]["status_code"]),
            (id.clone(), &json!("RUNNING"))
        );
        assert_eq!(names(&client.query("G3", "ps", everything())), ["app"]);
        // Alive it is ended first.
        let pid = daemon.units(false)[0].pid;
        let again = client.query("G3", "restart", json!({"uuids": [{"uuid": id}]}));
        assert_eq!(uuid(&again["data"]), id, "{again}");
        assert_ne!(daemon.units(false)[0].pid, pid);

        client.query("G3", "kill", json!({"names": ["app"]}));
        let flushed = client.query("G3", "flush", everything());
        assert!(names(&flushed).is_empty(), "what is gone is told no more: {flushed}");
        let gone = client.query("G3", "restart", json!({"names": ["app"]}));
        assert_eq!(
            gone["flag"], "DRUNC_EXCEPTION_THROWN",
            "flushed, it cannot be restarted: {gone}"
        );
        assert!(daemon.units(false).is_empty());
    });
}

/// A uuid, a name that is found, an equal session or an equal user; an empty one equals an empty one.
fn any_of_a_query_selects() {
    with_client(&[], |_, client| {
        let mut ids = Vec::new();
        for (name, user, session) in
            [("a-one", "u1", "s1"), ("a-two", "u2", "s1"), ("b-one", "u3", ""), ("c", "", "s3")]
        {
            let mut request = booting(name, STAYS);
            request["process_description"]["metadata"] =
                json!({"name": name, "user": user, "session": session});
            ids.push(uuid(&client.boot("G3", request)));
        }
        for (query, wanted) in [
            // Said to neither, user and session are empty, and equal what is.
            (json!({"names": ["nothing"]}), &["b-one", "c"][..]),
            (json!({"user": "-", "session": "-"}), &[]),
            (
                json!({"user": "-", "session": "-", "uuids": [{"uuid": ids[0]}, {"uuid": ids[3]}]}),
                &["a-one", "c"],
            ),
            (json!({"user": "-", "session": "-", "names": ["^a-"]}), &["a-one", "a-two"]),
            (
                json!({"user": "-", "session": "-", "names": ["one$", "c"]}),
                &["a-one", "b-one", "c"],
            ),
            (json!({"user": "u2", "session": "-"}), &["a-two"]),
            (json!({"user": "u1", "session": "s3"}), &["a-one", "c"]),
            (json!({"user": "-", "session": "s1"}), &["a-one", "a-two"]),
        ] {
            assert_eq!(names(&client.query("G3", "ps", query.clone())), wanted, "{query}");
            let of_fourth = client.query("G4", "ps", query.clone());
            assert_eq!(names(&of_fourth), wanted, "{query}");
        }
        let answer = client.query("G3", "kill", json!({}));
        assert_eq!(names(&answer), ["b-one", "c"], "an empty query is the same");
    });
}

fn plain(answer: &Value) -> String {
    let text = &answer["data"]["text"];
    text.as_str().or_else(|| text[0].as_str()).unwrap_or_default().to_owned()
}

/// gRPC says OK, and the flag and the text say what it was.
fn faults_are_answers_with_a_flag() {
    with_client(&[], |_, client| {
        client.boot("G3", booting("one", STAYS));
        client.boot("G3", booting("two", STAYS));
        for method in ["restart"] {
            for (query, wanted) in [
                (json!({"names": ["x"]}), "The process corresponding to the query doesn't exist"),
                (everything(), "There are more than 1 processes corresponding to the query"),
            ] {
                let answer = client.query("G3", method, query);
                assert_eq!(answer["flag"], "DRUNC_EXCEPTION_THROWN", "{answer}");
                assert_eq!(
                    (answer["type"].as_str(), plain(&answer).as_str()),
                    (Some("Stacktrace"), wanted)
                );
                assert_eq!(answer["token"]["user_name"], "tester");
            }
        }
        let logs = client.call("G3", "logs", "LogRequest", json!({"query": everything()}));
        assert_eq!(logs["stream"].as_array().map(Vec::len), Some(1));
        assert_eq!(logs["stream"][0]["flag"], "DRUNC_EXCEPTION_THROWN", "{logs}");

        let mut nowhere = booting("x", "true");
        nowhere["process_restriction"] = json!({});
        let answer = client.call("G3", "boot", "BootRequest", nowhere);
        assert_eq!(answer["flag"], "DRUNC_EXCEPTION_THROWN");
        assert_eq!(plain(&answer), "No allowed host provided! bailing");

        for (kind, request, word) in [
            ("ProcessQuery", json!({}), "BootRequest is expected"),
            ("BootRequest", json!({}), "process_description"),
            ("BootRequest", booting("x", " "), "executable_and_arguments"),
        ] {
            let answer = client.call("G3", "boot", kind, request);
            assert_eq!(answer["flag"], "NOT_EXECUTED_BAD_REQUEST_FORMAT", "{answer}");
            assert!(answer["type"] == "PlainText" && plain(&answer).contains(word), "{answer}");
        }
        let answer = client.order(&json!({"gen": "G3", "method": "ps"}));
        assert_eq!(answer["flag"], "NOT_EXECUTED_BAD_REQUEST_FORMAT", "no data: {answer}");
        for pattern in ["(", "(?=a)", "a{1000}{1000}"] {
            let answer = client.query("G3", "ps", json!({"names": [pattern]}));
            assert_eq!(answer["flag"], "NOT_EXECUTED_BAD_REQUEST_FORMAT", "{answer}");
            assert!(plain(&answer).contains("pattern"), "{answer}");
        }
        assert_eq!(names(&client.query("G3", "ps", everything())).len(), 2, "and all goes on");

        let told = client.order(&json!({"gen": "G3", "method": "describe"}));
        assert_eq!(told["type"], "Description");
        let (data, calls) = (&told["data"], told["data"]["commands"].as_array().map(Vec::len));
        assert_eq!(
            (&data["type"], &data["name"], &data["session"], calls),
            (&json!("process_manager"), &json!("test-node"), &json!("no_session"), Some(8))
        );
        assert!(data.get("broadcast").is_none());
    });
}

/// Whatever the query says; and a unit that came in by another door goes on.
fn all_of_ours_are_terminated_and_no_others() {
    with_client(&[], |daemon, client| {
        daemon.up(tests::rpc::named("other", daemon.probe(&["pause"])));
        client.boot("G3", booting("one", STAYS));
        client.boot("G4", booting("two", STAYS));
        let all = client.query("G3", "terminate", json!({"names": ["nothing"]}));
        assert_eq!(states(&all), stated(&[("one", "DEAD"), ("two", "DEAD")]));
        let left = daemon.units(false).into_iter().filter(|unit| unit.pid > 0).count();
        assert_eq!((left, daemon.unit("other").pid > 0), (1, true));
        assert!(!names(&client.query("G4", "ps", everything())).contains(&"other".to_owned()));
    });
}

fn the_last_lines_are_told() {
    with_client(&[], |_, client| {
        let booted = client.boot("G3", booting("app", "seq 1 150; printf end; exec sleep 600"));
        let mut told = Vec::new();
        let mut logs = |how_far: i32| {
            let answer = client.call(
                "G3",
                "logs",
                "LogRequest",
                json!({"query": {"names": ["app"]}, "how_far": how_far}),
            );
            let items = answer["stream"].as_array().cloned().unwrap_or_default();
            assert!(items.iter().all(|item| item["data"]["uuid"] == booted["uuid"]), "{answer}");
            items
                .iter()
                .map(|item| item["data"]["line"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        eventually("all is printed", || {
            told = logs(0);
            told.last().is_some_and(|line| line == "end")
        });
        assert_eq!((told.len(), told[0].as_str(), told[98].as_str()), (100, "52\n", "150\n"));
        assert_eq!(logs(2), ["150\n", "end"]);
        assert_eq!(logs(1000).len(), 151);
    });
}
