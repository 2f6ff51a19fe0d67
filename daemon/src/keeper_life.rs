//! Whether our keeper lives. Where it does not, this daemon is an orphan: what runs goes on, nothing can be started, and
//! the next keeper takes over ([`crate::supervisor`]).

use tokio::sync::watch;

/// The keeper, as everybody sees it.
#[derive(Debug)]
pub(crate) struct KeeperLife {
    process: i32,
    lost: watch::Sender<bool>,
}

impl KeeperLife {
    /// One that lives.
    pub(crate) fn of(process: i32) -> Self {
        Self { process, lost: watch::Sender::new(false) }
    }

    /// It is gone, for ever.
    pub(crate) fn lose(&self) {
        self.lost.send_replace(true);
    }

    /// Whether it is gone.
    pub(crate) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// To be told when it is.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.lost.subscribe()
    }

    /// What Status says of it, where it is gone.
    pub(crate) fn problem(&self) -> Option<String> {
        let process = self.process;
        self.is_lost().then(|| {
            format!(
                "the keeper (auraed, process {process}) was killed: what runs goes on and is kept, nothing can be started; \
                 start auraed again with the same folders, and it takes over"
            )
        })
    }
}
