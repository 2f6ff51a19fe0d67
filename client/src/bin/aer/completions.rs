//! `aer completions`: what a shell needs to complete aer's words.

use clap::CommandFactory;

use crate::{
    arguments::{Arguments, Completions},
    failure::Failure,
    render,
};

pub(crate) fn run(wanted: &Completions) -> Result<u8, Failure> {
    // Into memory first: the generators panic where a write fails, as it does on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Arguments::command(), "aer", &mut script);
    render::document(&script)?;
    Ok(0)
}
