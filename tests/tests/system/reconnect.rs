//! Clients notice no more than they must: of a daemon that dies, and of a connection that breaks.

use api::runtime::{UnitState, WaitRequest, exit_record::Cause};
use nix::sys::signal::Signal;
use tests::{Daemon, Fifo, Options, argv, eventually, rpc};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        following_a_unit_goes_on_over_killed_daemons,
        following_the_daemons_own_log_repeats_and_misses_nothing,
        watching_goes_on_over_killed_daemons,
        waiting_goes_on_over_killed_daemons,
        a_run_that_ended_two_daemons_ago_is_waited_for,
        starting_goes_on_over_a_killed_daemon,
        what_has_begun_is_ordered_once,
        a_client_gives_up_in_its_time,
        nobody_notices_that_the_daemon_is_replaced,
    ]
}

fn quick() -> Options {
    Options::default().restart_delay("20ms")
}

/// `aer logs -f` prints every line of a unit once, whichever daemon tells it.
fn following_a_unit_goes_on_over_killed_daemons() {
    Daemon::with(quick(), |daemon| {
        let mut follower = None;
        let mut expected = String::new();
        for round in 0..4 {
            let line = format!("line {round}");
            // Adopted or not: what is up is stopped, so that each daemon starts it anew.
            drop(daemon.aer(&["stop", "web"]));
            daemon.up(rpc::named("web", daemon.probe(&["line", &line, "pause"])));
            expected += &format!("{line}\n");
            let follower = follower.get_or_insert_with(|| daemon.start_aer(&["logs", "-f", "web"]));
            follower.wait_for_output(&line);
            daemon.replace();
        }
        let follower = follower.unwrap();
        follower.signal(Signal::SIGTERM);
        let output = follower.finish();
        assert_eq!((output.out(), output.err()), (expected, String::new()));
        drop(daemon.aer(&["stop", "web"]));
    });
}

/// The same of the daemon's own log, in which every daemon writes.
fn following_the_daemons_own_log_repeats_and_misses_nothing() {
    Daemon::with(quick(), |daemon| {
        let follower = daemon.start_aer(&["logs", "-f", "--daemon"]);
        for round in 0..5 {
            let name = format!("mark-{round}");
            daemon.up(rpc::named(&name, argv(&["/bin/true"])));
            follower.wait_for_output(&name);
            daemon.replace();
        }
        follower.signal(Signal::SIGTERM);
        let followed = follower.finish();
        assert_eq!(followed.err(), "");
        let all = daemon.aer(&["logs", "--daemon"]);
        assert!(
            all.stdout.starts_with(&followed.stdout),
            "{}\n--- is not in ---\n{}",
            followed.out(),
            all.out()
        );
        assert!(followed.out().contains("mark-4"));
    });
}

/// `aer watch` tells every change once, whichever daemon makes it.
fn watching_goes_on_over_killed_daemons() {
    Daemon::with(quick(), |daemon| {
        let watcher = daemon.start_aer(&["watch"]);
        let mut names = Vec::new();
        // From now on, says the watch: so it must have begun.
        eventually("the watch has begun", || {
            let name = format!("early-{}", names.len());
            daemon.up(rpc::named(&name, argv(&["/bin/sleep", "1000"])));
            names.push(name);
            watcher.wait_for(
                tests::wait::Deadline::after(std::time::Duration::from_millis(200)),
                |seen| String::from_utf8_lossy(&seen.stdout).contains("early-"),
            )
        });
        for round in 0..3 {
            daemon.replace();
            let name = format!("late-{round}");
            daemon.up(rpc::named(&name, argv(&["/bin/sleep", "1000"])));
            watcher.wait_for_output(&format!("{name}  starting -> running"));
            names.push(name);
        }
        watcher.signal(Signal::SIGTERM);
        let output = watcher.finish();
        assert_eq!(output.err(), "", "no gap: the next daemon goes on with the numbers");
        let told = output.out();
        for round in 0..3 {
            let name = format!("late-{round}");
            let starts =
                told.lines().filter(|line| line.contains(&name) && line.contains("running"));
            assert_eq!(starts.count(), 1, "{told}");
        }
        for name in names {
            drop(daemon.aer(&["stop", &name]));
        }
    });
}

