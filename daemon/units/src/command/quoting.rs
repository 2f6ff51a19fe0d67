//! From words to text: the command line that parses back to them.

use crate::argv::Argv;

/// Why words cannot be written as a command line. Indices count from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unquotable {
    /// No words at all.
    #[error("there is nothing to quote; at least one word is expected, the program")]
    NoWords,
    /// A word with a NUL byte, for which the command language has no escape.
    #[error("word {index} has a NUL byte; no word can contain one")]
    Nul {
        /// Which word, from 0.
        index: usize,
    },
}

/// The command line that says `argv`: parsed and expanded, with any environment, it is these words
/// again, and the first is the program. Plain words stay as they are.
///
/// Two kinds of argv are written in the same way, for people to read, although the text does not
/// parse: one whose first word cannot be a program of the command language (empty, `.`, `..`, a
/// relative path with a slash, a path ending in a slash), which gives exactly that error; and one
/// whose text exceeds [`super::CommandLine::MAX_LENGTH`].
///
/// # Errors
/// [`Unquotable`], if there are no words or one has a NUL byte.
pub fn quote(argv: &[Vec<u8>]) -> Result<String, Unquotable> {
    if argv.is_empty() {
        return Err(Unquotable::NoWords);
    }
    match argv.iter().position(|word| word.contains(&0)) {
        Some(index) => Err(Unquotable::Nul { index }),
        None => Ok(quote_words(argv)),
    }
}

impl Argv {
    /// The command line that says these words, as [`quote`] writes it.
    #[must_use]
    pub fn to_command(&self) -> String {
        quote_words(self.words())
    }
}

fn quote_words(argv: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (index, word) in argv.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        let like_a_prefix =
            index == 0 && matches!(word.first(), Some(b'@' | b'-' | b':' | b'+' | b'!' | b'|'));
        match std::str::from_utf8(word) {
            Ok(plain) if !like_a_prefix && is_plain(plain) => {
                text.push_str(&plain.replace('$', "$$"));
            }
            Ok(_) | Err(_) => push_quoted(word, &mut text),
        }
    }
    text
}

/// Means itself without quotes, dollar signs aside. Whitespace that does not separate words would
/// still look as if it did.
fn is_plain(word: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\');
    !word.is_empty() && word != ";" && !word.contains(special)
}

/// In double quotes, or in single ones if that saves escapes.
fn push_quoted(word: &[u8], text: &mut String) {
    let quote = if word.contains(&b'"') && !word.contains(&b'\'') { '\'' } else { '"' };
    text.push(quote);
    for chunk in word.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(character, quote, text);
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(byte, text));
    }
    text.push(quote);
}

fn push_character(character: char, quote: char, text: &mut String) {
    match character {
        '$' => text.push_str("$$"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\\' => text.push_str("\\\\"),
        _ if character == quote => text.extend(['\\', quote]),
        _ if character.is_control() => {
            character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_byte(byte, text));
        }
        _ => text.push(character),
    }
}

fn push_byte(byte: u8, text: &mut String) {
    text.push_str(&format!("\\x{byte:02x}"));
}
