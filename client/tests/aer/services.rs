//! `aer start`, `stop`, `restart`, `reload`, `signal`, `wait`, `inspect`, `forget`, and what `--now` and `list` do
//! with units.

use std::fs;

use api::{
    meta::{self, AuraeMeta},
    runtime::{
        Executable, ExitRecord, ForgetRequest, ForgetResponse, InspectResponse, KillMode,
        LiveUsage, ReloadRequest, ResourceLimits, RestartPolicy, RestartRequest, RestartResponse,
        RestartWhen, SignalRequest, SignalWhom, StandardInput, StartFailure, StartRequest,
        StartResponse, StartStage, Step, StopPolicy, StopRequest, StopResponse, UnitKind,
        UnitState, UnitView, WaitRequest, WaitResponse, exit_record::Cause, restart_request,
        standard_input::From, start_request,
    },
};
use nix::errno::Errno;
use tempfile::tempdir;
use tonic::Status;

use crate::{
    complaint,
    peer::{Asked, Peer, Script},
    run, run_with,
    schedule_peer::Changing,
    status, text,
    unit_peer::{Called, Units},
    units::{registration, unit},
};

const RUN: &str = "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b";

fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.into(), ..AuraeMeta::default() })
}

fn peer(units: Units) -> Peer {
    Peer::new(Script { units, ..Script::default() })
}

fn refusing(name: &'static str, status: Status) -> Peer {
    let units = Units { stopped: Some(StopResponse::default()), ..Units::default() };
    Peer::new(Script { units, refused: vec![(name, status)], ..Script::default() })
}

fn called(peer: &Peer) -> (Called, Option<String>) {
    let Asked::Unit(called, reason) = peer.asked() else { panic!("not about a unit") };
    (called, reason)
}

fn start_of(name: &str) -> Called {
    Called::Start(StartRequest { what: Some(start_request::What::Name(name.into())) })
}

fn stop_of(name: &str) -> Called {
    Called::Stop(StopRequest { meta: meta(name), ..StopRequest::default() })
}

fn started_as(peer: &Peer) -> Executable {
    let (Called::Start(request), _) = called(peer) else { panic!("no start") };
    let Some(start_request::What::Executable(executable)) = request.what else { panic!("a name") };
    executable
}

fn ended(cause: Cause) -> Option<ExitRecord> {
    Some(ExitRecord { cause: Some(cause), ..ExitRecord::default() })
}

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn start_names_units_and_says_why() {
    let started = StartResponse { meta: meta("a"), run_id: RUN.into(), pid: 71, was_up: false };
    let peer = peer(Units { started, ..Units::default() });
    let output = run(&peer, &["start", "a", "--reason", "why"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "started a (pid 71)\n"));
    assert_eq!(called(&peer), (start_of("a"), Some("why".into())));
    let output = run(&peer, &["-o", "json", "start", "a"]);
    let wanted = serde_json::json!({
        "meta": {"name": "a", "message": ""}, "run_id": RUN, "pid": 71, "was_up": false,
    });
    assert_eq!((status(&output), json(&output)), (0, wanted));
}

#[test]
fn each_name_is_tried_and_each_refusal_is_one_line() {
    let no = || Status::failed_precondition("cannot start b: executing \"x\": no such file");
    for (verb, attempt, done) in [
        (&["start"][..], "starting", "started"),
        (&["restart"], "restarting", "restarted"),
        (&["reload"], "reloading", "reloaded"),
        (&["stop"], "stopping", "stopped"),
    ] {
        let peer = refusing("b", no());
        let output = run(&peer, &[verb, &["a", "b", "c"]].concat());
        assert_eq!((status(&output), text(&output.stdout)), (1, &*format!("{done} a\n{done} c\n")));
        let wanted = format!(
            "aer: {attempt} b: it cannot be done as things are: cannot start b: executing \
             \"x\": no such file; mend that, and try again"
        );
        assert_eq!(complaint(&output), wanted);
    }
}

