//! Sockets of doors that the keeper holds over a daemon's death: who connects meanwhile waits there, and is served by the
//! next.
//!
//! Invariant: nobody waits at a socket that no door serves any more: one that the configuration does not want where it was
//! is shut down, so that who connects is refused.

use std::{
    collections::HashMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};
use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt::AcceptConn};

/// The sockets.
#[derive(Debug)]
pub(crate) struct HeldSockets {
    keeper: Channel,
    /// By their doors' names: those of the daemon before, and our own.
    sockets: Mutex<HashMap<String, OwnedFd>>,
}

impl HeldSockets {
    /// With those of the daemon before.
    pub(crate) fn new(keeper: Channel, inherited: HashMap<String, OwnedFd>) -> Self {
        Self { keeper, sockets: Mutex::new(inherited) }
    }

    /// That of this door, where there is one and it is what the door wants now; another is given up.
    pub(crate) fn take(
        &self,
        door: &str,
        is_wanted: impl FnOnce(&OwnedFd) -> bool,
    ) -> Option<OwnedFd> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = sockets.remove(door)?;
        // The keeper still holds one that an earlier daemon has given up, and that keeps its address (shutdown(2)).
        let listens = getsockopt(&socket, AcceptConn).unwrap_or(false);
        if !listens || !is_wanted(&socket) {
            // One that is shut down already, or no listener, is as good.
            shutdown(socket.as_raw_fd(), Shutdown::Both).ok();
            return None;
        }
        let ours = socket.as_fd().try_clone_to_owned().ok()?;
        sockets.insert(door.to_owned(), socket);
        Some(ours)
    }

    /// This door is not wanted any more.
    pub(crate) fn give_up(&self, door: &str) {
        drop(self.take(door, |_| false));
    }

    /// Has the keeper hold that of this door from now on.
    pub(crate) fn hold(&self, door: &str, socket: BorrowedFd<'_>) {
        let held = || -> std::io::Result<OwnedFd> {
            let held = socket.try_clone_to_owned()?;
            let hold = ToKeeper::Hold { names: vec![door.to_owned()] };
            self.keeper.send(&hold.encode(), &[socket], Patience::Wait)?;
            Ok(held)
        };
        match held() {
            Ok(held) => {
                let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
                sockets.insert(door.to_owned(), held);
            }
            Err(why) => {
                tracing::warn!(door, %why, "the keeper cannot hold this socket: who connects while there is no daemon is refused");
            }
        }
    }

    /// All of them, for the daemon that an heir of our keeper starts.
    pub(crate) fn copies(&self) -> Vec<(String, OwnedFd)> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |(door, socket): (&String, &OwnedFd)| {
            Some((door.clone(), socket.as_fd().try_clone_to_owned().ok()?))
        };
        sockets.iter().filter_map(copy).collect()
    }
}
