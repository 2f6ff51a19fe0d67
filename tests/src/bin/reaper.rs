//! A subreaper, as systemd's and a container's init are: `reaper MODE PROGRAM ARGUMENTS…` executes the program below
//! itself, passes SIGTERM on to it, and exits as it exits. What is left behind by a program that was killed becomes the
//! reaper's child. With the mode `prompt` that is reaped when it ends, with `lazy` never.

use std::{env, os::unix::process::ExitStatusExt, process::Command, thread};

use nix::{
    sys::{
        prctl::set_child_subreaper,
        signal::{SigSet, Signal, kill},
        wait::{WaitStatus, wait},
    },
    unistd::{Pid, pause},
};

#[expect(
    clippy::disallowed_methods,
    reason = "a program around the one under test, not a part of the daemon"
)]
fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [mode, program, arguments @ ..] = words.as_slice() else { panic!("MODE PROGRAM …") };
    set_child_subreaper(true).expect("anybody may");
    let term: SigSet = [Signal::SIGTERM].into_iter().collect();
    term.thread_block().expect("a usual signal");
    let mut child = Command::new(program).args(arguments).spawn().expect("it can be executed");
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    thread::spawn(move || {
        loop {
            term.wait().expect("a usual signal");
            let _ = kill(pid, Signal::SIGTERM);
        }
    });
    let status = child.wait().expect("it is our child");
    if let Some(code) = status.code() {
        std::process::exit(code);
    }
    eprintln!("reaper: the program was killed by signal {:?}", status.signal());
    while mode == "prompt" && wait().is_ok_and(|status| status != WaitStatus::StillAlive) {}
    loop {
        pause();
    }
}
