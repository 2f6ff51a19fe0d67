//! The messages between keeper and daemon, their meaning and their bytes.
//!
//! The daemon inherits [`CHANNELS`] connected `SOCK_SEQPACKET` sockets: descriptor [`CONTROL`], and
//! [`SPAWNER_CHANNELS`] of one spawner thread each. One packet is one message: a kind byte, then its fields in
//! order, integers little-endian, byte strings with a 32-bit length before them. A message is at most
//! [`MAX_MESSAGE`] bytes and carries at most [`MAX_DESCRIPTORS`] descriptors, each with a name.
//!
//! On the control channel:
//! 1. daemon: [`ToKeeper::Hello`]. From here until `Adopted` the keeper reaps nothing.
//! 2. keeper: [`ToDaemon::Welcome`] with the listeners, one [`ToDaemon::Inherited`] for each run it
//!    knows, [`ToDaemon::Ready`].
//! 3. daemon: [`ToKeeper::Adopted`]; when the API answers, [`ToKeeper::Serving`].
//! 4. keeper: [`ToDaemon::Exited`] for a run's main process, which it has reaped. The pid may be another's
//!    by then: who means the process uses its pidfd. What the keeper knows of a run, its exit included,
//!    stays with the keeper until [`ToKeeper::Release`].
//! 5. keeper: [`ToDaemon::Stop`]; daemon: [`ToKeeper::Stopped`], then it exits.
//!
//! What the keeper says after [`ToDaemon::Ready`] is answered: the supervisor says [`ToKeeper::Heard`] when it has
//! dealt with what it took, and [`ToDaemon::Probe`] goes through all the threads that serve and comes back as
//! [`ToKeeper::Probed`]. A daemon that owes an answer for too long is ended. Nothing is asked of an idle one, and where
//! the last connection is closed again ([`ToKeeper::Disconnected`]) nobody waits for anything.
//!
//! On a spawner channel, without an answer: [`ToKeeper::Spawning`] with the run's descriptors, sent before
//! the process is made; then [`ToKeeper::Spawned`] or [`ToKeeper::NotSpawned`]; in the end
//! [`ToKeeper::Release`]. What is sent is in the keeper's socket, and nothing wakes the keeper for it: it reads these
//! channels before it takes a process for an orphan, when the daemon says [`ToKeeper::Queued`], and when the daemon has
//! died. While a spawn is open the keeper takes no unknown zombie for an orphan. Where
//! it cannot hold the descriptors, [`ToDaemon::Refused`] comes on the control channel, and the daemon
//! ends the run.

pub(crate) mod bytes;

use std::fmt;

use bytes::{Reader, Writer};

/// The version of this protocol; a daemon of another version is told so and not served.
pub const VERSION: u16 = 2;
/// The version of what one keeper hands to the next, which takes its place in the same process.
pub const SUCCESSION: u16 = 1;
/// Bytes of the largest message. The configuration is the only long field.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Descriptors in one message; the kernel's own limit is SCM_MAX_FD, 253 (unix(7)).
pub const MAX_DESCRIPTORS: usize = 16;
/// How many channels the daemon inherits, beginning with descriptor 3.
pub const CHANNELS: usize = 3;
/// The descriptor of the control channel.
pub const CONTROL: i32 = 3;
/// The descriptors of the spawner threads' channels.
pub const SPAWNER_CHANNELS: [i32; 2] = [4, 5];

/// The name of a descriptor of the program `auraed-core` in [`ToKeeper::Replace`].
pub const CORE: &str = "core";
/// The name of a descriptor of the program `auraed` there.
pub const KEEPER: &str = "keeper";
/// The names of the descriptors that are the read ends of a run's output, the only ones that the keeper ever reads from.
pub const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

/// The name of a descriptor of a run's main process (pidfd), where that is no child of the keeper: it was made under one
/// that was killed. Such a run's end is found out by the daemon, and the keeper never waits for it.
pub const MAIN: &str = "main";

/// The name of the API's listener in [`ToDaemon::Welcome`].
pub const API: &str = "api";

/// A run's identity: 16 bytes that mean nothing to the keeper.
pub type Run = [u8; 16];

