//! `Runtime.Stop` of units: whom it reaches, what it runs, and when it answers.

use std::fs;

use api::runtime::{
    Executable, KillMode, Leftovers, RestartWhen, StopPolicy, StopRequest, UnitResult, UnitState,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, Options, argv, eventually, procfs,
    rpc::{self, named},
    units::{because, much_later, step, step_line, stopping},
};
use tonic::Request;

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        it_answers_when_the_unit_is_down,
        a_unit_that_waits_is_stopped,
        a_deaf_unit_is_killed_after_its_time,
        kill_mode_control_group,
        kill_mode_mixed,
        kill_mode_process,
        kill_mode_none,
        without_the_final_kill_it_is_left,
        commands_on_stop,
        a_command_on_stop_that_hangs,
        a_signal_of_its_own,
        a_stopped_program_is_stopped,
        kill_spares_nobody_and_runs_nothing,
        a_usual_stop_is_made_harder,
    ]
}

/// Stop answers when nothing of the unit lives, with its record, who and why; what is down is answered at once.
fn it_answers_when_the_unit_is_down(options: Options) {
    Daemon::with(options, |daemon| {
        let up = daemon.up(named("web", daemon.probe(&["pause"])));
        let down = daemon.order_stop(because("night", stopping("web"))).unwrap();
        assert!(!procfs::alive(up.pid));
        assert_eq!(down.run_id, up.run_id);
        let exit = down.exit.unwrap();
        assert_eq!((rpc::signal(&exit), exit.pid), (Some(15), up.pid));
        assert_eq!(exit.stopped_by.as_ref().unwrap().reason, "night");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Inactive, UnitResult::Success));
        assert_eq!((unit.wanted_up, unit.wanted_by.unwrap().reason.as_str()), (false, "night"));
        assert_eq!(daemon.down("web").exit.unwrap().run_id, up.run_id);
    });
}

/// A unit that waits for its restart is down at once when it is stopped, and stays so.
fn a_unit_that_waits_is_stopped(options: Options) {
    Daemon::with(options, |daemon| {
        let web = named("web", daemon.probe(&["exit", "1"]));
        drop(daemon.try_up(Executable { restart: Some(much_later(RestartWhen::Always)), ..web }));
        daemon.until_state("web", UnitState::Waiting);
        daemon.down("web");
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.next_start_at), (UnitState::Inactive, 0));
        assert!(!unit.wanted_up);
        assert_eq!(daemon.status().runs_total, 1);
    });
}

/// What is deaf to its signal is killed when its time is over, not earlier, and the unit has failed by that.
fn a_deaf_unit_is_killed_after_its_time(options: Options) {
    Daemon::with(options, |daemon| {
        let stop = Some(StopPolicy { timeout_ms: Some(400), ..StopPolicy::default() });
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["ignore", "SIGTERM", "say", up.path(), "up", "pause"];
        daemon.up(Executable { stop, ..named("web", daemon.probe(&words)) });
        assert_eq!(up.line(), "up");
        let before = tests::wait::wall_clock();
        let exit = daemon.down("web").exit.unwrap();
        let took = (tests::wait::wall_clock() - before) / 1_000_000;
        assert!(took >= 390, "killed after {took} ms");
        assert_eq!(rpc::signal(&exit), Some(9));
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
    });
}

/// A unit whose program has a child that notes SIGTERM, brought down in this mode: what is known then.
struct Downed {
    /// The main process and its child.
    main: i32,
    child: i32,
    /// What the child noted.
    heard: String,
    leftovers: Leftovers,
    state: UnitState,
}

fn bring_down(daemon: &Daemon, mode: KillMode) -> Downed {
    let mut up = Fifo::make(daemon.path(), "up");
    let (pid, heard) = (daemon.work("pid"), daemon.work("heard"));
    let words = [
        "start",
        "{",
        "ignore",
        "SIGTERM",
        "mark",
        &pid,
        "say",
        up.path(),
        "up",
        "hear",
        "SIGTERM",
        "append",
        &heard,
        "heard",
        "}",
        "pause",
    ];
    let stop = Some(StopPolicy {
        kill_mode: mode.into(),
        timeout_ms: Some(20_000),
        ..StopPolicy::default()
    });
    let on_stop = vec![step(&["/bin/sh", "-c", "echo stop >> \"$0\"", &daemon.work("on-stop")])];
    let main = daemon.up(Executable { stop, on_stop, ..named("web", daemon.probe(&words)) }).pid;
    assert_eq!(up.line(), "up");
    let child = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let exit = daemon.down("web").exit.unwrap();
    assert_eq!(fs::read_to_string(daemon.work("on-stop")).unwrap(), "stop\n");
    Downed {
        main,
        child,
        heard: fs::read_to_string(&heard).unwrap_or_default(),
        leftovers: exit.leftovers(),
        state: daemon.unit("web").state(),
    }
}

