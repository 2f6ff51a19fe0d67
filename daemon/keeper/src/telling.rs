//! What the daemon is told: everything, at the beginning of its life, and then what happens.

use std::os::fd::{AsFd, BorrowedFd};

use keeper::{
    channel::Patience,
    protocol::{API, ToDaemon, VERSION},
};

use crate::{
    daemon::{Breach, Daemon, Outgoing, Stage},
    keep::Keeper,
    process::clock,
};

impl Keeper {
    /// The beginning of a daemon's life: everything it has to know.
    pub(crate) fn welcome(&self, daemon: &mut Daemon) -> Result<(), Breach> {
        let names = self.shared.iter().map(|(name, _)| name.clone());
        let shared = self.shared.iter().map(|(_, held)| held.as_fd());
        let descriptors: Vec<BorrowedFd<'_>> =
            std::iter::once(self.place.listener.as_fd()).chain(shared).collect();
        let message = ToDaemon::Welcome {
            version: VERSION,
            keeper: std::process::id().try_into().unwrap_or(0),
            starts: self.starts,
            open_files: self.open_files,
            previous: self.previous.clone(),
            configuration: self.settings.configuration.clone(),
            names: std::iter::once(API.to_owned()).chain(names).collect(),
            trial: daemon.on_trial,
            upgrades: self.upgrades.clone(),
        };
        daemon.control.send(&message.encode(), &descriptors, Patience::Now)?;
        daemon.stage = Stage::Adopting;
        // Before what waits already: nothing is told to a daemon that does not know the rest.
        let waiting = std::mem::take(&mut daemon.outbox);
        daemon.outbox.extend(self.runs.ids().into_iter().map(Outgoing::Inherit));
        daemon.tell(ToDaemon::Ready);
        daemon.outbox.extend(waiting);
        Ok(())
    }

    /// Sends what waits, as far as the daemon takes it.
    pub(crate) fn flush(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.stage == Stage::Greeting {
            return;
        }
        let now = clock();
        while let Some(next) = daemon.outbox.front() {
            let sent = match next {
                Outgoing::Message(message) => {
                    daemon.control.send(&message.encode(), &[], Patience::Now)
                }
                Outgoing::Inherit(run) => match self.runs.get(run) {
                    None => Ok(()),
                    Some(entry) => {
                        let names: Vec<_> =
                            entry.descriptors.iter().map(|(name, _)| name.to_string()).collect();
                        let descriptors: Vec<BorrowedFd<'_>> =
                            entry.descriptors.iter().map(|(_, held)| held.as_fd()).collect();
                        let (run, pid, exit) = (*run, entry.pid, entry.exit());
                        let message = ToDaemon::Inherited { run, pid, exit, names };
                        daemon.control.send(&message.encode(), &descriptors, Patience::Now)
                    }
                },
            };
            match sent {
                Ok(()) => match daemon.outbox.pop_front() {
                    // The beginning is answered by Adopted and Serving.
                    Some(Outgoing::Message(message)) if !matches!(*message, ToDaemon::Ready) => {
                        daemon.owed.say(now);
                    }
                    None | Some(Outgoing::Inherit(_) | Outgoing::Message(_)) => {}
                },
                // Full: poll tells when there is room. Gone: its exit tells.
                Err(_) => return,
            }
        }
    }
}
