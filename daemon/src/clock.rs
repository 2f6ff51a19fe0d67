//! The daemon's clocks; nothing else reads one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use units::Now;

/// A wake-up that is this late tells that we were held up ourselves (stopped, frozen, starved).
pub(crate) const HELD_UP: Duration = Duration::from_secs(1);

/// The time: CLOCK_MONOTONIC, which the next daemon reads too, so that deadlines outlive this one; and nanoseconds since
/// the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is where the clocks are read")]
pub(crate) fn now() -> Now {
    // It is always there (clock_gettime(2)).
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { monotonic, wall: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX) }
}

/// Nanoseconds since the Unix epoch, as the log store counts them.
pub(crate) fn wall() -> u64 {
    u64::try_from(now().wall).unwrap_or(0)
}
