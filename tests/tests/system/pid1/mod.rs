//! `auraed` as PID 1, in namespaces: what it makes of an empty machine, how it ends one, and what it is to a container.

mod early;
mod hurt;
mod init;
mod power;
mod signals;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    [early::cases(), hurt::cases(), init::cases(), power::cases(), signals::cases()]
        .into_iter()
        .flatten()
        .collect()
}
