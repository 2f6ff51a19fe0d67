//! What has ended: the runs' processes, orphans, and the daemon itself.

use std::time::Instant;

use keeper::protocol::{How, ToDaemon};

use crate::{
    Failure,
    daemon::{Daemon, Leaving, Outgoing, Stage},
    first::Role,
    keep::{Keeper, MOST_ENDS, STABLE, bounded},
    process::{self, Ended, clock},
    say, sweep,
};

impl Keeper {
    /// Looks at what has ended: peek, attribute, note, tell, reap. The exit stays in the table until the run is
    /// released, so that no daemon's death can lose it.
    pub(crate) fn take_exits(&mut self) -> Result<(), Failure> {
        loop {
            // By its number first: a zombie that cannot be attributed yet would hide it from a peek at any.
            if let Some(pid) = self.daemon.as_ref().map(|daemon| daemon.pid)
                && let Some(ended) = process::reap(pid)
            {
                self.daemon_died(&ended)?;
            }
            self.unattributed = false;
            // A pid must not be used again before the next daemon has opened its pidfds.
            if self.daemon.as_ref().is_some_and(|daemon| daemon.stage < Stage::Adopted) {
                break;
            }
            let Some(ended) = process::peek() else { break };
            if self.daemon.as_ref().is_some_and(|daemon| daemon.pid == ended.pid) {
                continue;
            }
            if !self.runs.is_known(ended.pid) {
                self.hear_spawners();
            }
            if !self.attribute(&ended) {
                self.unattributed = true;
                self.take_known_exits();
                break;
            }
        }
        if let Some(daemon) = &mut self.daemon
            && std::mem::take(&mut daemon.orphans_told)
            && daemon.tell_orphans
            // One that waits to be sent says it of these, too.
            && !daemon.outbox.iter().any(Outgoing::is_of_orphans)
        {
            daemon.tell(ToDaemon::OrphanReaped);
        }
        Ok(())
    }

    /// Looks behind a zombie that has to wait: as long as a program is being executed, which may hang with its disk, nobody
    /// can say whether it is that one. Whoever is known does not wait for that.
    fn take_known_exits(&mut self) {
        for pid in process::children() {
            if self.runs.is_known(pid)
                && let Some(ended) = process::peek_at(pid)
            {
                self.attribute(&ended);
            }
        }
    }

    /// Reads what the spawner threads have sent. A run is announced before its process is made, so that whoever
    /// has ended and is still unknown after this is no run's main process, or one of a run that waits for it.
    fn hear_spawners(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        for index in 0..daemon.spawners.len() {
            if let Err(why) = self.take_spawner(&mut daemon, index) {
                daemon.end(&why);
            }
        }
        self.daemon = Some(daemon);
    }

    /// Deals with one child that has ended; false where it must stay a zombie for now.
    fn attribute(&mut self, ended: &Ended) -> bool {
        let Ended { pid, exit } = *ended;
        if self.first.ended(ended) {
            self.first.begins_anew = true;
        }
        match (self.runs.ended(pid, exit), &mut self.daemon) {
            (Some(run), Some(daemon)) => {
                daemon.tell(ToDaemon::Exited { run, pid, exit });
            }
            (Some(_), None) => {}
            // The next daemon finds out whose it is.
            (None, None) if !self.runs.is_failed(pid) && self.runs.awaits_a_pid() => return false,
            (None, Some(daemon)) => {
                // A process in the making may end before we are told whose it is.
                if !self.runs.is_failed(pid) && self.runs.awaits_a_pid() {
                    return false;
                }
                daemon.orphans_told = true;
            }
            (None, None) => {}
        }
        // Before it is reaped: somebody waits for the end, and nobody for the reaping.
        self.flush();
        self.runs.forget_pid(pid);
        process::reap(pid);
        true
    }

