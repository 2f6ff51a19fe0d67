//! `aer logs`: what runs and the daemon have printed.

use api::observe::{LogBatch, LogChannelType};
use client::{Client, LogsQuery};

use crate::{
    arguments::{Format, Logs},
    failure::Failure,
    render::{self, Outputs},
};

pub(crate) async fn run(client: &Client, wanted: Logs, output: Format) -> Result<u8, Failure> {
    let follow = wanted.follow;
    let query = LogsQuery { follow, ..LogsQuery::all(wanted.source()) };
    let mut batches = client.logs(query).await?;
    let mut outputs = Outputs::new();
    while let Some(batch) = batches.next().await? {
        match output {
            Format::Table => as_printed(&batch, &mut outputs).await?,
            Format::Json => as_json(&batch)?,
        }
    }
    Ok(0)
}

async fn as_printed(batch: &LogBatch, outputs: &mut Outputs) -> Result<(), Failure> {
    if let Some(gap) = &batch.gap {
        render::missing(gap.bytes, gap.entries, &gap.message);
    }
    for chunk in &batch.chunks {
        match chunk.channel() {
            LogChannelType::ChannelStdout => outputs.stdout(&chunk.data).await?,
            LogChannelType::ChannelStderr => outputs.stderr(&chunk.data).await?,
        }
    }
    Ok(())
}

fn as_json(batch: &LogBatch) -> Result<(), Failure> {
    if let Some(gap) = &batch.gap {
        render::json(&render::GapLine::from(gap))?;
    }
    for chunk in &batch.chunks {
        render::json(&render::Chunk::from(chunk))?;
    }
    if let Some(exit) = &batch.exit {
        render::json(&render::ExitLine::from(exit))?;
    }
    Ok(())
}
