//! The daemon's clocks; nothing else reads one.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use units::Now;

/// The time, monotonic since the first call and as nanoseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is where the clocks are read")]
pub(crate) fn now() -> Now {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let monotonic = ORIGIN.get_or_init(Instant::now).elapsed();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { monotonic, wall: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX) }
}

/// Nanoseconds since the Unix epoch, as the log store counts them.
pub(crate) fn wall() -> u64 {
    u64::try_from(now().wall).unwrap_or(0)
}
