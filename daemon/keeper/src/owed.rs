//! What the daemon owes an answer to, and since when. A hang is a death, but only what was handed over is waited for:
//! an idle daemon owes nothing, and nothing wakes it.
//!
//! - What the keeper said on the control channel is owed an answer within the bound. Every answer that comes begins the
//!   time anew, so that a slow daemon lives as long as it gets on.
//! - A connection makes the keeper ask (a probe) after half of the bound, unless it is closed by then, and that is owed
//!   an answer within the other half.
//! - Until it serves, a daemon owes that, within a bound of its own.
//!
//! A keeper that was held up itself (stopped, frozen, starved) does not blame the daemon, which may have been so too: it
//! gives the time again.

use std::time::{Duration, Instant};

/// A wake-up that is this late tells that we were held up ourselves.
const HELD_UP: Duration = Duration::from_secs(1);

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of an answer.
    pub(crate) answer: Duration,
    /// From birth to serving.
    pub(crate) beginning: Duration,
}

/// What one daemon owes.
#[derive(Debug)]
pub(crate) struct Owed {
    bounds: Bounds,
    /// How much was said, and how much of it was answered.
    said: u64,
    heard: u64,
    /// By when the next answer has to come, where one is owed.
    answer: Option<Instant>,
    /// By when it has to serve, until it does; or to be gone, where it leaves.
    serving: Option<Instant>,
    leaving: bool,
    /// When it is asked about a connection, and when that came.
    look: Option<(Instant, Instant)>,
    /// The probe under way, and by when its answer has to come.
    probe: Option<(u32, Instant)>,
    probes: u32,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// To ask, since somebody has connected.
    Look,
    /// To end the daemon, which has owed this for so long.
    End(&'static str, Duration),
}

impl Owed {
    /// Of a daemon that is born now.
    pub(crate) fn new(bounds: Bounds, now: Instant) -> Self {
        Self {
            bounds,
            said: 0,
            heard: 0,
            answer: None,
            serving: Some(now + bounds.beginning),
            leaving: false,
            look: None,
            probe: None,
            probes: 0,
        }
    }

    /// One more message was handed over.
    pub(crate) fn say(&mut self, now: Instant) {
        self.said += 1;
        if self.leaving {
            return;
        }
        self.answer.get_or_insert(now + self.bounds.answer);
    }

    /// So many in all have been dealt with; false where that cannot be.
    pub(crate) fn hear(&mut self, messages: u64, now: Instant) -> bool {
        if messages < self.heard || messages > self.said {
            return false;
        }
        self.heard = messages;
        let owes = self.heard < self.said && !self.leaving;
        self.answer = owes.then(|| now + self.bounds.answer);
        true
    }

    /// It serves.
    pub(crate) fn serves(&mut self) {
        self.serving = None;
    }

    /// Whether connections are worth waiting for: it serves, and no probe is due or under way.
    pub(crate) fn wants_connections(&self) -> bool {
        self.serving.is_none() && self.look.is_none() && self.probe.is_none()
    }

    /// A connection waits.
    pub(crate) fn connection(&mut self, now: Instant) {
        self.look.get_or_insert((now + self.bounds.answer / 2, now));
    }

    /// No connection was open at that time: whoever connected before it waits for nothing any more.
    pub(crate) fn disconnected(&mut self, at: Instant) {
        self.look = self.look.filter(|(_, came)| *came > at);
    }

    /// Begins a probe, and gives its number.
    pub(crate) fn probe(&mut self, now: Instant) -> u32 {
        self.look = None;
        self.probes = self.probes.wrapping_add(1);
        self.probe = Some((self.probes, now + self.bounds.answer / 2));
        self.probes
    }

    /// The answer to a probe; whether it is the one that is owed.
    pub(crate) fn probed(&mut self, number: u32) -> bool {
        let owed = self.probe.is_some_and(|(wanted, _)| wanted == number);
        if owed {
            self.probe = None;
        }
        owed
    }

    /// It is about to exit, and answers nothing any more.
    pub(crate) fn leaves(&mut self, now: Instant, within: Duration) {
        self.stopping();
        self.leaving = true;
        self.answer = None;
        self.bounds.beginning = within;
        self.serving = Some(now + within);
    }

    /// An orderly end has a bound of its own: only that it was heard is owed then.
    pub(crate) fn stopping(&mut self) {
        self.serving = None;
        self.look = None;
        self.probe = None;
    }

