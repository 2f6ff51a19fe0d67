//! The daemon that runs, as the keeper sees it: its channels, how far it has come, and what it must not do.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use keeper::{
    channel::{Channel, Packet, Patience},
    protocol::{CHANNELS, Malformed, Run, ToDaemon, VERSION},
};

use crate::{
    Failure,
    owed::{Bounds, Owed},
    process::{self, clock},
    program::Program,
    say,
};

/// How long a daemon that has closed its channel may take to end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How far a daemon has come (the numbers of `protocol`'s module text).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Greeting,
    Adopting,
    Adopted,
    Serving,
}

/// What waits to be sent on the control channel.
pub(crate) enum Outgoing {
    /// Boxed: a thousand runs wait to be told, and each would take the room of the longest message.
    Message(Box<ToDaemon>),
    /// Encoded when it is sent, since it needs the table's descriptors.
    Inherit(Run),
}

impl Outgoing {
    /// Whether it tells that orphans have been reaped.
    pub(crate) fn is_of_orphans(&self) -> bool {
        matches!(self, Self::Message(message) if matches!(**message, ToDaemon::OrphanReaped))
    }
}

/// The daemon that runs.
pub(crate) struct Daemon {
    pub(crate) pid: i32,
    pub(crate) born: Instant,
    pub(crate) stage: Stage,
    pub(crate) control: Channel,
    pub(crate) spawners: Vec<Channel>,
    /// Bounded by the runs, each of which is inherited once and exits once, and one word each of the rest.
    pub(crate) outbox: VecDeque<Outgoing>,
    pub(crate) tell_orphans: bool,
    pub(crate) orphans_told: bool,
    /// It said that its spawner threads' channels are worth reading.
    pub(crate) queued: bool,
    /// It said that everything has ended.
    pub(crate) stopped: bool,
    /// It closed its channel: nothing more is to be heard of it but its end.
    pub(crate) gone: bool,
    /// What it owes an answer to.
    pub(crate) owed: Owed,
    /// Its program is new, and has not shown yet that it is healthy.
    pub(crate) on_trial: bool,
    /// Why it ends, as far as that was said: by us who end it, or by itself.
    pub(crate) why: Option<String>,
    /// It leaves in order, so that another comes.
    pub(crate) leaving: Option<Leaving>,
}

/// Why a daemon leaves, and what comes after it.
pub(crate) struct Leaving {
    /// Who wants it, and why.
    pub(crate) by: String,
    /// Its program, where that is to be another.
    pub(crate) core: Option<Program>,
    /// Ours, where that is to be another.
    pub(crate) keeper: Option<Program>,
}

impl Daemon {
    /// Executes the next one, with its ends of the channels.
    pub(crate) fn start(core: &Program, bounds: Bounds, on_trial: bool) -> Result<Self, Failure> {
        let pairs = (0..CHANNELS).map(|_| Channel::pair()).collect::<Result<Vec<_>, _>>()?;
        let (mut ours, theirs): (VecDeque<_>, Vec<_>) = pairs.into_iter().unzip();
        let theirs = theirs.into_iter().map(Channel::into_descriptor).collect();
        let arguments = vec!["auraed-core".into(), "serve".into()];
        let pid = process::start(core, arguments, theirs)?;
        let control = ours.pop_front().ok_or_else(|| Failure::Untold(String::new()))?;
        let born = clock();
        Ok(Self {
            pid,
            born,
            stage: Stage::Greeting,
            control,
            spawners: ours.into(),
            outbox: VecDeque::new(),
            tell_orphans: false,
            orphans_told: false,
            queued: false,
            stopped: false,
            gone: false,
            owed: Owed::new(bounds, born),
            on_trial,
            why: None,
            leaving: None,
        })
    }

    /// Ends it for a breach of the protocol; its exit is seen as any other. One that closed its channel is most likely on
    /// its way out, and how it ends is worth to know, so that it has a moment.
    pub(crate) fn end(&mut self, why: &Breach) {
        match why {
            Breach::Gone => {
                self.gone = true;
                self.owed.leaves(clock(), LAST_MOMENT);
            }
            Breach::Version(_)
            | Breach::Channel
            | Breach::Malformed(_)
            | Breach::Socket(_)
            | Breach::Answer => self.end_because(why.to_string()),
        }
    }

    /// Ends it; its exit is seen as any other.
    pub(crate) fn end_because(&mut self, why: String) {
        if self.why.is_none() {
            say(format_args!("the daemon (process {}) is ended: {why}", self.pid));
            self.why = Some(why);
        }
        process::kill_child(self.pid);
    }

    /// Says something on the control channel, when there is room.
    pub(crate) fn tell(&mut self, message: ToDaemon) {
        self.outbox.push_back(Outgoing::Message(Box::new(message)));
    }
}

/// What a daemon must not do; it is ended for it.
pub(crate) enum Breach {
    /// It closed its end: it is dead or dying, or it makes no sense any more.
    Gone,
    Version(u16),
    Channel,
    Malformed(Malformed),
    Socket(std::io::Error),
    /// It answered what was never said.
    Answer,
}

impl From<Malformed> for Breach {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl From<std::io::Error> for Breach {
    fn from(why: std::io::Error) -> Self {
        Self::Socket(why)
    }
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("it closed its channel"),
            Self::Version(theirs) => {
                write!(
                    f,
                    "it speaks version {theirs} of the protocol, and the keeper version {VERSION}: auraed and \
                     auraed-core have to be of one release; install both, and start auraed again"
                )
            }
            Self::Channel => f.write_str("it sent a message on a channel that is not for it"),
            Self::Malformed(why) => write!(f, "it sent a message that cannot be read: {why}"),
            Self::Socket(why) => write!(f, "its channel fails: {why}"),
            Self::Answer => f.write_str("it answered what it was never told"),
        }
    }
}

/// The next packet, if one is there.
pub(crate) fn next(channel: &mut Channel) -> Result<Option<Packet>, Breach> {
    match channel.receive(Patience::Now) {
        Ok(Some(packet)) => Ok(Some(packet)),
        Ok(None) => Err(Breach::Gone),
        Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// That a spawner thread's end is gone says nothing; the control channel and the exit do.
pub(crate) fn unless_gone(
    packet: Result<Option<Packet>, Breach>,
) -> Result<Option<Packet>, Breach> {
    match packet {
        Err(Breach::Gone) => Ok(None),
        other => other,
    }
}
