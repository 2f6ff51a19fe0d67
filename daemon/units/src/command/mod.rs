//! The command language: one line that says which program to run with which words, in the manner of
//! `ExecStart=` (systemd.service(5), "COMMAND LINES"). It is not a shell.
//!
//! A line is parsed once, where it enters, and expanded for each run, as the environment may
//! change.
//!
//! Invariant: a line that systemd accepts either means the same here or is refused. So several
//! commands, quotes within a word, malformed variables and numeric escapes are errors, although
//! systemd makes something of them. Three differences are wanted: `%` is always itself; prefixes are
//! read before quotes and escapes, so that a quoted program may begin with any character; and `$$` is
//! a dollar sign in the program too.

mod error;
mod quoting;
mod variables;
mod words;

pub use error::{CommandError, CommandProblem, UnknownEscape};
pub use quoting::{Unquotable, quote};

use crate::argv::{Argv, InvalidArgv};
use variables::Template;
use words::{Scanner, Word};

/// A command line, parsed: a program and the words for it, with variables yet to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: Vec<u8>,
    argument_zero: Vec<u8>,
    arguments: Vec<Template>,
    ignore_failure: bool,
    warnings: Vec<UnknownEscape>,
}

/// A command line with its variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// What to execute: an absolute path, or a name without slashes to be looked up.
    pub program: Vec<u8>,
    /// The words it gets. The first is `program`, unless the prefix `@` gave another.
    pub argv: Argv,
    /// The prefix `-` was given: a failure counts as success.
    pub ignore_failure: bool,
}

impl CommandLine {
    /// The longest command line in bytes, 128 KiB: no word of the kernel's is longer
    /// (`MAX_ARG_STRLEN`, execve(2)), and it bounds the number of words.
    pub const MAX_LENGTH: usize = 128 * 1024;

    /// Parses a command line.
    ///
    /// Prefixes first, without spaces, in any order, each at most once: `@` (the word after the
    /// program is its `argv[0]`), `-` (ignore failure), `:` (dollar signs mean nothing). Then the
    /// program and its words, separated by spaces, tabs and line ends; a word may stand in `"` or
    /// `'`, and C escapes count inside and outside of quotes. `${X}` is the value of X within any
    /// word, a bare `$X` the words of its value, `$$` a dollar sign.
    ///
    /// # Errors
    /// [`CommandError`] says where and why, and what would be right.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        check_length(text)?;
        let mut scanner = Scanner::new(text);
        scanner.skip_separators();
        let prefixes = Prefixes::parse(&mut scanner)?;
        let column = scanner.column();
        let no_program = CommandError::at(column, CommandProblem::NoProgram);
        if scanner.at_word_end() {
            return Err(no_program);
        }
        let word = scanner.word()?.ok_or(no_program)?;
        let program = check_program(prefixes.name(word)?, column)?;
        let argument_zero = if prefixes.argument_zero {
            prefixes.argument_zero(&mut scanner)?
        } else {
            program.clone()
        };
        let mut arguments = Vec::new();
        while let Some(word) = scanner.word()? {
            arguments.push(prefixes.template(word)?);
        }
        Ok(Self {
            program,
            argument_zero,
            arguments,
            ignore_failure: prefixes.ignore_failure,
            warnings: scanner.into_warnings(),
        })
    }

    /// What to execute: an absolute path, or a name without slashes to be looked up. No NUL bytes.
    #[must_use]
    pub fn program(&self) -> &[u8] {
        &self.program
    }

    /// The prefix `-` was given: a failure counts as success.
    #[must_use]
    pub const fn ignore_failure(&self) -> bool {
        self.ignore_failure
    }

    /// Escapes that are not known and were kept as they stand, in order.
    #[must_use]
    pub fn warnings(&self) -> &[UnknownEscape] {
        &self.warnings
    }

    /// Replaces the variables by their values; a variable `lookup` does not know is empty.
    ///
    /// A bare `$X` becomes the words of its value, perhaps none. Quotes there are respected and
    /// removed; one that is not closed reaches to the end of the value. A backslash makes the next
    /// byte literal.
    ///
    /// # Errors
    /// [`InvalidArgv`], if the values make the words larger than a program can be given, or bring a
    /// NUL byte. It is found on the way: 128 KiB of `$X` could ask for gigabytes.
    pub fn expand<'value>(
        &self,
        lookup: impl Fn(&str) -> Option<&'value [u8]>,
    ) -> Result<Expanded, InvalidArgv> {
        let mut argv = Argv::starting_with(self.argument_zero.clone())?;
        for argument in &self.arguments {
            argument.expand(&lookup, &mut argv)?;
        }
        Ok(Expanded { program: self.program.clone(), argv, ignore_failure: self.ignore_failure })
    }
}

