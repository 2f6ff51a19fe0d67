//! `aer list`: what is registered.

use api::schedule::Selection;
use client::Client;

use crate::{
    arguments::{Format, List},
    failure::Failure,
    render::{self, RegistrationTable},
};

pub(crate) async fn run(client: &Client, wanted: List, output: Format) -> Result<u8, Failure> {
    let selection = match (wanted.enabled, wanted.disabled) {
        (true, _) => Selection::Enabled,
        (_, true) => Selection::Disabled,
        (false, false) => Selection::All,
    };
    let mut registrations = client.list(selection).await?;
    match output {
        Format::Table => {
            // Whole before it is written: its columns are as wide as the widest of all.
            let mut table = RegistrationTable::default();
            while let Some(registration) = registrations.next().await? {
                table.add(&registration);
            }
            render::document(table.text(render::width()).as_bytes())?;
        }
        Format::Json => {
            while let Some(registration) = registrations.next().await? {
                render::json(&render::Registration::from(&registration))?;
            }
        }
    }
    Ok(0)
}
