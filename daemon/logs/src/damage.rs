//! What was found to be damaged, for whoever looks after the machine: readers are told where it is missing, and nobody reads
//! every log.

use std::time::Duration;

use tokio::sync::watch;

use crate::{clock, name::LogName, shared::Problem};

/// How long damage is a problem after it was met last: nobody but time can say that it was seen to.
const TOLD_FOR: Duration = Duration::from_secs(86_400);
/// Damages that are remembered; there is one for each log and file that somebody reads.
const MOST: usize = 256;

/// A damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Of which log, and what.
    pub problem: Problem,
    /// It is a problem, and not only news: what a power cut has left was mended already.
    pub lasting: bool,
    /// When it was met last, in nanoseconds since 1970.
    pub met: u64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Damages(watch::Sender<Vec<Damage>>);

impl Default for Damages {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Damages {
    /// Notes one. Whoever waits is told of what was not known.
    pub(crate) fn note(&self, log: &LogName, text: String, lasting: bool) {
        let met = clock::now().time;
        self.0.send_if_modified(|known| {
            let known_of =
                |damage: &&mut Damage| damage.problem.log == *log && damage.problem.text == text;
            if let Some(damage) = known.iter_mut().find(known_of) {
                damage.met = met;
                return false;
            }
            if known.len() >= MOST {
                known.remove(0);
            }
            let problem = Problem { log: log.clone(), text };
            known.push(Damage { problem, lasting, met });
            true
        });
    }

    /// What is a problem now.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let now = clock::now().time;
        let span = u64::try_from(TOLD_FOR.as_nanos()).unwrap_or(u64::MAX);
        let known = self.0.borrow();
        let lasting = known.iter().filter(|it| it.lasting && now.saturating_sub(it.met) < span);
        lasting.map(|damage| damage.problem.clone()).collect()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<Damage>> {
        self.0.subscribe()
    }
}