/// How a process ended, as the kernel told its parent (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit status, or the signal.
    pub status: i32,
    /// Whether `status` is an exit status, or a signal that killed it, with or without a core.
    pub how: How,
    /// CPU time in user mode, of the process and all it waited for: microseconds.
    pub user_time: u64,
    /// CPU time in the kernel, of the same: microseconds.
    pub system_time: u64,
    /// When the keeper saw it: nanoseconds since the Unix epoch.
    pub seen_at: i64,
}

/// The three ways of ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It exited.
    Exited,
    /// A signal killed it.
    Killed,
    /// A signal killed it, and a core was dumped.
    Dumped,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToKeeper {
    /// I am here, and speak this version.
    Hello {
        /// [`VERSION`] of the daemon.
        version: u16,
    },
    /// I know of everything you have: go on reaping.
    Adopted {
        /// Whether [`ToDaemon::OrphanReaped`] is wanted: where no cgroup tells that a run is empty.
        tell_orphans: bool,
        /// The folder of the runs' cgroups, which the keeper removes at the very end; may be empty.
        tree: Vec<u8>,
    },
    /// The API answers.
    Serving,
    /// Hold these descriptors for a run that is about to be made.
    Spawning {
        /// The run.
        run: Run,
        /// The descriptors' names, in their order.
        names: Vec<String>,
    },
    /// The run's main process has been made.
    Spawned {
        /// The run.
        run: Run,
        /// Its main process.
        pid: i32,
    },
    /// The run will not be: forget it. A child that failed on its way to the program is to be reaped.
    NotSpawned {
        /// The run.
        run: Run,
        /// The child, 0 where none was made.
        pid: i32,
    },
    /// The run is over and told: drop its descriptors and its exit.
    Release {
        /// The run.
        run: Run,
    },
    /// Everything has ended; I exit.
    Stopped,
    /// What was said after [`ToDaemon::Ready`] has been dealt with.
    Heard {
        /// As many messages of the control channel, counted from the first.
        messages: u64,
    },
    /// The answer to [`ToDaemon::Probe`].
    Probed {
        /// Which.
        number: u32,
    },
    /// Hold these descriptors, which belong to no run, for the daemons after me; one of the same name before is dropped.
    Hold {
        /// The descriptors' names, in their order.
        names: Vec<String>,
    },
    /// The spawner threads have said something that you need not know yet, unless a process ends: take it when it suits.
    Queued,
    /// No connection is open any more.
    Disconnected {
        /// When the last one was closed: nanoseconds of CLOCK_MONOTONIC.
        at: u64,
    },
    /// I cannot go on, and am about to exit.
    Failing {
        /// Why, in words.
        why: String,
    },
    /// End everything in order, and then the machine, or whatever it is of which you are the first process.
    Power {
        /// How.
        power: Power,
        /// Without order, and at once.
        force: bool,
        /// Who wants it and why, in words.
        by: String,
    },
    /// I am about to exit in order, with every run as it is: start the next daemon. Carries what it is to be, where it is
    /// not to be what I am.
    Replace {
        /// Who wants it and why, in words.
        by: String,
        /// Where the programs were found, in the order of their descriptors: for people.
        paths: Vec<String>,
        /// Which programs they are, [`CORE`] or [`KEEPER`], in the order of their descriptors.
        names: Vec<String>,
    },
}

/// What becomes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is switched off.
    Off,
    /// It begins anew.
    Reboot,
    /// It stands still.
    Halt,
    /// Another kernel goes on, which has been loaded (kexec_load(2)).
    Kexec,
}

impl Power {
    /// All of them, by their numbers on the wire.
    pub const ALL: [Self; 4] = [Self::Off, Self::Reboot, Self::Halt, Self::Kexec];

