//! `aer inspect`: all about one unit.

use client::Client;

use crate::{
    arguments::{Format, Name},
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Name, output: Format) -> Result<u8, Failure> {
    let answer = client.inspect(&wanted.name).await?;
    match output {
        Format::Table => render::document(render::inspected(&answer).as_bytes())?,
        Format::Json => render::json(&render::Inspected::from(&answer))?,
    }
    Ok(0)
}
