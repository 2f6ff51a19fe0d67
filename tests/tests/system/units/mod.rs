//! Units: services and oneshots, from their start to their being forgotten, with programs that behave and programs
//! that do not.

mod aer;
mod bad_programs;
mod life;
mod limits;
mod listing;
mod names;
mod oneshot;
mod readiness;
mod record;
mod reload;
mod restart;
mod settings;
mod start;
mod stop;
mod storm;
mod watch;

use crate::{Case, Core};

pub(crate) fn cases() -> Vec<Case> {
    [
        aer::cases(),
        bad_programs::cases(),
        life::cases(),
        limits::cases(),
        listing::cases(),
        names::cases(),
        record::cases(),
        restart::cases(),
        settings::cases(),
        storm::cases(),
        watch::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What may depend on how processes are found and reached.
pub(crate) fn tracked() -> Vec<Core> {
    [life::core(), readiness::core(), reload::core(), stop::core(), storm::core()]
        .into_iter()
        .flatten()
        .collect()
}

/// What may depend on how processes are made and accounted for.
pub(crate) fn equipped() -> Vec<Core> {
    [oneshot::core(), record::core(), restart::core(), settings::core(), start::core()]
        .into_iter()
        .flatten()
        .collect()
}
