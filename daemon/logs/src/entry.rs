//! Entries of an index: 64 bytes each, little-endian, with a checksum.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0 | version, 1 |
//! | 1 | kind: 1 start, 2 data, 3 end, 4 gap; others are for later |
//! | 2 | stream: 0 none, 1 stdout, 2 stderr |
//! | 3 | of an end its cause, of a gap its reason, of data 1 where they go on with a line |
//! | 4..8 | of a start the pid, of an end the exit code or signal |
//! | 8..16 | position |
//! | 16..24 | time in nanoseconds since 1970 |
//! | 24..40 | run |
//! | 40..48 | of a gap the bytes, of an end the total of stdout, of data the number of an overflow file, or 0 |
//! | 48..56 | of a gap the entries, of an end the total of stderr, of data where in that file they begin |
//! | 56 | 1 if there is a run |
//! | 57..60 | 0 |
//! | 60..64 | CRC-32 of all before |
//!
//! An entry never crosses a page of its file (64 divides 4096), so the kernel writes it whole or not at all.

use units::RunId;

use crate::{
    name::{Position, Stream},
    overflow::Source,
};

/// Bytes of an entry.
pub(crate) const ENTRY: usize = 64;
/// The same, for offsets.
pub(crate) const ENTRY_U64: u64 = 64;
/// The format of the log's index.
pub const VERSION: u8 = 1;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It exited; the value is its code.
    Exited,
    /// A signal killed it; the value is the signal.
    Killed,
    /// A signal killed it and it left a core; the value is the signal.
    Dumped,
    /// It never ran; the value is the daemon's.
    Failed,
    /// Nobody saw its end; the value means nothing.
    Lost,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// How.
    pub cause: Cause,
    /// The exit code or the signal.
    pub value: i32,
    /// When, in nanoseconds since 1970.
    pub time: u64,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// It could not be written: the disk was full or failed.
    NotWritten,
    /// It came faster than it could be written (the daemon's own log only).
    Dropped,
    /// The index does not say whose these bytes are, or says that they were not on the disk yet when the machine lost power.
    Damaged,
    /// The outputs were closed, since everybody who held them was killed: what is printed from here on is lost.
    Closed,
    /// The segments that held it are gone. Never written: readers find out.
    Removed,
    /// The file does not hold what was written to it. Never written.
    Altered,
    /// The file was cut short, or removed while it was the newest, and not by the store; or the machine lost power before its end
    /// was on the disk, and nobody has looked for that. Never written.
    Vanished,
    /// The position that was asked for lies beyond the end; reading goes on at the end. Never written.
    BeyondEnd,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Start {
        pid: i32,
    },
    /// Bytes from a pipe, or from an overflow file.
    Data {
        stream: Stream,
        source: Option<Source>,
        /// They go on with a line that a segment before this one began. An entry from before this was written says no.
        rest: bool,
    },
    End {
        cause: Cause,
        value: i32,
        stdout: u64,
        stderr: u64,
    },
    Gap {
        stream: Option<Stream>,
        bytes: u64,
        entries: u64,
        reason: GapReason,
    },
}

/// One entry. Only a gap may be without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) time: u64,
    pub(crate) run: Option<RunId>,
    pub(crate) kind: Kind,
}

impl Entry {
    /// Whether it says that what a power cut had left behind this end of a segment was cut off.
    pub(crate) fn tells_of_cut(&self, end: u64) -> bool {
        match self.kind {
            Kind::Gap { bytes, reason: GapReason::Damaged, .. } if self.run.is_none() => {
                bytes > 0 && self.position.0.checked_sub(bytes) == Some(end)
            }
            Kind::Gap { .. } | Kind::Data { .. } | Kind::Start { .. } | Kind::End { .. } => false,
        }
    }