/// What every option together says.
fn everything() -> Executable {
    let line = |command: &str| vec![Step { command: command.into(), argv: Vec::new() }];
    let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    Executable {
        kind: UnitKind::Oneshot.into(),
        remain_after_exit: true,
        environment: texts(&["A=1", "B="]),
        environment_files: texts(&["-/etc/x"]),
        working_directory: "/srv".into(),
        umask: Some(0o27),
        nice: Some(-5),
        stdin: Some(StandardInput { from: Some(From::File("/etc/hosts".into())) }),
        before: line("-true"),
        after: line("true"),
        on_stop: line("q"),
        on_reload: line("r"),
        restart: Some(RestartPolicy {
            when: RestartWhen::OnFailure.into(),
            delay_ms: Some(100),
            max_delay_ms: Some(32_000),
            steps: 5,
            jitter_ms: 1_000,
            reset_after_ms: Some(10_000),
            start_limit: Some(0),
            start_interval_ms: Some(10_000),
            prevent: texts(&["SIGSYS"]),
            force: texts(&["7"]),
        }),
        stop: Some(StopPolicy {
            signal: 3,
            timeout_ms: Some(0),
            kill_mode: KillMode::Mixed.into(),
            final_kill: Some(false),
        }),
        start_timeout_ms: Some(90_000),
        run_limit_ms: 3_600_000,
        readiness: 1,
        limits: Some(ResourceLimits {
            cpu_weight: Some(50),
            cpu_quota_percent: Some(150),
            memory_max_bytes: Some(512 << 20),
            memory_high_bytes: Some(1536),
            pids_max: Some(64),
        }),
        success: texts(&["3", "USR1"]),
        ..unit("", "", &["sh", "-c", "a  $b"], "c")
    }
}

#[test]
fn start_sends_every_option() {
    let started = StartResponse { meta: meta("happy-hopper"), ..StartResponse::default() };
    let peer = peer(Units { started, ..Units::default() });
    let options = "--comment c --oneshot --remain-after-exit --notify --before -true --after true \
        --on-stop q --on-reload r --start-timeout 90 --run-limit 1h --success 3 --success USR1 \
        --restart on-failure --restart-delay 100ms --restart-max-delay 32s --restart-steps 5 \
        --restart-jitter 1s --restart-reset 10 --restart-prevent SIGSYS --restart-force 7 \
        --start-limit 0 --start-interval 10s --stop-signal quit --stop-timeout infinity \
        --kill-mode mixed --no-final-kill -e A=1 --env B= --env-file -/etc/x \
        --working-directory /srv --umask 0027 --nice -5 --stdin-file /etc/hosts --cpu-weight 50 \
        --cpu-quota 150% --memory-max 512M --memory-high 1.5K --pids-max 64";
    let words: Vec<&str> = ["start"]
        .into_iter()
        .chain(options.split_whitespace())
        .chain(["--", "sh", "-c", "a  $b"])
        .collect();
    let output = run(&peer, &words);
    assert_eq!((status(&output), text(&output.stdout)), (0, "started happy-hopper\n"));
    let wanted = everything();
    assert_eq!(started_as(&peer), wanted);
    let enabled = run(&peer, &[&["enable", "n"], &words[1..]].concat());
    assert_eq!((status(&enabled), text(&enabled.stdout)), (0, "enabled n\n"));
    let Asked::Change(Changing::Enable, registered, _) = peer.asked() else { panic!("no enable") };
    assert_eq!(registered, Executable { meta: meta("n"), ..wanted });
}

#[test]
fn what_nobody_said_is_not_sent() {
    let peer = peer(Units::default());
    run(&peer, &["start", "--name", "n", "-c", "-x $HOME"]);
    assert_eq!(started_as(&peer), unit("n", "-x $HOME", &[], ""));
}