/// `aer wait` waits on, and tells the end.
fn waiting_goes_on_over_killed_daemons() {
    Daemon::with(quick(), |daemon| {
        let run = daemon.run(daemon.probe(&["pause"]));
        let run_id = run.started.run_id.clone();
        let waiter = daemon.start_aer(&["-o", "json", "wait", &run_id]);
        daemon.replace();
        daemon.replace();
        let stopped = daemon.aer(&["stop", "--kill", "--run", &run_id]);
        assert!(stopped.status.success(), "it is adopted: {}", stopped.err());
        let output = waiter.finish();
        let told: serde_json::Value = serde_json::from_str(&output.out()).expect("JSON");
        let exit = told.get("exit").unwrap_or(&told);
        assert_eq!(
            (&exit["run_id"], &exit["signal"]),
            (&run_id.as_str().into(), &9.into()),
            "{told}"
        );
        assert!(!output.err().contains("broke"), "{}", output.err());
        drop(run);
    });
}

/// The end of a run is answered as long as its log has it.
fn a_run_that_ended_two_daemons_ago_is_waited_for() {
    Daemon::with(quick(), |daemon| {
        let answer = daemon.answer(daemon.probe(&["line", "x", "exit", "7"]));
        daemon.replace();
        daemon.replace();
        let run_id = answer.run_id;
        let waited = daemon.wait(WaitRequest { run_id: run_id.clone(), ..WaitRequest::default() });
        let exit = waited.unwrap().exit.unwrap();
        assert_eq!((rpc::code(&exit), exit.run_id.as_str()), (Some(7), run_id.as_str()));
        assert_eq!(daemon.aer(&["wait", &run_id]).code(), Some(7));
        let run_id = rpc::fresh_id();
        let unknown = daemon.wait(WaitRequest { run_id, ..WaitRequest::default() });
        assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    });
}

/// A start whose daemon dies on the way is answered by the next one.
fn starting_goes_on_over_a_killed_daemon() {
    Daemon::with(quick(), |daemon| {
        let mark = daemon.work("mark");
        let mut go = Fifo::make(daemon.path(), "go");
        let words = ["append", &mark, "x", "await", go.path(), "notify", "READY=1", "pause"];
        let mut unit = rpc::named("web", daemon.probe(&words));
        unit.readiness = api::runtime::Readiness::Notify.into();
        daemon.enable(unit);
        let starter = daemon.start_aer(&["start", "web"]);
        eventually("it is being started", || std::path::Path::new(&mark).exists());
        daemon.replace();
        // Its process is the same: it is adopted.
        go.release();
        let output = starter.finish();
        assert!(output.status.success(), "{}{}", output.out(), output.err());
        assert_eq!(std::fs::read_to_string(&mark).unwrap().matches('x').count(), 1);
        drop(daemon.aer(&["stop", "web"]));
    });
}