/// Ends what a unit was to leave alive.
fn end(daemon: &Daemon, pids: &[i32]) {
    for &pid in pids {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    eventually("they end", || pids.iter().all(|&pid| !procfs::alive(pid)));
    assert_eq!(daemon.status().runs_live, 0);
}

/// control-group: everybody hears the signal.
fn kill_mode_control_group(options: Options) {
    Daemon::with(options, |daemon| {
        let downed = bring_down(daemon, KillMode::ControlGroup);
        assert!(!procfs::alive(downed.main) && !procfs::alive(downed.child));
        assert_eq!((downed.heard.as_str(), downed.state), ("heard\n", UnitState::Inactive));
    });
}

/// mixed: the main process hears the signal; the others are killed when it has ended.
fn kill_mode_mixed(options: Options) {
    Daemon::with(options, |daemon| {
        let downed = bring_down(daemon, KillMode::Mixed);
        assert!(!procfs::alive(downed.main) && !procfs::alive(downed.child));
        assert_eq!((downed.heard.as_str(), downed.leftovers), ("", Leftovers::Killed));
        assert_eq!(downed.state, UnitState::Inactive);
    });
}

/// process: the main process alone; the others are left alive, and the record says so.
fn kill_mode_process(options: Options) {
    Daemon::with(options, |daemon| {
        let downed = bring_down(daemon, KillMode::Process);
        assert!(!procfs::alive(downed.main) && procfs::alive(downed.child));
        assert_eq!((downed.heard.as_str(), downed.leftovers), ("", Leftovers::Left));
        assert_eq!(downed.state, UnitState::Inactive);
        end(daemon, &[downed.child]);
    });
}

/// none: nobody; what is on stop is executed all the same.
fn kill_mode_none(options: Options) {
    Daemon::with(options, |daemon| {
        let downed = bring_down(daemon, KillMode::None);
        assert!(procfs::alive(downed.main) && procfs::alive(downed.child));
        assert_eq!((downed.heard.as_str(), downed.leftovers), ("", Leftovers::Left));
        assert_eq!(downed.state, UnitState::Inactive);
        end(daemon, &[downed.main, downed.child]);
    });
}

/// final_kill = false: after its time a deaf program is left alone, and the unit has failed by a time-out.
fn without_the_final_kill_it_is_left(options: Options) {
    Daemon::with(options, |daemon| {
        let stop = Some(StopPolicy {
            timeout_ms: Some(200),
            final_kill: Some(false),
            ..StopPolicy::default()
        });
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["ignore", "SIGTERM", "say", up.path(), "up", "pause"];
        let pid = daemon.up(Executable { stop, ..named("web", daemon.probe(&words)) }).pid;
        assert_eq!(up.line(), "up");
        let exit = daemon.down("web").exit.unwrap();
        assert!(procfs::alive(pid), "it was killed");
        assert_eq!(exit.leftovers(), Leftovers::Left);
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        end(daemon, &[pid]);
    });
}

/// Commands on stop are executed in their order, while the program lives, and know its process and how it fares;
/// one with the prefix "-" may fail. The one that fails ends the row, and the signals come all the same.
fn commands_on_stop(options: Options) {
    Daemon::with(options, |daemon| {
        let said = daemon.work("said");
        let tell = r#"kill -0 $MAINPID && echo "$1 $MAINPID $SERVICE_RESULT" >> "$0""#;
        let on_stop = vec![
            step(&["/bin/sh", "-c", tell, &said, "one"]),
            step_line("-/bin/false"),
            step(&["/bin/sh", "-c", tell, &said, "two"]),
        ];
        let up = daemon.up(Executable { on_stop, ..named("web", daemon.probe(&["pause"])) });
        daemon.down("web");
        let pid = up.pid;
        assert_eq!(
            fs::read_to_string(&said).unwrap(),
            format!("one {pid} success\ntwo {pid} success\n")
        );
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);

        let on_stop = vec![step(&["/bin/false"]), step(&["/bin/sh", "-c", tell, &said, "three"])];
        let pid = daemon.up(Executable { on_stop, ..named("web2", daemon.probe(&["pause"])) }).pid;
        daemon.down("web2");
        assert!(!procfs::alive(pid));
        let unit = daemon.unit("web2");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::ExitCode));
        assert!(!fs::read_to_string(&said).unwrap().contains("three"));
    });
}

