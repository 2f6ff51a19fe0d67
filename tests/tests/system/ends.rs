//! How runs end that do not want to, and what is left of them: nothing.

use std::fs::OpenOptions;

use api::runtime::Leftovers;
use tests::{Daemon, Fifo, Options, argv, eventually, procfs, rpc};

use crate::{Core, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![
        polite_leftovers,
        deaf_leftovers,
        double_forked_leftovers,
        last_words_of_leftovers,
        outputs_closed,
        output_handed_to_a_grandchild,
        pipe_held_by_a_stranger,
        a_bounded_fork_bomb,
        dropped_exec_stops_everything,
        dropped_run_stops_everything,
    ]
}

/// Runs a main process that leaves a child with these actions behind and exits with 3, once the child is
/// up; sees that the child is gone when the answer is there.
fn leaves(options: Options, child: &[&str]) -> Leftovers {
    let mut left = Leftovers::None;
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let pid_file = daemon.work("pid");
        let mut up = Fifo::make(daemon.path(), "up");
        let (gate_path, up_path) = (gate.path().to_owned(), up.path().to_owned());
        let mut words = vec!["start", "{"];
        let ready = ["mark", &pid_file, "say", &up_path, "up", "pause"];
        words.extend(
            child
                .iter()
                .flat_map(|&word| if word == "READY" { ready.to_vec() } else { vec![word] }),
        );
        words.extend(["}", "await", &gate_path, "exit", "3"]);
        let begun = daemon.begin(daemon.probe(&words));
        assert_eq!(up.line(), "up");
        gate.release();
        let answer = daemon.wait_for(begun);
        assert_eq!(answer.exit_code, "3", "the main process decides: {answer:?}");
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        assert!(!procfs::alive(pid), "the grandchild {pid} has survived");
        left = answer.exit.unwrap().leftovers();
    });
    left
}

/// What the main process leaves behind gets SIGTERM, and the record says so.
fn polite_leftovers(options: Options) {
    assert_eq!(leaves(options, &["READY"]), Leftovers::Terminated);
}

/// What is deaf to SIGTERM is killed, and the record says so.
fn deaf_leftovers(options: Options) {
    assert_eq!(leaves(options, &["ignore", "SIGTERM", "READY"]), Leftovers::Killed);
}

/// Double forks and sessions of their own hide nobody.
fn double_forked_leftovers(options: Options) {
    let words = ["setsid", "start", "{", "setsid", "ignore", "SIGTERM", "READY", "}"];
    assert_eq!(leaves(options, &words), Leftovers::Killed);
}

/// What leftovers print when they are asked to end still belongs to the run, before its exit.
fn last_words_of_leftovers(options: Options) {
    Daemon::with(options, |daemon| {
        let script = r#"(trap 'echo bye; exit' TERM; echo up >&2; while :; do sleep 1000 & wait; done) & read x < "$0"; exit 4"#;
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut run = daemon.run(argv(&["/bin/sh", "-c", script, gate.path()]));
        while run.stderr != b"up\n" {
            run.next().unwrap().expect("it says that it is up");
        }
        gate.release();
        assert_eq!(rpc::code(&run.finish()), Some(4));
        assert_eq!(String::from_utf8_lossy(&run.stdout), "bye\n");
    });
}

/// A program that closes its outputs goes on; its end is its exit, not the end of its pipes.
fn outputs_closed(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut up = Fifo::make(daemon.path(), "up");
        let words = [
            "out",
            "a",
            "close",
            "1",
            "close",
            "2",
            "say",
            up.path(),
            "up",
            "await",
            gate.path(),
            "exit",
            "6",
        ];
        let mut run = daemon.run(daemon.probe(&words));
        assert_eq!(up.line(), "up");
        run.read_until("a");
        assert!(procfs::alive(run.started.pid));
        assert_eq!(daemon.status().runs_live, 1);
        gate.release();
        assert_eq!(rpc::code(&run.finish()), Some(6));
    });
}

/// A grandchild that inherits the outputs delays the answer by no more than its own end.
fn output_handed_to_a_grandchild(options: Options) {
    Daemon::with(options, |daemon| {
        let words = ["start", "{", "setsid", "out", "from below", "pause", "}", "exit", "0"];
        let answer = daemon.answer(daemon.probe(&words));
        assert_eq!(answer.exit_code, "0");
        assert!(["", "from below"].contains(&answer.stdout.as_str()), "{answer:?}");
    });
}

/// A pipe that a stranger to the run holds open blocks nobody.
fn pipe_held_by_a_stranger(options: Options) {
    Daemon::with(options, |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut run = daemon.run(daemon.probe(&["out", "mine", "await", gate.path(), "exit", "2"]));
        run.read_until("mine");
        // The test itself is the stranger: it opens the write ends of both pipes.
        let open = |fd| {
            let path = format!("/proc/{}/fd/{fd}", run.started.pid);
            OpenOptions::new().write(true).open(path).expect("root, or the same user, may")
        };
        let held = [open(1), open(2)];
        gate.release();
        assert_eq!(rpc::code(&run.finish()), Some(2));
        drop(held);
        assert_eq!(run.stdout, b"mine");
    });
}

/// A hundred children are ended with their run.
fn a_bounded_fork_bomb(options: Options) {
    Daemon::with(options, |daemon| {
        let answer = daemon.answer(daemon.probe(&["bomb", "100", "exit", "1"]));
        assert_eq!(answer.exit_code, "1");
        assert_eq!(procfs::carriers(&answer.run_id), Vec::<i32>::new());
    });
}

/// A deaf program with a deaf child of its own session: what a dropped call has to stop.
fn stubborn(daemon: &Daemon, up: &Fifo) -> api::runtime::Executable {
    let child = ["start", "{", "setsid", "ignore", "SIGTERM", "say", up.path(), "up", "pause", "}"];
    let words = [["ignore", "SIGTERM"].as_slice(), &child, &["pause"]].concat();
    rpc::identified(&rpc::fresh_id(), daemon.probe(&words))
}

/// The end of an Exec call stops the whole run, not its main process alone.
fn dropped_exec_stops_everything(options: Options) {
    Daemon::with(options.stop_timeout("1s"), |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let executable = stubborn(daemon, &up);
        let id = executable.run_id.clone();
        let begun = daemon.begin(executable);
        assert_eq!(up.line(), "up");
        assert_eq!(procfs::carriers(&id).len(), 2);
        begun.abort();
        eventually("the dropped call's run is gone", || procfs::carriers(&id).is_empty());
        eventually("it is not counted as live", || daemon.status().runs_live == 0);
    });
}

/// The end of a Run call stops the whole run.
fn dropped_run_stops_everything(options: Options) {
    Daemon::with(options.stop_timeout("1s"), |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let executable = stubborn(daemon, &up);
        let id = executable.run_id.clone();
        let run = daemon.run(executable);
        assert_eq!(up.line(), "up");
        drop(run);
        eventually("the dropped call's run is gone", || procfs::carriers(&id).is_empty());
        let exit = daemon.logs_of(&id).exit.expect("its end is recorded");
        assert_eq!(rpc::signal(&exit), Some(9), "{exit:?}");
    });
}
