//! What happens is written down for the next daemon, before it is done; what becomes of promises where that cannot be.

use std::time::Duration;

use units::{Action, Answer, Event, Refusal};

use super::Supervisor;
use crate::clock;

impl Supervisor {
    /// Writes down what a step wants kept. Whether there is room for more, the core is told after that step.
    pub(super) fn keep(&mut self, actions: &[Action]) {
        let had_room = self.ledger.has_room();
        self.ledger.keep(clock::now().monotonic, actions);
        let there = self.ledger.has_room();
        if there != had_room {
            self.events.push_back(Event::Room { there });
        }
    }

    /// Tries again what could not be written, when that is due.
    pub(super) fn keep_again(&mut self, now: Duration) {
        if self.ledger.retry_at().is_none_or(|at| at > now) {
            return;
        }
        self.keep(&[]);
        if let Some(event) = self.events.pop_front() {
            self.step(event);
        }
    }

    /// What is said instead of this, where it says that something will stay as it is, and that could not be written down.
    pub(super) fn promised(&self, answer: Answer) -> Answer {
        match answer.is_a_promise() && !self.ledger.is_written() {
            true => Answer::Refused(Refusal::NotKept),
            false => answer,
        }
    }
}