/// What stands before the program.
#[derive(Default)]
struct Prefixes {
    argument_zero: bool,
    ignore_failure: bool,
    no_variables: bool,
}

impl Prefixes {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self, CommandError> {
        let mut prefixes = Self::default();
        loop {
            let column = scanner.column();
            let (prefix, given) = match scanner.peek() {
                Some('@') => ('@', &mut prefixes.argument_zero),
                Some('-') => ('-', &mut prefixes.ignore_failure),
                Some(':') => (':', &mut prefixes.no_variables),
                Some('+') => return Err(unsupported(column, "+")),
                Some('|') => return Err(unsupported(column, "|")),
                Some('!') => {
                    scanner.advance();
                    let twice = scanner.peek() == Some('!');
                    return Err(unsupported(column, if twice { "!!" } else { "!" }));
                }
                Some(_) | None => return Ok(prefixes),
            };
            if std::mem::replace(given, true) {
                return Err(CommandError::at(column, CommandProblem::RepeatedPrefix { prefix }));
            }
            scanner.advance();
        }
    }

    fn template(&self, word: Word) -> Result<Template, CommandError> {
        if self.no_variables { Ok(Template::literal(word)) } else { Template::parse(&word) }
    }

    /// A word that may not depend on the environment.
    fn name(&self, word: Word) -> Result<Vec<u8>, CommandError> {
        let column = word.column_of(0);
        let variable = CommandError::at(column, CommandProblem::VariableProgram);
        self.template(word)?.into_literal().ok_or(variable)
    }

    /// The word after the program. An empty one is refused, as no argv may begin with it.
    fn argument_zero(&self, scanner: &mut Scanner<'_>) -> Result<Vec<u8>, CommandError> {
        scanner.skip_separators();
        let missing = CommandError::at(scanner.column(), CommandProblem::NoArgumentZero);
        let word = scanner.word()?.ok_or_else(|| missing.clone())?;
        let name = self.name(word)?;
        if name.is_empty() { Err(missing) } else { Ok(name) }
    }
}

const fn unsupported(column: usize, prefix: &'static str) -> CommandError {
    CommandError::at(column, CommandProblem::UnsupportedPrefix { prefix })
}

/// The column is that of the first character beyond the limit.
fn check_length(text: &str) -> Result<(), CommandError> {
    if text.len() <= CommandLine::MAX_LENGTH {
        return Ok(());
    }
    let ends = text.char_indices().map(|(start, character)| start + character.len_utf8());
    let within = ends.take_while(|&end| end <= CommandLine::MAX_LENGTH).count();
    Err(CommandError::at(within + 1, CommandProblem::TooLong { length: text.len() }))
}

/// A path that means the same wherever the daemon runs, or a name for it to look up.
fn check_program(program: Vec<u8>, column: usize) -> Result<Vec<u8>, CommandError> {
    let text = || variables::excerpt(&program);
    let problem = match program.as_slice() {
        [] => CommandProblem::NoProgram,
        [b'/', .., b'/'] | [b'/'] => CommandProblem::DirectoryProgram { program: text() },
        [b'/', ..] => return Ok(program),
        b"." | b".." => CommandProblem::RelativeProgram { program: text() },
        name if name.contains(&b'/') => CommandProblem::RelativeProgram { program: text() },
        _ => return Ok(program),
    };
    Err(CommandError::at(column, problem))
}
