//! The schedule from outside: real files, real processes, real disks.
//!
//! A test that this machine cannot run is reported as ignored, with the reason; where CI=true and we are root, it fails
//! instead. With SCHEDULE_CHILD in the environment the binary is one of the processes that the tests start.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may; without libtest's harness clippy does not see that these are tests"
)]

mod child;
mod crash;
mod damage;
mod disk;
mod formats;
mod locks;
mod making;
mod model;
mod raw;
mod repairing;

use std::{env, panic, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

/// Names the functions of a module as tests.
macro_rules! cases {
    ($($body:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(
            concat!(module_path!(), "::", stringify!($body)),
            || { $body(); Ok(()) },
        )),+]
    };
}
pub(crate) use cases;

/// What the database panics of is contained and told by the store. Printed, hundreds of backtraces would bury what a test that
/// fails has to say.
fn quieten_the_database() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |told| {
        if !told.location().is_some_and(|place| place.file().contains("/sled-")) {
            usual(told);
        }
    }));
}

fn main() -> ExitCode {
    if env::var_os(child::VARIABLE).is_some() {
        return child::main();
    }
    quieten_the_database();
    let trials: Vec<Trial> = [
        crash::cases(),
        damage::cases(),
        disk::cases(),
        formats::cases(),
        locks::cases(),
        model::cases(),
        repairing::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
