//! A supervisor whose keeper was killed: it goes on with what runs, finds out by itself how main processes end, makes
//! nothing, and gives everything to the next keeper that asks.
//!
//! The same way of finding out serves a supervisor with a keeper, for runs that were made under one that was killed.
//! Invariants: such an end is exact or unknown, never guessed; whoever has everything is the only one to act on it.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    sync::Arc,
    time::Duration,
};

use keeper::protocol::{API, MAIN, OUTPUTS};
use nix::sys::{
    epoll::{EpollEvent, EpollFlags},
    signal::{SigSet, Signal, raise},
    signalfd::{SfdFlags, SignalFd},
};
use units::{Event, ProcessExit, RunId};

use super::{HEIRS, Held, Supervisor, Tracking, deeds};
use crate::{
    bequest::{Heirs, LeftRun},
    clock,
    handover::told_exit,
    held_sockets::HeldSockets,
    keeper_life::KeeperLife,
    news::News,
    notify,
    strangers::{self, Known},
};

/// How long it is waited for somebody to reap a process into which we may not look.
const UNREAPED: Duration = Duration::from_secs(2);

/// What is ready for the keeper's death.
pub(crate) struct Estate {
    /// Where the next keeper asks.
    pub(crate) heirs: Heirs,
    /// The API's, to be handed on.
    pub(crate) listener: UnixListener,
    /// Those of other doors, to be handed on too.
    pub(crate) sockets: Arc<HeldSockets>,
    /// The keeper's process.
    pub(crate) keeper: i32,
    /// Who else wants to know.
    pub(crate) life: Arc<KeeperLife>,
    /// SIGTERM, which ends everything in order where no keeper could.
    pub(crate) signals: SignalFd,
    /// Main processes that have ended, nobody knows how yet, and until when that is waited for.
    pub(crate) unreaped: Vec<(RunId, Duration)>,
}

