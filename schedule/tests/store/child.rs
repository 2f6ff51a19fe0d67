//! The processes that the tests start: this binary again, with the environment that says what to do.

#![expect(
    clippy::disallowed_methods,
    reason = "no reaper is near: a test makes its children itself, and kills them at any moment"
)]

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use schedule::{Options, Schedule};

use crate::crash;

/// Says what to do.
pub(crate) const VARIABLE: &str = "SCHEDULE_CHILD";
const FOLDER: &str = "SCHEDULE_FOLDER";
const ROUND: &str = "SCHEDULE_ROUND";

/// A child, killed at the latest when it is dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(deed: &str, folder: &Path, round: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(VARIABLE, deed)
            .env(FOLDER, folder)
            .env(ROUND, round.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(ToOwned::to_owned)
    }

    /// Kills it, so much later. The moment is what varies; nothing is waited for.
    pub(crate) fn kill(&mut self, later: Duration) {
        thread::sleep(later);
        self.child.kill().unwrap();
    }

    /// Lets it end by itself.
    pub(crate) fn release(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        drop(self.child.wait());
    }
}

pub(crate) fn main() -> ExitCode {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let round = env::var(ROUND).unwrap().parse().unwrap();
    match env::var(VARIABLE).unwrap().as_str() {
        "storm" => crash::storm(&folder, round),
        "hold" => hold(&folder),
        other => panic!("there is no child {other:?}"),
    }
    ExitCode::SUCCESS
}

/// Says something to the test.
pub(crate) fn say(line: &str) {
    let mut output = io::stdout().lock();
    // In one write, so that a line is said in full or not at all.
    output.write_all(format!("{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

/// Keeps a schedule open until it is released.
fn hold(folder: &Path) {
    let schedule = Schedule::open(folder, &Options::default()).unwrap();
    say("held");
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(schedule);
}
