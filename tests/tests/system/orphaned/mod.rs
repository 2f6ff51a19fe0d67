//! The keeper is killed: its daemon goes on with what runs and starts nothing, and the next keeper takes over.

mod both;
mod ends;
mod heirs;
mod refused;

use crate::{Case, Core};

pub(crate) fn cases() -> Vec<Case> {
    [both::cases(), ends::cases(), heirs::cases(), refused::cases()].into_iter().flatten().collect()
}

/// With and without cgroups, and as an ordinary user.
pub(crate) fn core() -> Vec<Core> {
    [both::core(), ends::core(), heirs::core(), refused::core()].into_iter().flatten().collect()
}
