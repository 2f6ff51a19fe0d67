//! Threads for reading much of a log at once: they give way to all others, above all to the programs that print.
//!
//! Invariant: who reads a little, as somebody does who watches a program, never comes here. On a busy machine whoever
//! reads much gets what is left of the processors, and a bound keeps him from occupying all of them.

use std::sync::Arc;

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use crate::serve::{BeginError, when};

/// So many read at a time. They wait for disks at times, and mostly they copy.
const READERS: usize = 2;

/// The threads. There is none while nobody reads much.
#[derive(Clone, Debug)]
pub(crate) struct BulkReaders {
    threads: Handle,
    _ended_with_the_last: Arc<Threads>,
}

#[derive(Debug)]
struct Threads(Option<Runtime>);

impl BulkReaders {
    /// Begins none yet.
    pub(crate) fn new() -> Result<Self, BeginError> {
        // Never driven: only its blocking threads are of use.
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(READERS)
            .thread_name("log-reader")
            .on_thread_start(give_way)
            .build()
            .map_err(when("making threads that read logs"))?;
        let threads = runtime.handle().clone();
        Ok(Self { threads, _ended_with_the_last: Arc::new(Threads(Some(runtime))) })
    }

    /// Reads on one of them, when one is free.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.threads.spawn_blocking(work)
    }
}

/// Raises this thread's nice value as far as it goes (setpriority(2)).
fn give_way() {
    let _best_effort = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is simply dropped waits for its threads, and the last of us may go on an async thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
