//! The way out for a daemon whose keeper was killed: the next keeper asks at a socket, gets all that is held, and takes
//! over when we are gone ([`keeper::bequest`] has the words).
//!
//! Invariant: until the heir has said that it has everything, nothing is given up; whoever asks is root or our own user.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::Path,
    time::Duration,
};

use keeper::{
    bequest::{Bequest, SOCKET, TAKEN, VERSION},
    channel::{Channel, Patience},
    protocol::Exit,
};
use nix::{
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen,
            setsockopt, socket,
            sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout},
        },
        time::{TimeVal, TimeValLike},
    },
    unistd::geteuid,
};
use units::RunId;

/// How long the heir may leave a message lying, or its answer wanting. It does nothing else meanwhile; and nor do we, who
/// must answer calls. It may ask again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where heirs ask.
#[derive(Debug)]
pub(crate) struct Heirs {
    /// Of packets, which the type does not know and accepting does not matter to.
    socket: UnixListener,
}

/// A run, as it is handed over.
pub(crate) struct LeftRun {
    /// Its id.
    pub(crate) run: RunId,
    /// Its main process; 0 where that is not known.
    pub(crate) pid: i32,
    /// How that ended, if it is known.
    pub(crate) exit: Option<Exit>,
    /// What is held for it, by name.
    pub(crate) held: Vec<(&'static str, OwnedFd)>,
}

impl Heirs {
    /// Listens in this runtime folder, in the place of a former daemon. Nobody is answered yet.
    pub(crate) fn expect(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
            Err(_) | Ok(()) => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(&path)?)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listen(&socket, Backlog::new(1)?)?;
        Ok(Self { socket: UnixListener::from(socket) })
    }

    /// The next who asks, unless it is a stranger.
    pub(crate) fn next(&self) -> Option<Heir> {
        let (connection, _) = self.socket.accept().ok()?;
        Heir::at(OwnedFd::from(connection)).ok().flatten()
    }
}

impl AsFd for Heirs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A keeper that asks.
pub(crate) struct Heir {
    channel: Channel,
}

impl Heir {
    fn at(socket: OwnedFd) -> io::Result<Option<Self>> {
        let user = getsockopt(&socket, PeerCredentials)?.uid();
        if user != 0 && user != geteuid().as_raw() {
            tracing::warn!(user, "another user asked for what we hold, and got nothing");
            return Ok(None);
        }
        let bound = TimeVal::seconds(i64::try_from(PATIENCE.as_secs()).unwrap_or(10));
        setsockopt(&socket, SendTimeout, &bound)?;
        setsockopt(&socket, ReceiveTimeout, &bound)?;
        Ok(Some(Self { channel: Channel::from(socket) }))
    }

    /// Hands everything over. When this is well, all of it is the heir's.
    pub(crate) fn give(
        &mut self,
        keeper: i32,
        listeners: &[(&str, BorrowedFd<'_>)],
        runs: impl Iterator<Item = LeftRun>,
    ) -> io::Result<()> {
        let names = listeners.iter().map(|(name, _)| (*name).to_owned()).collect();
        let begin = Bequest::Begin { version: VERSION, keeper, names };
        let sockets: Vec<_> = listeners.iter().map(|(_, held)| *held).collect();
        self.channel.send(&begin.encode(), &sockets, Patience::Wait)?;
        for LeftRun { run, pid, exit, held } in runs {
            let names = held.iter().map(|(name, _)| (*name).to_owned()).collect();
            let descriptors: Vec<_> = held.iter().map(|(_, held)| held.as_fd()).collect();
            let message = Bequest::Run { run: run.to_bytes(), pid, exit, names };
            self.channel.send(&message.encode(), &descriptors, Patience::Wait)?;
        }
        self.channel.send(&Bequest::End.encode(), &[], Patience::Wait)?;
        match self.channel.receive(Patience::Wait)? {
            Some(packet) if packet.bytes == TAKEN => Ok(()),
            Some(_) => Err(io::Error::other("it answered something else")),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}
