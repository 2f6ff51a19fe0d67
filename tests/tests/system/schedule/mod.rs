//! What is enabled and disabled: the calls, what they refuse, and what becomes of it all in a crash, on a bad disk
//! and with a damaged store.

mod calls;
mod concurrent;
mod damage;
mod disk;
mod durable;
mod errors;
mod lock;

use crate::{Case, Core};

pub(crate) fn cases() -> Vec<Case> {
    [
        calls::cases(),
        concurrent::cases(),
        damage::cases(),
        disk::cases(),
        durable::cases(),
        errors::cases(),
        lock::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) fn core() -> Vec<Core> {
    [calls::core(), durable::core()].into_iter().flatten().collect()
}
