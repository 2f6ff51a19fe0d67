//! Clients that send nonsense harm themselves alone.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::json;
use tests::{
    Need, PATIENCE,
    drunc::{booting, names},
    storm::Random,
};

use super::{STAYS, everything, with_client};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Python]; bodies_that_are_nothing_are_answered, connections_that_speak_nothing_are_closed]
}

/// What is left of a message that something happened to.
fn mangled(whole: &[u8], chance: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let place =
        |chance: &mut Random, length: usize| usize::try_from(chance.below(length as u64)).unwrap();
    let byte = |chance: &mut Random| u8::try_from(chance.below(256)).unwrap();
    match chance.below(3) {
        0 => bytes.truncate(place(chance, whole.len())),
        1 => bytes = (0..chance.below(64)).map(|_| byte(chance)).collect(),
        _ => {}
    }
    for _ in 0..chance.below(4) {
        let at = place(chance, bytes.len());
        let changed = byte(chance);
        bytes.get_mut(at).into_iter().for_each(|it| *it = changed);
    }
    bytes
}

/// Random bytes, and requests with bytes changed, cut and doubled, to every method of every generation.
fn bodies_that_are_nothing_are_answered() {
    with_client(&[], |daemon, client| {
        let core = daemon.status().daemon_pid;
        client.boot("G4", booting("app", STAYS));
        let mut chance = Random::new(7);
        let methods = [
            ("G1", &["boot", "restart", "is_alive", "kill", "list_process", "logs"][..]),
            ("G3", &["describe", "boot", "restart", "flush", "ps", "logs"]),
            ("G4", &["describe", "boot", "restart", "ps", "logs", "log_on_server"]),
        ];
        for (generation, methods) in methods {
            let mut request = booting("x", "true");
            // Never one that could be booted: where would it end?
            request["process_restriction"]["allowed_hosts"] = json!(["elsewhere.example"]);
            let of = json!({"gen": generation, "method": "encode", "of": "boot", "type": "BootRequest", "request": request});
            let whole = client.order(&of)["raw"].as_str().unwrap().to_owned();
            let whole: Vec<u8> = (0..whole.len() / 2)
                .map(|at| u8::from_str_radix(&whole[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            for method in methods {
                for _ in 0..12 {
                    let raw: String = mangled(&whole, &mut chance)
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    let answer =
                        client.order(&json!({"gen": generation, "method": method, "raw": raw}));
                    assert!(answer.is_object(), "{generation} {method} {raw}");
                }
            }
        }
        // More than any request has.
        let answer =
            client.order(&json!({"gen": "G4", "method": "ps", "raw": "0a".repeat(2 << 20)}));
        assert!(answer["code"].is_string(), "{answer}");
        assert_eq!(daemon.status().daemon_pid, core, "the daemon lives");
        assert!(names(&client.query("G4", "ps", everything())).contains(&"app".to_owned()));
    });
}

/// No HTTP, half a preface, and frames of every kind with anything in them.
fn connections_that_speak_nothing_are_closed() {
    with_client(&[], |daemon, client| {
        let core = daemon.status().daemon_pid;
        let told = client.call("G4", "describe", "", json!({}));
        let address = told["data"]["endpoint"].as_str().unwrap().to_owned();
        let mut chance = Random::new(11);
        for number in 0..40 {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut bytes = Vec::new();
            if number % 4 > 0 {
                bytes.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            }
            for _ in 0..chance.below(20) {
                let length = chance.below(60) as u8;
                bytes.extend([
                    0,
                    0,
                    length,
                    chance.below(11) as u8,
                    chance.below(256) as u8,
                    0,
                    0,
                    0,
                    chance.below(6) as u8,
                ]);
                bytes.extend((0..length).map(|_| chance.below(256) as u8));
            }
            // It may be closed meanwhile.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
        assert_eq!(daemon.status().daemon_pid, core, "the daemon lives");
        assert!(names(&client.query("G4", "ps", everything())).is_empty());
    });
}
