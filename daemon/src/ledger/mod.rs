//! The ledger: what the next daemon must know, in one file that is only added to.
//!
//! Before the supervisor does what a step of the core wants, the step is written here, in one write(2): what it changed,
//! each thing as a whole, so that of each thing the last entry counts. The file is in the runtime folder, which is
//! memory, and so outlives a daemon and no boot; nothing is flushed. Invariants:
//! - a step is there whole or not at all (`frame.rs`), before anything of it is done; where that cannot be, for want of
//!   room, it is done all the same and nobody is promised that it stays done; Status says so, nothing new is begun, and it
//!   is written with the next, or by a timer. Room is taken ahead (`room.rs`), so that this comes late;
//! - it is never longer than twice what counts, and a few MiB: then it is written anew, beside, and exchanged;
//! - what cannot be read is skipped, counted and told, and the file kept aside; what is of another start of the machine, of
//!   a keeper that lives, or of a newer daemon, is not touched but moved aside.

mod entry;
mod file;
mod frame;
mod reading;
mod room;
mod run;
#[cfg(test)]
mod tests;
mod unit;
mod unwritten;
mod wire;
mod words;

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prost::Message;
use units::{
    Action, Name, RunId,
    kept::{Keep, Numbers},
};

pub(crate) use entry::VERSION;
pub(crate) use file::remove;
pub(crate) use reading::{Opened, open};

use entry::{Entry, Kind, Step};
use room::Room;

/// So much more than what counts may be in the file before it is written anew.
const GARBAGE: u64 = 4 << 20;
/// How often it is tried again to write what could not be written, or to take room ahead.
const RETRY: Duration = Duration::from_secs(1);

/// The ledger of a daemon, open.
pub(crate) struct Ledger {
    folder: PathBuf,
    file: File,
    length: u64,
    /// How long it was when it was last written anew.
    base: u64,
    room: Room,
    /// What could not be written yet.
    unwritten: Vec<Entry>,
    /// Whether something is missing, written or ahead; for all to see.
    fails: Arc<AtomicBool>,
    /// When it is tried again, on the monotonic clock.
    retry_at: Option<Duration>,
    /// Empty between steps; kept for its room.
    bytes: Vec<u8>,
}

impl Ledger {
    /// Writes down what these actions of one step want kept. To be called before any of them is done. What could not be
    /// kept is tried again, at the latest at [`Ledger::retry_at`].
    pub(crate) fn keep(&mut self, now: Duration, actions: &[Action]) {
        let mut entries = std::mem::take(&mut self.unwritten);
        for action in actions {
            if let Action::Keep { keeps, numbers } = action {
                entries.extend(keeps.iter().map(entry_of));
                entries.push(numbers_entry(*numbers));
            } else if let Action::Tell(change) = action {
                let key = change.sequence.to_be_bytes().to_vec();
                let body = unit::from_change(change).encode_to_vec();
                entries.push(Entry::new(Kind::Change, key, body));
            }
        }
        let due = self.retry_at.is_some_and(|at| at <= now);
        if entries.is_empty() && !due {
            return;
        }
        let step = Step { version: VERSION, entries };
        let written = self.write(&step);
        let fails = written.is_err() || self.room.is_short();
        if fails != self.fails.swap(fails, Ordering::Relaxed) {
            tell(&self.folder.display(), fails, written.as_ref().err());
        }
        if written.is_err() {
            self.unwritten = unwritten::newest(step.entries);
        }
        self.retry_at = fails.then(|| now.saturating_add(RETRY));
        if self.length.saturating_sub(self.base) > GARBAGE.max(self.base)
            && let Err(why) = self.shorten()
        {
            tracing::warn!(%why, "cannot write the ledger anew; it grows on");
            self.base = self.length;
        }
    }

    /// Whether it cannot be written at present, for whoever is asked how the daemon is.
    pub(crate) fn fails(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.fails)
    }

    /// When [`Ledger::keep`] is due although nothing happens.
    pub(crate) fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// Whether all is written that happened.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Whether there is room for what is to come.
    pub(crate) fn has_room(&self) -> bool {
        !self.fails.load(Ordering::Relaxed)
    }

    /// Adds a step, whole or not at all; of one that says nothing only the room.
    fn write(&mut self, step: &Step) -> io::Result<()> {
        self.bytes.clear();
        if step.entries.is_empty() {
            return self.room.reach(&self.file, self.length);
        }
        if !frame::append(&mut self.bytes, self.length, &step.encode_to_vec()) {
            return Err(io::Error::other("what is to be kept of one step is too long"));
        }
        let end = self.length.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(0));
        self.room.reach(&self.file, end)?;
        if let Err(why) = self.file.write_all_at(&self.bytes, self.length) {
            // What was written of it is overwritten by the next attempt, and until then is no frame.
            drop(self.file.set_len(self.length));
            self.room.cut(self.length);
            return Err(why);
        }
        self.length = end;
        Ok(())
    }

    /// Writes the file anew, with what counts.
    fn shorten(&mut self) -> io::Result<()> {
        let path = file::path(&self.folder);
        let (contents, _) = file::contents(&std::fs::read(&path)?.into());
        (self.file, self.length) = file::replace(&self.folder, &contents)?;
        self.base = self.length;
        self.room = Room::of(self.length);
        self.room.reach(&self.file, self.length)
    }
}

fn tell(folder: &std::path::Display<'_>, fails: bool, why: Option<&io::Error>) {
    match (fails, why) {
        (false, _) => tracing::info!("the ledger in {folder} is written again, and has room"),
        (true, None) => tracing::error!(
            "the ledger in {folder} has little room left: what runs goes on and can be stopped, nothing new is begun; make room there"
        ),
        (true, Some(why)) => tracing::error!(
            %why,
            "cannot write to the ledger in {folder}: the next daemon would not know what happens now; make room there"
        ),
    }
}

fn entry_of(keep: &Keep) -> Entry {
    let of_run = |kind, run: RunId, body| Entry::new(kind, run.to_bytes().to_vec(), body);
    match keep {
        Keep::Spec(spec) => Entry::new(Kind::Spec, key(&spec.name), spec.definition.to_vec()),
        Keep::NextSpec(spec) => {
            Entry::new(Kind::NextSpec, key(&spec.name), spec.definition.to_vec())
        }
        Keep::Unit(kept) => {
            Entry::new(Kind::Unit, key(&kept.spec.name), unit::from_unit(kept).encode_to_vec())
        }
        Keep::Forgotten(name) => Entry::new(Kind::Forgotten, key(name), Vec::new()),
        Keep::Run(kept) => {
            of_run(Kind::Run, kept.identity.run, run::from_run(kept).encode_to_vec())
        }
        Keep::Ended(end) => {
            let kind = if end.of_unit { Kind::EndedOfUnit } else { Kind::Ended };
            of_run(kind, end.record.run, run::from_ended(end).encode_to_vec())
        }
        Keep::Gone(run) => of_run(Kind::Gone, *run, Vec::new()),
    }
}

fn key(name: &Name) -> Vec<u8> {
    name.as_str().as_bytes().to_vec()
}

fn numbers_entry(numbers: Numbers) -> Entry {
    let Numbers { changes, starts, runs } = numbers;
    let body = wire::Numbers { changes, starts, runs }.encode_to_vec();
    Entry::new(Kind::Numbers, Vec::new(), body)
}
