//! `Runtime.Stop`.

use api::{REASON_KEY, meta::AuraeMeta, runtime::StopRequest};
use tests::{
    Daemon, Options, argv, eventually, procfs,
    rpc::{self, named},
};
use tonic::{Code, Request};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        stop_by_run_id_says_who_and_why,
        stop_by_name,
        stop_with_another_signal,
        stop_lets_a_program_finish,
        a_deaf_program_is_killed,
        kill_at_once,
        a_stopped_program_can_be_ended,
        refused_stops,
    ]
}

fn by_id(run_id: &str) -> StopRequest {
    StopRequest { run_id: run_id.to_owned(), ..StopRequest::default() }
}

fn by_name(name: &str) -> StopRequest {
    let meta = AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() };
    StopRequest { meta: Some(meta), ..StopRequest::default() }
}

/// SIGTERM ends a usual program; the record says who ordered it, through which door, and why.
fn stop_by_run_id_says_who_and_why(options: Options) {
    Daemon::with(options, |daemon| {
        let mut run = daemon.run(daemon.probe(&["pause"]));
        let mut request = Request::new(by_id(&run.started.run_id));
        request.metadata_mut().insert(REASON_KEY, "making room".parse().unwrap());
        let told = daemon.order_stop(request).unwrap();
        assert_eq!(told.run_id, run.started.run_id);
        assert_eq!(told.meta.unwrap().name, run.started.name);
        let exit = run.finish();
        assert_eq!(rpc::signal(&exit), Some(15));
        let by = exit.stopped_by.expect("somebody did");
        assert_eq!((by.door.as_str(), by.reason.as_str()), ("grpc", "making room"));
        assert!(by.identity.starts_with("uid:"), "{by:?}");
    });
}

/// The newest run of a name.
fn stop_by_name(options: Options) {
    Daemon::with(options, |daemon| {
        daemon.answer(named("job", argv(&["/bin/true"])));
        let mut run = daemon.run(named("job", daemon.probe(&["pause"])));
        let told = daemon.order_stop(Request::new(by_name("job"))).unwrap();
        assert_eq!(told.run_id, run.started.run_id);
        assert_eq!(rpc::signal(&run.finish()), Some(15));
    });
}

/// The first signal may be another.
fn stop_with_another_signal(options: Options) {
    Daemon::with(options, |daemon| {
        let mut run = daemon.run(daemon.probe(&["pause"]));
        let request = StopRequest { signal: 10, ..by_id(&run.started.run_id) };
        daemon.order_stop(Request::new(request)).unwrap();
        assert_eq!(rpc::signal(&run.finish()), Some(10));
    });
}

/// A program that cleans up on SIGTERM may do so, and its own exit status counts.
fn stop_lets_a_program_finish(options: Options) {
    Daemon::with(options, |daemon| {
        let script =
            "trap 'echo cleaned; exit 11' TERM; echo up; while :; do sleep 1000 & wait; done";
        let mut run = daemon.run(argv(&["/bin/sh", "-c", script]));
        run.read_until("up");
        daemon.order_stop(Request::new(by_id(&run.started.run_id))).unwrap();
        assert_eq!(rpc::code(&run.finish()), Some(11));
        assert_eq!(String::from_utf8_lossy(&run.stdout), "up\ncleaned\n");
    });
}

/// What is left when the time-out ends is killed.
fn a_deaf_program_is_killed(options: Options) {
    Daemon::with(options.stop_timeout("1s"), |daemon| {
        let mut run = daemon.run(daemon.probe(&["ignore", "SIGTERM", "out", "up", "pause"]));
        run.read_until("up");
        daemon.order_stop(Request::new(by_id(&run.started.run_id))).unwrap();
        assert_eq!(rpc::signal(&run.finish()), Some(9));
    });
}

/// With kill, a deaf program's whole cgroup ends at once, in spite of a stop time-out of 90 s.
fn kill_at_once(options: Options) {
    Daemon::with(options, |daemon| {
        let words = [
            "ignore", "SIGTERM", "start", "{", "setsid", "ignore", "SIGTERM", "out", "up", "pause",
            "}", "pause",
        ];
        let mut run = daemon.run(daemon.probe(&words));
        run.read_until("up");
        let request = StopRequest { kill: true, ..by_id(&run.started.run_id) };
        daemon.order_stop(Request::new(request)).unwrap();
        assert_eq!(rpc::signal(&run.finish()), Some(9));
        assert_eq!(procfs::carriers(&run.started.run_id), Vec::<i32>::new());
    });
}

/// A program that has stopped itself is not ended, and can be.
fn a_stopped_program_can_be_ended(options: Options) {
    Daemon::with(options.stop_timeout("1s"), |daemon| {
        let mut run = daemon.run(daemon.probe(&["out", "up", "raise", "SIGSTOP", "exit", "0"]));
        run.read_until("up");
        let pid = run.started.pid;
        eventually("the program stops itself", || procfs::state(pid) == Some('T'));
        assert_eq!(daemon.status().runs_live, 1, "stopped is not ended");
        daemon.order_stop(Request::new(by_id(&run.started.run_id))).unwrap();
        let exit = run.finish();
        assert!(matches!(rpc::signal(&exit), Some(9 | 15)), "{exit:?}");
    });
}

/// Nobody, nothing, both, nonsense: each refused by name.
fn refused_stops(options: Options) {
    Daemon::with(options, |daemon| {
        let run = daemon.run(daemon.probe(&["pause"]));
        let id = run.started.run_id.clone();
        let cases = [
            (by_name("nobody"), Code::NotFound, "nobody"),
            (by_id(&rpc::fresh_id()), Code::NotFound, "run"),
            (StopRequest::default(), Code::InvalidArgument, "run_id"),
            (
                StopRequest { run_id: id.clone(), ..by_name("nobody") },
                Code::InvalidArgument,
                "run_id",
            ),
            (by_id("not-a-uuid"), Code::InvalidArgument, "run_id"),
            (StopRequest { signal: 4711, ..by_id(&id) }, Code::InvalidArgument, "signal"),
            (StopRequest { signal: -1, ..by_id(&id) }, Code::InvalidArgument, "signal"),
        ];
        for (request, code, word) in cases {
            let refused = daemon.order_stop(Request::new(request.clone())).unwrap_err();
            assert_eq!(refused.code(), code, "{request:?}: {refused}");
            assert!(refused.message().contains(word), "{request:?}: {refused}");
        }
        assert!(procfs::alive(run.started.pid), "none of them stopped anything");
    });
}
