//! `aer schedule import`: registers what `aer schedule export` has written, all of it or nothing.

use client::{Client, unit_file};

use crate::{
    arguments::{Format, Import},
    failure::Failure,
    file::{self, LARGEST_SCHEDULE},
    render,
};

pub(crate) async fn run(client: &Client, wanted: Import, output: Format) -> Result<u8, Failure> {
    // The whole file first: a fault in its last line must not cost a half import.
    let registrations = file::read(wanted.file, LARGEST_SCHEDULE, unit_file::read_units).await?;
    let answer = client.import(registrations).await?;
    match output {
        Format::Table => render::document(render::imported(&answer).as_bytes())?,
        Format::Json => render::json(&render::Imported::from(&answer))?,
    }
    Ok(0)
}
