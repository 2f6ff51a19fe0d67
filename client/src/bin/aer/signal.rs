//! `aer signal`: a signal to a unit or a run.

use api::runtime::{SignalRequest, SignalWhom};
use client::Client;

use crate::{
    arguments::{Format, Signal},
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Signal, output: Format) -> Result<u8, Failure> {
    let whom = if wanted.all { SignalWhom::All } else { SignalWhom::Main };
    let named = wanted.target.to_string();
    let (meta, run_id) = wanted.target.parts();
    let what = SignalRequest { meta, run_id, signal: wanted.signal, whom: whom.into() };
    render::signalled(&client.signal(what).await?, wanted.signal, &named, output)?;
    Ok(0)
}
