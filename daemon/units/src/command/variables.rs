//! Variables: found in unquoted words when a line is parsed, replaced when it is expanded.
//!
//! Quotes and escapes are gone by then, so neither protects a dollar sign: `'$X'` and `\x24X` are
//! variables too, as in systemd, and `$$` is the one way to write a dollar sign. Where systemd
//! quietly makes nothing of a malformed reference, such as `$X/y`, `$(date)` or `${X:-y}`, it is an
//! error here.

use super::{
    CommandError, CommandProblem,
    words::{Word, is_separator},
};
use crate::argv::{Argv, InvalidArgv};

/// A word as it waits for the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// Exactly one word, the pieces put together.
    One(Vec<Piece>),
    /// A bare `$NAME`: as many words as its value has.
    Split(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    /// `${NAME}`.
    Variable(String),
}

impl Template {
    /// A word in which a dollar sign means nothing.
    pub(super) fn literal(word: Word) -> Self {
        Self::One(vec![Piece::Literal(word.bytes)])
    }

    /// A word in which `$NAME`, `${NAME}` and `$$` mean something.
    pub(super) fn parse(word: &Word) -> Result<Self, CommandError> {
        match word.bytes.as_slice() {
            [b'$', b'$' | b'{', ..] => pieces(word).map(Self::One),
            [b'$', name @ ..] => match variable_name(name) {
                Some(name) => Ok(Self::Split(name)),
                None => {
                    let problem = CommandProblem::NotAVariable { name: excerpt(name) };
                    Err(CommandError::at(word.column_of(0), problem))
                }
            },
            _ => pieces(word).map(Self::One),
        }
    }

    /// The bytes of a word without variables.
    pub(super) fn into_literal(self) -> Option<Vec<u8>> {
        match self {
            Self::Split(_) => None,
            Self::One(pieces) => {
                let mut bytes = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => bytes.extend(literal),
                        Piece::Variable(_) => return None,
                    }
                }
                Some(bytes)
            }
        }
    }

    /// Adds the word or words this becomes. Nothing much larger than an argv may be is ever built,
    /// however often a line repeats a long variable.
    pub(super) fn expand<'value>(
        &self,
        lookup: impl Fn(&str) -> Option<&'value [u8]>,
        argv: &mut Argv,
    ) -> Result<(), InvalidArgv> {
        let value = |name: &str| lookup(name).unwrap_or_default();
        match self {
            Self::Split(name) => {
                Values { rest: value(name).iter() }.try_for_each(|word| argv.push(word))
            }
            Self::One(pieces) => {
                let mut word = Vec::new();
                for piece in pieces {
                    word.extend_from_slice(match piece {
                        Piece::Literal(bytes) => bytes,
                        Piece::Variable(name) => value(name),
                    });
                    if word.len() > Argv::MAX_WORD {
                        break; // too long already: the push below says so
                    }
                }
                argv.push(word)
            }
        }
    }
}

fn pieces(word: &Word) -> Result<Vec<Piece>, CommandError> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = word.bytes.as_slice();
    loop {
        let error = |problem| {
            let column = word.column_of(word.bytes.len() - rest.len());
            Err(CommandError::at(column, problem))
        };
        rest = match rest {
            [] => break,
            [b'$', b'$', after @ ..] => {
                literal.push(b'$');
                after
            }
            [b'$', b'{', after @ ..] => {
                let length = after.iter().take_while(|&&byte| byte != b'}').count();
                let (Some(name), Some(after)) = (after.get(..length), after.get(length + 1..))
                else {
                    return error(CommandProblem::UnclosedVariable);
                };
                let Some(variable) = variable_name(name) else {
                    return error(CommandProblem::NotABracedVariable { name: excerpt(name) });
                };
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::Variable(variable));
                after
            }
            // Any other dollar sign within a word is itself, as in systemd: `a$X` has no variable.
            [byte, after @ ..] => {
                literal.push(*byte);
                after
            }
        };
    }
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

/// The name, if it is one: ASCII letters, digits and `_`, not beginning with a digit.
fn variable_name(bytes: &[u8]) -> Option<String> {
    let valid = bytes.first().is_some_and(|first| !first.is_ascii_digit())
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
    valid.then(|| bytes.iter().copied().map(char::from).collect())
}

/// Enough of a word to recognise it in a message.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(64).collect()
}

/// The words of a variable's value. Never fails, as systemd's relaxed splitting never does: quotes
/// may open anywhere and vanish, one that is not closed reaches to the end of the value, a
/// backslash makes the next byte literal (no C escapes), and one at the end vanishes.
struct Values<'value> {
    rest: std::slice::Iter<'value, u8>,
}

impl Iterator for Values<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let separates = |byte: u8| is_separator(char::from(byte));
        let mut next = self.rest.find(|&&byte| !separates(byte)).copied();
        next?;
        let mut word = Vec::new();
        let mut open = None;
        while let Some(byte) = next {
            match (open, byte) {
                (_, b'\\') => word.extend(self.rest.next()),
                (None, b'"' | b'\'') => open = Some(byte),
                (Some(quote), _) if byte == quote => open = None,
                (None, _) if separates(byte) => break,
                (None | Some(_), _) => word.push(byte),
            }
            next = self.rest.next().copied();
        }
        Some(word)
    }
}
