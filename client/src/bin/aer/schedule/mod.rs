//! `aer schedule`: the schedule as a whole. One file per verb.

mod export;
mod import;
mod repair;

use client::Client;

use crate::{
    arguments::{Format, ScheduleVerb},
    failure::Failure,
};

pub(crate) async fn run(
    client: &Client,
    wanted: ScheduleVerb,
    output: Format,
) -> Result<u8, Failure> {
    match wanted {
        ScheduleVerb::Export => export::run(client, output).await,
        ScheduleVerb::Import(wanted) => import::run(client, wanted, output).await,
        ScheduleVerb::Repair => repair::run(client, output).await,
    }
}
