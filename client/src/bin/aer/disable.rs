//! `aer disable`: keeps units registered, and lets them not start at boot.

use client::Client;

use crate::{
    arguments::{Format, Names},
    failure::Failure,
    render::{self, Change},
};

/// Each name is tried, whatever becomes of the others.
pub(crate) async fn run(client: &Client, wanted: Names, output: Format) -> Result<u8, Failure> {
    let mut status = 0;
    for name in &wanted.names {
        match client.disable(name).await {
            Ok(answer) => render::changed(Change::Disabled, name, answer.meta.as_ref(), output)?,
            Err(error) => {
                render::failure(&error.into());
                status = 1;
            }
        }
    }
    Ok(status)
}
