//! Where services say that they are ready: sd_notify(3), over one datagram socket for all runs.
//!
//! Anybody on the machine may write to it, so nothing in a message says whose it is: the kernel says which
//! process sent it, and that process's cgroup says which run it belongs to
//! ([`crate::cgroups::Cgroups::run_of_process`]; where there are no cgroups, [`claimed_run`]). Invariants:
//! receiving never waits, allocates no more than a message, and takes no descriptor: those that come along
//! are closed by the kernel the moment their message is received. So a barrier (sd_notify_barrier(3)) is kept
//! by treating each message before the next is received.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, IoSliceMut, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    libc::cmsghdr,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, connect,
        getsockname, recvmsg, setsockopt, socket, sockopt::PassCred,
    },
};
use units::RunId;

use crate::environment;

/// Its name in the runtime folder, and with the keeper.
pub(crate) const SOCKET: &str = "notify";
/// How many messages to treat in one turn of a loop that has other things to do.
pub(crate) const MESSAGES_A_TURN: usize = 64;
/// The longest message: systemd's limit, too.
const LONGEST: usize = 4096;
/// The most of a status that is kept.
const LONGEST_STATUS: usize = 512;
/// The most of an environment that is looked through for the run's id.
const MOST_ENVIRONMENT: u64 = 4 * 1024 * 1024;

/// The socket.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: OwnedFd,
}

/// What a message says. What nothing is made of is left out: watchdogs, stored descriptors, and so on; MAINPID= too,
/// since a unit's main process is the one that was made for it, and BARRIER=, since what came before it has been treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    /// `READY=1`: it serves, or has reloaded.
    pub(crate) ready: bool,
    /// `STATUS=`: a line for people, without control characters; an empty one takes the last back.
    pub(crate) status: Option<String>,
}

/// Whether who connects there, with a socket of this kind, reaches this one: it has that name, and somebody has that one.
pub(crate) fn is_at(ours: &OwnedFd, path: &Path, kind: SockType) -> bool {
    let named = getsockname::<UnixAddr>(ours.as_raw_fd());
    if !named.is_ok_and(|name| name.path() == Some(path)) {
        return false;
    }
    let try_there = || {
        let other = socket(
            AddressFamily::Unix,
            kind,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        connect(other.as_raw_fd(), &UnixAddr::new(path)?)
    };
    // Where so many wait that nobody else finds room, somebody has it.
    matches!(try_there(), Ok(()) | Err(Errno::EAGAIN))
}

impl NotifySocket {
    /// The one of the daemon before, in which messages wait that came while there was none; or a new one there, in the
    /// place of what is left of another. Everybody may write to it.
    pub(crate) fn open(path: &Path, inherited: Option<OwnedFd>) -> io::Result<Self> {
        match inherited.filter(|socket| is_at(socket, path, SockType::Datagram)) {
            Some(socket) => Ok(Self { socket }),
            None => Self::bind(path),
        }
    }

    fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
            Err(_) | Ok(()) => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Before it has an address: from the first message on the kernel says who sent it.
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(Self { socket })
    }

    /// The next message, if one waits, and the process that the kernel says sent it: 0 where that is not in our pid
    /// namespace or below it; it may be gone already. A message that cannot be used says nothing: [`Notice::default`].
    pub(crate) fn receive(&self) -> Option<(i32, Notice)> {
        let mut message = [0; LONGEST];
        // Room for the sender alone: descriptors do not fit, and the kernel closes what does not.
        let mut control = nix::cmsg_space!(UnixCredentials);
        let (length, complete) = self.receive_into(&mut message, &mut control)?;
        let sender = sender(&control).unwrap_or(0);
        if !complete {
            return Some((sender, Notice::default()));
        }
        let notice = Notice::parse(message.get(..length).unwrap_or_default());
        Some((sender, notice))
    }

    /// How long the message is, and whether that is all of it.
    fn receive_into(&self, message: &mut [u8], control: &mut [u8]) -> Option<(usize, bool)> {
        let mut parts = [IoSliceMut::new(message)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(control), flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Err(why) => {
                    tracing::error!(%why, "cannot receive notifications of services");
                    return None;
                }
                Ok(received) => {
                    return Some((received.bytes, !received.flags.contains(MsgFlags::MSG_TRUNC)));
                }
            }
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The sender, from the one control message that there was room for: a header, then `struct ucred` (unix(7)).
/// It is taken apart by hand, since nix shows none where others were left out (MSG_CTRUNC).
fn sender(control: &[u8]) -> Option<i32> {
    let (pid, _) = control.get(size_of::<cmsghdr>()..)?.split_first_chunk()?;
    Some(i32::from_ne_bytes(*pid))
}

impl Notice {
    /// Reads a message. What is not understood is left out, and of what is said twice the last counts.
    pub(crate) fn parse(message: &[u8]) -> Self {
        let mut notice = Self::default();
        for line in message.split(|byte| *byte == b'\n') {
            let mut sides = line.splitn(2, |byte| *byte == b'=');
            let (Some(name), Some(value)) = (sides.next(), sides.next()) else { continue };
            match (name, value) {
                (b"READY", b"1") => notice.ready = true,
                (b"STATUS", text) => notice.status = Some(status(text)),
                _ => {}
            }
        }
        notice
    }

    /// Whether it says nothing that anything is made of.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// It is shown on terminals, so that it may not command them.
fn status(text: &[u8]) -> String {
    let mut status = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        if status.len() + character.len_utf8() > LONGEST_STATUS {
            break;
        }
        status.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
    }
    status
}

/// The run that a process says it belongs to, by its environment. Any program can say that it is another
/// run's: only for machines where no cgroup tells better.
pub(crate) fn claimed_run(pid: i32) -> Option<RunId> {
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = Vec::new();
    file.take(MOST_ENVIRONMENT).read_to_end(&mut variables).ok()?;
    let mut lines = variables.split(|byte| *byte == 0);
    let value = lines.find_map(|line| {
        line.strip_prefix(environment::RUN.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