    /// Its 64 bytes.
    pub(crate) fn encode(&self) -> [u8; ENTRY] {
        let (kind, stream, detail, number, first, second) = match self.kind {
            Kind::Start { pid } => (1, 0, 0, pid, 0, 0),
            Kind::Data { stream, source, rest } => {
                let (file, offset) = source.map_or((0, 0), |from| (from.file, from.offset));
                (2, encode_stream(Some(stream)), u8::from(rest), 0, file, offset)
            }
            Kind::End { cause, value, stdout, stderr } => {
                (3, 0, encode_cause(cause), value, stdout, stderr)
            }
            Kind::Gap { stream, bytes, entries, reason } => {
                (4, encode_stream(stream), encode_reason(reason), 0, bytes, entries)
            }
        };
        let mut out = [0; ENTRY];
        let run = self.run.map_or([0; 16], RunId::to_bytes);
        fill(
            &mut out,
            &[
                &[VERSION, kind, stream, detail],
                &number.to_le_bytes(),
                &self.position.0.to_le_bytes(),
                &self.time.to_le_bytes(),
                &run,
                &first.to_le_bytes(),
                &second.to_le_bytes(),
                &[u8::from(self.run.is_some()), 0, 0, 0],
            ],
        );
        if let Some((body, checksum)) = out.split_last_chunk_mut::<4>() {
            *checksum = crc32fast::hash(body).to_le_bytes();
        }
        out
    }

    /// The entry in these bytes; none if they are too few or too many, damaged, or of a kind or version to come.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENTRY] = bytes.try_into().ok()?;
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = body;
        let [version, kind, stream, detail] = take(&mut rest)?;
        let number = i32::from_le_bytes(take(&mut rest)?);
        let position = Position(u64::from_le_bytes(take(&mut rest)?));
        let time = u64::from_le_bytes(take(&mut rest)?);
        let run = RunId::from_bytes(take(&mut rest)?);
        let first = u64::from_le_bytes(take(&mut rest)?);
        let second = u64::from_le_bytes(take(&mut rest)?);
        let [has_run] = take(&mut rest)?;
        let run = (has_run == 1).then_some(run);
        let stream = decode_stream(stream)?;
        let kind = match (version, kind) {
            (VERSION, 1) => Kind::Start { pid: number },
            (VERSION, 2) => {
                let source = (first != 0).then_some(Source { file: first, offset: second });
                Kind::Data { stream: stream?, source, rest: detail == 1 }
            }
            (VERSION, 3) => {
                let cause = decode_cause(detail)?;
                Kind::End { cause, value: number, stdout: first, stderr: second }
            }
            (VERSION, 4) => {
                let reason = decode_reason(detail)?;
                Kind::Gap { stream, bytes: first, entries: second, reason }
            }
            _ => return None,
        };
        if run.is_none() && !matches!(kind, Kind::Gap { .. }) {
            return None;
        }
        Some(Self { position, time, run, kind })
    }
}

