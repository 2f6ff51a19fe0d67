//! `aer start`: units, until they are up.

use client::Client;

use crate::{
    arguments::{Format, Start},
    definition::Definition,
    each,
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Start, output: Format) -> Result<u8, Failure> {
    if !wanted.names.is_empty() {
        return each::name(&wanted.names, async |name| {
            render::started(&client.start(name).await?, name, output)
        })
        .await;
    }
    let Start { names: _, file, name, comment, command, argv, options } = wanted;
    let definition = Definition { file, name, comment, command, argv, options };
    let (executable, name) = definition.read().await?;
    render::started(&client.start_this(executable).await?, &name, output)?;
    Ok(0)
}
