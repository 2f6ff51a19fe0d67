//! `aer restart`: units, until they are up again.

use client::{Client, unit_file};

use crate::{
    arguments::{Format, Restart},
    each,
    failure::Failure,
    file::{self, LARGEST_UNIT},
    render,
};

pub(crate) async fn run(client: &Client, wanted: Restart, output: Format) -> Result<u8, Failure> {
    if let Some(path) = wanted.file {
        let executable = file::read(path, LARGEST_UNIT, unit_file::read_unit).await?;
        let name = executable.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default();
        render::restarted(&client.restart_as(executable).await?, &name, output)?;
        return Ok(0);
    }
    each::name(&wanted.names, async |name| {
        render::restarted(&client.restart(name).await?, name, output)
    })
    .await
}
