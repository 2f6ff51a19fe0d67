//! How main processes end that no keeper reaps: exactly, or unknown.

use std::{fs, os::unix::fs::PermissionsExt};

use api::runtime::{Executable, ExitRecord, StopPolicy, UnitState, exit_record::Cause};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, House, Need, Options, eventually, procfs,
    rpc::{code, named, signal},
    units::stopping,
};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![ends_are_exact, a_stop_goes_on_to_its_end, sigterm_ends_everything_in_order]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[]; reaped_by_another];
    all.extend(cases![[Need::OtherUser]; what_nobody_may_see_is_unknown]);
    all
}

/// nobody, who owns nothing.
const ORDINARY: u32 = 65534;

/// A call that waits for its program gets every byte and its exit; so does who waits for a unit; a signal is a signal.
fn ends_are_exact(options: Options) {
    let mut daemon = Daemon::start(options);
    let mut go = Fifo::make(daemon.path(), "go");
    let mut up = Fifo::make(daemon.path(), "up");
    let words =
        ["line", "one", "say", up.path(), "up", "await", go.path(), "line", "two", "exit", "7"];
    let waiting = daemon.probe(&words);
    let web = daemon.up(named("web", daemon.probe(&["pause"])));
    let id = tests::rpc::fresh_id();
    let call = daemon.begin(tests::rpc::identified(&id, waiting));
    // Counted as live it is before it is made.
    assert_eq!(up.line(), "up");
    daemon.lose_keeper();
    go.release();
    let answer = daemon.wait_for(call);
    assert_eq!((answer.exit_code.as_str(), answer.stdout.as_str()), ("7", "one\ntwo\n"));
    kill(Pid::from_raw(web.pid), Signal::SIGUSR1).unwrap();
    let exit = daemon.wait_down("web").exit.unwrap();
    assert_eq!((signal(&exit), exit.pid), (Some(10), web.pid));
    daemon.start_again();
    assert_eq!(code(&daemon.logs_of(&id).exit.unwrap()), Some(7));
    assert_eq!(signal(&daemon.unit("web").last_exit.unwrap()), Some(10));
    daemon.stop();
}

/// A stop that is under way when the keeper dies is carried out: the signal, the patience, the kill.
fn a_stop_goes_on_to_its_end(options: Options) {
    let mut daemon = Daemon::start(options);
    let deaf = [
        "ignore", "SIGTERM", "start", "{", "ignore", "SIGTERM", "pause", "}", "line", "up", "pause",
    ];
    daemon.up(Executable {
        stop: Some(StopPolicy { timeout_ms: Some(1500), ..StopPolicy::default() }),
        ..named("deaf", daemon.probe(&deaf))
    });
    daemon.until_logged("deaf", "up\n");
    let stop = daemon.begin_stop(stopping("deaf"));
    daemon.until_state("deaf", UnitState::Stopping);
    daemon.lose_keeper();
    let exit = daemon.answered(stop).unwrap().exit.unwrap();
    assert_eq!(signal(&exit), Some(9));
    assert_eq!(procfs::carriers(&exit.run_id), Vec::<i32>::new());
    daemon.start_again();
    assert_eq!(daemon.status().runs_live, 0);
    daemon.stop();
}

/// SIGTERM to a daemon without a keeper ends all that it runs in order, and then itself; the next start is a clean one.
fn sigterm_ends_everything_in_order(options: Options) {
    let mut daemon = Daemon::start(options);
    let said = daemon.work("said");
    let words = [
        "ignore", "SIGTERM", "line", "up", "hear", "SIGTERM", "append", &said, "in order", "exit",
        "0",
    ];
    let web = daemon.up(named("web", daemon.probe(&words)));
    daemon.until_logged("web", "up\n");
    let orphan = daemon.lose_keeper();
    kill(Pid::from_raw(orphan), Signal::SIGTERM).unwrap();
    eventually("it ends", || procfs::gone(orphan));
    assert_eq!(fs::read_to_string(&said).unwrap(), "in order\n");
    assert!(procfs::gone(web.pid));
    daemon.start_again();
    let status = daemon.status();
    assert_eq!((status.healthy, status.runs_live, status.previous_daemon.as_str()), (true, 0, ""));
    assert_eq!(code(&daemon.newest_exit("web")), Some(0));
    daemon.stop();
}

/// Whether it is reaped at once by another process or never: the exit is the one that it had.
fn reaped_by_another() {
    for mode in ["prompt", "lazy"] {
        let house = House::prepare(Options::default());
        let command = house.auraed_below(mode);
        let daemon = Daemon::start_as(house, command);
        let mut go = Fifo::make(daemon.path(), "go");
        let one = daemon.up(named("one", daemon.probe(&["await", go.path(), "exit", "42"])));
        let two = daemon.up(named("two", daemon.probe(&["pause"])));
        daemon.lose_keeper();
        // The dying keeper closes its channels before it gives its children away.
        eventually("the subreaper has it", || procfs::parent(one.pid) == Some(daemon.keeper()));
        go.release();
        assert_eq!(code(&daemon.wait_down("one").exit.unwrap()), Some(42), "{mode}");
        kill(Pid::from_raw(two.pid), Signal::SIGKILL).unwrap();
        assert_eq!(signal(&daemon.wait_down("two").exit.unwrap()), Some(9), "{mode}");
        let left = procfs::state(one.pid);
        assert_eq!(left, if mode == "lazy" { Some('Z') } else { None }, "{mode}");
    }
}

fn why_lost(exit: &ExitRecord) -> String {
    let Some(Cause::Lost(why)) = &exit.cause else { panic!("it is not lost: {exit:?}") };
    why.clone()
}

/// An end that nobody reaps, of a process that belongs to another user, is unknown, and said to be.
fn what_nobody_may_see_is_unknown() {
    let house = House::prepare(Options::default().user(ORDINARY));
    let program = house.work("as-root");
    fs::copy(tests::binaries::path("probe"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let command = house.auraed_below("lazy");
    let daemon = Daemon::start_as(house, command);
    let mut go = Fifo::make(daemon.path(), "go");
    let words = [&program, "await", go.path(), "exit", "3"];
    let web = daemon.up(named("web", tests::argv(&words)));
    daemon.lose_keeper();
    let uid = procfs::field(web.pid, "Uid").unwrap();
    assert!(
        uid.split_whitespace().nth(1) == Some("0"),
        "/tmp takes no notice of set-user-ID: {uid}"
    );
    go.release();
    let exit = daemon.wait_down("web").exit.unwrap();
    let why = why_lost(&exit);
    assert!(
        why.contains("how it ended is unknown") && why.contains("nobody has reaped it"),
        "{why}"
    );
}
