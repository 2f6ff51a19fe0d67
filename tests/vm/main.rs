//! Tests in virtual machines: a kernel of Debian's, with `auraed` as its first program.
//!
//! They take minutes, so that they are run where they are asked for, with AURAE_VM=1 in the environment; then nothing is
//! skipped. Two machines at a time, with one processor each. Tests of the core share one for each kernel, which is booted anew
//! after a test that failed; the others have one of their own, with a disk.
//! docs/virtual-machines.md says how they are run.

mod archive;
mod artefacts;
mod core;
mod cuts;
mod disks;
mod power;
mod trouble;

use std::{env, sync::PoisonError, thread::available_parallelism};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tests::{
    vm::{LONG, Machine, store::Kernel},
    wait::{holds_within, wall_clock},
};

/// Why they are not run.
const SKIPPED: &str = "skipped: takes minutes; AURAE_VM=1 cargo test -p tests --test vm";

/// Names the functions of a module as trials.
macro_rules! trials {
    ($($body:ident),+ $(,)?) => {
        vec![$($crate::trial(concat!(module_path!(), "::", stringify!($body)), $body)),+]
    };
}
pub(crate) use trials;

/// A trial under this name.
pub(crate) fn trial(name: &str, body: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.strip_prefix("vm::").unwrap_or(name).to_owned();
    let shown = name.clone();
    let trial = Trial::test(name, move || {
        let begun = wall_clock();
        body();
        if env::var_os("AURAE_TIMES").is_some() {
            eprintln!("{:6} ms {shown}", (wall_clock() - begun) / 1_000_000);
        }
        Ok(())
    });
    if asked_for() { trial } else { trial.with_kind(SKIPPED).with_ignored_flag(true) }
}

fn asked_for() -> bool {
    env::var("AURAE_VM").is_ok_and(|value| value == "1")
}

/// The kernels, by the names that trials have.
pub(crate) const KERNELS: [(&str, Kernel); 2] =
    [("oldest", Kernel::Oldest), ("newest", Kernel::Newest)];

/// The probe in a machine.
pub(crate) const PROBE: &str = "/aurae-tests/probe";

/// An answer of `aer -o json`.
#[track_caller]
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{text:?} is no JSON: {why}"))
}

/// A unit as the API has it; nothing where there is none.
pub(crate) fn unit(machine: &Machine, name: &str) -> Value {
    let output = machine.aer(&["-o", "json", "inspect", name]);
    let answer: Value = serde_json::from_str(&output.out()).unwrap_or_default();
    answer["unit"].clone()
}

/// Waits until a unit runs.
#[track_caller]
pub(crate) fn until_running(machine: &Machine, name: &str) {
    let mut last = Value::Null;
    let held = holds_within(LONG, || {
        last = unit(machine, name);
        last["state"] == "running"
    });
    assert!(held, "{name} does not run: {last}\n{}", machine.console.tail());
}

/// What the daemon says of itself, as soon as it answers.
#[track_caller]
pub(crate) fn status(machine: &Machine) -> Value {
    let mut last = Value::Null;
    let held = holds_within(LONG, || {
        // Its exit status is 1 where the daemon is not healthy.
        let output = machine.aer(&["-o", "json", "status"]);
        last = serde_json::from_str(&output.out()).unwrap_or_default();
        last["healthy"].is_boolean()
    });
    assert!(held, "the API does not answer\n{}", machine.console.tail());
    last
}

fn main() {
    let mut arguments = Arguments::from_args();
    tests::process::heed_interrupts();
    // A machine has one processor; the tests of the core share theirs, and go one after the other all the same.
    arguments.test_threads = Some(available_parallelism().map_or(1, |cores| cores.get().min(2)));
    // The longest one first, so that it does not end alone.
    let mut trials = cuts::trials();
    trials.extend(core::trials());
    trials.extend(artefacts::trials());
    trials.extend(power::trials());
    trials.extend(trouble::trials());
    trials.extend(archive::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    // What is static is never dropped.
    drop::<Option<Machine>>(core::SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit();
}
