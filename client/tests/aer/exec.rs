//! `aer exec`.

use api::{
    meta::AuraeMeta,
    runtime::{
        Executable, ExecutableStatus, ExitRecord, OutputGap, RunFrame, StartFailure, StartStage,
        exit_record::Cause, run_frame::Frame,
    },
};
use nix::errno::Errno;
use tonic::Status;

use crate::{
    complaint, exit, frame,
    peer::{Asked, Peer, Script, Then},
    run, started, status, text,
};

fn script(frames: impl IntoIterator<Item = RunFrame>) -> Peer {
    let frames = [started()].into_iter().chain(frames).collect();
    Peer::new(Script { frames, ..Script::default() })
}

fn not_started(stage: StartStage, errno: Errno) -> RunFrame {
    exit(Cause::Failure(StartFailure {
        stage: stage.into(),
        error_number: errno as i32,
        message: format!("executing \"x\": {}", errno.desc()),
    }))
}

fn executed(peer: &Peer) -> (Executable, Option<String>) {
    let Asked::Execute(executable, reason) = peer.asked() else { panic!("something else") };
    (executable, reason)
}

#[test]
fn every_byte_goes_where_it_belongs_and_the_status_is_the_programs_own() {
    let all: Vec<u8> = (0..=255).collect();
    let peer = script([
        frame(Frame::Stdout(all.clone().into())),
        frame(Frame::Stderr(b"no newline\0\xff".as_slice().into())),
        RunFrame::default(),
        frame(Frame::Stdout(all.clone().into())),
        exit(Cause::Code(7)),
    ]);
    let output = run(&peer, &["exec", "--", "x"]);
    assert_eq!(output.stdout, [all.clone(), all].concat());
    assert_eq!(output.stderr, b"no newline\0\xff");
    assert_eq!(status(&output), 7);
}

#[test]
fn much_output_arrives_whole() {
    let block = vec![b'x'; 200_000];
    let blocks = (0..50).map(|_| frame(Frame::Stdout(block.clone().into())));
    let output = run(&script(blocks.chain([exit(Cause::Code(0))])), &["exec", "--", "x"]);
    assert_eq!((output.stdout.len(), status(&output)), (10_000_000, 0));
}

#[test]
fn words_are_sent_as_they_stand() {
    let peer = script([exit(Cause::Code(0))]);
    let words = ["sh", "-c", "echo  $HOME", "--", "", "ä\n"];
    let mut arguments = vec!["exec", "--name", "n", "--comment", "c", "--"];
    arguments.extend(words);
    run(&peer, &arguments);
    let (sent, reason) = executed(&peer);
    assert_eq!(sent.argv, words);
    assert_eq!((sent.command.as_str(), sent.comment.as_str(), reason), ("", "c", None));
    assert_eq!(sent.meta.unwrap().name, "n");
    assert_eq!(sent.run_id.len(), 36);
}

#[test]
fn a_command_line_is_left_to_the_daemon() {
    let peer = script([exit(Cause::Code(0))]);
    let run_id = "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b";
    run(&peer, &["--reason", "100% größer", "exec", "-c", "-a  'b", "--run-id", run_id]);
    let (sent, reason) = executed(&peer);
    assert_eq!((sent.command.as_str(), sent.argv.len()), ("-a  'b", 0));
    assert_eq!(sent.run_id, run_id);
    assert_eq!(reason.as_deref(), Some("100%25 gr%C3%B6%C3%9Fer"));
}

#[test]
fn a_signal_gives_128_more_and_says_nothing() {
    let output = run(&script([exit(Cause::Signal(15))]), &["exec", "--", "x"]);
    assert_eq!((status(&output), text(&output.stderr)), (143, ""));
}

