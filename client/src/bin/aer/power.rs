//! `aer power`: the end of the machine, or of the container.

use api::daemon::{PowerAction, PowerRequest};
use client::Client;

use crate::{
    arguments::{Format, Power, PowerVerb},
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, verb: PowerVerb, output: Format) -> Result<u8, Failure> {
    let (action, wanted) = match verb {
        PowerVerb::Off(wanted) => (PowerAction::Off, wanted),
        PowerVerb::Reboot(wanted) => (PowerAction::Reboot, wanted),
        PowerVerb::Halt(wanted) => (PowerAction::Halt, wanted),
        PowerVerb::Kexec(wanted) => (PowerAction::Kexec, wanted),
        PowerVerb::Cancel => {
            let told = client.cancel_power().await?;
            return said(told.meta, None, output);
        }
    };
    let Power { force, delay, message } = wanted;
    let delay_ms = i64::try_from(delay).unwrap_or(i64::MAX);
    let request = PowerRequest { action: action.into(), force, delay_ms, message };
    let told = client.power(request).await?;
    said(told.meta, Some(told.delay_ms), output)
}

fn said(
    meta: Option<api::meta::AuraeMeta>,
    delay_ms: Option<i64>,
    output: Format,
) -> Result<u8, Failure> {
    let message = meta.unwrap_or_default().message;
    match output {
        Format::Table => render::document(render::power(&message).as_bytes())?,
        Format::Json => render::json(&render::Power { message, delay_ms })?,
    }
    Ok(0)
}