fn fill(out: &mut [u8; ENTRY], parts: &[&[u8]]) {
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn encode_stream(stream: Option<Stream>) -> u8 {
    match stream {
        None => 0,
        Some(Stream::Stdout) => 1,
        Some(Stream::Stderr) => 2,
    }
}

fn decode_stream(byte: u8) -> Option<Option<Stream>> {
    match byte {
        0 => Some(None),
        1 => Some(Some(Stream::Stdout)),
        2 => Some(Some(Stream::Stderr)),
        _ => None,
    }
}

fn encode_cause(cause: Cause) -> u8 {
    match cause {
        Cause::Exited => 1,
        Cause::Killed => 2,
        Cause::Dumped => 3,
        Cause::Failed => 4,
        Cause::Lost => 5,
    }
}

fn decode_cause(byte: u8) -> Option<Cause> {
    match byte {
        1 => Some(Cause::Exited),
        2 => Some(Cause::Killed),
        3 => Some(Cause::Dumped),
        4 => Some(Cause::Failed),
        5 => Some(Cause::Lost),
        _ => None,
    }
}

fn encode_reason(reason: GapReason) -> u8 {
    match reason {
        GapReason::NotWritten => 1,
        GapReason::Dropped => 2,
        GapReason::Damaged => 3,
        GapReason::Removed => 4,
        GapReason::BeyondEnd => 5,
        GapReason::Closed => 6,
        GapReason::Altered => 7,
        GapReason::Vanished => 8,
    }
}

fn decode_reason(byte: u8) -> Option<GapReason> {
    match byte {
        1 => Some(GapReason::NotWritten),
        2 => Some(GapReason::Dropped),
        3 => Some(GapReason::Damaged),
        4 => Some(GapReason::Removed),
        5 => Some(GapReason::BeyondEnd),
        6 => Some(GapReason::Closed),
        7 => Some(GapReason::Altered),
        8 => Some(GapReason::Vanished),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
        let cause = prop_oneof![
            Just(Cause::Exited),
            Just(Cause::Killed),
            Just(Cause::Dumped),
            Just(Cause::Failed),
            Just(Cause::Lost)
        ];
        let reason = prop_oneof![
            Just(GapReason::NotWritten),
            Just(GapReason::Dropped),
            Just(GapReason::Damaged),
            Just(GapReason::Closed)
        ];
        let kind = prop_oneof![
            any::<i32>().prop_map(|pid| Kind::Start { pid }),
            (stream.clone(), proptest::option::of((1..u64::MAX, any::<u64>())), any::<bool>())
                .prop_map(|(stream, source, rest)| Kind::Data {
                    stream,
                    source: source.map(|(file, offset)| Source { file, offset }),
                    rest
                }),
            (cause, any::<i32>(), any::<u64>(), any::<u64>()).prop_map(
                |(cause, value, stdout, stderr)| Kind::End { cause, value, stdout, stderr }
            ),
            (proptest::option::of(stream), any::<u64>(), any::<u64>(), reason).prop_map(
                |(stream, bytes, entries, reason)| Kind::Gap { stream, bytes, entries, reason }
            ),
        ];
        (any::<u64>(), any::<u64>(), any::<[u8; 16]>(), kind).prop_map(
            |(position, time, run, kind)| Entry {
                position: Position(position),
                time,
                run: Some(RunId::from_bytes(run)),
                kind,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(entry in any_entry()) {
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }

        #[test]
        fn a_flipped_bit_is_never_believed(entry in any_entry(), bit in 0..ENTRY * 8) {
            let mut bytes = entry.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Entry::decode(&bytes), None);
        }

        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..130)) {
            let _: Option<Entry> = Entry::decode(&bytes);
        }

        /// With a right checksum the fields themselves are tried.
        #[test]
        fn decoding_checked_bytes_is_total(mut bytes in proptest::collection::vec(0..8_u8, 60)) {
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            if let Some(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
            }
        }
    }

    /// The format, written down as bytes: it must be readable for ever.
    #[test]
    fn the_format_stays() {
        let entry = Entry {
            position: Position(0x1234),
            time: 0x0102_0304_0506_0708,
            run: Some(RunId::from_bytes([7; 16])),
            kind: Kind::End { cause: Cause::Killed, value: 9, stdout: 5, stderr: 6 },
        };
        let mut bytes = vec![1, 3, 0, 2, 9, 0, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0];
        bytes.extend([8, 7, 6, 5, 4, 3, 2, 1]);
        bytes.extend([7; 16]);
        bytes.extend([5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(entry.encode().as_slice(), bytes);
        // Data that go on with a line; where nothing is said, as before that could be said, they do not.
        let data = |rest| Entry {
            kind: Kind::Data { stream: Stream::Stderr, source: None, rest },
            ..entry
        };
        assert_eq!(data(true).encode()[..8], [1, 2, 2, 1, 0, 0, 0, 0]);
        assert_eq!(data(false).encode()[..8], [1, 2, 2, 0, 0, 0, 0, 0]);
    }
}
