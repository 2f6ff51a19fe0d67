//! `aer schedule export`: everything that can be got out of the schedule, as `aer schedule import` takes it
//! back.

use client::{Client, Exported};

use crate::{
    arguments::Format,
    failure::Failure,
    render::{self, ExportLine},
};

pub(crate) async fn run(client: &Client, output: Format) -> Result<u8, Failure> {
    let mut items = client.export().await?;
    let mut status = 0;
    match output {
        Format::Table => render::document(render::EXPORT_HEADER.as_bytes())?,
        Format::Json => {}
    }
    while let Some(item) = items.next().await? {
        let (text, damage) = match &item {
            Exported::Registration(registration) => render::exported_unit(registration),
            Exported::Damage(damage) => render::exported_damage(damage),
        };
        match output {
            Format::Table => render::document(text.as_bytes())?,
            Format::Json => render::json(&ExportLine::from(&item))?,
        }
        if let Some(damage) = damage {
            render::failure(&damage);
            status = 1;
        }
    }
    Ok(status)
}
