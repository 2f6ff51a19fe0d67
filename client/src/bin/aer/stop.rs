//! `aer stop`: units, until they are down; runs, which are told to end.

use api::{meta::AuraeMeta, runtime::StopRequest};
use client::Client;

use crate::{
    arguments::{Format, Stop},
    each,
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Stop, output: Format) -> Result<u8, Failure> {
    let how = StopRequest {
        signal: wanted.signal.unwrap_or_default(),
        kill: wanted.kill,
        ..StopRequest::default()
    };
    if let Some(run) = wanted.run {
        let run_id = run.to_string();
        let what = StopRequest { run_id: run_id.clone(), ..how };
        render::stopped(&client.stop_unit(what).await?, &run_id, output)?;
        return Ok(0);
    }
    each::name(&wanted.names, async |name| {
        let meta = Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() });
        let what = StopRequest { meta, ..how.clone() };
        render::stopped(&client.stop_unit(what).await?, name, output)
    })
    .await
}
