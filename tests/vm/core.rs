//! The core of what a machine's first program owes it, on both kernels, from memory.

mod daemons;
mod limits;
mod orphans;
mod start;
mod upgrades;

use std::sync::{Mutex, PoisonError};

use libtest_mimic::Trial;
use tests::vm::{Boot, Machine, store::Kernel};

use crate::{KERNELS, trial};

/// The machine of the last test, where that has passed.
pub(crate) static SHARED: Mutex<Option<Machine>> = Mutex::new(None);

/// A test of the core.
type Body = fn(&Machine);

/// Names functions as tests of the core.
macro_rules! bodies {
    ($($module:ident :: $body:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($body)), $module::$body as Body)),+]
    };
}

/// All of them, kernel by kernel, so that each is booted once. What looks at the whole machine comes first.
pub(crate) fn trials() -> Vec<Trial> {
    let bodies = bodies![
        start::boots_to_the_api,
        start::enabled_units_are_up,
        start::processes_are_as_expected,
        start::open_files_are_as_expected,
        start::mounts_are_as_expected,
        start::controllers_are_as_expected,
        orphans::ten_thousand_are_reaped,
        orphans::a_fork_storm_stays_within_its_bound,
        orphans::a_fork_storm_that_goes_on_holds_up_nobody,
        limits::memory_beyond_the_limit_is_told_as_such,
        limits::a_quota_holds_and_its_pressure_is_told,
        limits::memory_pressure_is_told,
        daemons::a_killed_one_is_followed_by_the_next,
        daemons::one_that_crashes_is_followed_by_the_next,
        daemons::one_that_hangs_is_followed_by_the_next,
        upgrades::both_programs_are_followed_by_others_in_place,
        upgrades::a_release_that_is_not_healthy_is_left_again,
        upgrades::sigterm_executes_both_again,
    ];
    let mut trials = Vec::new();
    for (word, kernel) in KERNELS {
        for (name, body) in bodies {
            trials.push(trial(&format!("core::{word}::{name}"), move || with(kernel, body)));
        }
    }
    trials
}

/// Runs a test with the shared machine of this kernel. One that fails takes the machine with it.
fn with(kernel: Kernel, body: Body) {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let same = shared.take().filter(|machine| machine.is_of(kernel) && !machine.has_ended());
    let machine = same.unwrap_or_else(|| {
        let machine = Machine::start(Boot::of("core", kernel).from_memory());
        crate::until_running(&machine, "steady");
        machine
    });
    body(&machine);
    *shared = Some(machine);
}