/// Restarts and stops whose connection is cut in the middle are answered, and are made once.
fn what_has_begun_is_ordered_once() {
    Daemon::with(quick(), |daemon| {
        let relay = daemon.relay();
        let marks = daemon.work("marks");
        let mut go = Fifo::make(daemon.path(), "go");
        // Each start and each end waits for its release.
        let words = [
            "append",
            &marks,
            "x",
            "await",
            go.path(),
            "notify",
            "READY=1",
            "hear",
            "SIGTERM",
            "await",
            go.path(),
            "exit",
            "0",
        ];
        let words: Vec<&str> = ["ignore", "SIGTERM"].into_iter().chain(words).collect();
        let mut unit = rpc::named("web", daemon.probe(&words));
        unit.readiness = api::runtime::Readiness::Notify.into();
        let starts = || std::fs::read_to_string(&marks).unwrap_or_default().lines().count();
        go.release();
        daemon.up(unit);
        let restart = daemon.start_aer_over(&relay, &["restart", "web"]);
        daemon.until_state("web", UnitState::Stopping);
        relay.cut();
        go.release();
        eventually("it is started anew", || starts() == 2);
        daemon.until_state("web", UnitState::Starting);
        relay.cut();
        go.release();
        let output = restart.finish();
        assert!(output.status.success(), "{}{}", output.out(), output.err());
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
        let stop = daemon.start_aer_over(&relay, &["stop", "web"]);
        daemon.until_state("web", UnitState::Stopping);
        relay.cut();
        go.release();
        let output = stop.finish();
        assert!(output.status.success(), "{}{}", output.out(), output.err());
        assert_eq!((daemon.unit("web").state(), starts()), (UnitState::Inactive, 2));
    });
}

/// A client that finds no daemon any more says so when its time is over; a signal ends it before.
fn a_client_gives_up_in_its_time() {
    Daemon::with(quick(), |daemon| {
        for signal in [None, Some(Signal::SIGINT)] {
            let relay = daemon.relay();
            let patience = if signal.is_some() { "1000s" } else { "300ms" };
            let words = ["--reconnect", patience, "logs", "-f", "--daemon"];
            let aer = daemon.start_aer_over(&relay, &words);
            aer.wait_for_output("serving");
            drop(relay);
            if let Some(signal) = signal {
                aer.signal(signal);
            }
            let output = aer.finish();
            match signal {
                None => {
                    assert_eq!(output.code(), Some(1));
                    assert!(
                        output.err().contains("no daemon answered for 0.3 s"),
                        "{}",
                        output.err()
                    );
                }
                Some(_) => assert_eq!(output.code(), None, "the signal ends it: {}", output.err()),
            }
        }
        assert!(matches!(
            daemon.answer(argv(&["/bin/true"])).exit.unwrap().cause,
            Some(Cause::Code(0))
        ));
    });
}

/// `aer daemon restart` is no end of anything: a follower, a watcher, who waits and a run of Exec go on.
fn nobody_notices_that_the_daemon_is_replaced() {
    Daemon::with(Options::default(), |daemon| {
        let (mut say, mut go) = (Fifo::make(daemon.path(), "say"), Fifo::make(daemon.path(), "go"));
        let words = ["line", "one", "await", say.path(), "line", "two", "pause"];
        let up = daemon.up(rpc::named("web", daemon.probe(&words)));
        let follower = daemon.start_aer(&["logs", "-f", "web"]);
        follower.wait_for_output("one");
        let waiter = daemon.start_aer(&["wait", "web"]);
        let script = format!("echo before; read x < {}; echo after; exit 7", go.path());
        let caller = daemon.start_aer(&["exec", "--", "/bin/sh", "-c", &script]);
        caller.wait_for_output("before");
        for _ in 0..2 {
            let restarted = daemon.aer(&["daemon", "restart"]);
            assert!(restarted.status.success(), "{}", restarted.err());
        }
        assert_eq!(daemon.unit("web").pid, up.pid);
        say.release();
        go.release();
        follower.wait_for_output("two");
        let called = caller.finish();
        assert_eq!((called.out(), called.err()), ("before\nafter\n".into(), String::new()));
        assert_eq!(called.status.code(), Some(7));
        drop(daemon.aer(&["stop", "web"]));
        let waited = waiter.finish();
        assert!(waited.out().contains("web ended by"), "{}{}", waited.out(), waited.err());
        follower.signal(Signal::SIGTERM);
        let followed = follower.finish();
        assert_eq!((followed.out(), followed.err()), ("one\ntwo\n".into(), String::new()));
    });
}
