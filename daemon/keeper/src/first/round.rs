//! One round of a first process: from settings and folders to a keeper, and with that to its end. Where a part of it cannot
//! be had, what does without it is tried, so that the API answers and says what is wrong.

use std::{ffi::OsString, time::Duration};

use super::{First, Role, signals};
use crate::{
    Failure,
    keep::Keeper,
    place::{self, Locks},
    process::{self, clock},
    program::Program,
    say,
    settings::{self, Settings},
};

/// Where state is kept where it can be kept nowhere else, below the runtime folder: in memory, and so until the next boot.
pub(super) const IN_MEMORY: &str = "volatile";
/// How long the disk of the state folder may take until it is held for one that hangs.
const DISKS: Duration = Duration::from_secs(30);
/// So many daemons in a row may die before they serve, until it is tried with state in memory.
const BEGINNINGS: u32 = 3;

impl First {
    /// Begins, where nobody has begun already, and keeps.
    pub(super) fn round(&mut self, taken_over: Option<Keeper>) -> Result<(), Failure> {
        let mut keeper = match taken_over {
            Some(keeper) => keeper,
            None => self.begin()?,
        };
        self.aim = super::Aim::Leave;
        if self.line.rescue {
            self.offer_shell("this is rescue: nothing enabled is started");
        }
        keeper.first = std::mem::take(self);
        let kept = keeper.keep();
        *self = std::mem::take(&mut keeper.first);
        if keeper.ever_served {
            self.failed = 0;
        }
        kept
    }

    fn begin(&mut self) -> Result<Keeper, Failure> {
        let core = Program::open(&process::beside_us("auraed-core")?)?;
        let mut settings = self.ask(&core)?;
        self.shell.clone_from(&settings.rescue_shell);
        self.runtime_dir.clone_from(&settings.runtime_dir);
        if self.failed >= BEGINNINGS && self.volatile.is_none() {
            let folder = settings.state_dir.display();
            self.keep_in_memory(format_args!("no daemon could begin with the state in {folder}"));
            settings = self.ask(&core)?;
        }
        let locks = match self.lock_folders(&settings) {
            Err(Failure::Untold(why)) if self.volatile.is_none() => {
                self.keep_in_memory(format_args!("{why}"));
                settings = self.ask(&core)?;
                place::lock_folders(&settings)?
            }
            locks => locks?,
        };
        self.state_dir.clone_from(&settings.state_dir);
        self.load_seed();
        let signals = match &self.main {
            Some(_) => signals::take_all()?,
            None => signals::take(self.role)?,
        };
        crate::begin(core, settings, (locks, signals))
    }

    /// Locks the folders, where their disks answer: a machine's first process does not touch one before a child of it has.
    fn lock_folders(&self, settings: &Settings) -> Result<Locks, Failure> {
        if self.role == Role::Machine {
            // What is wrong is told by our own attempt.
            let child = process::branch(|| u8::from(place::lock_folders(settings).is_err()))?;
            if !process::wait_within(child, clock() + DISKS) {
                process::kill_child(child);
                return Err(Failure::Untold(format!(
                    "the disk of {} does not answer within {DISKS:?}",
                    settings.state_dir.display()
                )));
            }
        }
        place::lock_folders(settings)
    }

    /// From now on state is kept where it dies with the boot.
    fn keep_in_memory(&mut self, why: std::fmt::Arguments<'_>) {
        let folder = self.runtime_dir.join(IN_MEMORY);
        let why = format!(
            "{why}; so state is kept in {} until the next boot, and nothing enabled is known: mend that, and start again",
            folder.display()
        );
        say(format_args!("{why}"));
        self.volatile = Some(why);
    }

    /// Has the core read the configuration, with what we know besides.
    fn ask(&self, core: &Program) -> Result<Settings, Failure> {
        let given = self.arguments();
        match self.ask_with(core, &given) {
            Err(Failure::Told(why)) if self.role == Role::Machine && !given.is_empty() => {
                say(format_args!("going on without the words {given:?} (exit status {why})"));
                self.ask_with(core, &[])
            }
            settings => settings,
        }
    }

    fn ask_with(&self, core: &Program, given: &[OsString]) -> Result<Settings, Failure> {
        settings::demand(core, self.words_for(given), (Vec::new(), settings::READING))
    }

    /// What the core is told, with these words of our own command line.
    pub(crate) fn words_for(&self, given: &[OsString]) -> Vec<OsString> {
        let mut told: Vec<OsString> = vec!["--role".into(), self.role.word().into()];
        let mut tell = |flag: &str, value: &str| told.extend([flag.into(), value.into()]);
        for name in &self.line.masked {
            tell("--mask", name);
        }
        if let Some(filter) = &self.line.log {
            tell("--log", filter);
        }
        if let Some(why) = &self.volatile {
            tell("--problem", why);
        }
        if self.line.rescue {
            told.push("--rescue".into());
        }
        told.extend_from_slice(given);
        if self.volatile.is_some() {
            told.extend(["--state-dir".into(), self.runtime_dir.join(IN_MEMORY).into()]);
        }
        told
    }

    /// Our own arguments. The kernel gives init each word of its command line that it does not know: those before our first
    /// option are not ours.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        if let Some(words) = &self.words {
            return words.clone();
        }
        let given = std::env::args_os().skip(1);
        match self.role {
            Role::Machine => {
                given.skip_while(|word| !word.to_string_lossy().starts_with("--")).collect()
            }
            Role::Container | Role::Service => given.collect(),
        }
    }
}
