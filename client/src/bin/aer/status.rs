//! `aer status`: who is answering, and how it fares.

use client::Client;

use crate::{arguments::Format, failure::Failure, render};

pub(crate) async fn run(client: &Client, output: Format) -> Result<u8, Failure> {
    let answer = client.status().await?;
    match output {
        Format::Table => render::document(render::status_table(&answer).as_bytes())?,
        Format::Json => render::json(&render::Status::from(&answer))?,
    }
    Ok(u8::from(!answer.healthy))
}
