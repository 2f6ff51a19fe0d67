use serde_json::{Value, json};

use super::*;

fn value(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}

fn record(cause: exit_record::Cause) -> runtime::ExitRecord {
    runtime::ExitRecord {
        run_id: "r".into(),
        name: "n".into(),
        pid: 7,
        cause: Some(cause),
        started_at: i64::MAX,
        leftovers: runtime::Leftovers::Killed.into(),
        comment: "c".into(),
        usage: Some(runtime::ResourceUsage { user_time_ns: Some(5), ..Default::default() }),
        ..Default::default()
    }
}

#[test]
fn an_exit_record_has_the_names_of_the_wire() {
    assert_eq!(
        value(ExitLine::from(&record(exit_record::Cause::Code(3)))),
        json!({"exit": {
            "run_id": "r", "name": "n", "pid": 7, "code": 3, "core_dumped": false,
            "out_of_memory": null, "started_at": 9223372036854775807_i64, "ended_at": 0,
            "usage": {"user_time_ns": 5, "system_time_ns": null, "memory_peak_bytes": null,
                "largest_resident_bytes": null},
            "stdout_total": 0, "stderr_total": 0, "leftovers": "killed",
            "stopped_by": null, "started_by": null, "comment": "c",
        }})
    );
}

#[test]
fn only_the_cause_that_applies_is_there() {
    let failure = runtime::StartFailure {
        stage: runtime::StartStage::OomAdjust.into(),
        error_number: 13,
        message: "m".into(),
    };
    let wanted = json!({"stage": "oom_adjust", "error_number": 13, "message": "m"});
    for (cause, key, expected) in [
        (exit_record::Cause::Signal(9), "signal", json!(9)),
        (exit_record::Cause::Lost("why".into()), "lost", json!("why")),
        (exit_record::Cause::Failure(failure), "failure", wanted),
    ] {
        let exit = value(Exit::from(&record(cause)));
        assert_eq!(exit[key], expected);
        let causes = ["code", "signal", "failure", "lost"];
        assert_eq!(causes.iter().filter(|cause| exit.get(cause).is_some()).count(), 1);
    }
}

#[test]
fn bytes_are_there_only_where_the_text_is_not_exact() {
    let exact = runtime::ExecutableStatus {
        stdout: "text".into(),
        status: meta::Status::Complete.into(),
        ..Default::default()
    };
    let json = value(Executed::from(&exact));
    assert_eq!((&json["status"], &json["stdout"]), (&json!("complete"), &json!("text")));
    assert!(json.get("stdout_bytes").is_none() && json["exit"].is_null() && json["meta"].is_null());

    let broken = runtime::ExecutableStatus { stdout_bytes: vec![0xff, 0], ..exact };
    assert_eq!(value(Executed::from(&broken))["stdout_bytes"], json!("/wA="));
}

#[test]
fn a_piece_of_a_log_is_text_and_bytes_where_it_must() {
    let chunk = |data: &[u8]| observe::LogChunk {
        run_id: "r".into(),
        channel: observe::LogChannelType::ChannelStderr.into(),
        timestamp: 5,
        data: data.to_vec().into(),
    };
    assert_eq!(
        value(Chunk::from(&chunk("ä\n".as_bytes()))),
        json!({"run_id": "r", "channel": "stderr", "timestamp": 5, "data": "ä\n"})
    );
    let broken = value(Chunk::from(&chunk(b"a\xff")));
    assert_eq!(broken["data"], json!("a\u{fffd}"));
    assert_eq!(broken["data_bytes"], json!("Yf8="));
}

#[test]
fn a_gap_is_an_object_of_its_own() {
    let gap = observe::LogGap { bytes: 7, entries: 2, message: "evicted".into() };
    let wanted = json!({"gap": {"bytes": 7, "entries": 2, "message": "evicted"}});
    assert_eq!(value(GapLine::from(&gap)), wanted);
}

#[test]
fn words_of_a_newer_daemon_are_told_by_number() {
    let answer = runtime::ExecutableStatus { status: 99, ..Default::default() };
    assert_eq!(value(Executed::from(&answer))["status"], json!("unknown_99"));
}

#[test]
fn a_status_has_the_names_of_the_wire() {
    let answer = observe::StatusResponse {
        meta: Some(meta::AuraeMeta { name: "node".into(), message: "m".into() }),
        problems: vec!["p".into()],
        enabled: 3,
        disabled: 1,
        ..Default::default()
    };
    assert_eq!(
        value(Status::from(&answer)),
        json!({
            "meta": {"name": "node", "message": "m"}, "version": "", "healthy": false,
            "problems": ["p"], "daemon_pid": 0, "keeper_pid": 0, "started_at": 0,
            "daemon_starts": 0, "runs_live": 0, "runs_total": 0, "spawn_method": "",
            "tracking": "", "cgroup": "", "previous_daemon": "",
            "enabled": 3, "disabled": 1,
        })
    );
}
