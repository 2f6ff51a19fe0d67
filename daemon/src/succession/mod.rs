//! How one daemon follows another: by order, with nothing lost and nothing ended but the daemon.
//!
//! A door asks ([`Succession::leave`]), the main thread takes leave of the keeper, and the keeper starts the next. A new
//! program is opened once and checked before ([`candidate`]); the keeper gets the descriptor, so that what was checked is
//! what is executed. A daemon of a new program is on trial until the keeper has found it healthy; until then it writes
//! nothing in a format that the program before it cannot read, since the keeper may go back to that.

pub(crate) mod candidate;
pub(crate) mod check;
mod execute;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
    mpsc::SyncSender,
};

use keeper::protocol::Upgrades;

use self::candidate::Candidate;
use crate::{
    keeper_life::KeeperLife,
    news::{Herald, News},
};

/// What the keeper is told when we leave.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Who wants it and why.
    pub(crate) by: String,
    /// The programs that are to be others, by the protocol's names for them.
    pub(crate) programs: Vec<(&'static str, Candidate)>,
}

/// Whether and how we may be followed.
#[derive(Debug)]
pub(crate) struct Succession {
    /// Who waits until we are on trial no more, as long as we are.
    trial: Mutex<Option<SyncSender<()>>>,
    leaving: AtomicBool,
    upgrades: Upgrades,
    keeper: Arc<KeeperLife>,
    herald: Herald,
}

/// Why we stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stay {
    /// The keeper has still to find us healthy.
    #[error(
        "this daemon is new, and on trial until the keeper has found it healthy; try again in a moment"
    )]
    OnTrial,
    /// There is nobody who could start another.
    #[error(
        "the keeper (auraed) was killed, and without it no daemon can follow this one; start auraed again with the same \
         folders: it takes over"
    )]
    KeeperLost,
    /// Somebody else was first.
    #[error("the daemon is being replaced already; try again when the next one serves")]
    Leaving,
}

impl Succession {
    /// As the keeper says.
    pub(crate) fn new(
        trial: Option<SyncSender<()>>,
        upgrades: Upgrades,
        (keeper, herald): (Arc<KeeperLife>, Herald),
    ) -> Self {
        Self { trial: trial.into(), leaving: false.into(), upgrades, keeper, herald }
    }

    /// Whether the keeper has still to find us healthy: nothing may be written that the program before us cannot read.
    pub(crate) fn on_trial(&self) -> bool {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// It has.
    pub(crate) fn confirm(&self) {
        let waits = self.trial.lock().unwrap_or_else(PoisonError::into_inner).take();
        // There is room for the one word; who does not wait any more has written nothing.
        waits.map(|waits| waits.try_send(()).ok());
    }

    /// What became of upgrades before us.
    pub(crate) fn upgrades(&self) -> &Upgrades {
        &self.upgrades
    }

    /// Whether we could leave.
    pub(crate) fn may_leave(&self) -> Result<(), Stay> {
        if self.keeper.is_lost() {
            return Err(Stay::KeeperLost);
        }
        if self.on_trial() {
            return Err(Stay::OnTrial);
        }
        if self.leaving.load(Ordering::Acquire) { Err(Stay::Leaving) } else { Ok(()) }
    }

    /// Makes this departure the one: nobody else's is from here on.
    pub(crate) fn decide(&self) -> Result<(), Stay> {
        self.may_leave()?;
        if self.leaving.swap(true, Ordering::AcqRel) { Err(Stay::Leaving) } else { Ok(()) }
    }

    /// Leaves.
    pub(crate) fn leave(&self, departure: Departure) {
        self.herald.tell(News::Leave(Box::new(departure)));
    }
}
