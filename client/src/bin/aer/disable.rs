//! `aer disable`: keeps units registered, and lets them not start at boot.

use api::{meta::AuraeMeta, runtime::StopRequest};
use client::Client;
use tonic::Code;

use crate::{
    arguments::{Disable, Format},
    each,
    failure::Failure,
    render::{self, Change},
};

pub(crate) async fn run(client: &Client, wanted: Disable, output: Format) -> Result<u8, Failure> {
    each::name(&wanted.names, async |name| {
        let answer = client.disable(name).await?;
        render::changed(Change::Disabled, name, answer.meta.as_ref(), output)?;
        if wanted.now { stop(client, name, output).await } else { Ok(()) }
    })
    .await
}

async fn stop(client: &Client, name: &str, output: Format) -> Result<(), Failure> {
    let meta = Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() });
    match client.stop_unit(StopRequest { meta, ..StopRequest::default() }).await {
        Ok(answer) => render::stopped(&answer, name, output),
        // It was never started, so it is down already.
        Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
