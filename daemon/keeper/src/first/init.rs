//! `auraed init -- COMMAND`: the init of a container around one main command, as tini and dumb-init are. The command gets
//! every signal that can be handed on, orphans are reaped, its exit status is ours; the daemon serves its API beside it,
//! where it can.
//!
//! Invariants:
//! - The command does not depend on the daemon. Where that cannot begin, it is said, and the command goes on.
//! - Nor does it depend on a keeper without faults: after a panic everything is taken up anew from the daemon, as by the first
//!   process of a machine, and how the command ended is known all the same.

use std::{
    cell::Cell,
    ffi::{CString, OsString},
    io::IsTerminal,
    os::unix::ffi::OsStringExt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    rc::Rc,
    time::Instant,
};

use keeper::protocol::{Exit, How};
use nix::{
    errno::Errno,
    sys::{prctl, signal::SigSet, signalfd::SignalFd},
    unistd::{Pid, execvp, setpgid},
};

use super::{First, LONGEST_PAUSE, PANICKED, Role, calls, pause_after, signals};
use crate::{
    Failure,
    keep::{Keeper, STABLE},
    process::{self, clock},
    say,
};

/// What a shell says where there is no such program, and where it cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// What it says where SIGKILL ended it.
const KILLED: u8 = 128 + 9;

/// The main command.
#[derive(Clone, Debug)]
pub(crate) struct Main {
    pub(crate) pid: i32,
    /// As a shell counts it, once it has ended. Shared with every clone: nobody can be asked again once it is reaped, so that a
    /// panic must not take it along.
    status: Rc<Cell<Option<u8>>>,
}

impl Main {
    /// One that runs.
    pub(crate) fn new(pid: i32) -> Self {
        Self { pid, status: Rc::default() }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.status.get().is_some()
    }

    /// Hands a signal on.
    pub(crate) fn signal(&self, signal: i32) {
        if !self.has_ended() {
            calls::send(self.pid, signal).ok();
        }
    }

    /// How it ended.
    pub(crate) fn ended(&self, exit: &Exit) {
        let status = match exit.how {
            How::Exited => exit.status,
            How::Killed | How::Dumped => exit.status.saturating_add(128),
        };
        self.status.set(Some(u8::try_from(status).unwrap_or(u8::MAX)));
    }
}

impl First {
    /// Whether there is a main command, and it has not ended.
    pub(super) fn main_runs(&self) -> bool {
        self.main.as_ref().is_some_and(|main| !main.has_ended())
    }

    /// Gives the main command, where there is one and it lives, until then to end by itself.
    pub(crate) fn await_main(&mut self, signals: &SignalFd, bound: Instant) {
        while self.main_runs() && clock() < bound {
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
            first.main = Some(Main::new(pid));
        }
    }
    match first.rounds(taken_over, &signals) {
        // What still lived was killed with everything else.
        Ok(()) => {
            if let Some(main) = first.main.as_ref().filter(|main| !main.has_ended()) {
                main.status.set(Some(KILLED));
            }
        }
        Err(Failure::Untold(why)) => {
            say(format_args!("the API is not served: {why}; the command goes on"));
        }
        Err(Failure::Told(_)) => {
            say(format_args!("the API is not served, as said above; the command goes on"));
        }
    }
    while first.main_runs() {
        first.pause(&signals, clock() + LONGEST_PAUSE);
    }
    // Of none nobody knows which it was.
    let status = first.main.and_then(|main| main.status.get());
    Ok(status.map_or(ExitCode::FAILURE, ExitCode::from))
}

impl First {
    /// Rounds, until one of them comes to its end: one that panics is followed by others until one of them lives, after pauses
    /// that grow, in which signals are handed on and children reaped as ever. Where the command has ended there is one more, so
    /// that the rest ends in order.
    fn rounds(&mut self, taken_over: Option<Keeper>, signals: &SignalFd) -> Result<(), Failure> {
        let (mut keeper, mut in_a_row, mut panicked) = (taken_over, 0_u32, false);
        loop {
            let (taken, begun) = (keeper.take(), clock());
            // A panic takes along what the round has.
            let before = self.clone();
            match catch_unwind(AssertUnwindSafe(|| self.round(taken))) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) if !panicked => return Err(why),
                // What ran before the panic waits for somebody who takes it up.
                Ok(Err(Failure::Untold(why))) => say(format_args!("{why}; trying again")),
                Ok(Err(Failure::Told(_))) => {}
                Err(_) => {
                    panicked = true;
                    say(format_args!("{PANICKED}"));
                }
            }
            *self = before;
            in_a_row = if clock().duration_since(begun) < STABLE { in_a_row } else { 0 };
            self.pause(signals, clock() + pause_after(in_a_row));
            in_a_row = in_a_row.saturating_add(1);
            if in_a_row > 1 && !self.main_runs() {
                return Ok(());
            }
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
