//! The socket of this door, in the place of one that nobody answers at any more.
//!
//! Invariants: the file's mode is 0600 from its first moment, and 0666 then where others are served. What somebody answers at is never removed, nor what is no socket.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net,
        },
    },
    path::Path,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, socket},
        stat::{Mode, fchmod},
    },
    unistd::geteuid,
};
use tokio::net::UnixListener;

use crate::{held_sockets::HeldSockets, notify::is_at};

/// Sessions that may wait until they are taken: DAOS's clients come one by one.
const WAITING: i32 = 128;

/// Why there is none; the path is told by who tells it.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoListener {
    /// Somebody has it.
    #[error("another process answers at it; end that, or choose another path")]
    Answers,
    /// Something else is there.
    #[error("something is there that is no socket; remove it, or choose another path")]
    NoSocket,
    /// The system.
    #[error("{what}: {why}; its folder has to be there, and writable for auraed")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: io::Error,
    },
}

fn when<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> NoListener {
    move |why| NoListener::System { what, why: why.into() }
}

/// Its name with the keeper.
pub(super) const DOOR: &str = "drpc";

/// Listens there: at the socket of the daemon before, at which some may wait, or at a new one, which the next daemon gets.
pub(super) fn listen(
    path: &Path,
    uids: &[u32],
    sockets: &HeldSockets,
) -> Result<UnixListener, NoListener> {
    let is_it = |socket: &OwnedFd| is_at(socket, path, SockType::SeqPacket);
    let ours = match sockets.take(DOOR, is_it) {
        Some(ours) => ours,
        None => {
            let ours = bound(path)?;
            if is_open(uids) {
                let mode = Permissions::from_mode(0o666);
                fs::set_permissions(path, mode).map_err(when("opening it to others"))?;
            }
            sockets.hold(DOOR, ours.as_fd());
            ours
        }
    };
    UnixListener::from_std(net::UnixListener::from(ours)).map_err(when("watching it"))
}

/// Whether others than we and root are served: they could not connect otherwise, and whoever does is looked at in any case.
fn is_open(uids: &[u32]) -> bool {
    uids.iter().any(|&uid| uid != 0 && uid != geteuid().as_raw())
}

fn bound(path: &Path) -> Result<OwnedFd, NoListener> {
    clear(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let ours = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(when("making a socket"))?;
    // Before it has a name: its file gets this mode from the kernel.
    fchmod(ours.as_fd(), Mode::S_IRUSR | Mode::S_IWUSR).map_err(when("setting its mode"))?;
    let address = UnixAddr::new(path).map_err(when("using its path"))?;
    bind(ours.as_raw_fd(), &address).map_err(when("binding it"))?;
    let backlog = Backlog::new(WAITING).map_err(when("listening"))?;
    nix::sys::socket::listen(&ours, backlog).map_err(when("listening"))?;
    Ok(ours)
}

/// Removes what is left of one that nobody answers at.
fn clear(path: &Path) -> Result<(), NoListener> {
    let there = match fs::symlink_metadata(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        there => there.map_err(when("looking at it"))?,
    };
    if !there.file_type().is_socket() {
        return Err(NoListener::NoSocket);
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let caller = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(when("making a socket"))?;
    let address = UnixAddr::new(path).map_err(when("using its path"))?;
    match connect(caller.as_raw_fd(), &address) {
        // Or so many call that none is taken now, or it is a socket of another kind: somebody has it in any case.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => return Err(NoListener::Answers),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => {}
        Err(why) => return Err(when("calling at it")(why)),
    }
    match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(when("removing the old one")(why)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn in_folder(test: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        test(&folder.path().join("socket"));
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        in_folder(|path| {
            let first = bound(path).unwrap();
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
            assert!(matches!(bound(path), Err(NoListener::Answers)));
            drop(first);
            drop(bound(path).unwrap());
            // One that speaks otherwise.
            fs::remove_file(path).unwrap();
            let _stream = net::UnixListener::bind(path).unwrap();
            assert!(matches!(bound(path), Err(NoListener::Answers)));
        });
    }

    #[test]
    fn no_other_file_is_removed() {
        in_folder(|path| {
            fs::write(path, "mine").unwrap();
            assert!(matches!(bound(path), Err(NoListener::NoSocket)));
            assert_eq!(fs::read(path).unwrap(), b"mine");
            assert!(matches!(bound(&path.join("x")), Err(NoListener::System { .. })));
        });
    }
}
