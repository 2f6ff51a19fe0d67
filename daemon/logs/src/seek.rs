//! Where a moment is in a log.
//!
//! The place of a moment is before the first piece of output that is not older. Segments are looked at from the oldest on, at
//! their first and last pieces; in the first of them that reaches the moment it is looked for by halving, or, where the clock
//! can be seen to have stepped back within the segment, piece by piece. So a clock that steps back once hides nothing. Where
//! it stepped back and forth within one segment there may be several places of which the piece before is older than the
//! moment and the next is not: one of them is found. The times of starts and ends say nothing: those are told later.
//!
//! A line belongs to the moment of its first byte: the rest of one that was begun before is left out.

use std::collections::HashSet;

use units::RunId;

use crate::{
    backward::{Backward, Before},
    behind::Behind,
    entry::{Entry, Kind},
    folder::Folder,
    index::Index,
    name::{Position, Stream},
    open,
    place::{Place, Trim},
    reader::{Item, ReadError, Reader},
};

/// How far it is looked back for lines that were begun before.
const PIECES: usize = 256;
/// Bytes of such a line that are looked at for its end.
const LINE: u64 = 16 << 20;
/// Entries that are looked at together, from the end.
const AT_ONCE: u64 = 256;
/// Bytes read at a time.
const BLOCK: usize = 64 << 10;

/// Before the first piece that is not older than this; the end of the log where there is none.
pub(crate) fn moment(folder: &Folder, time: u64) -> Result<Position, ReadError> {
    for base in folder.bases()? {
        let path = folder.index(base);
        let failed = |source| ReadError { path: path.clone(), source };
        let file = match open::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if let Some(position) = in_segment(&mut Index::new(file), time).map_err(failed)? {
            return Ok(position);
        }
    }
    folder.end().map(Position)
}

fn in_segment(index: &mut Index, time: u64) -> std::io::Result<Option<Position>> {
    let count = index.count()?;
    let Some((number, first)) = piece_from(index, 0, count)? else { return Ok(None) };
    if first.time >= time {
        return Ok(Some(first.position));
    }
    let last = last_piece(index, count)?.map_or(0, |last| last.time);
    if last >= time {
        return halve(index, (number, count), time).map(Some);
    }
    if last >= first.time {
        return Ok(None);
    }
    let mut next = number;
    while let Some((number, piece)) = piece_from(index, next, count)? {
        if piece.time >= time {
            return Ok(Some(piece.position));
        }
        next = number.saturating_add(1);
    }
    Ok(None)
}

/// The first piece of output at or after this place in the index.
fn piece_from(index: &mut Index, from: u64, count: u64) -> std::io::Result<Option<(u64, Entry)>> {
    let mut from = from;
    while from < count {
        match index.entry_from(from)? {
            Some((number, entry)) if matches!(entry.kind, Kind::Data { .. }) => {
                return Ok(Some((number, entry)));
            }
            Some((number, _)) => from = number.saturating_add(1),
            None => break,
        }
    }
    Ok(None)
}

/// The last piece of output.
fn last_piece(index: &mut Index, count: u64) -> std::io::Result<Option<Entry>> {
    let mut end = count;
    while end > 0 {
        let begin = end.saturating_sub(AT_ONCE);
        let (mut next, mut last) = (begin, None);
        while let Some((number, piece)) = piece_from(index, next, end)?.filter(|(n, _)| *n < end) {
            next = number.saturating_add(1);
            last = Some(piece);
        }
        if last.is_some() {
            return Ok(last);
        }
        end = begin;
    }
    Ok(None)
}

/// The first piece is older, the last is not.
fn halve(index: &mut Index, (low, high): (u64, u64), time: u64) -> std::io::Result<Position> {
    let (mut low, mut high) = (low, high);
    let mut found = Position(0);
    while low < high {
        let middle = low.midpoint(high);
        match piece_from(index, middle, high)? {
            Some((number, piece)) if number < high => {
                if piece.time < time {
                    low = number.saturating_add(1);
                } else {
                    found = piece.position;
                    high = middle;
                }
            }
            Some(_) | None => high = middle,
        }
    }
    Ok(found)
}

/// The place without the rests of lines that were begun before it. `reader` reads one output from there on.
pub(crate) fn whole_lines(
    folder: &Folder,
    position: Position,
    reader: impl Fn(RunId, Stream) -> Reader,
) -> Result<Place, ReadError> {
    let mut outputs = Vec::new();
    for (run, stream) in begun_before(folder, position)? {
        let from = line_end(&mut reader(run, stream))?;
        outputs.push((run, stream, from.0));
    }
    let trim = (!outputs.is_empty()).then_some(Trim { others: position.0, outputs });
    Ok(Place { position, trim })
}

/// The outputs that have begun a line there and not ended it.
fn begun_before(folder: &Folder, position: Position) -> Result<Vec<(RunId, Stream)>, ReadError> {
    let mut back = Backward::new(folder, position.0)?;
    let (mut looked_at, mut ended, mut begun) = (HashSet::new(), HashSet::new(), Vec::new());
    for _ in 0..PIECES {
        match back.next()? {
            None => break,
            Some(Before::Start(_)) => {}
            Some(Before::End(run)) => drop(ended.insert(run)),
            Some(Before::Output { run, stream, base, from: _, to }) => {
                let first_look = looked_at.insert((run, stream));
                let behind = Behind { base, end: to };
                if first_look && !ended.contains(&run) && !behind.ends_with_newline(folder)? {
                    begun.push((run, stream));
                }
            }
        }
    }
    Ok(begun)
}

/// Behind the next newline, or as far as there is something.
fn line_end(reader: &mut Reader) -> Result<Position, ReadError> {
    let mut looked_at = 0;
    while looked_at < LINE {
        match reader.next(BLOCK)? {
            None | Some(Item::End { .. }) => break,
            Some(Item::Start { .. } | Item::Gap { .. }) => {}
            Some(Item::Chunk { bytes, position_after, .. }) => {
                let length = u64::try_from(bytes.len()).unwrap_or(0);
                if let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
                    let rest = bytes.len().saturating_sub(newline).saturating_sub(1);
                    let rest = u64::try_from(rest).unwrap_or(0);
                    return Ok(Position(position_after.0.saturating_sub(rest)));
                }
                looked_at += length;
            }
        }
    }
    Ok(reader.position())
}
