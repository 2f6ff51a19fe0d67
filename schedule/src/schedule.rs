//! The schedule that is open.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use units::Name;

use crate::{
    Change, ChangeError, CommitError, Damage, Entry, OpenError,
    bookkeeping::Bookkeeping,
    contents::{Contents, Plan, Records},
    generation::Acknowledged,
    lock,
    migrate::{self, STEPS, Step},
    opening::{self, Access},
    place::Place,
    reading::{self, Older},
    store::{Store, Trouble},
};

/// How to open a schedule. The defaults are right outside tests, but for `scratch` of a daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where a copy can be put for a moment if the store's own folder is read-only or full: best in memory.
    pub scratch: PathBuf,
    /// For how long a lock is waited for: a child that has not executed its program yet holds it for a moment.
    pub patience: Duration,
    /// Whether a store of an older format stays as it is, but for what is read of it, until something is committed: for a
    /// program that may have to make way for the one before it, which cannot read a newer one.
    pub keep_format: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { scratch: env::temp_dir(), patience: Duration::from_secs(5), keep_format: false }
    }
}

/// What is enabled and disabled, with one owner.
#[derive(Debug)]
pub struct Schedule {
    place: Place,
    options: Options,
    steps: &'static [Step],
    contents: Contents,
    /// Of `contents`, but for the generation, which is the newest that may be on the disk.
    bookkeeping: Bookkeeping,
    /// `None` after a failure, and where the format is kept: the next commit opens it again.
    open: Option<Writable>,
    warnings: Vec<String>,
    /// Held until the schedule is closed; after the store, since fields are dropped in order.
    lock: Option<File>,
}

#[derive(Debug)]
struct Writable {
    store: Store,
    acknowledged: Acknowledged,
}

impl Schedule {
    /// Opens the schedule whose store is in this folder; where there is none an empty one is made.
    ///
    /// A store that is whole and cannot be written is opened all the same: it can be read, [`Schedule::warnings`] say
    /// so, and each commit tries again.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::open_with(folder, options, STEPS)
    }

    pub(crate) fn open_with(
        folder: &Path,
        options: &Options,
        steps: &'static [Step],
    ) -> Result<Self, OpenError> {
        let (place, lock) = opening::enter(folder, options)?;
        let found = opening::open(&place, options, steps)?;
        let open = match found.access {
            Access::ReadWrite => Some(Writable::new(&place, found.opened.store)?),
            Access::ReadOnly => None,
        };
        let (contents, bookkeeping) = (found.opened.contents, found.opened.bookkeeping);
        let options = options.clone();
        let warnings = found.warnings;
        let mut schedule =
            Self { place, options, steps, contents, bookkeeping, open, warnings, lock };
        schedule.acknowledge();
        Ok(schedule)
    }

    /// Everything that is registered and can be read, in the order of names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.contents.entries()
    }

    /// What is registered under this name, if it can be read.
    #[must_use]
    pub fn entry(&self, name: &Name) -> Option<&Entry> {
        self.contents.entry(name)
    }

    /// What is stored and cannot be read: a newer version may have written it. It is left as it is.
    #[must_use]
    pub fn unreadable(&self) -> Vec<Damage> {
        self.contents.unreadable()
    }

    /// What went wrong when it was opened and did no harm so far, in sentences.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes changes, each on top of those before it, and returns when they are on the disk: all of them or, with an
    /// error, none. A change that cannot be made by itself has its error in its place and does not stop the others.
    pub fn commit(
        &mut self,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<(), ChangeError>>, CommitError> {
        let (plan, results) = self.contents.plan(changes);
        if plan.is_empty() {
            return Ok(results);
        }
        let (mut writable, repairs) = match self.open.take() {
            Some(writable) => (writable, Records::new()),
            None => self.reopen()?,
        };
        let bookkeeping = self.bookkeeping_after(&plan);
        let written = writable.store.write(
            migrate::newest(self.steps),
            self.differences(&plan, &repairs),
            &bookkeeping,
        );
        if let Err(trouble) = written {
            // Whether it is on the disk is not known; `reopen` will see. Its number must not be used again.
            return Err(CommitError::Write {
                folder: self.place.folder().to_owned(),
                cause: trouble.to_string(),
            });
        }
        self.contents.apply(plan);
        self.bookkeeping = bookkeeping;
        self.open = Some(writable);
        self.acknowledge();
        Ok(results)
    }

    fn acknowledge(&mut self) {
        if let Some(writable) = &self.open {
            writable.acknowledged.write(self.bookkeeping.generation);
        }
    }

    /// What is to be written: the plan, and before it whatever makes the store what we hold it to be.
    fn differences<'a>(
        &'a self,
        plan: &'a Plan,
        repairs: &'a Records,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let repairs = repairs.keys().map(|key| (key.as_slice(), self.contents.value(key)));
        let planned = plan
            .iter()
            .map(|(key, held)| (key.as_slice(), held.as_ref().map(|held| held.value.as_slice())));
        repairs.chain(planned)
    }

    fn bookkeeping_after(&self, plan: &Plan) -> Bookkeeping {
        let mut bookkeeping = self.bookkeeping;
        bookkeeping.generation = bookkeeping.generation.saturating_add(1);
        for (key, held) in plan {
            if let Some(value) = self.contents.value(key) {
                bookkeeping.remove(key, value);
            }
            if let Some(held) = held {
                bookkeeping.add(key, &held.value);
            }
        }
        bookkeeping
    }

    /// Opens the store again after a failure. What was acknowledged is what we hold. A commit that failed may be in the
    /// store nevertheless: its records are returned, to be written as they were.
    fn reopen(&mut self) -> Result<(Writable, Records), CommitError> {
        let closed = |error| CommitError::Closed(Box::new(error));
        if self.lock.is_none() {
            self.lock = lock::take(&self.place, self.options.patience).map_err(closed)?;
        }
        let (folder, patience) = (self.place.folder(), self.options.patience);
        let opened = reading::open(folder, patience, self.steps, Older::Convert)
            .map_err(|trouble| closed(opening::failed(&self.place, trouble, None)))?;
        let found = opened.bookkeeping.generation;
        if found > self.bookkeeping.generation.saturating_add(1) {
            return Err(CommitError::Write {
                folder: self.place.folder().to_owned(),
                cause: "another process has changed it; start again to read that".to_owned(),
            });
        }
        let mut repairs = Records::new();
        for (key, value) in opened.contents.records().chain(self.contents.records()) {
            if opened.contents.value(key) != self.contents.value(key) {
                repairs.insert(key.to_vec(), value.to_vec());
            }
        }
        let writable = Writable::new(&self.place, opened.store).map_err(closed)?;
        self.bookkeeping.generation = self.bookkeeping.generation.max(found);
        Ok((writable, repairs))
    }
}

impl Writable {
    fn new(place: &Place, store: Store) -> Result<Self, OpenError> {
        let folder = place.folder();
        let acknowledged = Acknowledged::open(folder)
            .map_err(opening::io_error("opening the file `generation` in", folder))?;
        Ok(Self { store, acknowledged })
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked => f.write_str("another process has it locked"),
            Self::Newer { found, known } => {
                write!(f, "it has format {found}, and formats up to {known} are known here")
            }
            Self::Damaged(what) => f.write_str(what),
            Self::Machine(error) => error.fmt(f),
            Self::Panicked(text) => write!(f, "the database failed: {text}"),
        }
    }
}
