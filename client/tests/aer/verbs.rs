//! `aer status`, `aer logs`, `aer completions`, and what clap prints.

use api::{
    meta::AuraeMeta,
    observe::{LogBatch, LogChannelType, LogChunk, LogGap, StatusResponse, logs_request::Source},
    runtime::{ExitRecord, exit_record::Cause},
};
use tonic::Status;

use crate::{
    Running, aer, complaint,
    peer::{Asked, Peer, Script, Then},
    run, status, text,
};

fn node(healthy: bool) -> Peer {
    let meta = Some(AuraeMeta { name: "node-7".into(), message: "fine".into() });
    let status = StatusResponse { meta, healthy, ..StatusResponse::default() };
    Peer::new(Script { status, ..Script::default() })
}

fn chunk(channel: LogChannelType, data: &'static [u8]) -> LogChunk {
    LogChunk {
        run_id: "r".into(),
        channel: channel.into(),
        timestamp: 5,
        data: data.into(),
        ..LogChunk::default()
    }
}

fn log(then: Then) -> Peer {
    let gap = LogGap { bytes: 9, entries: 1, message: "overtaken".into(), ..LogGap::default() };
    let exit = ExitRecord { cause: Some(Cause::Code(3)), ..ExitRecord::default() };
    let batches = vec![
        LogBatch {
            chunks: vec![
                chunk(LogChannelType::ChannelStdout, b"out\xff"),
                chunk(LogChannelType::ChannelStderr, b"err\n"),
            ],
            ..LogBatch::default()
        },
        LogBatch {
            gap: Some(gap),
            chunks: vec![chunk(LogChannelType::ChannelStdout, b"more")],
            exit: Some(exit),
            ..LogBatch::default()
        },
    ];
    Peer::new(Script { batches, then, ..Script::default() })
}

#[test]
fn status_tells_health_by_its_exit_status() {
    let output = run(&node(true), &["status"]);
    assert_eq!(status(&output), 0);
    assert!(text(&output.stdout).starts_with("node      node-7\nstate     fine\n"));
    let output = run(&node(false), &["status", "-o", "json"]);
    assert_eq!((status(&output), text(&output.stderr)), (1, ""));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["healthy"], &json["meta"]["name"]), (&false.into(), &"node-7".into()));
}

#[test]
fn a_closed_pipe_is_no_panic_and_no_complaint() {
    let peer = node(true);
    for arguments in [
        &["status"][..],
        &["-o", "json", "status"],
        &["completions", "bash"],
        &["--help"],
        &["enable", "a", "--", "b"],
        &["disable", "a", "b"],
        &["list"],
        &["start", "a", "b"],
        &["reload", "a"],
        &["inspect", "a"],
        &["forget", "--all"],
        &["schedule", "export"],
        &["schedule", "repair"],
    ] {
        let mut aer = Running::start(&peer, arguments);
        aer.stdout = None;
        let (status, complaint) = aer.ended();
        assert!(complaint.is_empty(), "{arguments:?}: {complaint}");
        // 0 where it had written before the pipe was closed.
        assert!([0, 141].contains(&status), "{arguments:?}: {status}");
    }
}

#[test]
fn logs_go_where_they_came_from() {
    let peer = log(Then::End);
    let output = run(&peer, &["logs", "backup", "-f"]);
    // What a gap has cut off is no line with what comes after it.
    assert_eq!(output.stdout, b"out\xff\nmore");
    let missing = "err\naer: 9 bytes of output missing here: overtaken\n";
    assert_eq!((status(&output), text(&output.stderr)), (0, missing));
    let Asked::Logs(asked) = peer.asked() else { panic!("not logs") };
    assert_eq!((asked.source, asked.follow), (Some(Source::Name("backup".into())), true));
}

#[test]
fn a_gap_ends_the_line_that_it_cuts_off_and_no_other() {
    let of = |run: &str, name: &str, data: &'static [u8]| LogChunk {
        run_id: run.into(),
        name: name.into(),
        ..chunk(LogChannelType::ChannelStdout, data)
    };
    let first = vec![of("1", "web", b"head of "), of("2", "db", b"one "), of("3", "web", b"two ")];
    let gap = LogGap { bytes: 9, run_id: "1".into(), name: "web".into(), ..LogGap::default() };
    let second =
        vec![of("1", "web", b"a tail\n"), of("2", "db", b"line\n"), of("3", "web", b"lines\n")];
    let batches = vec![
        LogBatch { chunks: first, ..LogBatch::default() },
        LogBatch { gap: Some(gap), chunks: second, ..LogBatch::default() },
    ];
    let peer = Peer::new(Script { batches, ..Script::default() });
    let output = run(&peer, &["logs", "web", "db"]);
    let shown = text(&output.stdout);
    let lines: Vec<&str> =
        shown.lines().map(|line| line.split_once(' ').unwrap().1.trim()).collect();
    assert_eq!(lines, ["head of", "…a tail", "one line", "two lines"], "{shown}");
    assert!(text(&output.stderr).starts_with("aer: web: 9 bytes"), "{}", text(&output.stderr));
}

#[test]
fn logs_are_one_json_object_to_a_line() {
    let peer = log(Then::End);
    let output = run(&peer, &["-o", "json", "logs", "--daemon"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["data_bytes"], "b3V0/w==");
    assert_eq!((&lines[1]["channel"], &lines[1]["data"]), (&"stderr".into(), &"err\n".into()));
    assert_eq!(lines[2]["gap"]["bytes"], 9);
    assert_eq!((&lines[3]["data"], &lines[4]["exit"]["code"]), (&"more".into(), &3.into()));
    let Asked::Logs(asked) = peer.asked() else { panic!("not logs") };
    assert_eq!((asked.source, asked.follow), (Some(Source::Daemon(true)), false));
}

#[test]
fn a_log_that_fails_half_way_keeps_what_came_before() {
    let output = run(&log(Then::Fail(Status::not_found("gone"))), &["logs", "--pid", "7"]);
    assert_eq!((output.stdout.as_slice(), status(&output)), (&b"out\xff\nmore"[..], 1));
    let last = text(&output.stderr).lines().last().unwrap();
    let wanted = "aer: reading the log of process 7: there is no such thing: gone; \
                  check the name or id";
    assert_eq!(last, wanted);
}

#[test]
fn completions_exist_for_every_shell_and_need_no_daemon() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = aer(["completions", shell]).output().unwrap();
        assert_eq!(status(&output), 0);
        for word in ["exec", "start", "watch", "forget", "edit", "now", "memory-max"] {
            assert!(text(&output.stdout).contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn help_and_version_go_to_standard_output_and_mistakes_to_standard_error() {
    let output = aer(["--version"]).output().unwrap();
    assert_eq!(text(&output.stdout), format!("aer {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(status(&aer(["exec", "--help"]).output().unwrap()), 0);
    let output = aer(["exce"]).output().unwrap();
    assert_eq!((status(&output), output.stdout.len()), (2, 0));
    assert!(text(&output.stderr).contains("exec"));
}

#[test]
fn a_reason_that_is_too_long_is_refused_here() {
    let output = run(&node(true), &["status", "--reason", &"x".repeat(5000)]);
    assert_eq!(status(&output), 1);
    let wanted = "aer: sending a reason of 5000 bytes: at most 1024 are allowed; shorten --reason";
    assert_eq!(complaint(&output), wanted);
}
