//! `auraed`: the keeper. Parent and only reaper of every run; holds what must outlive a daemon; starts
//! the daemon, `auraed-core`, and the next one when it dies.
//!
//! Without policy, and small enough to read in one sitting: [`settings`] asks `auraed-core` what the
//! command line and the configuration say, [`place`] takes the state folder and the socket, [`keep`] is
//! the loop, [`hearing`], [`telling`] and [`exits`] what it does there, [`daemon`] the daemon as it sees it, [`owed`] what
//! that owes an answer to, [`runs`] all it remembers, [`heir`] what it has of a keeper that was killed, [`overflow`] where output goes while there is no daemon,
//! [`takeover`] the next keeper, [`reload`] another configuration, [`sweep`] the end, [`process`] the system calls.
//!
//! [`first`] is what it is besides as PID 1, and [`early`] what it then has a child do first.

mod daemon;
mod early;
mod ending;
mod exits;
mod first;
mod hearing;
mod heir;
mod keep;
mod notify;
mod overflow;
mod owed;
mod place;
mod process;
mod program;
mod reload;
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

use first::Role;
use keep::Keeper;
use keeper::protocol::{SUCCESSION, VERSION};
use nix::sys::signalfd::SignalFd;
use place::Locks;
use program::Program;
use settings::Settings;

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
        Ok(status) => status,
        Err(Failure::Told(status)) => ExitCode::from(status),
        Err(Failure::Untold(sentence)) => {
            say(format_args!("{sentence}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    // On older kernels a program that was executed by its descriptor is called by its number.
    nix::sys::prctl::set_name(c"auraed").ok();
    let role = Role::ours();
    let taken_over = takeover::take_over();
    let verb = std::env::args_os().nth(1).filter(|_| taken_over.is_none());
    match verb.as_ref().and_then(|verb| verb.to_str()) {
        // A machine's kernel hands us each word of its command line that it does not know.
        Some("check") if role != Role::Machine => return check(),
        // It was executed to be in memory when the first process executes it.
        Some(first::aloft::WORD) if role == Role::Service => return Ok(ExitCode::SUCCESS),
        Some("early") if role == Role::Service => {
            return Ok(ExitCode::from(u8::from(!early::run())));
        }
        Some(_) | None => {}
    }
    if let Some(words) = first::init::command() {
        return first::init::live(role, words, taken_over.transpose()?);
    }
    if role != Role::Service {
        return Ok(first::live(role, go_on(taken_over)));
    }
    let mut keeper = match taken_over {
        Some(keeper) => keeper?,
        None => {
            let core = Program::open(&process::beside_us("auraed-core")?)?;
            let words = std::env::args_os().skip(1).collect();
            let Some(settings) = settings::ask(&core, words, (Vec::new(), settings::READING))?
            else {
                return Ok(ExitCode::SUCCESS);
            };
            let locks = place::lock_folders(&settings)?;
            // Before anything is inherited: from the moment in which it is ours we do not die of a signal.
            begin(core, settings, (locks, first::signals::take(role)?))?
        }
    };
    keeper.keep()?;
    Ok(ExitCode::SUCCESS)
}

/// PID 1 goes on without what a keeper before has left, where that cannot be had: it must not end.
fn go_on(taken_over: Option<Result<Keeper, Failure>>) -> Option<Keeper> {
    match taken_over? {
        Ok(keeper) => Some(keeper),
        Err(Failure::Untold(why)) => {
            say(format_args!("{why}; beginning anew"));
            None
        }
        Err(Failure::Told(_)) => None,
    }
}

/// A keeper with what can be read and locked: takes the rest.
fn begin(
    core: Program,
    settings: Settings,
    (locks, signals): (Locks, SignalFd),
) -> Result<Keeper, Failure> {
    // Before anything is inherited: a thousand runs have more descriptors than the usual limit.
    let open_files = process::raise_open_files(Role::ours())?;
    let (listener, inheritance) = heir::inherit(&settings)?.map_or((None, None), |mut all| {
        let listener = all.listener.take();
        (listener, Some(all))
    });
    let place = place::take(&settings, locks, listener)?;
    let mut keeper = Keeper::new((core, process::ourselves()?), settings, (place, signals))?;
    keeper.open_files = open_files;
    if let Some(inheritance) = inheritance {
        keeper.go_on_with(inheritance);
    }
    Ok(keeper)
}

/// The verb `check`: what this program is, for a keeper that it could follow.
fn check() -> Result<ExitCode, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "program auraed\nversion {version}\nprotocol {VERSION}\nsuccession {SUCCESSION}"
    )?;
    Ok(ExitCode::SUCCESS)
}

/// One line on standard error, and of a machine's first process in the kernel's log. There is nobody to tell where that
/// fails.
fn say(message: fmt::Arguments<'_>) {
    // In one piece: others write there, too.
    let line = format!("auraed: {message}\n");
    if !first::console::print(&line) {
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
    first::console::to_kernel(line.trim_end());
}
