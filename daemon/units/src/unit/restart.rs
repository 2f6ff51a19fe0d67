//! When a unit is started again: by its exit, after which pause, and how often at most.
//!
//! The rules are those of `Restart=` and its kin (systemd.service(5)), with two differences: the pause
//! begins anew after a stable run, and it can be spread at random.

use std::time::Duration;

use super::{exit_set::ExitSet, state::UnitResult};
use crate::Cause;

/// When a unit is started again after it ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// After which ends.
    pub when: RestartWhen,
    /// The pause before the first restart.
    pub delay: Duration,
    /// The pause that it grows to; none where it does not grow.
    pub max_delay: Option<Duration>,
    /// After how many restarts the pause has grown to [`Restart::max_delay`].
    pub steps: u32,
    /// The most that chance adds to each pause.
    pub jitter: Duration,
    /// A run this long is stable: the pause begins anew after it.
    pub reset_after: Duration,
    /// How often it may be started; none is without limit.
    pub start_limit: Option<StartLimit>,
    /// Ends that count as success, beside the usual ones.
    pub success: ExitSet,
    /// Ends after which it is never started again.
    pub prevent: ExitSet,
    /// Ends after which it is always started again.
    pub force: ExitSet,
}

/// After which ends a unit is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartWhen {
    /// After none.
    #[default]
    No,
    /// After all.
    Always,
    /// After success.
    OnSuccess,
    /// After everything but success.
    OnFailure,
    /// After everything but success and an exit status of failure.
    OnAbnormal,
    /// After a signal, unless it came of memory that ran out.
    OnAbort,
}

/// How often a unit may be started, by whomever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// So many starts.
    pub starts: u32,
    /// In a window of this length, which the first of them opens.
    pub interval: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            when: RestartWhen::default(),
            delay: Duration::from_millis(100),
            max_delay: None,
            steps: 0,
            jitter: Duration::ZERO,
            reset_after: Duration::from_secs(10),
            start_limit: Some(StartLimit::default()),
            success: ExitSet::default(),
            prevent: ExitSet::default(),
            force: ExitSet::default(),
        }
    }
}

impl Default for StartLimit {
    /// Five starts in ten seconds.
    fn default() -> Self {
        Self { starts: 5, interval: Duration::from_secs(10) }
    }
}

impl RestartWhen {
    /// Whether a unit that nobody stopped is started again after this result.
    #[must_use]
    pub const fn after(self, result: UnitResult) -> bool {
        use UnitResult::{
            CoreDump, ExitCode, OutOfMemory, Protocol, Resources, Signal, StartLimitHit, Success,
            Timeout,
        };
        match (self, result) {
            (_, StartLimitHit) | (Self::No, _) => false,
            (Self::Always, _) | (Self::OnSuccess, Success) => true,
            (Self::OnFailure | Self::OnAbnormal | Self::OnAbort, Success)
            | (
                Self::OnSuccess,
                ExitCode | Signal | CoreDump | OutOfMemory | Timeout | Protocol | Resources,
            )
            | (Self::OnAbnormal, ExitCode)
            | (Self::OnAbort, ExitCode | OutOfMemory | Timeout | Protocol | Resources) => false,
            (
                Self::OnFailure,
                ExitCode | Signal | CoreDump | OutOfMemory | Timeout | Protocol | Resources,
            )
            | (
                Self::OnAbnormal,
                Signal | CoreDump | OutOfMemory | Timeout | Protocol | Resources,
            )
            | (Self::OnAbort, Signal | CoreDump) => true,
        }
    }
}

impl Restart {
    /// Whether a unit that nobody stopped is started again: first what prevents it, then what forces it, then
    /// the rule. `cause` is how its program ended, where it came so far.
    #[must_use]
    pub fn applies(&self, result: UnitResult, cause: Option<&Cause>) -> bool {
        let among = |set: &ExitSet| cause.is_some_and(|cause| set.contains(cause));
        if result == UnitResult::StartLimitHit || among(&self.prevent) {
            return false;
        }
        among(&self.force) || self.when.after(result)
    }

    /// The pause before the restart of this number, counted from 1, without what chance adds.
    ///
    /// From `delay` it grows by equal factors, so that it would be `max_delay` after `steps` of them.
    #[must_use]
    pub fn pause(&self, number: u32) -> Duration {
        let Some(longest) = self.max_delay.filter(|longest| *longest > self.delay) else {
            return self.delay;
        };
        if number <= 1 || self.steps == 0 || self.delay.is_zero() {
            return self.delay;
        }
        if number > self.steps {
            return longest;
        }
        let whole = longest.as_secs_f64() / self.delay.as_secs_f64();
        let grown = whole.powf(f64::from(number - 1) / f64::from(self.steps));
        Duration::try_from_secs_f64(self.delay.as_secs_f64() * grown)
            .map_or(longest, |pause| pause.min(longest))
    }

    /// What chance adds to a pause: from nothing up to `jitter`, as `luck` has it.
    #[must_use]
    pub fn chance(&self, luck: u64) -> Duration {
        let span = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let among = span.checked_add(1);
        Duration::from_nanos(among.map_or(luck, |among| luck % among))
    }
}

/// The starts of a unit in the window that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartWindow {
    /// When it opened, on the monotonic clock.
    pub opened: Duration,
    /// How many starts there were in it.
    pub starts: u32,
}

impl StartWindow {
    /// How long it takes until a start is allowed; none where it is.
    pub(crate) fn refuses(&self, limit: Option<StartLimit>, now: Duration) -> Option<Duration> {
        let limit = limit?;
        let left = self.left(limit, now)?;
        (self.starts >= limit.starts).then_some(left)
    }

    /// Counts a start.
    pub(crate) fn count(&mut self, limit: Option<StartLimit>, now: Duration) {
        let open = limit.is_some_and(|limit| self.left(limit, now).is_some());
        if !open {
            *self = Self { opened: now, starts: 0 };
        }
        self.starts = self.starts.saturating_add(1);
    }

    /// How much of the window is left; none where it is not open.
    fn left(&self, limit: StartLimit, now: Duration) -> Option<Duration> {
        let closes = self.opened.saturating_add(limit.interval);
        (self.starts > 0).then(|| closes.checked_sub(now)).flatten()
    }
}