    /// The next moment at which something is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let probe = self.probe.map(|(_, at)| at);
        [self.answer, self.serving, self.look.map(|(due, _)| due), probe]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is due.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        let Some(earliest) = self.deadline().filter(|at| *at <= now) else { return Due::Nothing };
        if now.duration_since(earliest) > HELD_UP {
            self.forgive(now);
            return Due::Nothing;
        }
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.serving) {
            let what = if self.leaving { "its own end" } else { "to serve" };
            Due::End(what, self.bounds.beginning)
        } else if passed(self.answer) {
            Due::End("an answer to what it was told of a run", self.bounds.answer)
        } else if passed(self.probe.map(|(_, at)| at)) {
            Due::End("the answer of its doors to a probe", self.bounds.answer)
        } else {
            Due::Look
        }
    }

    /// Gives the time again.
    pub(crate) fn forgive(&mut self, now: Instant) {
        let Bounds { answer, beginning } = self.bounds;
        self.answer = self.answer.map(|_| now + answer);
        self.serving = self.serving.map(|_| now + beginning);
        self.look = self.look.map(|(_, came)| (now + answer / 2, came));
        self.probe = self.probe.map(|(number, _)| (number, now + answer / 2));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::process::clock;

    const BOUNDS: Bounds =
        Bounds { answer: Duration::from_secs(10), beginning: Duration::from_secs(30) };

    fn serving(now: Instant) -> Owed {
        let mut owed = Owed::new(BOUNDS, now);
        owed.serves();
        owed
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_idle_daemon_owes_nothing() {
        let now = clock();
        let mut owed = serving(now);
        assert_eq!(owed.deadline(), None);
        assert_eq!(owed.due(now + seconds(1_000_000)), Due::Nothing);
    }

    #[test]
    fn silence_ends_it_and_progress_does_not() {
        let now = clock();
        let mut owed = serving(now);
        owed.say(now);
        owed.say(now);
        assert_eq!(owed.due(now + seconds(9)), Due::Nothing);
        assert!(owed.hear(1, now + seconds(9)));
        assert_eq!(owed.due(now + seconds(18)), Due::Nothing);
        assert!(matches!(owed.due(now + seconds(19)), Due::End(..)));
        assert!(owed.hear(2, now + seconds(19)));
        assert_eq!(owed.deadline(), None);
        assert!(!owed.hear(3, now), "it heard what was never said");
        assert!(!owed.hear(1, now), "it unheard something");
    }

    #[test]
    fn a_connection_is_asked_about_and_then_the_end() {
        let now = clock();
        let mut owed = serving(now);
        owed.connection(now);
        owed.connection(now + seconds(4));
        assert!(!owed.wants_connections());
        assert_eq!(owed.due(now + seconds(5)), Due::Look);
        let number = owed.probe(now + seconds(5));
        assert!(!owed.probed(number + 1));
        assert_eq!(owed.due(now + seconds(9)), Due::Nothing);
        assert!(matches!(owed.due(now + seconds(10)), Due::End(..)));
        assert!(owed.probed(number));
        assert!(owed.wants_connections());
        assert_eq!(owed.due(now + seconds(11)), Due::Nothing);
    }

    #[test]
    fn a_connection_that_is_closed_is_not_asked_about() {
        let now = clock();
        let mut owed = serving(now);
        owed.connection(now);
        owed.disconnected(now + seconds(1));
        assert_eq!(owed.deadline(), None);
        // One that came after the word was given is.
        owed.connection(now + seconds(2));
        owed.disconnected(now + seconds(1));
        assert_eq!(owed.due(now + seconds(7)), Due::Look);
    }

    #[test]
    fn one_that_never_serves_is_ended() {
        let now = clock();
        let mut owed = Owed::new(BOUNDS, now);
        assert_eq!(owed.due(now + seconds(29)), Due::Nothing);
        assert!(matches!(owed.due(now + seconds(30)), Due::End(..)));
    }

    #[test]
    fn a_keeper_that_was_held_up_gives_the_time_again() {
        let now = clock();
        let mut owed = serving(now);
        owed.say(now);
        assert_eq!(owed.due(now + seconds(60)), Due::Nothing);
        assert!(matches!(owed.due(now + seconds(70)), Due::End(..)));
    }

    proptest! {
        /// Whatever happens in which order: one that answers everything at once is never ended.
        #[test]
        fn who_answers_is_never_ended(steps in vec((0_u8..3, 0_u64..20), 0..200)) {
            let mut now = clock();
            let mut owed = serving(now);
            let mut said = 0;
            for (step, wait) in steps {
                match step {
                    0 => { owed.say(now); said += 1; }
                    1 => owed.connection(now),
                    _ => { let number = owed.probe(now); prop_assert!(owed.probed(number)); }
                }
                prop_assert!(owed.hear(said, now));
                now += seconds(wait);
                prop_assert!(!matches!(owed.due(now), Due::End(..)));
            }
        }
    }
}