#[test]
fn start_and_restart_take_a_file() {
    let toml = "name = 'n'\ncommand = 'x'\n[restart]\nwhen = 'always'\n";
    let folder = tempdir().unwrap();
    let path = folder.path().join("n.toml");
    fs::write(&path, toml).unwrap();
    let peer = peer(Units {
        restarted: RestartResponse { meta: meta("n"), pid: 7, ..RestartResponse::default() },
        ..Units::default()
    });
    let when = RestartWhen::Always.into();
    let restart = Some(RestartPolicy { when, ..RestartPolicy::default() });
    let wanted = Executable { restart, ..unit("n", "x", &[], "") };
    let output = run_with(&peer, &["start", "-f", "-"], toml.as_bytes());
    assert_eq!((status(&output), text(&output.stdout)), (0, "started n\n"));
    assert_eq!(started_as(&peer), wanted);
    let output = run(&peer, &["restart", "-f", path.to_str().unwrap()]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "restarted n (pid 7)\n"));
    let what = Some(restart_request::What::Executable(wanted));
    assert_eq!(called(&peer).0, Called::Restart(RestartRequest { what }));
    fs::write(&path, "name = 'n'\ncommand = 'x'\n[stop]\ntimeout = 'soon'\n").unwrap();
    let output = run(&peer, &["start", "-f", path.to_str().unwrap()]);
    assert_eq!(status(&output), 1);
    let wanted = format!("aer: reading {}, line 4, column 11, key stop.timeout: ", path.display());
    assert!(complaint(&output).starts_with(&wanted), "{output:?}");
}

#[test]
fn names_that_cannot_be_are_one_line() {
    let peer = refusing("a b", Status::invalid_argument("name: \"a b\" has a blank"));
    for (words, attempt) in [
        (&["start", "a b"][..], "starting"),
        (&["stop", "a b"], "stopping"),
        (&["restart", "a b"], "restarting"),
        (&["reload", "a b"], "reloading"),
        (&["signal", "a b", "HUP"], "signalling"),
        (&["wait", "a b"], "waiting for"),
        (&["inspect", "a b"], "inspecting"),
        (&["forget", "a b"], "forgetting"),
        (&["enable", "a b", "--", "x"], "enabling"),
    ] {
        let output = run(&peer, words);
        assert_eq!(status(&output), if words[0] == "wait" { 125 } else { 1 });
        let wanted = format!(
            "aer: {attempt} a b: the daemon does not take the request: name: \"a b\" has a blank; \
             correct it and try again; --help tells more"
        );
        assert_eq!(complaint(&output), wanted);
    }
}

#[test]
fn stop_says_how_it_ended() {
    let stopped = StopResponse { exit: ended(Cause::Signal(15)), ..StopResponse::default() };
    let peer = peer(Units { stopped: Some(stopped), ..Units::default() });
    let output = run(&peer, &["stop", "a", "b", "--signal", "int"]);
    let wanted = "stopped a: ended by SIGTERM\nstopped b: ended by SIGTERM\n";
    assert_eq!((status(&output), text(&output.stdout)), (0, wanted));
    for name in ["a", "b"] {
        let stop = StopRequest { meta: meta(name), signal: 2, ..StopRequest::default() };
        assert_eq!(called(&peer).0, Called::Stop(stop));
    }
    let output = run(&peer, &["stop", "--run", RUN, "--kill", "-o", "json"]);
    assert_eq!((status(&output), &json(&output)["exit"]["signal"]), (0, &15.into()));
    let stop = StopRequest { run_id: RUN.into(), kill: true, ..StopRequest::default() };
    assert_eq!(called(&peer).0, Called::Stop(stop));
}

#[test]
fn of_a_run_that_is_no_units_the_end_is_only_ordered() {
    let stopped = StopResponse { run_id: RUN.into(), ..StopResponse::default() };
    let peer = peer(Units { stopped: Some(stopped), ..Units::default() });
    assert_eq!(text(&run(&peer, &["stop", "a"]).stdout), "stopping a\n");
}

