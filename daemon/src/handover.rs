//! The beginning of a daemon's life: what the keeper hands over.

use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
};

use keeper::{
    channel::{Channel, Patience},
    protocol::{
        API, CONTROL, Exit, How, Malformed, SPAWNER_CHANNELS, ToDaemon, ToKeeper, Upgrades, VERSION,
    },
};
use rustix::process::{Resource, getrlimit};
use units::{Cause, ProcessExit, ProcessUsage, RunId};

use crate::{
    configuration::{self, Configuration},
    held_sockets::HeldSockets,
    notify,
};

/// So many descriptors are made room for at once, as far as they may be open: those of 1,300 runs, in 64 KiB of the kernel's.
const DESCRIPTORS: i32 = 8192;

/// All that the keeper has for us.
pub(crate) struct Handover {
    /// For everything but spawning.
    pub(crate) control: Channel,
    /// One for each spawner thread.
    pub(crate) spawners: Vec<Channel>,
    /// What to go by.
    pub(crate) configuration: Configuration,
    /// The keeper's process.
    pub(crate) keeper: i32,
    /// How many daemons it has started, this one included.
    pub(crate) starts: u32,
    /// RLIMIT_NOFILE for runs: soft and hard.
    pub(crate) open_files: (u64, u64),
    /// How the daemon before ended; empty for the first.
    pub(crate) previous: String,
    /// Whether we are on trial.
    pub(crate) trial: bool,
    /// What became of upgrades before us.
    pub(crate) upgrades: Upgrades,
    /// The API's listener.
    pub(crate) listener: UnixListener,
    /// The socket of sd_notify(3), where an earlier daemon had the keeper hold it.
    pub(crate) notify: Option<OwnedFd>,
    /// The sockets of doors, where earlier daemons had the keeper hold them.
    pub(crate) sockets: Arc<HeldSockets>,
    /// Runs of earlier daemons.
    pub(crate) inherited: Vec<InheritedRun>,
}

/// A run of an earlier daemon.
pub(crate) struct InheritedRun {
    /// Its id.
    pub(crate) run: RunId,
    /// Its main process; 0 where that is not known.
    pub(crate) pid: i32,
    /// How its main process ended, if it has.
    pub(crate) exit: Option<ProcessExit>,
    /// What is held for it, by name.
    pub(crate) descriptors: Vec<(String, OwnedFd)>,
}

/// Why nothing could be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    /// Not executed by a keeper, or the keeper is gone.
    #[error("the channel to the keeper fails: {0}; run auraed, which executes this")]
    Channel(#[from] io::Error),
    /// The keeper closed the channel.
    #[error("the keeper closed the channel")]
    Closed,
    /// A message that cannot be read.
    #[error("the keeper sent a message that cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// Keeper and daemon are of different releases.
    #[error(
        "the keeper speaks version {0} of the protocol, and this daemon version {VERSION}: auraed and auraed-core have to \
         be of one release; install both, and start auraed again"
    )]
    Version(u16),
    /// A message out of turn.
    #[error("the keeper sent a message out of turn: {0}")]
    Turn(&'static str),
    /// Its configuration.
    #[error(transparent)]
    Configuration(#[from] configuration::ConfigurationError),
}

/// The channels that were inherited. To be taken before anything else opens a descriptor, which could have their numbers
/// where nothing was inherited, and before there is a second thread.
pub(crate) fn channels() -> Result<(Channel, Vec<Channel>), HandoverError> {
    let control = Channel::inherited(CONTROL)?;
    let spawners =
        SPAWNER_CHANNELS.into_iter().map(Channel::inherited).collect::<io::Result<_>>()?;
    make_room(&control);
    Ok((control, spawners))
}

/// Has the kernel make its table of our descriptors large at once, while one thread has it: to make one larger that threads
/// share it waits until no processor can be looking at the old one (`expand_fdtable` in fs/file.c), some ten milliseconds
/// each time that the number doubles.
fn make_room(control: &Channel) {
    let most = getrlimit(Resource::Nofile).current.and_then(|most| i32::try_from(most).ok());
    let last = most.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS)).saturating_sub(1);
    // Taken and given back.
    drop(rustix::io::fcntl_dupfd_cloexec(control, last));
}

