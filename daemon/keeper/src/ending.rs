//! How a keeper's own life ends or begins again: what comes after an orderly end, and the keeper anew in its own place.

use keeper::protocol::Power;

use crate::{
    daemon::Leaving,
    first::{Aim, Role, init::Main},
    keep::Keeper,
    process::{self, clock},
    say,
};

impl Keeper {
    /// Begins an orderly end, after which comes this; what is wanted last counts. `now` is without order.
    pub(crate) fn end(&mut self, aim: Aim, now: bool) {
        let ends = self.is_ending();
        // Asked for the same once more, it is done at once.
        let now = now || (ends && self.first.aim == aim);
        say(format_args!("asked to {}{}", told(aim), if now { " at once" } else { "" }));
        self.first.aim = aim;
        if let Some(main) = &self.first.main {
            // A container's end is that of its main command; its own is waited for at the last.
            main.signal(libc::SIGTERM);
        }
        // Without order nobody is asked, the daemon neither.
        let asks = !now || self.daemon.is_none();
        if asks && !ends {
            self.stop();
        }
        if now {
            self.stopping = Some(clock());
        }
    }

    /// What the daemon was asked for, by somebody who may.
    pub(crate) fn power(&mut self) {
        if std::mem::take(&mut self.first.begins_anew) && !self.is_ending() {
            self.end(Aim::Boot, false);
        }
        // A container ends with its main command.
        let main_ended = self.first.main.as_ref().is_some_and(Main::has_ended);
        if main_ended && !self.is_ending() {
            self.stop();
        }
        let Some((power, force, by)) = self.first.asked.take() else { return };
        say(format_args!("power: ordered by {by}"));
        self.end(Aim::Power(power), force);
    }

    /// Keeper and daemon are executed again, from the programs that they are, with everything that runs as it is.
    pub(crate) fn execute_again(&mut self) {
        if self.is_ending() {
            return;
        }
        if self.is_changing() {
            say(format_args!(
                "SIGTERM: the daemon is being replaced; nothing is executed again: send it again when it serves"
            ));
            return;
        }
        let keeper = match self.keeper.again() {
            Ok(keeper) => keeper,
            Err(why) => {
                say(format_args!("cannot execute this program again: {why}; going on as it is"));
                return;
            }
        };
        say(format_args!("SIGTERM: keeper and daemon are executed again"));
        match &mut self.daemon {
            Some(daemon) => {
                let by = "SIGTERM to PID 1".to_owned();
                daemon.leaving.get_or_insert(Leaving { by, core: None, keeper: Some(keeper) });
                // Its death loses nothing, and an orderly one would take the time of whoever it serves.
                process::kill_child(daemon.pid);
            }
            None => self.next_keeper = Some((keeper, true)),
        }
    }

    /// For people, on request: what the keeper knows.
    pub(crate) fn tell_how_things_stand(&self) {
        #[cfg(debug_assertions)]
        panic_if_wanted();
        let daemon = self.daemon.as_ref().map_or(0, |daemon| daemon.pid);
        let previous = if self.previous.is_empty() { "none" } else { &self.previous };
        say(format_args!(
            "daemon {} (process {daemon}), {} runs, {} descriptors held, {} failures in a row; the daemon before: {previous}",
            self.starts,
            self.runs.ids().len(),
            self.runs.held(),
            self.failures,
        ));
    }

    /// A machine whose daemon dies again and again is worth a shell.
    pub(crate) fn offer_shell_if_hopeless(&mut self) {
        const HOPELESS: u32 = 5;
        if self.first.role == Role::Machine && self.failures >= HOPELESS {
            let why = format!("the daemon dies again and again: {}", self.previous);
            self.first.offer_shell(&why);
        }
    }
}

/// A fault that a test has asked for.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "a test asks for it")]
pub(crate) fn panic_if_wanted() {
    let wanted = std::path::Path::new("/run/aurae/panic");
    if std::env::var_os("AURAED_FAULTS_KEEPER").is_some() && std::fs::remove_file(wanted).is_ok() {
        panic!("a fault that was asked for");
    }
}

fn told(aim: Aim) -> &'static str {
    match aim {
        Aim::Leave => "end",
        Aim::Power(Power::Off) => "power off",
        Aim::Power(Power::Reboot) => "reboot",
        Aim::Power(Power::Halt) => "halt",
        Aim::Power(Power::Kexec) => "execute the kernel that is loaded",
        Aim::Rescue => "go into rescue",
        Aim::Boot => "boot, with all that is enabled",
    }
}
