//! `aer schedule repair`: a whole store in place of a damaged one.

use client::Client;

use crate::{arguments::Format, failure::Failure, render};

pub(crate) async fn run(client: &Client, output: Format) -> Result<u8, Failure> {
    let answer = client.repair().await?;
    match output {
        Format::Table => render::document(render::repaired(&answer).as_bytes())?,
        Format::Json => render::json(&render::Repaired::from(&answer))?,
    }
    Ok(0)
}
