//! `aer enable`: registers a unit, so that it starts at boot.

use api::{meta::AuraeMeta, runtime::Executable};
use client::{Client, unit_file};

use crate::{
    arguments::{Enable, Format},
    failure::Failure,
    file::{self, LARGEST_UNIT},
    render::{self, Change},
};

pub(crate) async fn run(client: &Client, wanted: Enable, output: Format) -> Result<u8, Failure> {
    let now = wanted.now;
    let executable = executable(wanted).await?;
    let name = executable.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
    let answer = client.enable(executable).await?;
    render::changed(Change::Enabled, &name, answer.meta.as_ref(), output)?;
    if now {
        render::started(&client.start(&name).await?, &name, output)?;
    }
    Ok(0)
}

async fn executable(wanted: Enable) -> Result<Executable, Failure> {
    if let Some(path) = wanted.file {
        return Ok(file::read(path, LARGEST_UNIT, unit_file::read_unit).await?);
    }
    let name = wanted.name.unwrap_or_default();
    Ok(wanted.options.on(Executable {
        meta: Some(AuraeMeta { name, ..AuraeMeta::default() }),
        command: wanted.command.unwrap_or_default(),
        comment: wanted.comment.unwrap_or_default(),
        argv: wanted.argv,
        ..Executable::default()
    }))
}
