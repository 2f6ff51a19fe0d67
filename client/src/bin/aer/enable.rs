//! `aer enable`: registers a unit, so that it starts at boot.

use client::Client;

use crate::{
    arguments::{Enable, Format},
    definition::Definition,
    failure::Failure,
    render::{self, Change},
};

pub(crate) async fn run(client: &Client, wanted: Enable, output: Format) -> Result<u8, Failure> {
    let Enable { name, comment, now, command, file, argv, options } = wanted;
    let definition = Definition { file, name, comment, command, argv, options };
    let (executable, name) = definition.read().await?;
    let answer = client.enable(executable).await?;
    render::changed(Change::Enabled, &name, answer.meta.as_ref(), output)?;
    if now {
        render::started(&client.start(&name).await?, &name, output)?;
    }
    Ok(0)
}
