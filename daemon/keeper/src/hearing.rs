//! What the daemon says, and what becomes of it. A daemon that breaks the protocol is ended; nothing that it can say ends
//! the keeper.

use std::path::Path;

use keeper::{
    channel::Packet,
    protocol::{CORE, KEEPER, MAX_DESCRIPTORS, Malformed, Run, ToDaemon, ToKeeper, VERSION},
};

use crate::{
    daemon::{Breach, Daemon, Leaving, Outgoing, Stage, next, unless_gone},
    first::Role,
    keep::{Keeper, RESERVED_DESCRIPTORS},
    process::{self, clock},
    program::Program,
    say,
};

impl Keeper {
    /// Takes the daemon's messages; whether one changes what may be reaped.
    pub(crate) fn take_messages(&mut self, ready: &[bool]) -> bool {
        if !ready.contains(&true) {
            return false;
        }
        let Some(mut daemon) = self.daemon.take() else { return false };
        let taken = self.take_channels(&mut daemon, ready);
        let changes = taken.unwrap_or_else(|why| {
            daemon.end(&why);
            true
        });
        self.daemon = Some(daemon);
        changes
    }

    fn take_channels(&mut self, daemon: &mut Daemon, ready: &[bool]) -> Result<bool, Breach> {
        let (control, spawners) = ready.split_first().unwrap_or((&true, &[]));
        let adopted = *control && self.take_control(daemon)?;
        let mut known = false;
        if std::mem::take(&mut daemon.queued) || spawners.contains(&true) {
            for index in 0..daemon.spawners.len() {
                known |= self.take_spawner(daemon, index)?;
            }
        }
        Ok(adopted | (known && self.unattributed))
    }

    /// Whether the daemon says that reaping may go on.
    pub(crate) fn take_control(&mut self, daemon: &mut Daemon) -> Result<bool, Breach> {
        let mut adopted = false;
        while let Some(packet) = next(&mut daemon.control)? {
            match ToKeeper::decode(&packet.bytes)? {
                ToKeeper::Hello { version } if version == VERSION => self.welcome(daemon)?,
                ToKeeper::Hello { version } => return Err(Breach::Version(version)),
                ToKeeper::Adopted { tell_orphans, tree } => {
                    daemon.stage = Stage::Adopted;
                    adopted = true;
                    daemon.tell_orphans = tell_orphans;
                    if !tree.is_empty() {
                        self.tree = Path::new(&*String::from_utf8_lossy(&tree)).to_path_buf();
                    }
                }
                ToKeeper::Serving => self.serves(daemon),
                ToKeeper::Stopped => daemon.stopped = true,
                ToKeeper::Heard { messages } if daemon.owed.hear(messages, clock()) => {}
                ToKeeper::Heard { .. } => return Err(Breach::Answer),
                ToKeeper::Probed { number } => {
                    if daemon.owed.probed(number) && daemon.on_trial {
                        self.confirm(daemon);
                    }
                }
                ToKeeper::Hold { names } => self.hold_shared(names, packet)?,
                ToKeeper::Queued => daemon.queued = true,
                ToKeeper::Disconnected { at } => daemon.owed.disconnected(process::moment(at)),
                ToKeeper::Failing { why } => {
                    daemon.owed.leaves(clock(), self.settings.answer_timeout);
                    daemon.why.get_or_insert(why);
                }
                // Only a first process can end more than itself; the daemon asks no other.
                ToKeeper::Power { power, force, by } if self.first.role != Role::Service => {
                    self.first.asked = Some((power, force, by));
                }
                ToKeeper::Power { .. } => return Err(Breach::Channel),
                ToKeeper::Replace { by, paths, names } => {
                    self.replace(daemon, (by, paths, names), packet)?;
                }
                ToKeeper::Release { .. }
                | ToKeeper::Spawning { .. }
                | ToKeeper::Spawned { .. }
                | ToKeeper::NotSpawned { .. } => return Err(Breach::Channel),
            }
        }
        Ok(adopted)
    }

