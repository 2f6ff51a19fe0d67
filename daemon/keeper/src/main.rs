//! `auraed`: the keeper. Parent and only reaper of every run; holds what must outlive a daemon; starts
//! the daemon, `auraed-core`, and the next one when it dies.
//!
//! Without policy, and small enough to read in one sitting: [`settings`] asks `auraed-core` what the
//! command line and the configuration say, [`place`] takes the state folder and the socket, [`keep`] is
//! the loop, [`daemon`] the daemon as it sees it, [`runs`] all it remembers, [`overflow`] where output goes
//! while there is no daemon, [`sweep`] the end, [`process`] the
//! system calls.

mod daemon;
mod keep;
mod notify;
mod overflow;
mod place;
mod process;
mod runs;
mod settings;
mod sweep;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

/// Why the keeper cannot begin, or ends.
enum Failure {
    /// Said already, by the program that found it; this is its exit status.
    Told(u8),
    /// The sentence for people.
    Untold(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Untold(error.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(status)) => ExitCode::from(status),
        Err(Failure::Untold(sentence)) => {
            say(format_args!("{sentence}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let core = process::beside_us("auraed-core")?;
    let Some(settings) = settings::ask(&core)? else { return Ok(()) };
    let place = place::take(&settings)?;
    keep::Keeper::new(core, settings, place)?.keep()
}

/// One line on standard error. There is nobody to tell where that fails.
fn say(message: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "auraed: {message}"));
}
