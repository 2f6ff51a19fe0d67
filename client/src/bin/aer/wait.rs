//! `aer wait`: until a unit is down or a run has ended, with its exit status.

use api::runtime::WaitRequest;
use client::Client;

use crate::{
    arguments::{Format, Wait},
    exit_status,
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Wait, output: Format) -> Result<u8, Failure> {
    let named = wanted.target.to_string();
    let (meta, run_id) = wanted.target.parts();
    let answer = client.wait(WaitRequest { meta, run_id }).await?;
    render::waited(&answer, &named, output)?;
    match &answer.exit {
        Some(record) => exit_status::of_record(record),
        None => Err(Failure::NeverRan { name: named }),
    }
}
