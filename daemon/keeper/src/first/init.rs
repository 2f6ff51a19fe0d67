//! `auraed init -- COMMAND`: the init of a container around one main command, as tini and dumb-init are. The command gets
//! every signal that can be handed on, orphans are reaped, its exit status is ours; the daemon serves its API beside it,
//! where it can.
//!
//! Invariant: the command does not depend on the daemon. Where that cannot begin, it is said, and the command goes on.

use std::{
    ffi::{CString, OsString},
    io::IsTerminal,
    os::unix::ffi::OsStringExt,
    process::ExitCode,
    time::Instant,
};

use keeper::protocol::{Exit, How};
use nix::{
    errno::Errno,
    sys::{prctl, signal::SigSet, signalfd::SignalFd},
    unistd::{Pid, execvp, setpgid},
};

use super::{First, Role, calls, signals};
use crate::{
    Failure,
    keep::Keeper,
    process::{self, clock},
    say,
};

/// What a shell says where there is no such program, and where it cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// What it says where SIGKILL ended it.
const KILLED: u8 = 128 + 9;

/// The main command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Main {
    pub(crate) pid: i32,
    /// As a shell counts it, once it has ended.
    pub(crate) status: Option<u8>,
}

impl Main {
    /// Hands a signal on.
    pub(crate) fn signal(&self, signal: i32) {
        if self.status.is_none() {
            calls::send(self.pid, signal).ok();
        }
    }

    /// How it ended.
    pub(crate) fn ended(&mut self, exit: &Exit) {
        let status = match exit.how {
            How::Exited => exit.status,
            How::Killed | How::Dumped => exit.status.saturating_add(128),
        };
        self.status = Some(u8::try_from(status).unwrap_or(u8::MAX));
    }
}

impl First {
    /// Gives the main command, where there is one and it lives, until then to end by itself.
    pub(crate) fn await_main(&mut self, signals: &SignalFd, bound: Instant) {
        while self.main.is_some_and(|main| main.status.is_none()) && clock() < bound {
            process::await_signal(signals, bound);
            while let Some(ended) = process::peek() {
                self.ended(&ended);
                process::reap(ended.pid);
            }
            while let Ok(Some(_)) = signals.read_signal() {}
        }
    }
}

/// The words of the command, and those of our own before it. None where this is not what is wanted, as on a machine, whose kernel
/// hands us each word of its command line that it does not know.
pub(crate) fn command() -> Option<(Vec<OsString>, Vec<OsString>)> {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if Role::ours() == Role::Machine || words.first().is_none_or(|verb| verb != "init") {
        return None;
    }
    let at = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let command = words.split_off(at).into_iter().skip(1).collect();
    Some((words.into_iter().skip(1).collect(), command))
}

/// The whole life of such an init, or the rest of it, where a keeper before us began it.
pub(crate) fn live(
    role: Role,
    (ours, command): (Vec<OsString>, Vec<OsString>),
    taken_over: Option<Keeper>,
) -> Result<ExitCode, Failure> {
    if command.is_empty() {
        return Err(Failure::Untold(
            "init has no command; write auraed init -- COMMAND, with its arguments".to_owned(),
        ));
    }
    // Also where somebody else is PID 1: what the command leaves is reaped here.
    prctl::set_child_subreaper(true)?;
    let signals = signals::take_all()?;
    // What the daemon has to say stands among what the command prints.
    let mut words: Vec<OsString> = vec!["--log".into(), "warn".into()];
    words.extend(ours);
    let mut first = First { role, words: Some(words), ..First::default() };
    match &taken_over {
        Some(keeper) => first.resume(keeper),
        None => {
            let pid = process::branch(move || execute(command))?;
            first.main = Some(Main { pid, status: None });
        }
    }
    match first.round(taken_over) {
        // What still lived was killed with everything else.
        Ok(()) => {
            if let Some(main) = &mut first.main {
                main.status.get_or_insert(KILLED);
            }
        }
        Err(Failure::Untold(why)) => {
            say(format_args!("the API is not served: {why}; the command goes on"));
        }
        Err(Failure::Told(_)) => {
            say(format_args!("the API is not served, as said above; the command goes on"));
        }
    }
    loop {
        match first.main.map(|main| main.status) {
            Some(Some(status)) => return Ok(ExitCode::from(status)),
            Some(None) => drop(first.pause(&signals, clock())),
            // Nobody knows which it was.
            None => return Ok(ExitCode::FAILURE),
        }
    }
}

/// The child's way to the command; answers only where that fails.
fn execute(command: Vec<OsString>) -> u8 {
    // A group of its own, in the foreground where there is a terminal: its keys are for the command.
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).ok();
    if std::io::stdin().is_terminal() {
        // All signals are blocked here, so that this cannot stop us (tcsetpgrp(3)).
        nix::unistd::tcsetpgrp(std::io::stdin(), nix::unistd::getpid()).ok();
    }
    let shown = command.first().cloned().unwrap_or_default();
    let words: Vec<CString> =
        command.into_iter().filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let Some(program) = words.first() else { return NOT_EXECUTABLE };
    calls::heed_pipes();
    let why = match SigSet::all().thread_unblock().and_then(|()| execvp(program, &words)) {
        Ok(never) => match never {},
        Err(why) => why,
    };
    say(format_args!("cannot execute {}: {why}", shown.display()));
    if why == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE }
}