    fn daemon_died(&mut self, ended: &Ended) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        // What it had sent before it died still counts: processes it made, exits it recorded.
        drop(self.take_control(&mut daemon));
        for index in 0..daemon.spawners.len() {
            drop(self.take_spawner(&mut daemon, index));
        }
        if daemon.stage == Stage::Serving {
            self.slow_starts = 0;
        }
        let how = match ended.exit.how {
            How::Exited => format!("exit status {}", ended.exit.status),
            How::Killed => format!("signal {}", ended.exit.status),
            How::Dumped => format!("signal {}, core dumped", ended.exit.status),
        };
        let how = bounded(match daemon.why.take() {
            Some(why) => format!("{how}: {why}"),
            None => how,
        });
        if let Some(bound) = self.stopping {
            self.died_of_the_end(daemon, bound, &how);
            return Ok(());
        }
        self.overflow.deserted(clock());
        if daemon.on_trial {
            self.give_up(&daemon, &how);
        } else if let Some(leaving) = daemon.leaving.take() {
            self.succeed(&daemon, leaving, &how);
        } else {
            say(format_args!("the daemon (process {}) ended: {how}", daemon.pid));
            let by_itself = ended.exit.how == How::Exited;
            // A first process begins anew as a whole: what was read may have been mended since.
            let first = self.first.role != Role::Service;
            if (by_itself || first) && !self.ever_served && self.runs.is_empty() {
                // It cannot begin here, and has said why; whoever started us has to know.
                if !first && self.first.main.is_none() {
                    sweep::sweep(&self.signals, &self.tree);
                }
                self.place.leave();
                return Err(Failure::Told(1));
            }
            self.previous = format!("process {}: {how}", daemon.pid);
            self.back_off(clock().duration_since(daemon.born) >= STABLE);
            self.offer_shell_if_hopeless();
        }
        Ok(())
    }

    /// The daemon has died while everything ends, for which there is time until then.
    fn died_of_the_end(&mut self, mut daemon: Daemon, mut bound: Instant, how: &str) {
        // It was about to leave, and has not heard that everything is to end.
        if !daemon.on_trial
            && let Some(leaving) = daemon.leaving.take()
        {
            self.stop_by_the_next(bound);
            self.succeed(&daemon, leaving, how);
            return;
        }
        if daemon.stopped {
            return;
        }
        // One on trial has ended nothing yet, and how long that may take is not for what it was to try.
        if daemon.on_trial && clock() < bound {
            self.abandon_trial();
            bound = self.end_of_a_stop();
        }
        say(format_args!("the daemon (process {}) ended before its runs: {how}", daemon.pid));
        // What runs has its time all the same, and its end is told: the next one goes on with that.
        if !self.runs.is_empty() && self.ends < MOST_ENDS && clock() < bound {
            self.ends += 1;
            self.previous = format!("process {}: {how}", daemon.pid);
            self.stop_by_the_next(bound);
        }
    }

    /// A daemon on trial has died: the next one is of the program before, at once.
    fn give_up(&mut self, daemon: &Daemon, how: &str) {
        let Some(program) = self.trial.take() else { return };
        let pid = daemon.pid;
        let given_up = if self.abandon_trial() {
            format!(
                "the daemon with the other configuration (process {pid}) was not healthy, and that is given up: {how}; the one \
                 before is back"
            )
        } else {
            format!(
                "the daemon of {} (process {pid}) was not healthy and is given up: {how}; the one before, {}, is back",
                program.shown(),
                self.core.shown()
            )
        };
        say(format_args!("{given_up}"));
        self.previous.clone_from(&given_up);
        self.upgrades.given_up = given_up;
        // Keeper and daemon are of one release, and so is the daemon before and its keeper.
        self.next_keeper = self.keeper_before.take().map(|keeper| (keeper, false));
        self.failures = 0;
        self.next_start = clock();
    }

    /// A daemon has left so that another comes: at once, for it is no failure.
    fn succeed(&mut self, daemon: &Daemon, leaving: Leaving, how: &str) {
        say(format_args!("the daemon (process {}) is replaced: {}", daemon.pid, leaving.by));
        self.previous =
            bounded(format!("process {}: {how}: replaced by {}", daemon.pid, leaving.by));
        self.trial = leaving.core;
        self.next_keeper = leaving.keeper.map(|keeper| (keeper, true));
        self.failures = 0;
        self.next_start = clock();
    }
}