    /// Its number there.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Reboot => 1,
            Self::Halt => 2,
            Self::Kexec => 3,
        }
    }

    /// The one of that number.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(number: u8) -> Result<Self, Malformed> {
        Self::ALL.get(usize::from(number)).copied().ok_or(Malformed::Field("power"))
    }
}

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDaemon {
    /// Who I am and what you need; carries the listener, and what earlier daemons had held by [`ToKeeper::Hold`].
    Welcome {
        /// [`VERSION`] of the keeper.
        version: u16,
        /// The keeper's process.
        keeper: i32,
        /// How many daemons it has started, this one included.
        starts: u32,
        /// RLIMIT_NOFILE as it was before the keeper raised it: soft and hard.
        open_files: (u64, u64),
        /// How the daemon before ended, in words; empty for the first.
        previous: String,
        /// The configuration as `auraed-core configure` printed it.
        configuration: Vec<u8>,
        /// The descriptors' names, in their order: [`API`] first.
        names: Vec<String>,
        /// Whether it is on trial: the keeper goes back to the daemon before, should this one not be healthy. Until it
        /// is, it writes nothing in a format that the daemon before cannot read.
        trial: bool,
        /// What became of upgrades.
        upgrades: Upgrades,
    },
    /// A run of an earlier daemon, with its descriptors.
    Inherited {
        /// The run.
        run: Run,
        /// Its main process; 0 where the daemon died before it could tell.
        pid: i32,
        /// How its main process ended, if it has.
        exit: Option<Exit>,
        /// The descriptors' names, in their order.
        names: Vec<String>,
    },
    /// That was all; answer with [`ToKeeper::Adopted`].
    Ready,
    /// The main process of a run has ended.
    Exited {
        /// The run.
        run: Run,
        /// Its main process.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// Processes that were nobody's main process have been reaped since the last such message.
    OrphanReaped,
    /// The descriptors of this run are not held; end it.
    Refused {
        /// The run.
        run: Run,
        /// Why, in words.
        why: String,
    },
    /// End everything in order, and then yourself.
    Stop,
    /// Answer with [`ToKeeper::Probed`], by way of every thread that serves.
    Probe {
        /// Which.
        number: u32,
    },
    /// You are healthy, and on trial no more.
    Confirmed,
}

/// What became of upgrades since the keeper's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrades {
    /// How many were tried.
    pub tried: u32,
    /// Why the last one was given up, in words; empty where it was not.
    pub given_up: String,
}

/// A message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before its last field does.
    Short,
    /// Bytes follow its last field.
    Long,
    /// No message has this kind.
    Kind(u8),
    /// A field has a value that it cannot have.
    Field(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the message ends before its last field"),
            Self::Long => f.write_str("bytes follow the message's last field"),
            Self::Kind(kind) => write!(f, "no message has the kind {kind}"),
            Self::Field(name) => write!(f, "the field {name} has a value it cannot have"),
        }
    }
}

impl std::error::Error for Malformed {}

impl ToKeeper {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { version } => Writer::kind(1).u16(*version),
            Self::Adopted { tell_orphans, tree } => {
                Writer::kind(2).u8(u8::from(*tell_orphans)).bytes(tree)
            }
            Self::Serving => Writer::kind(3),
            Self::Spawning { run, names } => Writer::kind(4).run(run).names(names),
            Self::Spawned { run, pid } => Writer::kind(5).run(run).i32(*pid),
            Self::NotSpawned { run, pid } => Writer::kind(6).run(run).i32(*pid),
            Self::Release { run } => Writer::kind(7).run(run),
            Self::Stopped => Writer::kind(8),
            Self::Heard { messages } => Writer::kind(9).u64(*messages),
            Self::Probed { number } => Writer::kind(10).u32(*number),
            Self::Failing { why } => Writer::kind(11).bytes(why.as_bytes()),
            Self::Hold { names } => Writer::kind(15).names(names),
            Self::Power { power, force, by } => {
                Writer::kind(16).u8(power.number()).u8(u8::from(*force)).bytes(by.as_bytes())
            }
            Self::Queued => Writer::kind(13),
            Self::Disconnected { at } => Writer::kind(14).u64(*at),
            Self::Replace { by, paths, names } => {
                Writer::kind(12).bytes(by.as_bytes()).names(paths).names(names)
            }
        }
        .0
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let message = match reader.u8()? {
            1 => Self::Hello { version: reader.u16()? },
            2 => Self::Adopted {
                tell_orphans: reader.flag("tell_orphans")?,
                tree: reader.bytes()?.to_vec(),
            },
            3 => Self::Serving,
            4 => Self::Spawning { run: reader.run()?, names: reader.names()? },
            5 => Self::Spawned { run: reader.run()?, pid: reader.i32()? },
            6 => Self::NotSpawned { run: reader.run()?, pid: reader.i32()? },
            7 => Self::Release { run: reader.run()? },
            8 => Self::Stopped,
            9 => Self::Heard { messages: reader.u64()? },
            10 => Self::Probed { number: reader.u32()? },
            11 => Self::Failing { why: reader.text("why")? },
            12 => Self::Replace {
                by: reader.text("by")?,
                paths: reader.names()?,
                names: reader.names()?,
            },
            15 => Self::Hold { names: reader.names()? },
            16 => Self::Power {
                power: Power::of(reader.u8()?)?,
                force: reader.flag("force")?,
                by: reader.text("by")?,
            },
            13 => Self::Queued,
            14 => Self::Disconnected { at: reader.u64()? },
            kind => return Err(Malformed::Kind(kind)),
        };
        reader.end(message)
    }
}

