//! What a process is made with: a script, variables, a folder, a file for its output, a machine; and how it is ended.

use std::fs;

use serde_json::{Value, json};
use tests::{
    Daemon, House, Need, Options,
    drunc::{booting, uuid},
    eventually,
};

use super::{STAYS, everything, with_client};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python];
        commands_are_one_script_with_its_variables,
        output_goes_to_the_file_and_the_store,
        last_words_are_in_the_file,
        what_cannot_be_made_is_not_booted,
        hosts_are_tried_in_their_order,
        signals_and_their_time_are_configured,
        the_configuration_names_what_is_wrong,
    ]
}

/// What a process of this script has printed when it has ended.
fn printed(client: &mut tests::drunc::Drunc, request: Value) -> String {
    let booted = client.boot("G4", request);
    let query = json!({"uuids": [booted["uuid"]], "user": "-", "session": "-"});
    eventually("it has ended", || {
        client.query("G4", "ps", query.clone())["data"]["values"][0]["status_code"] == "DEAD"
    });
    let logs = client.call("G4", "logs", "LogRequest", json!({"query": query}));
    logs["data"]["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

/// Words as they stand, in the one shell; $NAME in values is replaced, and no value executes anything.
fn commands_are_one_script_with_its_variables() {
    with_client(&[], |daemon, client| {
        fs::write(daemon.work("env.sh"), "export FROM_FILE=there\n").unwrap();
        let mut request = booting("script", "");
        let description = &mut request["process_description"];
        description["process_execution_directory"] = json!(daemon.path().join("work"));
        description["env"] = json!({
            "B": "$A/x ${A}y ${NONE:-none}",
            "A": "a b",
            "C": "\"; echo broken; \"",
            "D": "$(echo executed) `echo executed` $ \\$A end\\",
        });
        description["executable_and_arguments"] = json!([
            {"exec": "source", "args": ["./env.sh"]},
            {"exec": "echo", "args": ["$FROM_FILE", "|", "tr", "a-z", "A-Z;"]},
            {"exec": "printf", "args": ["'%s\\n'", "\"$B\"", "\"$C\"", "\"$D\""]},
            {"exec": "sleep 0 &"},
            {"exec": "pwd; wait; exit", "args": ["3"]},
        ]);
        let work = daemon.path().join("work");
        let said = printed(client, request);
        // `echo $FROM_FILE | tr a-z A-Z;` is a pipe of the shell.
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "THERE",
                "a b/x a by none",
                "\"; echo broken; \"",
                "$(echo executed) `echo executed` $ $A end\\",
                work.to_str().unwrap(),
            ]
        );
        assert_eq!(client.query("G4", "ps", everything())["data"]["values"][0]["return_code"], 3);
        // What everything of ours finds is there, too.
        let said = printed(client, booting("env", "echo $AURAE_RUN $HOME"));
        assert!(said.len() > 36, "{said}");
    });
}

/// The file is made with its folder, emptied at each start, and has what the store has, also after the daemon is killed.
fn output_goes_to_the_file_and_the_store() {
    with_client(&[], |daemon, client| {
        let log = daemon.path().join("work/deep/er/app.log");
        let mut go = tests::Fifo::make(daemon.path(), "go");
        let mut request = booting(
            "app",
            &format!(
                "seq 1 1000; echo err >&2; read x < {}; seq 1001 50000; printf end",
                go.path()
            ),
        );
        request["process_description"]["process_logs_path"] = json!(log);
        let text = || fs::read_to_string(&log).unwrap_or_default();
        let id = uuid(&client.boot("G3", request));
        eventually("the first of it is there", || {
            text().ends_with("1000\nerr\n")
                || text().ends_with("1000\n") && text().contains("err\n")
        });
        daemon.replace();
        go.release();
        eventually("all of it is there", || text().ends_with("50000\nend"));
        let all: Vec<String> =
            text().lines().filter(|line| *line != "err").map(str::to_owned).collect();
        let mut wanted: Vec<String> = (1..=50_000).map(|number| number.to_string()).collect();
        wanted.push("end".to_owned());
        assert!(all == wanted, "a byte is lost or repeated: {} lines", all.len());
        let logs = client.call(
            "G4",
            "logs",
            "LogRequest",
            json!({"query": {"names": ["app"], "user": "-", "session": "-"}, "how_far": 2}),
        );
        assert_eq!(logs["data"]["lines"], json!(["50000\n", "end"]));
        let again = client.query("G3", "restart", json!({"uuids": [{"uuid": id}]}));
        assert_eq!(again["flag"], "EXECUTED_SUCCESSFULLY", "{again}");
        eventually("it is empty first", || {
            let text = text();
            text.len() < 5000 && text.contains("1000\n")
        });
        go.release();
        eventually("all of it is there again", || {
            text().ends_with("50000\nend") && text().starts_with("1\n")
        });
    });
}

