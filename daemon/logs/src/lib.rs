//! The log store: what programs print, kept by run, read by cursors.
//!
//! Output moves by `splice(2)` from a run's pipes to a segment file, never through our memory, so that under
//! SIGKILL of the daemon every byte is either still in the pipe or in the segment: never in both, never in neither.
//! One thread, "log-writer", does all the writing; [`LogStore`] is the handle to it. A [`Reader`] is a cursor over the
//! files and needs nothing of the writer but the news that there is more.
//!
//! # On disk
//! A log is a folder (see [`LogName`]) of segments. `<base>.log` holds output and nothing else; `<base>.idx` holds
//! 64-byte entries that say whose the bytes are. `base`, 16 hex digits, is the [`Position`] of the segment's first byte.
//!
//! # Invariants
//! - An entry is written before the bytes it describes. So a byte below a length that was read first is described by
//!   an entry that is read afterwards.
//! - Bytes belong to the last entry at or before them, if that is a data entry. Any other bytes belong to nobody that
//!   we could name, and readers are told of a gap: a byte is never given to the wrong run.
//! - The length of a segment's file is the truth about where the log ends.
//! - An idle store does nothing: no timer, no wake-up.

mod backlog;
mod backward;
mod behind;
mod checked;
mod clock;
mod cursor;
mod damage;
mod disk;
mod entry;
mod folder;
mod holdings;
mod index;
mod lines;
mod log;
mod merge;
mod name;
mod open;
mod overflow;
mod pipe;
mod place;
mod power;
mod published;
mod queue;
mod reader;
mod recent;
mod retention;
mod run;
mod running;
mod seek;
mod segment;
mod shared;
mod store;
mod sum;
mod sync;
mod tail;
mod trace;
mod upkeep;
mod write_end;
mod writer;

pub use damage::Damage;
pub use entry::{Cause, End, GapReason, VERSION as FORMAT};
pub use lines::{Line, LineCutter};
pub use merge::{Merge, Merged, Wanted};
pub use name::{LogName, Position, Stream};
pub use place::{NoPlace, Place};
pub use queue::{Attach, AttachError, NotAttached};
pub use reader::{Filter, Item, ReadError, Reader};
pub use retention::{Bounds, Retention};
pub use shared::{Located, Problem};
pub use store::{Finished, LogStore, OpenError, Options, StoreClosed};
