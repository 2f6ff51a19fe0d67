//! What is enabled and disabled on this machine: the schedule.
//!
//! One [`Schedule`] has one owner, on one thread, and is used synchronously; others get copies. It survives kill -9 at
//! any moment, and the loss of power. What it cannot read it says; it is never silently wrong or silently shorter.
//!
//! # On disk
//! Beside the store's folder, say `schedule`, there can be:
//!
//! | Path | What it is |
//! |---|---|
//! | `schedule.lock` | locked while a process has the schedule open |
//! | `schedule.making` | a store that is being made; removed at the next opening |
//! | `schedule.new` | a store that is complete and not yet in its place; put there at the next opening |
//! | `schedule.opening` | a copy of what was found, until the opening has succeeded; removed at the next opening |
//! | `schedule.last-good` | that copy, of the last opening that succeeded |
//! | `schedule.damaged-1`, … | that copy, of openings that failed: the first one and the newest three |
//!
//! The store is a sled database, and nobody outside this crate sees that. Records are in one of its trees, by name: a
//! version byte and a protobuf message, to which fields are only ever added. With them is the bookkeeping: how many
//! records there are, their digest, and the number of the last change, the generation.
//!
//! # Invariants
//! - A change is acknowledged after it is on the disk, by an fdatasync of our own: of the file `ahead`, which has what the
//!   database has not written yet, or else of the database's file, whose own flush is none.
//! - The database cuts its log at the first damaged message and says nothing. So nothing is believed that does not agree
//!   with the bookkeeping, and with the generation that was last acknowledged, which is in a file of its own.
//! - The folder of the store holds a complete store or does not exist: it is made elsewhere and renamed.
//! - Before the database opens its files, which writes, they are copied. Damaged files are never removed.
//! - A record that cannot be read is left as it is, byte for byte, and the others are usable.
//! - No panic and no error of the database gets out of `store.rs`.
//! - No clock is read: times are given by the caller.

mod ahead;
mod bookkeeping;
mod contents;
mod copy;
mod entry;
mod error;
mod generation;
mod idle;
mod lock;
mod migrate;
mod opening;
mod place;
mod reading;
mod record;
mod repair;
mod salvage;
mod schedule;
mod store;

pub use entry::{Change, ChangeError, Damage, Entry};
pub use error::{CommitError, OpenError, RepairError};
pub use migrate::newest_format;
pub use repair::{Repair, repair};
pub use salvage::{Salvage, salvage};
pub use schedule::{Options, Schedule};