/// What is printed while everything ends is in the file when the daemon has ended.
fn last_words_are_in_the_file() {
    let elsewhere = tempfile::Builder::new().prefix("aurae-").tempdir().unwrap();
    let log = elsewhere.path().join("x.log");
    with_client(&["kill_timeout = \"30s\""], |_, client| {
        let script = "trap 'seq 1 50000; exit 0' QUIT; echo up; while :; do sleep 0.1; done";
        let mut request = booting("app", script);
        request["process_description"]["process_logs_path"] = json!(log);
        client.boot("G4", request);
        eventually("it is up", || fs::read_to_string(&log).is_ok_and(|text| text == "up\n"));
    });
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("up\n") && text.ends_with("\n50000\n"), "{} bytes", text.len());
}

fn what_cannot_be_made_is_not_booted() {
    with_client(&[], |daemon, client| {
        fs::write(daemon.work("file"), "").unwrap();
        for (field, value, word) in [
            ("process_logs_path", daemon.work("file/x.log"), "process_logs_path"),
            ("process_logs_path", daemon.path().to_str().unwrap().to_owned(), "process_logs_path"),
            ("process_logs_path", "x.log".to_owned(), "relative"),
            ("process_execution_directory", "x".to_owned(), "relative"),
            ("process_execution_directory", daemon.work("nowhere"), "nowhere"),
        ] {
            let mut request = booting("app", STAYS);
            request["process_description"][field] = json!(value);
            let answer = client.call("G4", "boot", "BootRequest", request);
            assert_eq!(answer["code"], "INTERNAL", "{answer}");
            assert!(answer["message"].as_str().unwrap().contains(word), "{answer}");
        }
        assert!(daemon.units(false).is_empty(), "nothing of it is left");
    });
}

/// Names of other machines are passed over; the name that was used is told.
fn hosts_are_tried_in_their_order() {
    with_client(&[], |_, client| {
        let mut request = booting("app", STAYS);
        let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
        for (hosts, wanted) in [
            (json!(["elsewhere.example", "127.0.0.1", "localhost"]), "127.0.0.1"),
            (json!(["192.0.2.1", own]), own.as_str()),
            (json!(["TEST-NODE"]), "TEST-NODE"),
        ] {
            request["process_restriction"]["allowed_hosts"] = hosts;
            let booted = client.boot("G3", request.clone());
            assert_eq!(booted["process_description"]["metadata"]["hostname"], wanted, "{booted}");
        }
        request["process_restriction"]["allowed_hosts"] = json!(["a.example", "b.example"]);
        let answer = client.call("G3", "boot", "BootRequest", request);
        assert_eq!(answer["flag"], "DRUNC_EXCEPTION_THROWN");
        let text = answer["data"]["text"][0].as_str().unwrap();
        assert!(text.contains("a.example") && text.contains("b.example"), "{text}");
    });
}

/// Each signal in its turn, and SIGKILL in the end.
fn signals_and_their_time_are_configured() {
    let lines = ["kill_signals = [\"INT\", \"SIGTERM\", \"9\"]", "kill_timeout = \"2s\""];
    with_client(&lines, |_, client| {
        let script = "trap 'echo INT' INT; trap 'echo TERM; exit 4' TERM; echo up; while :; do sleep 0.1; done";
        client.boot("G4", booting("app", script));
        let lines = |client: &mut tests::drunc::Drunc| {
            client.call("G4", "logs", "LogRequest", json!({"query": everything()}))["data"]["lines"]
                .clone()
        };
        eventually("it is up", || lines(client) == json!(["up\n"]));
        let killed = client.query("G4", "kill", everything());
        assert_eq!(killed["data"]["values"][0]["return_code"], 4, "{killed}");
        // The shell has a word of its own for what it hears.
        let heard = lines(client);
        let heard =
            heard.as_array().unwrap().iter().filter(|line| **line == "INT\n" || **line == "TERM\n");
        assert_eq!(heard.cloned().collect::<Vec<_>>(), ["INT\n", "TERM\n"]);
    });
}

/// A listener that others could reach, and what else cannot be, with its line.
fn the_configuration_names_what_is_wrong() {
    for (line, word) in [
        ("listen = \"0.0.0.0:10054\"", "0.0.0.0:10054"),
        ("listen = \"192.0.2.1:10054\"", "192.0.2.1"),
        ("listen = \"localhost:10054\"", "127.0.0.1:10054"),
        ("kill_signals = [\"TERM\"]", "KILL"),
    ] {
        let options = Options::default().config("doors.drunc", line);
        let options = if line.starts_with("listen") {
            options
        } else {
            options.config("doors.drunc", "listen = \"127.0.0.1:1\"")
        };
        let said = House::prepare(options).refused().err();
        assert!(said.contains("line ") && said.contains(word), "{said}");
    }
    // Nobody listens unless it is wanted.
    Daemon::with(Options::default(), |daemon| {
        let core = daemon.status().daemon_pid;
        let sockets = fs::read_to_string(format!("/proc/{core}/net/tcp")).unwrap_or_default();
        let inodes: Vec<String> = fs::read_dir(format!("/proc/{core}/fd"))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()?.to_str().map(str::to_owned))
            .collect();
        let listens = sockets.lines().filter(|line| line.contains(" 0A ")).any(|line| {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            inodes.contains(&format!("socket:[{inode}]"))
        });
        assert!(!listens, "{sockets}");
    });
}
