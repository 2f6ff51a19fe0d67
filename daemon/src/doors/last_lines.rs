//! The last lines of a unit's log, for doors that give lines and follow nothing.

use logs::{Item, Line, LineCutter, LogName, LogStore, Merged, ReadError, Wanted};
use units::{Name, RunId};

/// What is told, one after the other.
pub(super) enum Told {
    /// A line, or a part of one that goes on where it says so; `whole` where its end was printed, or is lost.
    Line {
        /// Its bytes without the newline.
        line: Line,
        /// Whether a newline belongs behind it.
        whole: bool,
    },
    /// So many bytes are missing.
    Gap(u64),
}

/// Tells so many lines, or a few more, of these runs or of all, as far as the log goes now: a program that prints all the
/// time is not followed. May block.
pub(super) fn tell(
    logs: &LogStore,
    (name, runs): (&Name, &[RunId]),
    wanted: u64,
    mut told: impl FnMut(Told),
) -> Result<(), ReadError> {
    let log = LogName::Unit(name.clone());
    let Some(from) = logs.place(&log, (runs, None), None, Some(wanted))? else { return Ok(()) };
    let end = logs.end(&log)?;
    let mut merge = logs.merge(vec![Wanted { log, runs: runs.to_vec(), from }], None, None, false);
    merge.look()?;
    let mut cutter = LineCutter::default();
    while let Some(Merged { item, .. }) = merge.next_item()? {
        match item {
            Item::Chunk { run, stream, time, continues, bytes, .. } => {
                if continues {
                    cutter.continues(run, stream);
                }
                for line in cutter.push(run, stream, time, &bytes) {
                    let whole = !line.continued;
                    told(Told::Line { line, whole });
                }
            }
            Item::Gap { bytes, .. } => {
                // What stands before it and what comes after are no one line.
                for line in cutter.tear(None) {
                    told(Told::Line { line, whole: true });
                }
                told(Told::Gap(bytes));
            }
            Item::Start { .. } | Item::End { .. } => {}
        }
        if merge.places().all(|(_, place)| place.position >= end) {
            break;
        }
        merge.look()?;
    }
    for line in cutter.finish_all() {
        told(Told::Line { line, whole: false });
    }
    Ok(())
}