#[test]
fn reload_and_signal_reach_whom_they_are_for() {
    let peer = peer(Units::default());
    let output = run(&peer, &["reload", "a", "--reason", "new certificate"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "reloaded a\n"));
    let reload = Called::Reload(ReloadRequest { meta: meta("a") });
    assert_eq!(called(&peer), (reload, Some("new certificate".into())));
    let output = run(&peer, &["signal", "a", "hup"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "sent SIGHUP to a\n"));
    let signal = SignalRequest { meta: meta("a"), signal: 1, ..SignalRequest::default() };
    assert_eq!(called(&peer).0, Called::Signal(signal));
    let output = run(&peer, &["signal", RUN, "RTMIN+1", "--all"]);
    assert_eq!(text(&output.stdout), format!("sent SIGRTMIN+1 to {RUN}\n"));
    let whom = SignalWhom::All.into();
    let signal = SignalRequest { run_id: RUN.into(), signal: 35, whom, meta: None };
    assert_eq!(called(&peer).0, Called::Signal(signal));
}

#[test]
fn wait_has_the_exit_status_of_the_unit_as_exec_has() {
    let missing = StartFailure {
        stage: StartStage::Exec.into(),
        error_number: Errno::ENOENT as i32,
        message: "executing \"x\": no such file".into(),
    };
    for (cause, wanted, words) in [
        (Cause::Code(0), 0, "a exited with success\n"),
        (Cause::Code(7), 7, "a exited with status 7\n"),
        (Cause::Signal(9), 137, "a ended by SIGKILL\n"),
        (Cause::Failure(missing), 127, "a never ran: executing \"x\": no such file\n"),
        (Cause::Lost("restarted".into()), 125, "a lost: restarted\n"),
    ] {
        let waited = WaitResponse { exit: ended(cause), ..WaitResponse::default() };
        let peer = peer(Units { waited, ..Units::default() });
        let output = run(&peer, &["wait", "a"]);
        assert_eq!((status(&output), text(&output.stdout)), (wanted, words));
        let request = WaitRequest { meta: meta("a"), run_id: String::new() };
        assert_eq!(called(&peer).0, Called::Wait(request));
        let output = run(&peer, &["wait", RUN, "-o", "json"]);
        assert_eq!(status(&output), wanted);
        assert!(json(&output)["exit"].is_object());
        let request = WaitRequest { meta: None, run_id: RUN.into() };
        assert_eq!(called(&peer).0, Called::Wait(request));
    }
}

#[test]
fn what_never_ran_has_no_exit_status() {
    let waited = WaitResponse { state: UnitState::Failed.into(), ..WaitResponse::default() };
    let peer = peer(Units { waited, ..Units::default() });
    let output = run(&peer, &["wait", "a"]);
    assert_eq!((status(&output), text(&output.stdout)), (125, ""));
    assert!(complaint(&output).ends_with("; aer inspect a tells why"), "{output:?}");
    let output = run(&peer, &["wait", "a", "-o", "json"]);
    assert_eq!((status(&output), &json(&output)["state"]), (125, &"failed".into()));
}

