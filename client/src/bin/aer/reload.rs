//! `aer reload`: what reloads units.

use client::Client;

use crate::{
    arguments::{Format, Names},
    each,
    failure::Failure,
    render::{self, Change},
};

pub(crate) async fn run(client: &Client, wanted: Names, output: Format) -> Result<u8, Failure> {
    each::name(&wanted.names, async |name| {
        let answer = client.reload(name).await?;
        render::changed(Change::Reloaded, name, answer.meta.as_ref(), output)
    })
    .await
}
