//! Watching what changes.

use std::{collections::HashSet, sync::Arc};

use api::runtime::{
    WatchBegin, WatchGap, WatchRequest, WatchResponse, watch_response::Event as WireEvent,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use units::Name;

use super::{status::invalid, unit};
use crate::{changes::Changes, doors::Core};

/// Changes that may wait for a client.
const ITEMS: usize = 16;
/// Changes taken at a time.
const BATCH: usize = 256;
/// Units that one watch may name.
const NAMES: usize = 1024;

/// The client is gone.
struct Gone;

/// What a watch is about.
struct Watcher {
    changes: Arc<Changes>,
    /// All where it is empty.
    names: HashSet<Name>,
    /// All up to this has been told.
    after: u64,
    events: mpsc::Sender<Result<WatchResponse, Status>>,
}

/// Begins to tell.
pub(super) fn watch(
    core: &Core,
    request: WatchRequest,
    mut closed: watch::Receiver<bool>,
) -> Result<ReceiverStream<Result<WatchResponse, Status>>, Status> {
    let WatchRequest { after, series, names } = request;
    if names.len() > NAMES {
        let number = names.len();
        let why = format!("there are {number}; at most {NAMES} are allowed, none means all");
        return Err(invalid("names", why));
    }
    let names = names.iter().map(|name| name.parse()).collect::<Result<HashSet<Name>, _>>();
    let names = names.map_err(|why| invalid("names", why))?;
    let changes = Arc::clone(&core.changes);
    let another = !series.is_empty() && series != changes.series();
    let newest = changes.newest();
    let after = match after {
        None => newest,
        Some(_) if another => 0,
        Some(after) if after > newest => {
            let why = format!("{after} is yet to come: the newest change is {newest}");
            return Err(invalid("after", why));
        }
        Some(after) => after,
    };
    let (events, stream) = mpsc::channel(ITEMS);
    let watcher = Watcher { changes, names, after, events };
    tokio::spawn(async move {
        let gone = watcher.events.clone();
        tokio::select! {
            // It ends when the client is gone.
            _ = watcher.tell(another) => {}
            () = gone.closed() => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    });
    Ok(ReceiverStream::new(stream))
}

impl Watcher {
    async fn tell(mut self, another: bool) -> Result<(), Gone> {
        let mut news = self.changes.subscribe();
        let series = self.changes.series().to_owned();
        self.send(WireEvent::Begin(WatchBegin { series, after: self.after })).await?;
        if another {
            let message =
                "those that were asked for are another daemon's, which has ended".to_owned();
            self.send(WireEvent::Gap(WatchGap { first: 0, last: 0, message })).await?;
        }
        loop {
            news.borrow_and_update();
            let following = self.changes.after(self.after, BATCH);
            if let Some((first, last)) = following.gap {
                let message = "they are not kept any more".to_owned();
                self.after = last;
                self.send(WireEvent::Gap(WatchGap { first, last, message })).await?;
            }
            let nothing = following.changes.is_empty();
            for change in following.changes {
                self.after = change.sequence;
                if self.names.is_empty() || self.names.contains(&change.name) {
                    self.send(WireEvent::Change(unit::change(&change))).await?;
                }
            }
            if nothing && news.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn send(&self, event: WireEvent) -> Result<(), Gone> {
        let event = WatchResponse { event: Some(event) };
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }
}
