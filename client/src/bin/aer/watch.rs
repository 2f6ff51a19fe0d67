//! `aer watch`: every change of every unit, as it happens.

use api::runtime::WatchRequest;
use client::{Client, WatchEvent};
use tonic::Code;

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
    for name in &wanted.names {
        // It may come to be: who watches for it should know that it is not there yet, or that the name is wrong.
        if client.inspect(name).await.is_err_and(|why| why.code() == Some(Code::NotFound)) {
            render::unknown_yet(name);
        }
    }
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