/// A command on stop has the unit's time; then everything is told to end.
fn a_command_on_stop_that_hangs(options: Options) {
    Daemon::with(options, |daemon| {
        let stop = Some(StopPolicy { timeout_ms: Some(300), ..StopPolicy::default() });
        let on_stop = vec![step(&[&daemon.binary("probe"), "pause"])];
        let pid =
            daemon.up(Executable { stop, on_stop, ..named("web", daemon.probe(&["pause"])) }).pid;
        daemon.down("web");
        assert!(!procfs::alive(pid));
        let unit = daemon.unit("web");
        assert_eq!((unit.state(), unit.result()), (UnitState::Failed, UnitResult::Timeout));
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// The unit's own signal is sent; an order may name another. To die of it is no failure.
fn a_signal_of_its_own(options: Options) {
    Daemon::with(options, |daemon| {
        let stop = Some(StopPolicy { signal: 12, ..StopPolicy::default() });
        let web = Executable { stop, ..named("web", daemon.probe(&["pause"])) };
        daemon.up(web.clone());
        assert_eq!(rpc::signal(&daemon.down("web").exit.unwrap()), Some(12));
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
        daemon.up(web);
        let order = StopRequest { signal: 10, ..stopping("web") };
        let exit = daemon.order_stop(Request::new(order)).unwrap().exit.unwrap();
        assert_eq!(rpc::signal(&exit), Some(10));
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
    });
}

/// A program that has stopped itself hears its signal: SIGCONT follows it.
fn a_stopped_program_is_stopped(options: Options) {
    Daemon::with(options, |daemon| {
        let up = daemon.up(named("web", daemon.probe(&["raise", "SIGSTOP", "pause"])));
        eventually("it stops itself", || procfs::state(up.pid) == Some('T'));
        assert_eq!(daemon.unit("web").state(), UnitState::Running);
        assert_eq!(rpc::signal(&daemon.down("web").exit.unwrap()), Some(15));
    });
}

/// With kill all die at once, whatever the kill mode, and no command on stop is executed.
fn kill_spares_nobody_and_runs_nothing(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let (pid, said) = (daemon.work("pid"), daemon.work("said"));
        let words = [
            "ignore",
            "SIGTERM",
            "start",
            "{",
            "ignore",
            "SIGTERM",
            "mark",
            &pid,
            "say",
            up.path(),
            "up",
            "pause",
            "}",
            "pause",
        ];
        let stop =
            Some(StopPolicy { kill_mode: KillMode::Process.into(), ..StopPolicy::default() });
        let on_stop = vec![step(&[&daemon.binary("probe"), "append", &said, "stop"])];
        let main =
            daemon.up(Executable { stop, on_stop, ..named("web", daemon.probe(&words)) }).pid;
        assert_eq!(up.line(), "up");
        let child: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let order = StopRequest { kill: true, ..stopping("web") };
        let exit = daemon.order_stop(Request::new(order)).unwrap().exit.unwrap();
        assert_eq!(rpc::signal(&exit), Some(9));
        assert!(!procfs::alive(main) && !procfs::alive(child));
        assert!(fs::metadata(&said).is_err(), "a command on stop was executed");
        assert_eq!(daemon.unit("web").state(), UnitState::Inactive);
    });
}

/// A stop that takes its time is ended by one with kill; both are answered.
fn a_usual_stop_is_made_harder(options: Options) {
    Daemon::with(options, |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let words = ["ignore", "SIGTERM", "say", up.path(), "up", "pause"];
        daemon.up(named("web", daemon.probe(&words)));
        assert_eq!(up.line(), "up");
        let first = daemon.begin_stop(stopping("web"));
        daemon.until_state("web", UnitState::Stopping);
        let order = StopRequest { kill: true, ..stopping("web") };
        daemon.order_stop(Request::new(order)).unwrap();
        assert_eq!(rpc::signal(&daemon.answered(first).unwrap().exit.unwrap()), Some(9));
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0");
    });
}
