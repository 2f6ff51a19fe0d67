//! How a message lies in packets of a SOCK_SEQPACKET socket: two ways, of which an end uses one for a whole session.
//!
//! Until DAOS 2.6 a packet is the message. Since 2.8 it is a part of one behind a header of 24 bytes: how large the message
//! is, how large this part, its number from 0 on, and how many there are; in the byte order of the machine, since both ends
//! are on it. Invariants: nothing is allocated because a header claims it, and whatever is not exactly as it must be is a
//! [`Violation`], after which the session is of no more use.

/// The largest packet of a chunked message, its header included.
pub const PACKET: usize = 131_072;
/// The header of a chunk.
const HEADER: usize = 24;
/// The most of a message in one chunk.
const CHUNK: usize = PACKET - HEADER;
/// The largest message that is taken, in either framing: what Go's server of 2.6 reads.
pub const MESSAGE: usize = 1 << 20;

/// How the packets of a session are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A packet is a message.
    Raw,
    /// A packet is a part of one.
    Chunked,
}

/// What is wrong with a packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Larger than is taken.
    #[error("a message of {0} bytes; at most {MESSAGE} are taken")]
    TooLarge(u64),
    /// No whole header.
    #[error("a packet of {0} bytes has no chunk's header")]
    NoHeader(usize),
    /// It has not as many bytes as it says.
    #[error("a chunk says that it has {said} bytes, and has {has}")]
    Length {
        /// By its header.
        said: u64,
        /// In truth.
        has: usize,
    },
    /// Not the one that comes next, or of another message.
    #[error("chunk {index} of {total} where chunk {wanted} was to come, of the same message")]
    Order {
        /// Its number.
        index: u32,
        /// Of how many.
        total: u32,
        /// The number that comes next.
        wanted: u32,
    },
    /// All chunks are there and do not make the message.
    #[error("all chunks have {has} bytes together, and the message {said}")]
    Total {
        /// By the headers.
        said: u64,
        /// In truth.
        has: usize,
    },
    /// It cannot be said in this framing.
    #[error(
        "a message without a byte cannot be sent in the older framing: it would read as the end"
    )]
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    total_size: u64,
    size: u64,
    index: u32,
    count: u32,
}

impl Header {
    fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (total_size, rest) = packet.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (count, data) = rest.split_first_chunk()?;
        let header = Self {
            total_size: u64::from_ne_bytes(*total_size),
            size: u64::from_ne_bytes(*size),
            index: u32::from_ne_bytes(*index),
            count: u32::from_ne_bytes(*count),
        };
        Some((header, data))
    }

    fn write(self, data: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + data.len());
        packet.extend(self.total_size.to_ne_bytes());
        packet.extend(self.size.to_ne_bytes());
        packet.extend(self.index.to_ne_bytes());
        packet.extend(self.count.to_ne_bytes());
        packet.extend(data);
        packet
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Framing {
    /// That of a session whose first packet this is. A message of the older framing cannot look like a chunk in practice:
    /// its second eight bytes would have to be its own length less 24.
    #[must_use]
    pub fn of_first(packet: &[u8]) -> Self {
        let Some((header, data)) = Header::read(packet) else { return Self::Raw };
        let Header { total_size, size: own, index, count } = header;
        let one = count != 1 || total_size == own;
        let chunked =
            index == 0 && count >= 1 && own == size(data.len()) && total_size >= own && one;
        if chunked { Self::Chunked } else { Self::Raw }
    }

    /// The most that an answer may have: older clients read no more into one packet.
    #[must_use]
    pub const fn largest_answer(self) -> usize {
        match self {
            Self::Raw => PACKET,
            Self::Chunked => MESSAGE,
        }
    }

    /// The packets of a message.
    ///
    /// # Errors
    /// [`Violation::TooLarge`], and [`Violation::Empty`] in the older framing.
    pub fn packets(self, message: &[u8]) -> Result<Vec<Vec<u8>>, Violation> {
        if message.len() > MESSAGE {
            return Err(Violation::TooLarge(size(message.len())));
        }
        match self {
            Self::Raw if message.is_empty() => Err(Violation::Empty),
            Self::Raw => Ok(vec![message.to_vec()]),
            Self::Chunked => Ok(chunks(message)),
        }
    }
}

fn chunks(message: &[u8]) -> Vec<Vec<u8>> {
    let total_size = size(message.len());
    let count = u32::try_from(message.len().div_ceil(CHUNK).max(1)).unwrap_or(u32::MAX);
    let header = |index, data: &[u8]| Header { total_size, size: size(data.len()), index, count };
    if message.is_empty() {
        return vec![header(0, message).write(message)];
    }
    let chunks = (0..).zip(message.chunks(CHUNK));
    chunks.map(|(index, data)| header(index, data).write(data)).collect()
}

/// One end's reading of a session.
#[derive(Debug, Default)]
pub struct Assembly {
    framing: Option<Framing>,
    begun: Option<Partial>,
}

/// A message that is under way.
#[derive(Debug)]
struct Partial {
    total_size: u64,
    count: u32,
    /// The number of the chunk that comes next.
    next: u32,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Of a session whose framing this end has chosen.
    #[must_use]
    pub fn of(framing: Framing) -> Self {
        Self { framing: Some(framing), begun: None }
    }

    /// The framing, once a packet has come.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Takes a packet; gives the message, if this was its last.
    ///
    /// # Errors
    /// [`Violation`]: the session is over.
    pub fn take(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        match *self.framing.get_or_insert_with(|| Framing::of_first(packet)) {
            Framing::Raw if packet.len() > MESSAGE => Err(Violation::TooLarge(size(packet.len()))),
            Framing::Raw => Ok(Some(packet.to_vec())),
            Framing::Chunked => self.take_chunk(packet),
        }
    }

    fn take_chunk(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        let read = Header::read(packet).filter(|_| packet.len() <= PACKET);
        let (header, data) = read.ok_or(Violation::NoHeader(packet.len()))?;
        let Header { total_size, size: said, index, count } = header;
        if said != size(data.len()) {
            return Err(Violation::Length { said, has: data.len() });
        }
        if total_size > size(MESSAGE) {
            return Err(Violation::TooLarge(total_size));
        }
        let new = Partial { total_size, count, next: 0, bytes: Vec::new() };
        let mut partial = self.begun.take().unwrap_or(new);
        let Partial { next: wanted, .. } = partial;
        let same = (partial.total_size, partial.count) == (total_size, count);
        if index != wanted || !same || index >= count {
            return Err(Violation::Order { index, total: count, wanted });
        }
        partial.bytes.extend_from_slice(data);
        partial.next = index.saturating_add(1);
        let (has, is_last) = (partial.bytes.len(), partial.next == count);
        if size(has) > total_size || (is_last && size(has) != total_size) {
            return Err(Violation::Total { said: total_size, has });
        }
        if is_last {
            return Ok(Some(partial.bytes));
        }
        self.begun = Some(partial);
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
