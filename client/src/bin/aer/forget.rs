//! `aer forget`: what is known of units that are down, dropped.

use client::Client;

use crate::{
    arguments::{Forget, Format},
    each,
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Forget, output: Format) -> Result<u8, Failure> {
    if wanted.all {
        render::forgotten(&client.forget(None).await?, output)?;
        return Ok(0);
    }
    each::name(&wanted.names, async |name| {
        render::forgotten(&client.forget(Some(name)).await?, output)
    })
    .await
}