/// Says hello, and takes everything but the runs. Until [`ToKeeper::Adopted`] is sent the keeper reaps nothing.
pub(crate) fn greet(
    (mut control, spawners): (Channel, Vec<Channel>),
) -> Result<Handover, HandoverError> {
    control.send(&ToKeeper::Hello { version: VERSION }.encode(), &[], Patience::Wait)?;
    let welcome = control.receive(Patience::Wait)?.ok_or(HandoverError::Closed)?;
    // First of all: another version's welcome may have other fields.
    match ToDaemon::version_of_welcome(&welcome.bytes) {
        Some(VERSION) => {}
        Some(version) => return Err(HandoverError::Version(version)),
        None => return Err(HandoverError::Turn("no welcome")),
    }
    let descriptors = welcome.descriptors;
    let ToDaemon::Welcome {
        keeper,
        starts,
        open_files,
        previous,
        configuration,
        trial,
        upgrades,
        names,
        ..
    } = ToDaemon::decode(&welcome.bytes)?
    else {
        return Err(HandoverError::Turn("no welcome"));
    };
    let mut held: HashMap<String, OwnedFd> = names.into_iter().zip(descriptors).collect();
    let listener = held.remove(API).ok_or(HandoverError::Turn("a welcome without a listener"))?;
    let notify = held.remove(notify::SOCKET);
    let sockets = Arc::new(HeldSockets::new(control.try_clone()?, held));
    Ok(Handover {
        control,
        spawners,
        configuration: Configuration::handed_on(&configuration)?,
        keeper,
        starts,
        open_files,
        previous,
        trial,
        upgrades,
        listener: UnixListener::from(listener),
        notify,
        sockets,
        inherited: Vec::new(),
    })
}

impl Handover {
    /// Takes the runs of earlier daemons, which the keeper tells one by one.
    pub(crate) fn inherit(&mut self) -> Result<(), HandoverError> {
        loop {
            match next(&mut self.control)? {
                (ToDaemon::Inherited { run, pid, exit, names }, descriptors) => {
                    self.inherited.push(InheritedRun {
                        run: RunId::from_bytes(run),
                        pid,
                        exit: exit.map(process_exit),
                        descriptors: names.into_iter().zip(descriptors).collect(),
                    });
                }
                (ToDaemon::Ready, _) => return Ok(()),
                _ => return Err(HandoverError::Turn("neither a run nor the end of them")),
            }
        }
    }
}

fn next(control: &mut Channel) -> Result<(ToDaemon, Vec<OwnedFd>), HandoverError> {
    let packet = control.receive(Patience::Wait)?.ok_or(HandoverError::Closed)?;
    Ok((ToDaemon::decode(&packet.bytes)?, packet.descriptors))
}

/// The keeper's word for an end, as the core has it.
pub(crate) fn process_exit(exit: Exit) -> ProcessExit {
    let cause = match exit.how {
        How::Exited => Cause::Exited(exit.status),
        How::Killed => Cause::Signalled { signal: exit.status, core_dumped: false },
        How::Dumped => Cause::Signalled { signal: exit.status, core_dumped: true },
    };
    ProcessExit {
        cause,
        at: exit.seen_at,
        usage: ProcessUsage { user_time: exit.user_time, system_time: exit.system_time },
    }
}

/// The same in the words of the protocol; none for an end that no process has.
pub(crate) fn told_exit(exit: &ProcessExit) -> Option<Exit> {
    let (how, status) = match exit.cause {
        Cause::Exited(status) => (How::Exited, status),
        Cause::Signalled { signal, core_dumped: false } => (How::Killed, signal),
        Cause::Signalled { signal, core_dumped: true } => (How::Dumped, signal),
        Cause::Failed(_) | Cause::Lost(_) => return None,
    };
    let ProcessUsage { user_time, system_time } = exit.usage;
    Some(Exit { status, how, user_time, system_time, seen_at: exit.at })
}
