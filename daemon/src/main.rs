//! `auraed-core`: the daemon. The keeper, `auraed`, executes it; people do not.
//!
//! - `configure ARGS…` reads command line and configuration for the keeper ([`configuration`]).
//! - `check` says what it is: its version, the keeper's protocol, and the formats that it knows ([`succession`]).
//! - `serve` is the daemon: one [`supervisor`] thread owns all state, two spawner threads make processes
//!   ([`spawning`]), the log store's thread moves output, the thread of [`scheduling`] keeps what is enabled, and tokio
//!   serves the [`doors`].

mod audit;
mod bequest;
mod cgroups;
mod changes;
mod clock;
mod code;
mod configuration;
mod daemon_log;
mod definition;
mod doors;
mod ending;
mod environment;
mod faults;
mod handover;
mod held_sockets;
mod keeper_instance;
mod keeper_life;
mod ledger;
mod listeners;
mod memory;
mod news;
mod notify;
mod opening;
mod power;
mod processes;
mod runfile;
mod scheduling;
mod serve;
mod serving;
mod setting;
mod spawning;
mod strangers;
mod succession;
mod supervisor;

use std::{
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|verb| verb.to_str()) {
        Some("configure") => configuration::configure(arguments),
        Some("check") => check(),
        Some("serve") => match serve::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&format!("the daemon ends: {why}")),
        },
        _ => fail("this is executed by auraed; run that instead (auraed --help)"),
    }
}

/// The verb `check`: what this program is, for one that it could follow.
fn check() -> ExitCode {
    match write!(io::stdout().lock(), "{}", succession::check::Checked::ours()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&format!("cannot say what this is: {why}")),
    }
}

fn fail(sentence: &str) -> ExitCode {
    drop(writeln!(io::stderr().lock(), "auraed-core: {sentence}"));
    ExitCode::FAILURE
}
