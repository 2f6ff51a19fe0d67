//! Clients that send nonsense harm themselves alone.

use serde_json::{Value, json};
use tests::{
    Need, argv,
    drpc::{Drpc, text},
    eventually,
    rpc::named,
    storm::Random,
};

use super::Served;
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        violations_close_their_session_alone,
        random_and_mutated_bytes_harm_nobody,
        too_many_sessions_are_refused,
    ]
}

/// A packet of the newer framing.
fn chunk(total: u64, size: u64, (index, count): (u32, u32), data: &[u8]) -> String {
    let mut packet = Vec::new();
    packet.extend(total.to_ne_bytes());
    packet.extend(size.to_ne_bytes());
    packet.extend(index.to_ne_bytes());
    packet.extend(count.to_ne_bytes());
    packet.extend(data);
    hex(&packet)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_ended(answer: &Value) -> bool {
    *answer == json!({"end": true})
}

/// The calls before are answered, and nothing after.
fn violations_close_their_session_alone() {
    let served = Served::usual();
    let mut client = served.client("raw");
    let greeting = chunk(0, 0, (0, 1), &[]);
    for bad in [
        // It claims what nobody would hold; in the wrong order; changed meanwhile; more than it said; not as long as it says;
        // no whole header; less than it said.
        vec![chunk(1 << 60, 4, (0, 1 << 20), b"abcd")],
        vec![chunk((1 << 20) + 1, 4, (0, 2), b"abcd")],
        vec![chunk(8, 4, (1, 2), b"abcd")],
        vec![chunk(12, 4, (0, 3), b"abcd"), chunk(12, 4, (2, 3), b"abcd")],
        vec![chunk(8, 4, (0, 2), b"abcd"), chunk(9, 4, (1, 2), b"abcd")],
        vec![chunk(8, 4, (0, 2), b"abcd"), chunk(8, 4, (1, 3), b"abcd")],
        vec![chunk(8, 4, (0, 2), b"abcd"), chunk(8, 8, (1, 2), b"abcdefgh")],
        vec![chunk(8, 5, (0, 2), b"abcd")],
        vec!["00ff".to_owned()],
        vec![chunk(4, 4, (0, 0), b"abcd")],
        vec![chunk(8, 4, (0, 2), b"abcd"), chunk(8, 2, (1, 2), b"ab")],
    ] {
        client.open("bad", "chunked");
        client.order(&json!({"do": "packets", "session": "bad", "hex": [greeting]}));
        assert_eq!(text(&client.read("bad"), 1), "Hello ");
        client.order(&json!({"do": "packets", "session": "bad", "hex": bad}));
        let answer = client.read("bad");
        assert!(is_ended(&answer), "{bad:?}: {answer}");
        assert_eq!(text(&client.call((0, 0), json!([[1, "x"]])), 1), "Hello x");
    }
    eventually("it is told", || served.daemon.own_log().contains("a session of dRPC's is closed"));
    served.daemon.stop();
}

/// What is left of a message that something happened to.
fn mangled(whole: &[u8], chance: &mut Random) -> Vec<u8> {
    let place =
        |chance: &mut Random, length: usize| usize::try_from(chance.below(length as u64)).unwrap();
    let byte = |chance: &mut Random| u8::try_from(chance.below(256)).unwrap();
    let mut bytes = whole.to_vec();
    match chance.below(3) {
        0 => bytes.truncate(place(chance, whole.len())),
        1 => bytes = (0..chance.below(80)).map(|_| byte(chance)).collect(),
        _ => {}
    }
    for _ in 0..chance.below(4) {
        let at = place(chance, bytes.len().max(1));
        let changed = byte(chance);
        bytes.get_mut(at).into_iter().for_each(|it| *it = changed);
    }
    bytes
}

/// Whatever comes is answered or ends its session; the daemon and all others go on.
fn random_and_mutated_bytes_harm_nobody() {
    let served = Served::usual();
    let daemon = &served.daemon;
    daemon.up(named("app", argv(&["sleep", "600"])));
    let core = daemon.status().daemon_pid;
    let mut chance = Random::new(11);
    let mut client = served.client("raw");
    // A call of 1605 about the unit: raw, and in a chunk.
    let call = [&[8, 16, 16, 0xc5, 12, 24, 1, 34, 5, 10, 3][..], b"app"].concat();
    let length = call.len() as u64;
    let packet = chunk(length, length, (0, 1), &call);
    let packet: Vec<u8> = (0..packet.len() / 2)
        .map(|at| u8::from_str_radix(&packet[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    for whole in [&call, &packet] {
        for _ in 0..150 {
            open(&mut client, "bad");
            let packets: Vec<String> =
                (0..=chance.below(3)).map(|_| hex(&mangled(whole, &mut chance))).collect();
            client.order(&json!({"do": "packets", "session": "bad", "hex": packets}));
            client.order(&json!({"do": "close", "session": "bad"}));
        }
        assert_eq!(text(&client.call((0, 0), json!([[1, "x"]])), 1), "Hello x");
    }
    assert_eq!(daemon.status().daemon_pid, core, "it is still the same daemon");
    assert!(daemon.unit("app").pid > 0);
    served.daemon.stop();
}

/// A session that is closed has its place until the daemon has seen that.
fn open(client: &mut Drpc, session: &str) {
    eventually("there is a place", || client.try_open(session, "raw").is_ok());
}

/// Beyond 64 they are closed; where one goes, another is served.
fn too_many_sessions_are_refused() {
    let served = Served::usual();
    let mut client = served.client("raw");
    for number in 1..64 {
        open(&mut client, &number.to_string());
    }
    open(&mut client, "beyond");
    assert!(is_ended(&client.read("beyond")));
    client.order(&json!({"do": "close", "session": "7"}));
    eventually("there is a place again", || {
        client.try_open("next", "raw").is_ok()
            && text(&client.call_or_end("next", (0, 0), json!([[1, "x"]])), 1) == "Hello x"
    });
    served.daemon.stop();
}
