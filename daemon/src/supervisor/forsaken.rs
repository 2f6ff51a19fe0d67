//! Going on with runs whose keeper was killed: they are nobody's children whom we know.
//!
//! Where their daemon lived on it has handed over their pipes and their main processes, which are theirs whatever their
//! numbers say; nothing is lost then. Where it was killed too ("forsaken" runs) they are found by what was kept, by when
//! their processes began and by where they live: their outputs are gone, and an end that nobody saw is unknown.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use keeper::protocol::{MAIN, ToKeeper};
use nix::unistd::Pid;
use spawn::PidFd;
use units::{
    Event, RunId,
    kept::{Fate, Identity},
};

use super::{Supervisor, adoption::Place};
use crate::{
    clock,
    processes::{self, Main},
    runfile::{Kept, Unreadable},
    spawning::log_of,
};

impl Supervisor {
    /// Takes the main process out of what is held for a run; whether that was made under a keeper that was killed. Its
    /// outputs were finished, or could not be handed over, where they are not there.
    pub(super) fn take_stranger(
        &mut self,
        run: RunId,
        pid: i32,
        held: &mut Vec<(String, OwnedFd)>,
        taken_over: bool,
    ) -> bool {
        let at = held.iter().position(|(name, _)| name == MAIN);
        let main = at.map(|at| held.swap_remove(at).1);
        let stranger = main.is_some() || (taken_over && pid != 0);
        if !stranger {
            return false;
        }
        if held.is_empty() {
            held.extend(ended_outputs());
        }
        self.look_everywhere();
        self.estrange(run, pid);
        if let Some(process) = main.filter(|_| !self.core.is_past(run)) {
            super::deeds::hold_main(self, run, Main { pid, process: process.into() });
        }
        true
    }

    pub(super) fn has_main(&self, run: RunId) -> bool {
        self.held.get(&run).is_some_and(|held| held.main.is_some())
    }

    fn estrange(&mut self, run: RunId, pid: i32) {
        if let Some(held) = self.held.get_mut(&run) {
            (held.stranger, held.pid) = (true, pid);
        }
    }

    /// A run that the keeper does not know, since the one before was killed, and its daemon too.
    pub(super) fn examine_forsaken(
        &mut self,
        identity: &Identity,
        kept_pid: i32,
        file: &Result<Kept, Unreadable>,
        place: &Place,
    ) -> Fate {
        let run = identity.run;
        self.look_everywhere();
        let pid = match (kept_pid, file) {
            (0, Err(Unreadable::Missing)) => return self.never_made(run),
            (0, Ok(file)) if !file.made && place.all_born => return self.never_made(run),
            (0, Ok(file)) if !file.made => {
                return self.lost(run, "its process may still be on its way to its program");
            }
            (0, Ok(_)) => processes::made_for(None, |pid| self.is_of(run, pid)).unwrap_or(0),
            (0, Err(why)) => return self.lost(run, &why.to_string()),
            (pid, _) => pid,
        };
        self.attach(run, log_of(&identity.name, identity.anonymous), ended_outputs());
        let (at, began) = file.as_ref().map_or((0, 0), |file| (file.ordered_at, file.began));
        self.logs.started(run, pid, u64::try_from(at).unwrap_or(0)).ok();
        self.estrange(run, pid);
        if !self.core.is_past(run) {
            match self.open_forsaken(run, pid, began) {
                Ok(process) => self.hold_forsaken(run, Main { pid, process }, place),
                Err(why) => return self.lost(run, &why),
            }
        }
        let empty = !self.has_main(run) && super::deeds::is_empty(self, run);
        Fate::Executed { pid, at, exit: None, empty }
    }

    /// The keeper has never heard of it.
    fn never_made(&mut self, run: RunId) -> Fate {
        let fate = self.unmade(run);
        self.unmade.remove(&run);
        fate
    }

    /// Holds the main process of a run that was handed over without it, where it could still be alive.
    pub(super) fn find_stranger(&mut self, run: RunId, pid: i32, began: u64) -> Result<(), String> {
        if !self.has_main(run) && !self.core.is_past(run) {
            let process = self.open_forsaken(run, pid, began)?;
            super::deeds::hold_main(self, run, Main { pid, process });
        }
        Ok(())
    }

    /// Opens its main process, if that is still there.
    fn open_forsaken(&self, run: RunId, pid: i32, began: u64) -> Result<PidFd, String> {
        let gone = || {
            "its keeper and its daemon were killed, and it ended before others came: how is unknown"
                .to_owned()
        };
        let process = PidFd::open(Pid::from_raw(pid)).map_err(|_| gone())?;
        // By its number it could be anybody's.
        let is_it = match (began, processes::began(pid)) {
            (_, None) => false,
            (0, Some(_)) => self.is_of(run, pid),
            (began, Some(now)) => began == now,
        };
        if is_it { Ok(process) } else { Err(gone()) }
    }

    /// Goes on with it, and has the keeper hold its main process for the next daemon.
    fn hold_forsaken(&mut self, run: RunId, main: Main, place: &Place) {
        let pid = main.pid;
        tracing::warn!(%run, pid, "its keeper and its daemon were killed: its outputs were closed then, and what it prints is lost");
        let spawning = ToKeeper::Spawning { run: run.to_bytes(), names: vec![MAIN.to_owned()] };
        let spawned = ToKeeper::Spawned { run: run.to_bytes(), pid };
        let process = [main.process.as_fd()];
        // A keeper that is gone, too, is found out by the loop.
        drop(place.spawner.send(&spawning, &process));
        place.spawner.tell(&spawned);
        super::deeds::hold_main(self, run, main);
        // In its log and with its unit, where who looks for its lines will look.
        self.logs.closed(run, u64::try_from(clock::now().wall).unwrap_or(0)).ok();
        let why = OUTPUTS_LOST.to_owned();
        self.events.push_back(Event::OutputsLost { run, why });
    }
}

/// What is said of a run that lives, and prints to nobody.
const OUTPUTS_LOST: &str = "its outputs were closed when auraed and its daemon were killed: what it prints since is lost; \
     restart it to have its lines again";

/// Outputs that are at their end, for a run whose own are gone: its log goes on, and has its end.
fn ended_outputs() -> Vec<(String, OwnedFd)> {
    let ended = || io::pipe().map(|(reader, _)| OwnedFd::from(reader));
    let outputs = [("stdout", ended()), ("stderr", ended())];
    outputs.into_iter().filter_map(|(name, end)| Some((name.to_owned(), end.ok()?))).collect()
}
