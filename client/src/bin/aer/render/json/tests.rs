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
                "largest_resident_bytes": null, "read_bytes": null, "written_bytes": null},
            "stdout_total": 0, "stderr_total": 0, "leftovers": "killed",
            "stopped_by": null, "started_by": null, "comment": "c", "restarts": 0, "last_line": "",
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
    let wanted = json!({"stage": "oom-adjust", "error_number": 13, "message": "m"});
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
        name: "web".into(),
        continues: false,
    };
    assert_eq!(
        value(Chunk::from(&chunk("ä\n".as_bytes()))),
        json!({"name": "web", "run_id": "r", "channel": "stderr", "timestamp": 5, "data": "ä\n"})
    );
    let broken = value(Chunk::from(&chunk(b"a\xff")));
    assert_eq!(broken["data"], json!("a\u{fffd}"));
    assert_eq!((&broken["data_bytes"], broken.get("continues")), (&json!("Yf8="), None));
    let rest = observe::LogChunk { continues: true, ..chunk(b"st\n") };
    assert_eq!(value(Chunk::from(&rest))["continues"], json!(true));
}

#[test]
fn a_gap_is_an_object_of_its_own() {
    let gap = observe::LogGap {
        bytes: 7,
        entries: 2,
        message: "evicted".into(),
        name: "web".into(),
        run_id: String::new(),
    };
    let wanted = json!({
        "gap": {"bytes": 7, "entries": 2, "message": "evicted", "name": "web", "run_id": ""}
    });
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

#[test]
fn what_a_unit_is_has_the_names_of_the_wire() {
    let executable = runtime::Executable {
        kind: runtime::UnitKind::Oneshot.into(),
        stdin: Some(runtime::StandardInput {
            from: Some(runtime::standard_input::From::Data(vec![0xff])),
        }),
        before: vec![runtime::Step { command: "x".into(), argv: Vec::new() }],
        restart: Some(runtime::RestartPolicy {
            when: runtime::RestartWhen::OnFailure.into(),
            delay_ms: Some(0),
            ..Default::default()
        }),
        stop: Some(runtime::StopPolicy { kill_mode: 9, ..Default::default() }),
        limits: Some(runtime::ResourceLimits { pids_max: Some(7), ..Default::default() }),
        ..Default::default()
    };
    let answer = runtime::InspectResponse { executable: Some(executable), ..Default::default() };
    let json = value(Inspected::from(&answer));
    let executable = &json["executable"];
    assert_eq!((&json["unit"], &executable["kind"]), (&Value::Null, &json!("oneshot")));
    assert_eq!(executable["stdin"], json!({"data": "/w=="}));
    assert_eq!(executable["before"], json!([{"command": "x", "argv": []}]));
    let restart = json!({
        "when": "on-failure", "delay_ms": 0, "max_delay_ms": null, "steps": 0, "jitter_ms": 0,
        "reset_after_ms": null, "start_limit": null, "start_interval_ms": null, "prevent": [],
        "force": [],
    });
    assert_eq!(executable["restart"], restart);
    let stop =
        json!({"signal": 0, "timeout_ms": null, "kill_mode": "unknown_9", "final_kill": null});
    assert_eq!(executable["stop"], stop);
    let limits = json!({
        "cpu_weight": null, "cpu_quota_percent": null, "memory_max_bytes": null,
        "memory_high_bytes": null, "pids_max": 7,
    });
    assert_eq!(executable["limits"], limits);
}

#[test]
fn a_last_line_is_text_and_bytes_where_it_must() {
    let record =
        |line: &[u8]| runtime::ExitRecord { last_line: line.to_vec(), ..Default::default() };
    let exact = value(Exit::from(&record("ä".as_bytes())));
    assert_eq!((&exact["last_line"], exact.get("last_line_bytes")), (&json!("ä"), None));
    let broken = value(Exit::from(&record(b"a\xff")));
    assert_eq!(broken["last_line"], json!("a\u{fffd}"));
    assert_eq!(broken["last_line_bytes"], json!("Yf8="));
}

#[test]
fn a_change_has_the_names_of_the_wire() {
    let change = runtime::UnitChange {
        sequence: 7,
        from: runtime::UnitState::Starting.into(),
        to: runtime::UnitState::Running.into(),
        cause: runtime::ChangeCause::Readiness.into(),
        result: runtime::UnitResult::OutOfMemory.into(),
        ..Default::default()
    };
    assert_eq!(
        value(WatchLine::from(&client::WatchEvent::Change(change))),
        json!({"change": {
            "sequence": 7, "changed_at": 0, "meta": null, "from": "starting", "to": "running",
            "cause": "readiness", "message": "", "origin": null, "run_id": "", "pid": 0,
            "exit": null, "result": "out-of-memory",
        }})
    );
}
