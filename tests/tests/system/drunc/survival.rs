//! The next daemon serves the same processes.

use std::net::TcpStream;

use serde_json::json;
use tests::{
    Need, Options,
    drunc::{Drunc, booting, daemon_with, names, uuid},
    eventually,
};

use super::{STAYS, everything, stated, states};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python]; the_next_daemon_knows_them_all, a_listener_that_is_taken_is_told]
}

/// Alive, dead, killed, by their uuids and all that was said of them; and goes on with each as the one before would have.
fn the_next_daemon_knows_them_all() {
    let (daemon, address) = daemon_with(Options::default(), &[]);
    let mut client = Drunc::connect(&daemon, address, None);
    let mut request = booting("stays", STAYS);
    request["process_description"]["env"] = json!({"A": "1"});
    request["process_description"]["metadata"]["tree_id"] = json!("1.2");
    let stays = client.boot("G4", request);
    let ends = client.boot("G4", booting("ends", "exit 5"));
    let killed = client.boot("G4", booting("killed", STAYS));
    client.query("G3", "kill", json!({"names": ["killed"], "user": "-", "session": "-"}));
    eventually("one has ended", || {
        states(&client.query("G4", "ps", everything()))
            == stated(&[("stays", "RUNNING"), ("ends", "DEAD"), ("killed", "DEAD")])
    });
    let before = client.query("G4", "ps", everything());
    for _ in 0..2 {
        let lost = daemon.lose_daemon();
        // The keeper holds the listener: nobody is refused between two daemons.
        TcpStream::connect(address).unwrap();
        eventually("there is another daemon", || daemon.status().daemon_pid != lost);
        assert_eq!(
            client.query("G4", "ps", everything())["data"]["values"],
            before["data"]["values"]
        );
        assert_eq!(names(&client.query("G3", "ps", everything())), ["stays", "ends"]);
    }
    assert_eq!(before["data"]["values"][0], stays);
    assert_eq!(before["data"]["values"][1]["return_code"], 5);
    let again =
        client.query("G3", "restart", json!({"names": ["killed"], "user": "-", "session": "-"}));
    assert_eq!(uuid(&again["data"]), uuid(&killed));
    // One that died with its daemon away is dead for the next.
    let more = client.boot("G4", booting("more", "exit 0"));
    assert_ne!(uuid(&more), uuid(&ends));
    let all = client.query("G4", "terminate", json!({}));
    assert!(states(&all).iter().all(|(_, state)| state == "DEAD"), "{all}");
    assert_eq!(
        names(&client.query("G4", "flush", everything())),
        ["stays", "ends", "killed", "more"]
    );
    daemon.replace();
    tests::drunc::listens(address);
    assert!(names(&client.query("G4", "ps", everything())).is_empty(), "flushed for ever");
    drop(client);
    daemon.stop();
}

/// A listener that is taken is a problem that Status tells, and is over by itself.
fn a_listener_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let options = Options::default().config("doors.drunc", &format!("listen = \"{address}\""));
    tests::Daemon::with(options, |daemon| {
        eventually("it is told", || !daemon.status().healthy);
        let problem = daemon.status().problems.concat();
        assert!(
            problem.contains(&address.to_string()) && problem.contains("[doors.drunc]"),
            "{problem}"
        );
        drop(taken);
        eventually("it is had", || daemon.status().healthy);
        let mut client = Drunc::connect(daemon, address, None);
        assert!(names(&client.query("G4", "ps", everything())).is_empty());
    });
}
