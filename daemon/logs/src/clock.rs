//! The only place of this crate that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970, for entries; may step.
    pub(crate) time: u64,
    /// For intervals; never steps.
    pub(crate) instant: Instant,
}

impl Moment {
    /// How long before this moment the other one was.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        self.instant.saturating_duration_since(earlier)
    }
}

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { time: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), instant: Instant::now() }
}
