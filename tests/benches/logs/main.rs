//! What logs cost, each against a bare loop of the same in the same run.
//!
//! Parts to be run are arguments (`capture`; all by default). Fails where a bound is passed.

mod capture;
mod printer;

use std::{env, process::ExitCode};

/// Its name, and what tells whether it keeps its bounds.
type Part = (&'static str, fn() -> bool);

fn main() -> ExitCode {
    if printer::is_asked_for() {
        return printer::run();
    }
    // cargo adds `--bench`.
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [Part; 1] = [("capture", capture::run)];
    let mut fine = true;
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("logs: {name}");
            fine &= run();
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
