//! The door for dRPC, by a client that shares no code with it.

mod engines;
mod hostile;
mod listeners;
mod people;
mod processes;
mod sessions;
mod sockets;

use std::path::PathBuf;

use api::runtime::UnitView;
use tempfile::TempDir;
use tests::{
    Daemon, Options,
    drpc::{Drpc, daemon_at, folder},
    eventually,
};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    [
        engines::cases(),
        hostile::cases(),
        listeners::cases(),
        people::cases(),
        processes::cases(),
        sessions::cases(),
        sockets::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Both ways in which messages lie in packets.
const FRAMINGS: [&str; 2] = ["raw", "chunked"];

/// A daemon with this door, and where that is.
struct Served {
    daemon: Daemon,
    socket: PathBuf,
    _folder: TempDir,
}

impl Served {
    fn with(options: Options, lines: &[&str]) -> Self {
        let folder = folder();
        let socket = folder.path().join("drpc.sock");
        let daemon = daemon_at(options, &socket, lines);
        Self { daemon, socket, _folder: folder }
    }

    fn usual() -> Self {
        Self::with(Options::default(), &[])
    }

    /// Waits until there is a unit of this name: whoever began its start does not wait for that.
    fn knows(&self, name: &str) {
        let is_it = |unit: &UnitView| tests::units::name_in(unit.meta.as_ref()) == name;
        eventually("the unit is known", || self.daemon.units(false).iter().any(is_it));
    }

    fn client(&self, framing: &'static str) -> Drpc {
        Drpc::connect(&self.socket, framing)
    }
}
