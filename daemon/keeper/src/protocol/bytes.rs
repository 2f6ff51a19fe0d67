//! The fields of messages as bytes. Nothing here panics: what is not there is told as [`Malformed`].

use super::{Exit, How, MAX_DESCRIPTORS, Malformed, Run};

/// Writes one message.
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn kind(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn i32(self, value: i32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn run(self, run: &Run) -> Self {
        self.raw(run)
    }

    /// What does not fit a 32-bit length cannot be sent at all ([`MAX_MESSAGE`]), so it is cut here.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        let kept = if length == 0 { &[] } else { bytes };
        self.u32(length).raw(kept)
    }

    pub(crate) fn names(mut self, names: &[String]) -> Self {
        self = self.u8(u8::try_from(names.len()).unwrap_or(u8::MAX));
        for name in names {
            self = self.bytes(name.as_bytes());
        }
        self
    }

    pub(crate) fn exit(self, exit: &Exit) -> Self {
        let how = match exit.how {
            How::Exited => 1,
            How::Killed => 2,
            How::Dumped => 3,
        };
        self.u8(how)
            .i32(exit.status)
            .u64(exit.user_time)
            .u64(exit.system_time)
            .raw(&exit.seen_at.to_le_bytes())
    }

    pub(crate) fn maybe_exit(self, exit: Option<&Exit>) -> Self {
        match exit {
            None => self.u8(0),
            Some(exit) => self.u8(1).exit(exit),
        }
    }
}

/// Reads one message.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn run(&mut self) -> Result<Run, Malformed> {
        self.array()
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Field(field)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed::Field(field))
    }

    pub(crate) fn names(&mut self) -> Result<Vec<String>, Malformed> {
        let count = usize::from(self.u8()?);
        if count > MAX_DESCRIPTORS {
            return Err(Malformed::Field("names"));
        }
        (0..count).map(|_| self.text("name")).collect()
    }

    pub(crate) fn exit(&mut self) -> Result<Exit, Malformed> {
        let how = match self.u8()? {
            1 => How::Exited,
            2 => How::Killed,
            3 => How::Dumped,
            _ => return Err(Malformed::Field("exit.how")),
        };
        Ok(Exit {
            how,
            status: self.i32()?,
            user_time: self.u64()?,
            system_time: self.u64()?,
            seen_at: self.array().map(i64::from_le_bytes)?,
        })
    }

    pub(crate) fn end<T>(&self, message: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(message) } else { Err(Malformed::Long) }
    }
}