#[test]
fn inspect_tells_all_in_words_or_as_json() {
    let unit = UnitView {
        meta: meta("web"),
        state: UnitState::Waiting.into(),
        last_exit: ended(Cause::Code(3)),
        usage: Some(LiveUsage { memory_pressure_percent: Some(0.5), ..LiveUsage::default() }),
        ..UnitView::default()
    };
    let inspected = InspectResponse { unit: Some(unit), ..InspectResponse::default() };
    let peer = peer(Units { inspected, ..Units::default() });
    let output = run(&peer, &["inspect", "web"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    let facts = text(&output.stdout);
    assert!(facts.starts_with("unit       web\nstate      waiting, since "), "{facts}");
    assert!(facts.contains("\nlast end   exited with status 3, at "), "{facts}");
    let json = json(&run(&peer, &["-o", "json", "inspect", "web"]));
    assert_eq!((&json["unit"]["state"], &json["executable"]), (&"waiting".into(), &().into()));
    assert_eq!(json["unit"]["usage"]["memory_pressure_percent"], 0.5);
    assert_eq!(json["unit"]["usage"]["memory_bytes"], serde_json::Value::Null);
    assert_eq!(json["unit"]["last_exit"]["code"], 3);
}

#[test]
fn forget_says_what_was_forgotten() {
    let forgotten = ForgetResponse { names: vec!["a".into(), "b".into()] };
    let peer = peer(Units { forgotten, ..Units::default() });
    let output = run(&peer, &["forget", "--all"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "forgot a\nforgot b\n"));
    assert_eq!(called(&peer).0, Called::Forget(ForgetRequest { meta: None, all: true }));
    let output = run(&peer, &["forget", "a", "-o", "json"]);
    assert_eq!(json(&output), serde_json::json!({"names": ["a", "b"]}));
    assert_eq!(called(&peer).0, Called::Forget(ForgetRequest { meta: meta("a"), all: false }));
}

#[test]
fn now_starts_and_stops() {
    let units = Units { stopped: Some(StopResponse::default()), ..Units::default() };
    let peer = peer(units);
    let output = run(&peer, &["enable", "n", "--now", "--reason", "r", "--", "x"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "enabled n\nstarted n\n"));
    assert!(matches!(peer.asked(), Asked::Change(Changing::Enable, ..)));
    assert_eq!(called(&peer), (start_of("n"), Some("r".into())));
    let output = run(&peer, &["disable", "n", "--now"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "disabled n\nstopped n\n"));
    assert!(matches!(peer.asked(), Asked::Change(Changing::Disable, ..)));
    assert_eq!(called(&peer), (stop_of("n"), None));
}

#[test]
fn what_was_never_started_is_disabled_now_too() {
    let output = run(&peer(Units::default()), &["disable", "n", "--now"]);
    let printed = (text(&output.stdout), text(&output.stderr));
    assert_eq!((status(&output), printed), (0, ("disabled n\n", "")));
}

#[test]
fn a_list_has_what_is_registered_and_what_runs() {
    let view = |name: &str, state: UnitState, pid| UnitView {
        meta: meta(name),
        state: state.into(),
        pid,
        ..UnitView::default()
    };
    let views = vec![
        view("a", UnitState::Running, 71),
        view("b", UnitState::Failed, 0),
        view("z", UnitState::Stopping, 72),
    ];
    let registrations = vec![
        registration(unit("a", "x", &[], ""), meta::Status::Standby),
        registration(unit("c", "y", &[], ""), meta::Status::Passive),
    ];
    let units = Units { views, ..Units::default() };
    let peer = Peer::new(Script { registrations, units, ..Script::default() });
    let output = run(&peer, &["list"]);
    let wanted = "\
NAME  STATUS    STATE     PID  CPU  MEMORY  RESTARTS  SINCE  COMMAND  COMMENT
a     enabled   running   71   -    -       0         -      x
b     -         failed    -    -    -       0         -
c     disabled  -         -    -    -       -         -      y
z     -         stopping  72   -    -       0         -
";
    assert_eq!((status(&output), text(&output.stdout)), (0, wanted));
    for (filter, wanted) in [
        (&["--running"][..], &["a", "z"][..]),
        (&["--failed"], &["b"]),
        // The peer streams all that is registered, whatever is asked for.
        (&["--enabled"], &["a", "c"]),
        (&["--enabled", "--running"], &["a"]),
    ] {
        let output = run(&peer, &[&["list", "-o", "json"], filter].concat());
        let lines = text(&output.stdout).lines();
        let names: Vec<serde_json::Value> = lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].take())
            .collect();
        assert_eq!(names, wanted, "{filter:?}");
    }
}
