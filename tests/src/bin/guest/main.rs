//! What a test has in its machine: `guest` is the first program there, makes an agent, and becomes `/sbin/init`, so that
//! the agent is there whatever that does, and is to it a process that it did not make.
//!
//! The agent loads the drivers of the network ([`network`]), and does what it is asked for ([`agent`], [`storage`], [`kernel`]). For benchmarks it waits
//! before that for what `AURAE_TESTS_AWAIT` says ([`measure`]), and `AURAE_TESTS_INIT` is another program with its arguments,
//! with commas between them: both are words of the kernel's command line.

mod agent;
mod kernel;
mod measure;
mod network;
mod storage;

use std::{env, os::unix::process::CommandExt, process::Command};

use nix::{
    mount::{MsFlags, mount},
    unistd::{ForkResult, fork, getpid, setsid},
};

#[expect(unsafe_code, reason = "two programs come of one")]
fn main() {
    if getpid().as_raw() != 1 {
        return agent::serve();
    }
    let begun = measure::now();
    let init = env::var("AURAE_TESTS_INIT").unwrap_or_else(|_| "/sbin/init".to_owned());
    if env::var_os("AURAE_TESTS_PROC").is_some() {
        // For an init that mounts nothing.
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>).ok();
    }
    // SAFETY: nothing else runs in this process.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        setsid().ok();
        nix::sys::prctl::set_name(c"guest-agent").ok();
        if let Ok(wanted) = env::var("AURAE_TESTS_AWAIT") {
            measure::until(&wanted, begun);
        }
        return agent::serve();
    }
    let mut words = init.split(',');
    let program = words.next().unwrap_or_default();
    let why = Command::new(program).args(words).args(env::args_os().skip(1)).exec();
    eprintln!("guest: {program} cannot be executed: {why}");
}
