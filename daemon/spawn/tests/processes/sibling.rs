//! Siblings: this process is the keeper; it makes a daemon, which makes a sibling, which this
//! process reaps.

use crate::program::{input, methods, run, shell};
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use spawn::{Parentage, Plan, Spawner};

/// The first argument of the daemon; the method and the program follow.
pub(crate) const ROLE: &str = "role:daemon";

/// The daemon's part: says which sibling it made, and what it knows of it.
pub(crate) fn play(arguments: &[String]) {
    let [_, method, program] = arguments else { panic!("{arguments:?}") };
    let mut sibling = shell("exit 7");
    sibling.program = crate::program::c_string(program);
    let plan = Plan::new(sibling).unwrap();
    match Spawner::new(method.parse().unwrap()).unwrap().spawn(&plan, Parentage::Sibling) {
        Ok(made) => {
            assert_eq!(made.pidfd.reap(), Err(Errno::ECHILD), "it is not ours to reap");
            println!("made {}", made.pid);
        }
        Err(failure) => println!("{failure} {:?} {}", failure.errno, failure.pid.unwrap()),
    }
}

/// Runs the daemon to its end; returns its words, and how the sibling ended.
fn reap_sibling(method: spawn::Method, program: &str) -> (String, WaitStatus) {
    let ourselves = std::env::current_exe().unwrap();
    let argv = ["daemon", ROLE, method.name(), program];
    let (status, text) = run(method, input(ourselves.to_str().unwrap(), &argv)).unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{method}: {status:?} {text}");
    let (words, pid) = text.trim_end().rsplit_once(' ').unwrap();
    let sibling = Pid::from_raw(pid.parse().unwrap());
    // The daemon is gone: ECHILD here would mean that the sibling went to init.
    let status = waitid(Id::Pid(sibling), WaitPidFlag::WEXITED).unwrap();
    assert_eq!(status.pid(), Some(sibling));
    (words.to_owned(), status)
}

pub(crate) fn our_parent_reaps() {
    for method in methods() {
        let (words, status) = reap_sibling(method, "/bin/sh");
        assert_eq!(words, "made");
        assert!(matches!(status, WaitStatus::Exited(_, 7)), "{method}: {status:?}");
    }
}

pub(crate) fn our_parent_reaps_failures_too() {
    for method in methods() {
        let (words, status) = reap_sibling(method, "/nonexistent");
        assert_eq!(words, "cannot execute its program ENOENT");
        assert!(matches!(status, WaitStatus::Exited(_, 203)), "{method}: {status:?}");
    }
}
