//! A keeper that was killed, and what its daemon has kept: it goes on without a keeper, and hands over all that it holds
//! to the next one, which has the lock on the state folder and is therefore the only one ([`keeper::bequest`]).
//!
//! Invariant: nothing is taken unless everything came, and the daemon is gone when the next one is started. One that does
//! not answer within the bound is killed, and its runs are found by their files.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use keeper::{
    bequest::{Bequest, SOCKET, TAKEN},
    channel::{Channel, Packet, Patience},
    protocol::{API, Malformed},
};
use nix::{
    errno::Errno,
    poll::{PollTimeout, poll},
    sys::{
        socket::{
            AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
            sockopt::{PeerCredentials, SendTimeout},
        },
        time::{TimeVal, TimeValLike},
    },
    unistd::geteuid,
};

use crate::{
    Failure,
    process::{self, clock},
    runs::{Held, Runs},
    say,
    settings::Settings,
};

/// How long a daemon may take that serves already, and is not where heirs ask yet.
const BEGINNING: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const GLANCE: u8 = 20;

/// What was left.
pub(crate) struct Inheritance {
    /// The API's listener, in whose queue clients may wait.
    pub(crate) listener: Option<UnixListener>,
    /// What else is no run's, by name.
    pub(crate) shared: Held,
    /// The runs; none of them is our child.
    pub(crate) runs: Runs,
    /// What became of the daemon, in words for the next one.
    pub(crate) previous: String,
}

/// The daemon that has lost its keeper.
struct Orphan {
    channel: Channel,
    pid: i32,
    process: OwnedFd,
    patience: Duration,
}

/// Why it hands nothing over.
enum Refused {
    /// The connection broke; it may have given us up because we were held up ourselves.
    Broken(String),
    /// It says nothing, or nonsense.
    Silent(String),
    /// It speaks another version.
    Version,
}

/// Takes over from a daemon whose keeper was killed, where there is one.
pub(crate) fn inherit(settings: &Settings) -> Result<Option<Inheritance>, Failure> {
    let Some(mut orphan) = find(settings)? else { return Ok(None) };
    let pid = orphan.pid;
    say(format_args!("the keeper before was killed; taking over from its daemon (process {pid})"));
    let mut taken = orphan.take();
    if matches!(taken, Err(Refused::Broken(_)))
        && let Some(again) = find(settings)?
    {
        orphan = again;
        taken = orphan.take();
    }
    match taken {
        Ok(mut inheritance) => {
            orphan.ends();
            inheritance.previous =
                format!("process {pid}: its keeper was killed, and another has taken over");
            Ok(Some(inheritance))
        }
        Err(Refused::Version) => Err(Failure::Untold(format!(
            "the daemon (process {pid}) whose keeper was killed is of another version, and cannot hand over to this one; \
             start the auraed of its version, or end it and all that it runs with SIGTERM to process {pid}"
        ))),
        Err(Refused::Silent(why) | Refused::Broken(why)) => {
            say(format_args!(
                "the daemon (process {pid}) hands nothing over: {why}; it is killed, and its runs are found by their files"
            ));
            orphan.kill();
            let previous = format!(
                "process {pid}: its keeper was killed, and it did not hand over to the next: {why}"
            );
            let (listener, shared, runs) = (None, Held::default(), Runs::default());
            Ok(Some(Inheritance { listener, shared, runs, previous }))
        }
    }
}

/// Connects, where such a daemon listens.
fn find(settings: &Settings) -> Result<Option<Orphan>, Failure> {
    let path = settings.runtime_dir.join(SOCKET);
    let cannot = |why: Errno| {
        let path = path.display();
        Failure::Untold(format!(
            "cannot ask at {path} whether a daemon is left whose keeper was killed: {why}; remove that file if none is"
        ))
    };
    let address = UnixAddr::new(&path).map_err(cannot)?;
    let bound = clock() + BEGINNING;
    loop {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        // One that hangs may have a full queue.
        let bound_of_connect = TimeVal::milliseconds(
            i64::try_from(settings.answer_timeout.as_millis()).unwrap_or(i64::MAX),
        );
        setsockopt(&socket, SendTimeout, &bound_of_connect)?;
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => return orphan(socket, settings.answer_timeout),
            Err(Errno::ENOENT) => return Ok(None),
            // It may be about to begin.
            Err(Errno::ECONNREFUSED) => {
                if clock() >= bound || UnixStream::connect(&settings.socket).is_err() {
                    return Ok(None);
                }
                poll(&mut [], PollTimeout::from(GLANCE)).unwrap_or_default();
            }
            Err(why) => return Err(cannot(why)),
        }
    }
}

