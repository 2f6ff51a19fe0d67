//! Waiting: every wait of the harness is for a condition, and has a bound.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll, ppoll},
    sys::time::TimeSpec,
};

/// How long anything may take before a test calls it hung. Generous, because it is a bound and not a
/// measure: a loaded machine with two cores runs several daemons at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition that nothing announces is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `span` from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the harness has no clock.rs; this is its clock")]
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// What is left of it; zero where it has passed.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the harness has no clock.rs; this is its clock")]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// The time by the wall clock: nanoseconds since the Unix epoch, as the wire has it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness has no clock.rs; this is its clock")]
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_nanos()).expect("it is before 2262")
}

/// Waits until `fd` can be read or its other side is closed; false where the deadline comes first.
#[must_use]
pub fn readable(fd: BorrowedFd<'_>, deadline: Deadline) -> bool {
    // Rounded up, so that the last round does not spin.
    let left = PollTimeout::try_from(deadline.left() + Duration::from_millis(1))
        .expect("a test's deadline fits poll(2)");
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, left).is_ok_and(|ready| ready > 0)
}

/// Lets a moment pass: for what is to happen at any moment, not for anything to have happened.
pub fn pass(span: Duration) {
    // A signal may cut it short, and any moment is as good.
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(span)), None);
}

/// Waits until `condition` holds. For what nothing announces (a process that goes, a file that grows);
/// everything else is waited for on a descriptor or a condition variable.
///
/// # Panics
/// Where it does not hold within [`PATIENCE`]: `what` then says what was waited for.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "not within {PATIENCE:?}: {what}");
}

/// Whether `condition` comes to hold within `span`.
#[must_use]
pub fn holds_within(span: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(span);
    loop {
        if condition() {
            return true;
        }
        if deadline.passed() {
            return false;
        }
        let glance = PollTimeout::try_from(GLANCE).expect("a glance fits poll(2)");
        // Interrupted or not: the condition decides.
        let _ = poll(&mut [], glance);
    }
}