    /// Whether a process that could not be attributed now can be.
    pub(crate) fn take_spawner(
        &mut self,
        daemon: &mut Daemon,
        index: usize,
    ) -> Result<bool, Breach> {
        let Some(spawner) = daemon.spawners.get_mut(index) else { return Ok(false) };
        let mut known = false;
        while let Some(packet) = unless_gone(next(spawner))? {
            match ToKeeper::decode(&packet.bytes)? {
                ToKeeper::Spawning { run, names } => {
                    if let Err(why) = self.hold(run, names, packet) {
                        // Without descriptors; its process is ours to reap all the same.
                        self.runs.hold(run, Vec::new());
                        let refused = Box::new(ToDaemon::Refused { run, why });
                        daemon.outbox.push_back(Outgoing::Message(refused));
                    }
                }
                ToKeeper::Spawned { run, pid } => {
                    self.runs.spawned(run, pid);
                    known = true;
                }
                ToKeeper::NotSpawned { run, pid } => {
                    self.runs.not_spawned(&run, pid);
                    known = true;
                }
                ToKeeper::Release { run } => {
                    self.runs.release(&run);
                    // It may have been the one that an unknown zombie was held back for.
                    known = true;
                }
                ToKeeper::Hello { .. }
                | ToKeeper::Adopted { .. }
                | ToKeeper::Serving
                | ToKeeper::Stopped
                | ToKeeper::Heard { .. }
                | ToKeeper::Probed { .. }
                | ToKeeper::Hold { .. }
                | ToKeeper::Queued
                | ToKeeper::Disconnected { .. }
                | ToKeeper::Failing { .. }
                | ToKeeper::Power { .. }
                | ToKeeper::Replace { .. } => return Err(Breach::Channel),
            }
        }
        Ok(known)
    }

    fn hold(&mut self, run: Run, names: Vec<String>, packet: Packet) -> Result<(), String> {
        let wanted = u64::try_from(self.runs.held() + names.len()).unwrap_or(u64::MAX);
        if wanted > self.open_files.1.saturating_sub(RESERVED_DESCRIPTORS) {
            return Err(format!(
                "the keeper holds {} descriptors, and its limit is {} less {RESERVED_DESCRIPTORS}",
                self.runs.held(),
                self.open_files.1
            ));
        }
        if packet.truncated || packet.descriptors.len() != names.len() {
            return Err("the descriptors did not all arrive".to_owned());
        }
        let named = names.into_iter().zip(packet.descriptors).collect();
        if self.runs.hold(run, named) { Ok(()) } else { Err("the run is known already".to_owned()) }
    }

    /// Holds what is no run's. Their number is bounded by that of the names that daemons have for them.
    fn hold_shared(&mut self, names: Vec<String>, packet: Packet) -> Result<(), Breach> {
        if packet.truncated || packet.descriptors.len() != names.len() {
            return Err(Malformed::Field("names").into());
        }
        for (name, held) in names.into_iter().zip(packet.descriptors) {
            self.shared.retain(|(known, _)| *known != name);
            if self.shared.len() + 1 < MAX_DESCRIPTORS {
                self.shared.push((name, held));
            }
        }
        Ok(())
    }

    /// It serves. One that is on trial has to show that its threads answer, too.
    fn serves(&mut self, daemon: &mut Daemon) {
        daemon.stage = Stage::Serving;
        self.overflow.served();
        daemon.owed.serves();
        if daemon.on_trial {
            let number = daemon.owed.probe(clock());
            daemon.tell(ToDaemon::Probe { number });
        }
        // Once: a service is ready for good, whichever daemon serves.
        if !std::mem::replace(&mut self.ever_served, true) {
            self.notify.tell("READY=1");
        }
    }

    /// It is healthy: from here on its program is the daemon's.
    fn confirm(&mut self, daemon: &mut Daemon) {
        daemon.on_trial = false;
        if let Some(program) = self.trial.take() {
            self.core = program;
        }
        self.keeper_before = None;
        if self.settings_before.take().is_some() {
            self.upgrades.given_up.clear();
        }
        daemon.tell(ToDaemon::Confirmed);
    }

    /// It leaves, so that another comes. What it brings is executed when it is gone.
    fn replace(
        &mut self,
        daemon: &mut Daemon,
        (by, paths, names): (String, Vec<String>, Vec<String>),
        packet: Packet,
    ) -> Result<(), Breach> {
        let complete = !packet.truncated && packet.descriptors.len() == names.len();
        if !complete || paths.len() != names.len() {
            return Err(Malformed::Field("names").into());
        }
        let mut leaving = Leaving { by, core: None, keeper: None };
        for ((name, path), file) in names.iter().zip(paths).zip(packet.descriptors) {
            let program = Program { file, path: path.into() };
            match name.as_str() {
                CORE => leaving.core = Some(program),
                KEEPER => leaving.keeper = Some(program),
                _ => return Err(Malformed::Field("names").into()),
            }
        }
        if leaving.core.is_some() {
            self.upgrades.tried = self.upgrades.tried.saturating_add(1);
            self.upgrades.given_up.clear();
        }
        daemon.owed.leaves(clock(), self.settings.answer_timeout);
        // It was killed for another configuration when it said so.
        if daemon.leaving.take().is_some() && self.abandon_trial() {
            say(format_args!("SIGHUP: another program came first; send it again when it serves"));
        }
        daemon.leaving = Some(leaving);
        Ok(())
    }
}