impl ToDaemon {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome {
                version,
                keeper,
                starts,
                open_files,
                previous,
                configuration,
                names,
                trial,
                upgrades,
            } => Writer::kind(65)
                .u16(*version)
                .i32(*keeper)
                .u32(*starts)
                .u64(open_files.0)
                .u64(open_files.1)
                .bytes(previous.as_bytes())
                .bytes(configuration)
                .names(names)
                .u8(u8::from(*trial))
                .u32(upgrades.tried)
                .bytes(upgrades.given_up.as_bytes()),
            Self::Inherited { run, pid, exit, names } => {
                Writer::kind(66).run(run).i32(*pid).maybe_exit(exit.as_ref()).names(names)
            }
            Self::Ready => Writer::kind(67),
            Self::Exited { run, pid, exit } => Writer::kind(68).run(run).i32(*pid).exit(exit),
            Self::OrphanReaped => Writer::kind(69),
            Self::Refused { run, why } => Writer::kind(70).run(run).bytes(why.as_bytes()),
            Self::Stop => Writer::kind(71),
            Self::Probe { number } => Writer::kind(72).u32(*number),
            Self::Confirmed => Writer::kind(73),
        }
        .0
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let message = match reader.u8()? {
            65 => Self::Welcome {
                version: reader.u16()?,
                keeper: reader.i32()?,
                starts: reader.u32()?,
                open_files: (reader.u64()?, reader.u64()?),
                previous: reader.text("previous")?,
                configuration: reader.bytes()?.to_vec(),
                names: reader.names()?,
                trial: reader.flag("trial")?,
                upgrades: Upgrades { tried: reader.u32()?, given_up: reader.text("given_up")? },
            },
            66 => Self::Inherited {
                run: reader.run()?,
                pid: reader.i32()?,
                exit: if reader.flag("exit")? { Some(reader.exit()?) } else { None },
                names: reader.names()?,
            },
            67 => Self::Ready,
            68 => Self::Exited { run: reader.run()?, pid: reader.i32()?, exit: reader.exit()? },
            69 => Self::OrphanReaped,
            70 => Self::Refused { run: reader.run()?, why: reader.text("why")? },
            71 => Self::Stop,
            72 => Self::Probe { number: reader.u32()? },
            73 => Self::Confirmed,
            kind => return Err(Malformed::Kind(kind)),
        };
        reader.end(message)
    }

    /// The names of the descriptors that travel with it.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::Welcome { names, .. } | Self::Inherited { names, .. } => names,
            Self::Ready
            | Self::Exited { .. }
            | Self::OrphanReaped
            | Self::Refused { .. }
            | Self::Stop
            | Self::Probe { .. }
            | Self::Confirmed => &[],
        }
    }

    /// The version that a welcome names, whatever else is in it: this much is the same in every version.
    #[must_use]
    pub fn version_of_welcome(bytes: &[u8]) -> Option<u16> {
        let mut reader = Reader(bytes);
        (reader.u8().ok()? == 65).then(|| reader.u16().ok()).flatten()
    }
}
