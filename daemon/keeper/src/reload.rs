//! Another configuration for what runs already, on SIGHUP: it is read again, and the daemon makes room for one that has it,
//! on trial. What runs goes on, as at any end of a daemon.
//!
//! What it may say anew is the core's to judge, which gets both (`auraed-core configure --instead-of`). Where it is wrong, or
//! moves what cannot be moved while something runs, nothing changes.

use std::{ffi::OsString, fs::File, io::Write, time::Duration};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{
    Failure,
    daemon::Leaving,
    first::Role,
    keep::{Keeper, SettingsBefore},
    process, say,
    settings::{self, Settings},
};

/// How long that may take: meanwhile nobody is heard.
const READING: Duration = Duration::from_secs(5);
/// Where the core finds what it is to compare with: the descriptor after the one that it answers to.
const BEFORE: &str = "/proc/self/fd/4";

impl Keeper {
    /// Reads command line and file again, and goes by them from now on.
    pub(crate) fn reload(&mut self) {
        if self.is_changing() || self.is_ending() {
            say(format_args!(
                "SIGHUP: the daemon is being replaced, or ends; the configuration is not read: send it again when it serves"
            ));
            return;
        }
        match self.read_again().and_then(|settings| self.take_up(settings)) {
            Ok(()) => {}
            Err(Failure::Untold(why)) => {
                say(format_args!("SIGHUP: {why}; going on with the configuration as it was"));
            }
            Err(Failure::Told(_)) => {
                say(format_args!("SIGHUP: going on with the configuration as it was"));
            }
        }
    }

    fn read_again(&self) -> Result<Settings, Failure> {
        let given = self.first.arguments();
        match self.read_with(&given) {
            // As at the beginning: a machine goes on without words that mean nothing.
            Err(Failure::Told(settings::NOT_UNDERSTOOD)) if self.first.role == Role::Machine => {
                self.read_with(&[])
            }
            settings => settings,
        }
    }

    fn read_with(&self, given: &[OsString]) -> Result<Settings, Failure> {
        let mut before = File::from(memfd_create(c"auraed", MFdFlags::MFD_CLOEXEC)?);
        before.write_all(&self.settings.configuration)?;
        let mut words = self.first.words_for(given);
        words.extend(["--instead-of".into(), BEFORE.into()]);
        settings::demand(&self.core, words, (vec![before.into()], READING))
    }

    fn take_up(&mut self, settings: Settings) -> Result<(), Failure> {
        if settings.configuration == self.settings.configuration {
            say(format_args!("SIGHUP: the configuration is as it was; nothing changes"));
            return Ok(());
        }
        // The same program, on trial: where it cannot live with this, the configuration before is back.
        let core = self.core.again()?;
        say(format_args!(
            "SIGHUP: the configuration has changed; the daemon is replaced by one that goes by it"
        ));
        let shell = std::mem::replace(&mut self.first.shell, settings.rescue_shell.clone());
        let before = std::mem::replace(&mut self.settings, settings);
        self.settings_before = Some(SettingsBefore { settings: before, shell });
        match &mut self.daemon {
            Some(daemon) => {
                let by = "SIGHUP: another configuration".to_owned();
                daemon.leaving = Some(Leaving { by, core: Some(core), keeper: None });
                // Its death loses nothing, and an orderly one would take the time of whoever it serves.
                process::kill_child(daemon.pid);
            }
            None => self.trial = Some(core),
        }
        Ok(())
    }
}
