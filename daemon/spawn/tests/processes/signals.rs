//! Signals: the child starts with every default action and none blocked.
#![expect(unsafe_code, reason = "signal actions are set")]

use crate::program::{input, methods, output};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use std::fs;

extern "C" fn handler(_: i32) {}

pub(crate) fn dispositions_and_mask_are_reset() {
    // SAFETY: the handler does nothing.
    unsafe {
        signal(Signal::SIGHUP, SigHandler::SigIgn).unwrap();
        signal(Signal::SIGCHLD, SigHandler::Handler(handler)).unwrap();
        signal(Signal::SIGUSR1, SigHandler::Handler(handler)).unwrap();
        // A real-time signal, which nix has no name for.
        assert_ne!(libc::signal(libc::SIGRTMIN() + 3, libc::SIG_IGN), libc::SIG_ERR);
    }
    let actions = dispositions(&fs::read_to_string("/proc/self/status").unwrap());
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    blocked.add(Signal::SIGUSR2);
    blocked.thread_block().unwrap();
    let before = SigSet::thread_get_mask().unwrap();
    for method in methods() {
        let status = output(method, input("/bin/cat", &["cat", "/proc/self/status"]));
        for field in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
            let line = status.lines().find(|line| line.starts_with(field)).unwrap();
            let set = line.split_whitespace().nth(1).unwrap();
            assert_eq!(u64::from_str_radix(set, 16), Ok(0), "{method}: {line}");
        }
        assert_eq!(before, SigSet::thread_get_mask().unwrap());
    }
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(dispositions(&ours), actions, "a child's dispositions are its own");
}

fn dispositions(status: &str) -> Vec<String> {
    let lines =
        status.lines().filter(|line| line.starts_with("SigIgn") || line.starts_with("SigCgt"));
    lines.map(str::to_owned).collect()
}
