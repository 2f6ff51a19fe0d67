//! aer as its users see it: arguments in, bytes and an exit status out, against a peer on a real socket.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start aer as a shell does; nothing else reaps here"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test; clippy sees only functions marked as such"
)]

mod colours;
mod editing;
mod exec;
mod interrupts;
mod mistakes;
mod peer;
mod schedule;
mod schedule_peer;
mod services;
mod unit_peer;
mod units;
mod verbs;
mod watching;
mod without_a_daemon;

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Output, Stdio},
    thread,
};

use api::runtime::{ExitRecord, RunFrame, RunStarted, exit_record::Cause, run_frame::Frame};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use peer::Peer;

pub(crate) fn frame(frame: Frame) -> RunFrame {
    RunFrame { frame: Some(frame), ..RunFrame::default() }
}

pub(crate) fn exit(cause: Cause) -> RunFrame {
    frame(Frame::Exit(ExitRecord { cause: Some(cause), ..ExitRecord::default() }))
}

pub(crate) fn started() -> RunFrame {
    frame(Frame::Started(RunStarted { run_id: "r".into(), pid: 7, name: "n".into() }))
}

/// aer with nothing in its environment.
pub(crate) fn aer(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aer"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// aer that speaks to a peer.
pub(crate) fn aer_at(peer: &Peer, arguments: &[&str]) -> Command {
    let mut command = aer(["--socket".as_ref(), peer.socket.as_os_str()]);
    command.args(arguments);
    command
}

pub(crate) fn run(peer: &Peer, arguments: &[&str]) -> Output {
    aer_at(peer, arguments).output().unwrap()
}

/// aer that is given this on standard input.
pub(crate) fn run_with(peer: &Peer, arguments: &[&str], input: &[u8]) -> Output {
    let mut aer = aer_at(peer, arguments);
    aer.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = aer.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            // It need not read all of what it refuses.
            stdin.write_all(input).ok();
        });
        child.wait_with_output().unwrap()
    })
}

pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().expect("aer was ended by a signal")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// The one line on standard error, which every failure has.
pub(crate) fn complaint(output: &Output) -> &str {
    let stderr = text(&output.stderr);
    let line = stderr.strip_suffix('\n').expect(stderr);
    assert!(line.starts_with("aer: ") && !line.contains('\n'), "{stderr}");
    line
}

/// aer while it runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Option<BufReader<std::process::ChildStdout>>,
    pub(crate) stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    pub(crate) fn start(peer: &Peer, arguments: &[&str]) -> Self {
        let mut child =
            aer_at(peer, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn printed(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn complained(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Its exit status, and what was left on standard error.
    pub(crate) fn ended(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().expect("aer was ended by a signal"), rest)
    }
}
