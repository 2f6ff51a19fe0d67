//! `aer show`: one unit, as `aer enable -f` takes it back.

use client::Client;

use crate::{
    arguments::{Format, Name},
    failure::Failure,
    render,
};

pub(crate) async fn run(client: &Client, wanted: Name, output: Format) -> Result<u8, Failure> {
    let registration = client.show(&wanted.name).await?;
    match output {
        Format::Table => {
            let unit = render::unit(&registration).map_err(|why| Failure::Unwritable {
                attempt: format!("showing {}", wanted.name),
                why,
            })?;
            render::document(unit.as_bytes())?;
        }
        Format::Json => render::json(&render::Registration::from(&registration))?,
    }
    Ok(0)
}
