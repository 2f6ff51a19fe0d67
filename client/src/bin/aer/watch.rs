//! `aer watch`: every change of every unit, as it happens.

use api::runtime::WatchRequest;
use client::{Client, WatchEvent};

use crate::{
    arguments::{Format, Watch},
    failure::Failure,
    render,
};

/// Until aer is ended, or the daemon.
pub(crate) async fn run(client: &Client, wanted: Watch, output: Format) -> Result<u8, Failure> {
    let (series, after) = match wanted.from {
        Some(point) => (point.series, Some(point.after)),
        None => (String::new(), None),
    };
    let mut events = client.watch(WatchRequest { after, series, names: wanted.names }).await?;
    while let Some(event) = events.next().await? {
        match (output, &event) {
            (Format::Json, _) => render::json(&render::WatchLine::from(&event))?,
            (Format::Table, WatchEvent::Change(change)) => {
                render::document(render::change(change).as_bytes())?;
            }
            (Format::Table, WatchEvent::Gap(gap)) => render::missing_changes(gap),
            (Format::Table, WatchEvent::Begin(_)) => {}
        }
    }
    Err(Failure::WatchEnded)
}
