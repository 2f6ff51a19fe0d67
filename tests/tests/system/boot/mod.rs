//! Boot: what is enabled starts with the keeper, once.

mod once;
mod start;

use crate::{Case, Core};

pub(crate) fn cases() -> Vec<Case> {
    [start::cases(), once::cases()].into_iter().flatten().collect()
}

pub(crate) fn core() -> Vec<Core> {
    start::core()
}
