//! Numbered lines: how a program writes them, and whether they are all there.

use std::{
    fmt,
    io::{self, Write},
};

/// What fills a line up, so that no two in a row are equally long.
const FILLER: [u8; 101] = [b'.'; 101];

/// Adds the line of this number.
///
/// # Panics
/// Never: there is room.
pub fn add_line(number: u64, to: &mut Vec<u8>) {
    let length = usize::try_from(number * 37 % 101).expect("at most a hundred");
    write!(to, "{number:012} ").expect("a vector takes it");
    to.extend_from_slice(&FILLER[..length]);
    to.push(b'\n');
}

/// Lines as they are read, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// How many were found, each where it belongs.
    pub found: u64,
    /// How many were not there when a later one came.
    pub lost: u64,
    /// How many came again.
    pub repeated: u64,
    /// How many are none that was written.
    pub torn: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// What came last, without its end.
    rest: Vec<u8>,
    wanted: Vec<u8>,
}

impl Lines {
    /// What follows.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).expect("it fits");
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.rest.is_empty() && piece.ends_with(b"\n") {
                self.judge(piece);
                continue;
            }
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                self.judge(&line);
            }
        }
    }

    /// Everything is read: the program had written so many. What is missing at the end is lost, too.
    pub fn end(&mut self, written: u64) {
        self.torn += u64::from(!std::mem::take(&mut self.rest).is_empty());
        self.lost += written.saturating_sub(self.found + self.lost);
        self.torn += (self.found + self.lost).saturating_sub(written);
    }

    /// Whether each was there, and once.
    #[must_use]
    pub fn are_whole(&self) -> bool {
        (self.lost, self.repeated, self.torn) == (0, 0, 0)
    }

    fn judge(&mut self, line: &[u8]) {
        let expected = self.found + self.lost + 1;
        if self.is(line, expected) {
            self.found += 1;
            return;
        }
        let number = line.get(..12).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
        match number {
            Some(number) if !self.is(line, number) => self.torn += 1,
            Some(number) if number < expected => self.repeated += 1,
            Some(number) => {
                self.lost += number - expected;
                self.found += 1;
            }
            None => self.torn += 1,
        }
    }

    fn is(&mut self, line: &[u8], number: u64) -> bool {
        self.wanted.clear();
        add_line(number, &mut self.wanted);
        line == self.wanted
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, lost, repeated, torn, bytes, .. } = self;
        write!(
            formatter,
            "{found} found, {lost} lost, {repeated} repeated, {torn} torn ({bytes} bytes)"
        )
    }
}

/// Writes as many bytes of lines as are asked for, and a little more: up to the end of a line.
#[derive(Debug, Default)]
pub struct Writer {
    /// How many lines were written.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
    block: Vec<u8>,
}

impl Writer {
    /// Writes the next lines, at least so many bytes.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&mut self, bytes: usize, mut to: impl Write) -> io::Result<()> {
        self.block.clear();
        while self.block.len() < bytes {
            self.lines += 1;
            add_line(self.lines, &mut self.block);
        }
        to.write_all(&self.block)?;
        self.bytes += u64::try_from(self.block.len()).map_err(io::Error::other)?;
        Ok(())
    }
}
