//! What can be wrong with a command line, and what would be right.

use super::CommandLine;

/// A command line was refused: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct CommandError {
    column: usize,
    problem: CommandProblem,
}

impl CommandError {
    pub(super) const fn at(column: usize, problem: CommandProblem) -> Self {
        Self { column, problem }
    }

    /// Where the problem begins, counted from 1 in characters of the command line.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// What the problem is.
    #[must_use]
    pub const fn problem(&self) -> &CommandProblem {
        &self.problem
    }
}

/// Why a command line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandProblem {
    /// Longer than [`CommandLine::MAX_LENGTH`].
    #[error(
        "the command line is {length} bytes long; at most {max} are allowed",
        max = CommandLine::MAX_LENGTH
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Nothing where the program should be.
    #[error("no program here; an absolute path or a name without slashes is expected")]
    NoProgram,
    /// A path that depends on the working directory.
    #[error(
        "the program {program:?} is a relative path; an absolute path or a name without slashes is \
         expected"
    )]
    RelativeProgram {
        /// The path, at most 64 characters of it.
        program: String,
    },
    /// A path that can only be a directory.
    #[error("the program {program:?} is a directory; the path of a file is expected")]
    DirectoryProgram {
        /// The path, at most 64 characters of it.
        program: String,
    },
    /// A variable where the program or its `argv[0]` should be.
    #[error(
        "a variable cannot name the program or its argv[0]; write the name itself, or $$ for a \
         dollar sign"
    )]
    VariableProgram,
    /// The prefix `@` without a word after the program, or with an empty one.
    #[error("the prefix '@' makes the word after the program its argv[0], and there is none here")]
    NoArgumentZero,
    /// A prefix that changes privileges.
    #[error(
        "the prefix {prefix:?} is not supported until users can be set; a program whose name begins \
         with it is written in quotes"
    )]
    UnsupportedPrefix {
        /// `+`, `!`, `!!` or `|`.
        prefix: &'static str,
    },
    /// A prefix a second time.
    #[error(
        "the prefix {prefix:?} is given twice; a program whose name begins with it is written in \
         quotes"
    )]
    RepeatedPrefix {
        /// `@`, `-` or `:`.
        prefix: char,
    },
    /// A control character as itself.
    #[error(
        "the control character {character:?} is not allowed as itself; write it as an escape, such \
         as \\n, \\t or \\x1b"
    )]
    ControlCharacter {
        /// The character.
        character: char,
    },
    /// A quote in the middle of a word.
    #[error("a quote opens only at the start of a word; quote the whole word, or write \\{quote}")]
    QuoteInsideWord {
        /// The quote.
        quote: char,
    },
    /// Something touches a closing quote.
    #[error(
        "a closing quote ends the word, so a space is expected here; quote the whole word instead"
    )]
    TextAfterQuote,
    /// A quote without its partner.
    #[error("this quote is never closed; a second {quote} is expected, or write \\{quote}")]
    UnterminatedQuote {
        /// The quote.
        quote: char,
    },
    /// A backslash at the end.
    #[error("a backslash cannot end the command line; write \\\\ for a backslash")]
    TrailingBackslash,
    /// A numeric escape without all of its digits.
    #[error("the escape \\{escape} is incomplete; {digits} are expected")]
    IncompleteEscape {
        /// How the escape looks: `xHH`, `NNN`, `uXXXX` or `UXXXXXXXX`.
        escape: &'static str,
        /// Which digits it takes.
        digits: &'static str,
    },
    /// A numeric escape for NUL, which would end the word.
    #[error("this escape is a NUL byte, and no word can contain one; remove it")]
    NulEscape,
    /// An octal escape beyond a byte.
    #[error("this escape is more than a byte; \\001 to \\377 are expected")]
    EscapeBeyondByte,
    /// A `\u` or `\U` that is no character.
    #[error(
        "this escape is not a Unicode character; U+0001 to U+D7FF or U+E000 to U+10FFFF is expected"
    )]
    NotACharacter,
    /// An unquoted `;` as a word of its own.
    #[error("a lone ';' separates commands, and only one is accepted; write \\; for a semicolon")]
    LoneSemicolon,
    /// A word beginning with `$` that is not the name of a variable.
    #[error(
        "a word that begins with $ is the name of a variable, which {name:?} is not; write \
         ${{NAME}} for a variable within a word, or $$ for a dollar sign"
    )]
    NotAVariable {
        /// What stands after the `$`, at most 64 characters of it.
        name: String,
    },
    /// `${…}` around something that is not the name of a variable.
    #[error(
        "{name:?} between braces is not the name of a variable: letters, digits and '_' are \
         expected, not beginning with a digit; write $$ for a dollar sign"
    )]
    NotABracedVariable {
        /// What stands between the braces, at most 64 characters of it.
        name: String,
    },
    /// `${` without `}` in the same word.
    #[error(
        "this ${{ is never closed; }} is expected in the same word, or write $$ for a dollar sign"
    )]
    UnclosedVariable,
}

/// An escape that is not known: kept as it stands, backslash included, as systemd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEscape {
    pub(super) column: usize,
    pub(super) character: char,
}

impl UnknownEscape {
    /// Where its backslash is, counted from 1 in characters of the command line.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// The character after the backslash.
    #[must_use]
    pub const fn character(&self) -> char {
        self.character
    }
}

impl std::fmt::Display for UnknownEscape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { column, character } = self;
        write!(
            f,
            "column {column}: the escape \\{character} is unknown and kept as it stands; write \
             \\\\{character} if that is meant"
        )
    }
}