/// Takes SIGTERM by a descriptor. To be called before there are other threads, which would still die of it.
pub(crate) fn take_signals_over() -> nix::Result<SignalFd> {
    let signals: SigSet = [Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

impl Supervisor {
    /// The keeper is gone.
    pub(super) fn lose_keeper(&mut self) {
        self.epoll.delete(&self.keeper).ok();
        self.estate.life.lose();
        self.herald.tell(News::Orphaned);
        let keeper = self.estate.keeper;
        tracing::error!(
            keeper,
            "the keeper was killed: what runs goes on, nothing can be started; start auraed again with the same folders, and it takes over"
        );
        self.look_everywhere();
        let runs: Vec<RunId> = self.held.keys().copied().collect();
        for run in runs {
            self.watch_stranger(run);
        }
        self.step(Event::KeeperLost);
        let wanted = EpollEvent::new(EpollFlags::EPOLLIN, HEIRS);
        if let Err(why) = self.epoll.add(&self.estate.heirs, wanted) {
            tracing::error!(%why, "no other keeper can take over; end this daemon with SIGTERM, which ends all that it runs");
        }
    }

    /// There are runs whose keeper was killed.
    pub(super) fn look_everywhere(&mut self) {
        if let Tracking::BestEffort(descendants) = &mut self.tracking {
            descendants.look_everywhere();
        }
    }

    /// Whether nobody tells us how this run's main process ends.
    pub(super) fn is_stranger(&self, run: RunId) -> bool {
        self.estate.life.is_lost() || self.held.get(&run).is_some_and(|held| held.stranger)
    }

    /// From here on we find out ourselves how its main process ends.
    pub(super) fn watch_stranger(&mut self, run: RunId) {
        let Some(held) = self.held.get_mut(&run) else { return };
        held.stranger = true;
        let Some(main) = &held.main else { return };
        let wanted = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(wanted, held.main_number);
        // It may have been watched for another reason, and that may have come to its end.
        let watched = self.epoll.modify(&main.process, &mut event);
        if let Err(why) = watched.or_else(|_| self.epoll.add(&main.process, event)) {
            tracing::error!(%run, %why, "cannot watch its main process; its end may stay unseen");
        }
    }

    /// A main process has ended that is no child of our keeper.
    pub(super) fn stranger_ended(&mut self, run: RunId) {
        if let Some(known) = self.known_of(run) {
            match known {
                Known::Exit(exit) => self.main_exited(run, exit),
                Known::Never(why) => self.main_lost(run, &why),
                Known::NotYet => {
                    let bound = clock::now().monotonic.saturating_add(UNREAPED);
                    self.estate.unreaped.push((run, bound));
                }
            }
        }
    }

    /// Looks again at those of which nothing could be known yet.
    pub(super) fn look_at_unreaped(&mut self) {
        let now = clock::now().monotonic;
        for (run, bound) in std::mem::take(&mut self.estate.unreaped) {
            match self.known_of(run) {
                None => {}
                Some(Known::Exit(exit)) => self.main_exited(run, exit),
                Some(Known::Never(why)) => self.main_lost(run, &why),
                Some(Known::NotYet) if now < bound => self.estate.unreaped.push((run, bound)),
                Some(Known::NotYet) => {
                    let why = format!(
                        "nobody has reaped it within {UNREAPED:?}, and we may not look into it"
                    );
                    self.main_lost(run, &why);
                }
            }
        }
    }

    fn known_of(&self, run: RunId) -> Option<Known> {
        self.held.get(&run)?.main.as_ref().map(strangers::look)
    }

    /// The main process of a run has ended so.
    pub(super) fn main_exited(&mut self, run: RunId, exit: ProcessExit) {
        deeds::drop_main(self, run);
        if let Some(held) = self.held.get_mut(&run) {
            held.exit = told_exit(&exit).map(Box::new);
        }
        let empty = deeds::is_empty(self, run);
        self.step(Event::MainExited { run, exit, empty });
    }

    fn main_lost(&mut self, run: RunId, why: &str) {
        deeds::drop_main(self, run);
        let empty = deeds::is_empty(self, run);
        let why = format!("its keeper was killed, and how it ended is unknown: {why}");
        tracing::warn!(%run, why, "status unknown");
        self.step(Event::MainLost { run, why, empty });
    }

    /// SIGTERM: without a keeper, an order to end everything; with one, what it always was.
    pub(super) fn take_signals(&mut self) {
        while let Ok(Some(_)) = self.estate.signals.read_signal() {
            // It may have been killed just before.
            if !self.take_keeper() {
                self.lose_keeper();
            }
            if !self.estate.life.is_lost() {
                let deadly: SigSet = [Signal::SIGTERM].into_iter().collect();
                deadly.thread_unblock().ok();
                raise(Signal::SIGTERM).ok();
            } else if self.shut_down.is_none() {
                self.stop();
            }
        }
    }

    /// Somebody asks for all that we hold.
    pub(super) fn take_heir(&mut self) {
        let Some(mut heir) = self.estate.heirs.next() else { return };
        // What spawner threads have said by now is known to the ledger, and to the heir.
        self.take_inbox();
        let runs = self.held.iter().map(|(run, held)| self.left(*run, held));
        let doors = self.estate.sockets.copies();
        let mut listeners =
            vec![(API, self.estate.listener.as_fd()), (notify::SOCKET, self.notify.as_fd())];
        listeners.extend(doors.iter().map(|(door, socket)| (door.as_str(), socket.as_fd())));
        match heir.give(self.estate.keeper, &listeners, runs) {
            Ok(()) => {
                let runs = self.held.len();
                tracing::info!(
                    runs,
                    "another keeper has taken over; ending, with every run as it is"
                );
                self.herald.tell(News::Bequeathed);
                self.leaving = true;
            }
            Err(why) => {
                tracing::error!(%why, "another keeper asked for all that is held here, and did not take it; going on without");
            }
        }
    }

    /// A run as the heir gets it.
    fn left(&self, run: RunId, held: &Held) -> LeftRun {
        let outputs = self.logs.outputs(run);
        let mut given: Vec<(&'static str, OwnedFd)> =
            outputs.into_iter().flat_map(|outputs| OUTPUTS.into_iter().zip(outputs)).collect();
        let main =
            held.main.as_ref().and_then(|main| main.process.as_fd().try_clone_to_owned().ok());
        given.extend(main.map(|main| (MAIN, main)));
        LeftRun { run, pid: held.pid, exit: held.exit.as_deref().copied(), held: given }
    }
}
