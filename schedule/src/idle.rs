//! Lets the database's idle threads sleep.
//!
//! The database starts seven threads for its writes, which live as long as the process and, idle, wake every second to
//! look at a queue that wakes them anyway. That cannot be configured. But a thread inherits the timer slack of the one
//! that makes it, the time by which the kernel may delay its timeouts in favour of fewer wake-ups. So they are made by a
//! thread with a slack of a year.

use nix::sys::prctl;

const YEAR: u64 = 365 * 24 * 60 * 60 * 1_000_000_000;
/// Back to what the thread began with.
const DEFAULT: u64 = 0;

/// Makes the call; timeouts of threads that it starts are not kept.
pub(crate) fn with_sleepy_threads<T>(call: impl FnOnce() -> T) -> T {
    // Where the kernel refuses, the threads wake: that costs power and harms nothing.
    prctl::set_timerslack(YEAR).ok();
    let result = call();
    prctl::set_timerslack(DEFAULT).ok();
    result
}
