//! What a call is answered, and how sessions live side by side.

use api::runtime::{Executable, Readiness, UnitState};
use serde_json::json;
use tests::{
    Need, argv,
    drpc::{number, text},
    rpc::named,
};

use super::{FRAMINGS, Served};
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        every_call_has_its_status,
        large_messages_come_in_several_chunks,
        one_session_waits_for_no_other,
        calls_in_a_row_are_answered_in_their_order,
        who_never_reads_blocks_nobody,
        an_answer_without_a_byte_can_be_sent,
    ]
}

/// The dispatch table, in both framings; the session goes on after each.
fn every_call_has_its_status() {
    let served = Served::usual();
    for framing in FRAMINGS {
        let mut client = served.client(framing);
        for ((module, method), body, status) in [
            ((0, 0), json!([[1, "there"]]), 0),
            ((0, 1), json!([]), 4),
            ((1, 101), json!([]), 3),
            ((2, 225), json!([]), 3),
            ((77, 0), json!([]), 3),
            ((-1, 0), json!([]), 3),
            ((3, 302), json!([]), 4),
            ((16, 0), json!([]), 4),
            ((16, 1610), json!([]), 4),
            ((0, 0), json!("ff"), 6),
            ((3, 301), json!("0a"), 6),
            ((16, 1601), json!([[1, 5]]), 6),
        ] {
            let answer = client.call((module, method), body);
            assert_eq!(answer["status"], status, "{framing} {module} {method}: {answer}");
            if status != 0 {
                assert_eq!(answer["body"], json!([]), "a body goes with success alone");
            }
        }
        // What is no call.
        let bad = json!({"do": "packets", "session": "usual", "hex": [no_call(framing)]});
        assert_eq!(client.order(&bad), json!({}));
        let answer = client.read("usual");
        assert_eq!((&answer["sequence"], &answer["status"]), (&json!(-1), &json!(5)), "{answer}");
        let answer = client.call((0, 0), json!([[1, "again"]]));
        assert_eq!(text(&answer, 1), "Hello again");
    }
    served.daemon.stop();
}

/// A packet whose message is `ff ff`.
fn no_call(framing: &str) -> String {
    if framing == "raw" {
        return "ffff".to_owned();
    }
    let mut packet = Vec::new();
    packet.extend(2_u64.to_ne_bytes());
    packet.extend(2_u64.to_ne_bytes());
    packet.extend(0_u32.to_ne_bytes());
    packet.extend(1_u32.to_ne_bytes());
    packet.extend([0xff, 0xff]);
    packet.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn large_messages_come_in_several_chunks() {
    let served = Served::usual();
    let mut client = served.client("chunked");
    for length in [10, 131_000, 131_048, 200_000, 1_000_000] {
        let name = "x".repeat(length);
        let answer = client.call((0, 0), json!([[1, name]]));
        assert_eq!(text(&answer, 1).len(), length + 6);
        let whole = answer["length"].as_u64().unwrap();
        assert_eq!(answer["packets"].as_u64().unwrap(), whole.div_ceil(131_048));
    }
    // An older client reads 128 KiB at most: what is larger is not sent to it.
    client.open("raw", "raw");
    let answer = client.call_in("raw", (0, 0), json!([[1, "x".repeat(100_000)]]));
    assert_eq!(text(&answer, 1).len(), 100_006);
    let answer = client.call_in("raw", (0, 0), json!([[1, "x".repeat(131_060)]]));
    assert_eq!(answer["status"], 7, "{answer}");
    served.daemon.stop();
}

/// A start that does not become ready occupies its session alone.
fn one_session_waits_for_no_other() {
    let served = Served::usual();
    let daemon = &served.daemon;
    let never = Executable { readiness: Readiness::Notify.into(), ..argv(&["sleep", "600"]) };
    daemon.enable(named("never", never));
    let mut client = served.client("raw");
    client.send("usual", (16, 1601, 1), json!([[1, "never"]]));
    served.knows("never");
    daemon.until("never", "it is being started", |unit| unit.state() == UnitState::Starting);
    client.send("usual", (0, 0, 2), json!([[1, "x"]]));
    for framing in FRAMINGS {
        client.open(framing, framing);
        let answer = client.call_in(framing, (0, 0), json!([[1, "you"]]));
        assert_eq!(text(&answer, 1), "Hello you");
    }
    let answer = client.call_in("chunked", (16, 1602), json!([[1, "never"], [2, "enough"]]));
    assert_eq!(number(&answer, 1), 0, "{answer}");
    // Now the first is answered, and then the second.
    let answer = client.read("usual");
    assert_eq!((&answer["sequence"], number(&answer, 1)), (&json!(1), -1012), "{answer}");
    assert!(text(&answer, 2).contains("enough"), "{answer}");
    assert_eq!(client.read("usual")["sequence"], 2);
    served.daemon.stop();
}

fn calls_in_a_row_are_answered_in_their_order() {
    let served = Served::usual();
    for framing in FRAMINGS {
        let mut client = served.client(framing);
        for sequence in 1..=40 {
            let what = if sequence % 3 == 0 { (16, 1606) } else { (0, 0) };
            let name = sequence.to_string();
            let body = if what.0 == 0 { json!([[1, name]]) } else { json!([]) };
            client.send("usual", (what.0, what.1, sequence), body);
        }
        for sequence in 1..=40 {
            assert_eq!(client.read("usual")["sequence"], sequence);
        }
    }
    served.daemon.stop();
}

/// As a client does whose flag is not R_SYNC: neither others wait, nor its own later calls.
fn who_never_reads_blocks_nobody() {
    let served = Served::usual();
    let daemon = &served.daemon;
    daemon.up(named("app", argv(&["sleep", "600"])));
    let mut client = served.client("chunked");
    let name = "x".repeat(50_000);
    // 10 MB of answers.
    for sequence in 1..=200 {
        client.send("usual", (0, 0, sequence), json!([[1, name]]));
    }
    client.send("usual", (16, 1602, 201), json!([[1, "app"]]));
    daemon.until_state("app", UnitState::Inactive);
    client.open("other", "raw");
    assert_eq!(text(&client.call_in("other", (0, 0), json!([[1, "y"]])), 1), "Hello y");
    tests::eventually("it is told", || daemon.own_log().contains("does not read its answers"));
    // What was not dropped is there, in its order, and whole.
    for sequence in 1..=10 {
        let answer = client.read("usual");
        assert_eq!((&answer["sequence"], text(&answer, 1).len()), (&json!(sequence), 50_006));
    }
    served.daemon.stop();
}

/// A success without a body to the sequence number 0, with which C's clients begin: no byte in protobuf.
fn an_answer_without_a_byte_can_be_sent() {
    let served = Served::usual();
    served.daemon.up(named("app", argv(&["sleep", "600"])));
    for framing in FRAMINGS {
        let mut client = served.client(framing);
        // A log in which nothing is.
        client.send("usual", (16, 1607, 0), json!([[1, "app"]]));
        let answer = client.read("usual");
        assert_eq!((&answer["sequence"], &answer["status"]), (&json!(0), &json!(0)), "{answer}");
        assert_eq!(number(&answer, 1), 0);
        // As in the newer framing: a packet that is only a header. In the older one it has to have a byte.
        let is_empty = answer["length"] == 0;
        assert_eq!(is_empty, framing == "chunked", "{answer}");
    }
    served.daemon.stop();
}
