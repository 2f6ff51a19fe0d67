//! A shell on the console, where something is wrong and the machine's owner wants one.

use std::{ffi::CString, fs, os::fd::AsFd};

use nix::{
    errno::Errno,
    sys::signal::SigSet,
    unistd::{execve, setsid},
};

use super::{calls, console};
use crate::{process, say};

/// Where programs are, for a shell that nobody else has told.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts it; its process.
pub(crate) fn start(path: &str) -> Result<i32, Errno> {
    let path = path.to_owned();
    process::branch(move || {
        let why = execute(&path);
        say(format_args!(
            "cannot execute the shell {path}: {why}; give another as aurae.shell=PATH"
        ));
        127
    })
}

/// Answers only where that fails.
fn execute(path: &str) -> Errno {
    setsid().ok();
    if let Ok(console) = console::open() {
        // So that Ctrl-C reaches what the shell runs.
        calls::control(console.as_fd()).ok();
        console::reset(&console).ok();
        for number in 0..3 {
            calls::put(console.as_fd(), number).ok();
        }
    }
    let text = |text: String| CString::new(text).unwrap_or_default();
    let program = text(path.to_owned());
    let name = path.rsplit('/').next().unwrap_or(path);
    let environment = [PATH.to_owned(), "HOME=/root".to_owned(), format!("TERM={}", terminal())];
    let environment = environment.map(text);
    // From here on they are the shell's.
    let unblocked = SigSet::all().thread_unblock();
    match unblocked.and_then(|()| execve(&program, &[text(name.to_owned())], &environment)) {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

/// What kind of terminal the console is: a screen, or whatever is at the other end of a line.
fn terminal() -> &'static str {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let last = active.split_whitespace().last().unwrap_or_default();
    let screen = last.strip_prefix("tty").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    if screen { "linux" } else { "vt220" }
}
