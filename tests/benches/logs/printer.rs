//! A program that prints lines of 100 bytes as fast as they are taken: this benchmark itself, asked by its environment.

use std::{
    env,
    fs::File,
    io::Write,
    os::fd::AsFd,
    process::{Child, Command, ExitCode, Stdio},
};

/// Bytes of a line, with its end.
pub(crate) const LINE: usize = 100;
/// After so many bytes the text begins anew: whole lines, and whole writes of each size.
const PERIOD: usize = 1_638_400;
/// A GiB of whole periods.
const PERIODS: usize = 655;
/// Bytes that are printed.
pub(crate) const PRINTED: usize = PERIOD * PERIODS;

const ASKED: &str = "LOGS_BENCH_WRITES";

pub(crate) fn is_asked_for() -> bool {
    env::var_os(ASKED).is_some()
}

/// What is printed, again and again.
pub(crate) fn period() -> Vec<u8> {
    (0..PERIOD / LINE).flat_map(|number| format!("{number:099}\n").into_bytes()).collect()
}

/// Prints.
pub(crate) fn run() -> ExitCode {
    let size: usize = env::var(ASKED).expect("asked").parse().expect("a number of bytes");
    let text = period();
    // Without the buffer of std's stdout: each write is one.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().expect("a descriptor");
    let mut stdout = File::from(stdout);
    for _ in 0..PERIODS {
        for piece in text.chunks(size) {
            stdout.write_all(piece).expect("somebody reads");
        }
    }
    ExitCode::SUCCESS
}

/// Starts it with writes of this size.
#[expect(clippy::disallowed_methods, reason = "a program that prints, with nothing in between")]
pub(crate) fn start(size: usize, stdout: Stdio) -> Child {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.env(ASKED, size.to_string()).stdin(Stdio::null()).stdout(stdout);
    command.spawn().expect("it can be started again")
}
