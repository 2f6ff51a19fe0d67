//! What becomes of a call whose connection breaks, because the daemon died or was exchanged.
//!
//! The keeper holds the daemon's socket, so that a new connection is taken as soon as the next daemon serves: nothing
//! is polled where there is a keeper. What was asked is then asked again, from where it stood, by each call in the way
//! that changes nothing twice:
//!
//! | call | then |
//! |---|---|
//! | logs, watch | goes on after the last cursor, or number: each line and each change once, gaps are told |
//! | wait | waits again; a run that has ended meanwhile is remembered by its log |
//! | run, exec | reclaims the run by its id, and executes it only where the daemon knows of no such run |
//! | stop of a unit | is ordered again: what is down already is an answer |
//! | start | is ordered again where the unit is up or coming up, which joins it, and where nothing has begun |
//! | restart | is ordered again where the old run is still up; where that has made way for another, that is joined |
//! | everything else | fails: to ask quickly again is for whoever asked |
//!
//! It is given up when no daemon has answered for as long as [`RECONNECTING`], or [`Client::reconnecting_for`], or when
//! the connection broke at once a hundred times in a row.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Client, ClientError, Obstacle};

/// How long a connection may stay broken, unless somebody says otherwise.
pub const RECONNECTING: Duration = Duration::from_secs(30);

/// The pauses between attempts where the socket itself does not answer, as while the keeper is started again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A call that breaks so soon after it was made may have been the cause.
const AT_ONCE: Duration = Duration::from_secs(2);
/// So often in a row that is taken for chance: for a client among many daemons that are killed one after the other.
const MOST_AT_ONCE: u32 = 100;

impl Client {
    /// The same connection, which may stay broken for so long before a call fails for it; 0 is not at all.
    #[must_use]
    pub fn reconnecting_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits until a daemon answers after this failure; gives it back where it is none of the connection, or where no
    /// daemon does in time.
    pub(crate) async fn reunite(&self, failure: ClientError) -> Result<(), ClientError> {
        if self.patience.is_zero() || !failure.is_broken() {
            return Err(failure);
        }
        let answered = async {
            let mut pause = SHORTEST_PAUSE;
            loop {
                // Queued at the listener until somebody serves; whatever is answered, it is by a daemon.
                match self.status().await {
                    Err(error) if error.is_broken() => {}
                    Ok(_) | Err(_) => return,
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        match tokio::time::timeout(self.patience, answered).await {
            Ok(()) => Ok(()),
            Err(_) => Err(failure.given_up(self.patience)),
        }
    }

    /// Makes a call again for as long as only the connection is in its way.
    pub(crate) async fn persist<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut breaks = Breaks::none();
        loop {
            breaks.asked();
            match call().await {
                Err(failure) if breaks.may_go_on() => self.reunite(failure).await?,
                answered @ (Ok(_) | Err(_)) => return answered,
            }
        }
    }
}

/// How often a call broke at once: what ends every daemon that it reaches must not be asked for ever.
pub(crate) struct Breaks {
    at_once: u32,
    asked: Instant,
}

impl Breaks {
    pub(crate) fn none() -> Self {
        Self { at_once: 0, asked: Instant::now() }
    }

    /// It is asked now.
    pub(crate) fn asked(&mut self) {
        self.asked = Instant::now();
    }

    /// It has failed: whether it may be asked again.
    pub(crate) fn may_go_on(&mut self) -> bool {
        let at_once = self.asked.elapsed() < AT_ONCE;
        self.at_once = if at_once { self.at_once + 1 } else { 0 };
        self.at_once <= MOST_AT_ONCE
    }
}

impl ClientError {
    /// Whether it is the connection that failed, after it had been made once.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Connect { obstacle, .. } => *obstacle != Obstacle::Denied,
            Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Refused { .. }
            | Self::NoExit { .. }
            | Self::Empty { .. }
            | Self::GivenUp { .. }
            | Self::ReasonTooLong { .. } => false,
        }
    }

    /// The same, after so long without a daemon.
    fn given_up(self, patience: Duration) -> Self {
        match self {
            Self::Broken { attempt, cause } => {
                let waited = patience.as_secs_f32();
                let cause = format!("{cause}; no daemon answered for {waited} s");
                Self::Broken { attempt, cause }
            }
            other @ (Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Refused { .. }
            | Self::NoExit { .. }
            | Self::Empty { .. }
            | Self::GivenUp { .. }
            | Self::ReasonTooLong { .. }) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_breaks_at_once_is_not_asked_for_ever() {
        let mut breaks = Breaks::none();
        for _ in 0..3 {
            for _ in 0..MOST_AT_ONCE {
                breaks.asked();
                assert!(breaks.may_go_on());
            }
            // One that lasts begins the count anew.
            breaks.asked();
            tokio::time::advance(AT_ONCE).await;
            assert!(breaks.may_go_on());
        }
        for _ in 0..MOST_AT_ONCE {
            breaks.asked();
            assert!(breaks.may_go_on());
        }
        breaks.asked();
        assert!(!breaks.may_go_on());
    }

    #[test]
    fn only_the_connection_is_mended() {
        let broken = ClientError::Broken { attempt: "x".into(), cause: "closed".into() };
        assert!(broken.is_broken());
        let told = broken.given_up(Duration::from_secs(30)).to_string();
        assert!(told.ends_with("(closed; no daemon answered for 30 s)"), "{told}");
        let denied = ClientError::Connect { endpoint: "/x".into(), obstacle: Obstacle::Denied };
        assert!(!denied.is_broken());
        let missing = ClientError::Connect { endpoint: "/x".into(), obstacle: Obstacle::Missing };
        assert!(missing.is_broken());
        assert!(!ClientError::NoExit { attempt: "x".into() }.is_broken());
    }
}
