//! From text to words: whitespace, quotes and escapes. Variables come later, on unquoted words.

use std::str::Chars;

use super::{CommandError, CommandProblem, UnknownEscape};

/// What separates words. Other whitespace, such as U+00A0, belongs to a word.
pub(super) const fn is_separator(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// A word without its quotes and escapes. Every byte knows its column, for errors found later.
pub(super) struct Word {
    pub(super) bytes: Vec<u8>,
    columns: Vec<usize>,
    start: usize,
}

impl Word {
    /// The column of the byte at `index`; beyond the end, of the whole word.
    pub(super) fn column_of(&self, index: usize) -> usize {
        self.columns.get(index).copied().unwrap_or(self.start)
    }

    fn push_bytes(&mut self, bytes: &[u8], column: usize) {
        self.bytes.extend_from_slice(bytes);
        self.columns.resize(self.bytes.len(), column);
    }

    fn push_character(&mut self, character: char, column: usize) {
        self.push_bytes(character.encode_utf8(&mut [0; 4]).as_bytes(), column);
    }
}

/// Reads a command line from left to right.
pub(super) struct Scanner<'text> {
    rest: Chars<'text>,
    /// Of the next character, counted from 1.
    column: usize,
    unknown_escapes: Vec<UnknownEscape>,
}

impl<'text> Scanner<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        Self { rest: text.chars(), column: 1, unknown_escapes: Vec::new() }
    }

    pub(super) const fn column(&self) -> usize {
        self.column
    }

    pub(super) fn into_warnings(self) -> Vec<UnknownEscape> {
        self.unknown_escapes
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    pub(super) fn advance(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        self.column += 1;
        Some(character)
    }

    pub(super) fn skip_separators(&mut self) {
        while self.peek().is_some_and(is_separator) {
            self.advance();
        }
    }

    /// Nothing of a word is left before the next separator or the end.
    pub(super) fn at_word_end(&self) -> bool {
        self.peek().is_none_or(is_separator)
    }

    /// The next word, or `None` at the end of the text.
    pub(super) fn word(&mut self) -> Result<Option<Word>, CommandError> {
        self.skip_separators();
        let start = self.column;
        let mut word = Word { bytes: Vec::new(), columns: Vec::new(), start };
        if self.lone(";") {
            return Err(CommandError::at(start, CommandProblem::LoneSemicolon));
        }
        // Only as a whole word: within one, `\;` is an unknown escape, as in systemd.
        if self.lone("\\;") {
            self.advance();
            self.advance();
            word.push_bytes(b";", start);
            return Ok(Some(word));
        }
        match self.peek() {
            None => return Ok(None),
            Some(quote @ ('"' | '\'')) => self.quoted(quote, &mut word)?,
            Some(_) => self.unquoted(&mut word)?,
        }
        Ok(Some(word))
    }

    /// `text` stands here as a word of its own.
    fn lone(&self, text: &str) -> bool {
        self.rest.as_str().strip_prefix(text).is_some_and(|after| {
            let next = after.chars().next();
            next.is_none_or(is_separator)
        })
    }

    fn unquoted(&mut self, word: &mut Word) -> Result<(), CommandError> {
        while !self.at_word_end() {
            let column = self.column;
            match self.advance() {
                None => break,
                Some('\\') => self.escape(column, word)?,
                Some(quote @ ('"' | '\'')) => {
                    return Err(CommandError::at(
                        column,
                        CommandProblem::QuoteInsideWord { quote },
                    ));
                }
                Some(character) => literal(character, column, word)?,
            }
        }
        Ok(())
    }

    /// Everything up to the partner of `quote`, which is the next character.
    fn quoted(&mut self, quote: char, word: &mut Word) -> Result<(), CommandError> {
        self.advance();
        loop {
            let column = self.column;
            match self.advance() {
                None => {
                    let problem = CommandProblem::UnterminatedQuote { quote };
                    return Err(CommandError::at(word.start, problem));
                }
                Some('\\') => self.escape(column, word)?,
                Some(character) if character == quote => break,
                Some(character) => literal(character, column, word)?,
            }
        }
        if self.at_word_end() {
            Ok(())
        } else {
            Err(CommandError::at(self.column, CommandProblem::TextAfterQuote))
        }
    }

    /// The escape whose backslash, at `column`, has just been read. Unlike systemd, which keeps any
    /// malformed escape literally, a numeric one without its digits is an error: nobody means it.
    fn escape(&mut self, column: usize, word: &mut Word) -> Result<(), CommandError> {
        let Some(character) = self.peek() else {
            return Err(CommandError::at(column, CommandProblem::TrailingBackslash));
        };
        if character.is_digit(8) {
            return self.byte_escape(column, 8, word);
        }
        self.advance();
        let byte = match character {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            's' => b' ',
            '\\' => b'\\',
            '"' => b'"',
            '\'' => b'\'',
            'x' => return self.byte_escape(column, 16, word),
            'u' => return self.character_escape(column, 4, word),
            'U' => return self.character_escape(column, 8, word),
            unknown => {
                word.push_bytes(b"\\", column);
                literal(unknown, column + 1, word)?;
                self.unknown_escapes.push(UnknownEscape { column, character: unknown });
                return Ok(());
            }
        };
        word.push_bytes(&[byte], column);
        Ok(())
    }

    /// `\xHH` or `\NNN`: one byte, whatever it makes of the encoding.
    fn byte_escape(
        &mut self,
        column: usize,
        radix: u32,
        word: &mut Word,
    ) -> Result<(), CommandError> {
        let (count, escape, digits) = match radix {
            8 => (3, "NNN", "three octal digits"),
            _ => (2, "xHH", "two hexadecimal digits"),
        };
        let problem = match self.number(count, radix).map(u8::try_from) {
            None => CommandProblem::IncompleteEscape { escape, digits },
            Some(Err(_)) => CommandProblem::EscapeBeyondByte,
            Some(Ok(0)) => CommandProblem::NulEscape,
            Some(Ok(byte)) => {
                word.push_bytes(&[byte], column);
                return Ok(());
            }
        };
        Err(CommandError::at(column, problem))
    }

    /// `\uXXXX` or `\UXXXXXXXX`: one character, as UTF-8.
    fn character_escape(
        &mut self,
        column: usize,
        count: usize,
        word: &mut Word,
    ) -> Result<(), CommandError> {
        let (escape, digits) = match count {
            4 => ("uXXXX", "four hexadecimal digits"),
            _ => ("UXXXXXXXX", "eight hexadecimal digits"),
        };
        let problem = match self.number(count, 16).map(char::from_u32) {
            None => CommandProblem::IncompleteEscape { escape, digits },
            Some(None) => CommandProblem::NotACharacter,
            Some(Some('\0')) => CommandProblem::NulEscape,
            Some(Some(character)) => {
                word.push_character(character, column);
                return Ok(());
            }
        };
        Err(CommandError::at(column, problem))
    }

    /// The number of exactly `count` digits that stands here. Eight hexadecimal digits fit a `u32`.
    fn number(&mut self, count: usize, radix: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..count {
            number = number * radix + self.peek()?.to_digit(radix)?;
            self.advance();
        }
        Some(number)
    }
}

/// A character that stands for itself.
fn literal(character: char, column: usize, word: &mut Word) -> Result<(), CommandError> {
    if character.is_control() {
        return Err(CommandError::at(column, CommandProblem::ControlCharacter { character }));
    }
    word.push_character(character, column);
    Ok(())
}