#[test]
fn a_program_that_does_not_start_gives_what_shells_give_and_one_line() {
    for (stage, errno, wanted) in [
        (StartStage::Exec, Errno::ENOENT, 127),
        (StartStage::Exec, Errno::EACCES, 126),
        (StartStage::Cgroup, Errno::ENOENT, 125),
    ] {
        let peer =
            Peer::new(Script { frames: vec![not_started(stage, errno)], ..Script::default() });
        let output = run(&peer, &["exec", "--", "x"]);
        assert_eq!(status(&output), wanted);
        assert!(complaint(&output).starts_with("aer: executing \"x\": "), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_lost_run_is_a_failure() {
    let lost = exit(Cause::Lost("the daemon was restarted".into()));
    let output = run(&script([lost]), &["exec", "--", "x"]);
    assert_eq!(status(&output), 125);
    assert!(complaint(&output).contains("is lost: the daemon was restarted; "), "{output:?}");
}

#[test]
fn missing_output_is_told() {
    let gap = OutputGap { bytes: 12, message: "evicted\nby the limit".into() };
    let peer = script([frame(Frame::Gap(gap)), exit(Cause::Code(0))]);
    let output = run(&peer, &["exec", "--", "x"]);
    let wanted = "aer: 12 bytes of output missing here: evicted\\nby the limit";
    assert_eq!((status(&output), complaint(&output)), (0, wanted));
}

#[test]
fn a_stream_that_ends_too_early_is_a_failure_that_names_the_run() {
    let run_id = "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b";
    let output = run(&script([]), &["exec", "--run-id", run_id, "--", "ls"]);
    assert_eq!(status(&output), 125);
    let complaint = complaint(&output);
    assert!(complaint.starts_with("aer: running ls: the daemon ended the stream"), "{complaint}");
    assert!(complaint.ends_with(&format!("; what it printed: aer logs {run_id}")), "{complaint}");
}

#[test]
fn what_the_daemon_refuses_is_one_line() {
    for first in [Vec::new(), vec![started()]] {
        let then = Then::Fail(Status::already_exists("name: \"n\" belongs\nto a live run"));
        let peer = Peer::new(Script { frames: first, then, ..Script::default() });
        for output in [&["exec", "--", "ls"][..], &["-o", "json", "exec", "--", "ls"]] {
            let output = run(&peer, output);
            assert_eq!(status(&output), 125);
            assert_eq!(
                complaint(&output),
                "aer: running ls: it is there already: name: \"n\" belongs\\nto a live run; \
                 choose another, or wait until it has ended"
            );
        }
    }
}

#[test]
fn the_json_answer_is_one_object_and_the_status_the_same() {
    let answer = ExecutableStatus {
        meta: Some(AuraeMeta { name: "n".into(), message: String::new() }),
        stdout: "out".into(),
        stderr: "err".into(),
        exit_code: "7".into(),
        exit: Some(ExitRecord { cause: Some(Cause::Code(7)), ..ExitRecord::default() }),
        ..ExecutableStatus::default()
    };
    let peer = Peer::new(Script { answer, ..Script::default() });
    let output = run(&peer, &["exec", "-o", "json", "--", "x"]);
    assert_eq!((status(&output), text(&output.stderr)), (7, ""));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["stdout"], &json["exit"]["code"]), (&"out".into(), &7.into()));
    assert_eq!(json["meta"]["name"], "n");
}

#[test]
fn the_json_answer_of_a_program_that_does_not_start_comes_with_the_line() {
    let failure = StartFailure {
        stage: StartStage::Exec.into(),
        error_number: Errno::ENOENT as i32,
        message: "executing \"x\": no such file".into(),
    };
    let cause = Some(Cause::Failure(failure));
    let answer = ExecutableStatus {
        exit: Some(ExitRecord { cause, ..ExitRecord::default() }),
        ..ExecutableStatus::default()
    };
    let output =
        run(&Peer::new(Script { answer, ..Script::default() }), &["exec", "-o", "json", "--", "x"]);
    assert_eq!(status(&output), 127);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["exit"]["failure"]["stage"], "exec");
    assert!(complaint(&output).starts_with("aer: executing \"x\": no such file; "));
}

#[test]
fn the_largest_answer_of_exec_is_taken() {
    let half = 512 << 10;
    let answer = ExecutableStatus {
        stdout: "\u{fffd}".repeat(half),
        stderr: "\u{fffd}".repeat(half),
        stdout_bytes: vec![0xff; half],
        stderr_bytes: vec![0xff; half],
        exit_code: "0".into(),
        ..ExecutableStatus::default()
    };
    let peer = Peer::new(Script { answer, ..Script::default() });
    let output = run(&peer, &["exec", "-o", "json", "--", "x"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
}
