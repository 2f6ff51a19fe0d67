//! How doors tell what is wrong: once in a while what others can make happen as often as they like, and what lasts in Status
//! and once in the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock;

/// How often it is told at most.
const TELL: Duration = Duration::from_secs(60);

/// What others could make happen as often as they like.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<(Option<Duration>, u64)>);

impl Seldom {
    /// It has happened again: how often since it was last told, if it is to be told now.
    pub(super) fn times(&self) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, times) = &mut *known;
        *times = times.saturating_add(1);
        let now = clock::now().monotonic;
        let is_time = told.is_none_or(|at| now.saturating_sub(at) >= TELL);
        is_time.then(|| {
            *told = Some(now);
            std::mem::take(times)
        })
    }
}

/// What is wrong, as long as it is.
#[derive(Debug, Default)]
pub(super) struct Problem(Mutex<Option<String>>);

impl Problem {
    /// For Status.
    pub(super) fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This is wrong; where it is news, the log has it too.
    pub(super) fn set(&self, problem: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&problem) {
            return;
        }
        *known = Some(problem.clone());
        drop(known);
        tracing::error!("{problem}");
    }

    /// Nothing is wrong any more.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
