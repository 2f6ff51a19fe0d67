//! `aer start`: units, until they are up.

use api::{meta::AuraeMeta, runtime::Executable};
use client::{Client, unit_file};

use crate::{
    arguments::{Format, Start},
    each,
    failure::Failure,
    file::{self, LARGEST_UNIT},
    render,
};

pub(crate) async fn run(client: &Client, wanted: Start, output: Format) -> Result<u8, Failure> {
    if !wanted.names.is_empty() {
        return each::name(&wanted.names, async |name| {
            render::started(&client.start(name).await?, name, output)
        })
        .await;
    }
    let executable = executable(wanted).await?;
    let name = executable.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
    render::started(&client.start_this(executable).await?, &name, output)?;
    Ok(0)
}

async fn executable(wanted: Start) -> Result<Executable, Failure> {
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