/// The process that listens there; none where it has ended meanwhile.
fn orphan(socket: OwnedFd, patience: Duration) -> Result<Option<Orphan>, Failure> {
    // Whose it is the kernel noted when it began to listen.
    let (pid, user) = {
        let peer = getsockopt(&socket, PeerCredentials)?;
        (peer.pid(), peer.uid())
    };
    if user != 0 && user != geteuid().as_raw() {
        return Err(Failure::Untold(format!(
            "a process of the user {user} (process {pid}) listens where a daemon would that has lost its keeper; end that, \
             and see to it that nobody else may write to the runtime folder"
        )));
    }
    let process = match process::open(pid) {
        Ok(process) => process,
        Err(Errno::ESRCH) => return Ok(None),
        Err(why) => return Err(why.into()),
    };
    let channel = Channel::from(socket);
    Ok(Some(Orphan { channel, pid, process, patience }))
}

impl Orphan {
    /// All that it has.
    fn take(&mut self) -> Result<Inheritance, Refused> {
        let first = self.next()?;
        let Bequest::Begin { names, .. } = Bequest::decode(&first.bytes)? else {
            return Err(out_of_turn());
        };
        let (mut listener, mut shared) = (None, Held::default());
        for (name, held) in names.into_iter().zip(first.descriptors) {
            if name == API {
                listener = Some(UnixListener::from(held));
            } else {
                shared.push((name, held));
            }
        }
        let mut runs = Runs::default();
        loop {
            let packet = self.next()?;
            match Bequest::decode(&packet.bytes)? {
                Bequest::Run { run, pid, exit, names } => {
                    if packet.truncated || packet.descriptors.len() != names.len() {
                        return Err(Refused::Silent("descriptors did not all arrive".to_owned()));
                    }
                    let held: Held = names.into_iter().zip(packet.descriptors).collect();
                    runs.inherit(run, (pid, exit), held);
                }
                Bequest::End => {
                    // From here on what it had is ours.
                    self.channel.send(TAKEN, &[], Patience::Now)?;
                    return Ok(Inheritance { listener, shared, runs, previous: String::new() });
                }
                Bequest::Begin { .. } => return Err(out_of_turn()),
            }
        }
    }

    fn next(&mut self) -> Result<Packet, Refused> {
        let bound = clock() + self.patience;
        loop {
            match self.channel.receive(Patience::Now) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => return Err(Refused::Broken("it has closed the connection".to_owned())),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why.into()),
            }
            if clock() >= bound {
                let patience = self.patience;
                return Err(Refused::Silent(format!("it has said nothing for {patience:?}")));
            }
            process::await_readable(self.channel.as_fd(), bound);
        }
    }

    /// Waits until it is gone, and with it every lock and every file of its own.
    fn ends(&mut self) {
        let bound = clock() + self.patience;
        process::await_readable(self.process.as_fd(), bound);
        if clock() >= bound {
            say(format_args!("the daemon (process {}) does not end, and is killed", self.pid));
            self.kill();
        }
    }

    fn kill(&mut self) {
        process::kill_stranger(self.process.as_fd());
        process::await_readable(self.process.as_fd(), clock() + self.patience);
    }
}

impl From<Malformed> for Refused {
    fn from(why: Malformed) -> Self {
        match why {
            Malformed::Field("version") => Self::Version,
            Malformed::Short | Malformed::Long | Malformed::Kind(_) | Malformed::Field(_) => {
                Self::Silent(format!("it sent a message that cannot be read: {why}"))
            }
        }
    }
}

impl From<io::Error> for Refused {
    fn from(why: io::Error) -> Self {
        Self::Broken(format!("its channel fails: {why}"))
    }
}

fn out_of_turn() -> Refused {
    Refused::Silent("it sent a message out of turn".to_owned())
}
