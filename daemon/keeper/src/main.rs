//! `auraed`: the keeper. Parent and only reaper of every run; holds what must outlive a daemon; starts
//! the daemon, `auraed-core`, and the next one when it dies.
//!
//! Without policy, and small enough to read in one sitting: [`settings`] asks `auraed-core` what the
//! command line and the configuration say, [`place`] takes the state folder and the socket, [`keep`] is
//! the loop, [`hearing`], [`telling`] and [`exits`] what it does there, [`daemon`] the daemon as it sees it, [`owed`] what
//! that owes an answer to, [`runs`] all it remembers, [`heir`] what it has of a keeper that was killed, [`overflow`] where output goes while there is no daemon,
//! [`takeover`] the next keeper, [`sweep`] the end, [`process`] the system calls.

mod daemon;
mod exits;
mod hearing;
mod heir;
mod keep;
mod notify;
mod overflow;
mod owed;
mod place;
mod process;
mod program;
mod runs;
mod settings;
mod sweep;
mod takeover;
mod telling;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use keeper::protocol::{SUCCESSION, VERSION};
use program::Program;

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
    // On older kernels a program that was executed by its descriptor is called by its number.
    nix::sys::prctl::set_name(c"auraed").ok();
    if let Some(keeper) = takeover::take_over() {
        return keeper?.keep();
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == "check") {
        return check();
    }
    let core = Program::open(&process::beside_us("auraed-core")?)?;
    let Some(settings) = settings::ask(&core)? else { return Ok(()) };
    let locks = place::lock_folders(&settings)?;
    // Before anything is inherited: a thousand runs have more descriptors than the usual limit.
    let open_files = process::raise_open_files()?;
    // Before that, too: from the moment in which it is ours we do not die of a signal.
    let signals = keep::Keeper::take_signals_over()?;
    let (listener, inheritance) = heir::inherit(&settings)?.map_or((None, None), |mut all| {
        let listener = all.listener.take();
        (listener, Some(all))
    });
    let place = place::take(&settings, locks, listener)?;
    let mut keeper = keep::Keeper::new((core, process::ourselves()?), settings, (place, signals))?;
    keeper.open_files = open_files;
    if let Some(inheritance) = inheritance {
        keeper.go_on_with(inheritance);
    }
    keeper.keep()
}

/// The verb `check`: what this program is, for a keeper that it could follow.
fn check() -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "program auraed\nversion {version}\nprotocol {VERSION}\nsuccession {SUCCESSION}"
    )?;
    Ok(())
}

/// One line on standard error. There is nobody to tell where that fails.
fn say(message: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "auraed: {message}"));
}
