//! What a daemon whose keeper was killed hands to the next keeper: the listener, and of each run what is held for it.
//!
//! They meet at the socket [`SOCKET`] in the runtime folder, `SOCK_SEQPACKET`, at which every daemon listens and only one
//! without a keeper answers. The daemon says [`Bequest::Begin`] with the listeners, [`Bequest::Run`] for each run with its
//! descriptors, and [`Bequest::End`]; the heir answers with [`TAKEN`]. Until then the daemon keeps everything and can go on
//! as before, and from then on it does nothing more: it exits, and the end of the connection tells that it has.
//! The form is that of the messages ([`crate::protocol`]).

use crate::protocol::{
    Exit, Malformed, Run,
    bytes::{Reader, Writer},
};

/// The name of the socket in the runtime folder.
pub const SOCKET: &str = "heir";
/// The version of these messages.
pub const VERSION: u16 = 1;
/// The heir's whole answer.
pub const TAKEN: &[u8] = &[1];

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bequest {
    /// The first message; carries the listeners.
    Begin {
        /// [`VERSION`] of the daemon. This field is the first in every version.
        version: u16,
        /// The keeper that was killed.
        keeper: i32,
        /// The listeners' names, in the order of their descriptors.
        names: Vec<String>,
    },
    /// A run, with its descriptors.
    Run {
        /// The run.
        run: Run,
        /// Its main process; 0 where that is not known.
        pid: i32,
        /// How its main process ended, if that is known.
        exit: Option<Exit>,
        /// The descriptors' names, in their order.
        names: Vec<String>,
    },
    /// That was all.
    End,
}

impl Bequest {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Begin { version, keeper, names } => {
                Writer::kind(1).u16(*version).i32(*keeper).names(names)
            }
            Self::Run { run, pid, exit, names } => {
                Writer::kind(2).run(run).i32(*pid).maybe_exit(exit.as_ref()).names(names)
            }
            Self::End => Writer::kind(3),
        }
        .0
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the bytes; another version is a field, `version`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let message = match reader.u8()? {
            1 => {
                let version = reader.u16()?;
                if version != VERSION {
                    return Err(Malformed::Field("version"));
                }
                Self::Begin { version, keeper: reader.i32()?, names: reader.names()? }
            }
            2 => Self::Run {
                run: reader.run()?,
                pid: reader.i32()?,
                exit: if reader.flag("exit")? { Some(reader.exit()?) } else { None },
                names: reader.names()?,
            },
            3 => Self::End,
            kind => return Err(Malformed::Kind(kind)),
        };
        reader.end(message)
    }
}
