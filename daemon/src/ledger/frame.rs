//! How steps lie in the file: each in a frame of its own, whole or not at all.
//!
//! | Bytes | Meaning |
//! |---|---|
//! | 0..4 | `aLg1` |
//! | 4..8 | length of what follows the head, little-endian |
//! | 8..12 | CRC-32 of where the frame begins in the file (8 bytes), the length, and what follows |
//! | 12.. | what the step says |
//!
//! Invariants: any bytes can be read; a frame is given exactly as it was written, and where it was written, or not at
//! all. After something damaged the next whole frame counts again.

/// What every frame begins with.
const MAGIC: [u8; 4] = *b"aLg1";
/// The length of its head.
const HEAD: usize = 12;
/// The longest that a step may be: a specification, with what it holds, and little else.
pub(super) const LONGEST: usize = 32 << 20;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned<'a> {
    /// The steps, in order.
    pub(super) steps: Vec<&'a [u8]>,
    /// Places that could not be read, with something after them that could, or that were never whole.
    pub(super) damaged: usize,
    /// Whether the last step was not written to its end, as by who was killed while he wrote it.
    pub(super) torn: bool,
    /// Where the next step belongs: at the end, or where that torn one begins.
    pub(super) end: usize,
}

/// Adds a step to what is to be written at this place of the file; false where it is too long.
pub(super) fn append(bytes: &mut Vec<u8>, at: u64, step: &[u8]) -> bool {
    let Some(length) = u32::try_from(step.len()).ok().filter(|_| step.len() <= LONGEST) else {
        return false;
    };
    let at = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(at, length, step).to_le_bytes());
    bytes.extend_from_slice(step);
    true
}

/// Reads a whole file.
pub(super) fn scan(bytes: &[u8]) -> Scanned<'_> {
    let mut found = Scanned::default();
    let (mut at, mut lost) = (0, false);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match frame(at, rest) {
            Frame::Whole(step) => {
                found.damaged += usize::from(std::mem::take(&mut lost));
                found.steps.push(step);
                at = at.saturating_add(HEAD).saturating_add(step.len());
            }
            // What comes after it tells whether its length was the truth.
            Frame::Cut if !lost && next_whole(bytes, at).is_none() => {
                found.torn = true;
                found.end = at;
                return found;
            }
            Frame::Cut | Frame::Damaged => {
                lost = true;
                at = next_magic(bytes, at.saturating_add(1));
            }
        }
    }
    found.damaged += usize::from(lost);
    found.end = bytes.len();
    found
}

/// What begins at a place.
enum Frame<'a> {
    Whole(&'a [u8]),
    /// It may be one, whose end is missing.
    Cut,
    Damaged,
}

fn frame(at: usize, rest: &[u8]) -> Frame<'_> {
    let Some((head, body)) = rest.split_first_chunk::<HEAD>() else {
        let begins = rest.iter().zip(&MAGIC).all(|(one, other)| one == other);
        return if begins { Frame::Cut } else { Frame::Damaged };
    };
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if [m0, m1, m2, m3] != MAGIC || wanted > LONGEST {
        return Frame::Damaged;
    }
    let Some(step) = body.get(..wanted) else { return Frame::Cut };
    let place = u64::try_from(at).unwrap_or(u64::MAX);
    if checksum(place, length, step) == u32::from_le_bytes([c0, c1, c2, c3]) {
        Frame::Whole(step)
    } else {
        Frame::Damaged
    }
}

/// Where the next whole frame begins after this place.
fn next_whole(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = next_magic(bytes, at.saturating_add(1));
    while let Some(rest) = bytes.get(next..).filter(|rest| !rest.is_empty()) {
        if matches!(frame(next, rest), Frame::Whole(_)) {
            return Some(next);
        }
        next = next_magic(bytes, next.saturating_add(1));
    }
    None
}

/// Where the next frame may begin, from this place on; the end where none does.
fn next_magic(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let found = rest.windows(MAGIC.len()).position(|window| window == MAGIC);
    found.map_or(bytes.len(), |offset| from.saturating_add(offset))
}

fn checksum(at: u64, length: u32, step: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(step);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn written(steps: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(steps.iter().all(|step| append(&mut bytes, 0, step)));
        bytes
    }

    fn steps() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Some that look like frames themselves.
        let tricky = vec(any::<u8>(), 0..9).prop_map(|step| written(&[step]));
        vec(prop_oneof![vec(any::<u8>(), 0..40), tricky], 0..8)
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..300)) {
            scan(&bytes);
        }

        #[test]
        fn what_is_written_is_read(steps in steps()) {
            let bytes = written(&steps);
            let found = scan(&bytes);
            prop_assert_eq!((found.steps, found.damaged, found.torn), (steps.iter().map(Vec::as_slice).collect(), 0, false));
        }

        #[test]
        fn of_what_is_cut_the_whole_steps_are_read(steps in steps(), cut: prop::sample::Index) {
            let bytes = written(&steps);
            let cut = cut.index(bytes.len() + 1);
            let found = scan(&bytes[..cut]);
            let whole = steps.iter().scan(0, |end, step| { *end += HEAD + step.len(); Some(*end) }).take_while(|end| *end <= cut).count();
            prop_assert_eq!(found.steps.len(), whole);
            prop_assert!(found.steps.iter().zip(&steps).all(|(one, other)| one == other));
            prop_assert_eq!(found.damaged, 0);
        }

        #[test]
        fn a_flipped_bit_costs_one_step_and_is_noticed(steps in steps(), at: prop::sample::Index, bit in 0..8) {
            let mut bytes = written(&steps);
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let found = scan(&bytes);
            prop_assert!(found.damaged > 0 || found.torn);
            prop_assert_eq!(found.steps.len(), steps.len() - 1);
            let mut left = steps.iter();
            prop_assert!(found.steps.iter().all(|step| left.any(|other| other == step)));
        }
    }
}
