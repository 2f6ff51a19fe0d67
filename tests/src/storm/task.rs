//! Something that goes on beside the storm, on a thread of its own: clients' futures stay on the thread that made them.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use tokio::runtime::Builder;

/// How long it may take to read everything that was printed in a long storm.
const LONG: Duration = Duration::from_secs(900);

/// Something that goes on, and has a result in the end.
#[derive(Debug)]
pub(super) struct Task<T>(Receiver<T>);

impl<T: Send + 'static> Task<T> {
    /// Begins it.
    pub(super) fn begin<F>(work: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = T>,
    {
        let (sender, receiver) = sync_channel(1);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            // Nobody may wait for it any more.
            drop(sender.send(runtime.block_on(work())));
        });
        Self(receiver)
    }

    /// Its result.
    ///
    /// # Panics
    /// Where it panicked, or takes too long.
    #[track_caller]
    pub(super) fn end(self) -> T {
        self.0.recv_timeout(LONG).expect("a part of the storm ends, and does not panic")
    }
}
