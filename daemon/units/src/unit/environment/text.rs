//! From the text of an environment file to its variables.

use super::{InvalidVariable, check_variable};

/// What an environment file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentText {
    /// Its variables, in order; of two with one name the later one counts.
    pub assignments: Vec<(String, String)>,
    /// What was left out or looks wrong, in order.
    pub warnings: Vec<EnvironmentWarning>,
}

/// What is wrong with a line of an environment file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentWarning {
    /// No `=` in it.
    #[error("line {line}: left out, for it has no '='; NAME=VALUE is expected")]
    NoAssignment {
        /// The line, from 1.
        line: usize,
    },
    /// No variable.
    #[error("line {line}: left out, for {problem}")]
    NotAVariable {
        /// The line that it begins on, from 1.
        line: usize,
        /// Why it is none.
        problem: InvalidVariable,
    },
    /// A quote that is never closed.
    #[error(
        "line {line}: the quote {quote} is never closed, so the value reaches to the end of the file"
    )]
    OpenQuote {
        /// The line that the variable begins on, from 1.
        line: usize,
        /// The quote.
        quote: char,
    },
}

/// Where in the text we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Comment,
    CommentEscape,
    Key,
    /// Before a value, or between its parts.
    Gap,
    Value,
    ValueEscape,
    SingleQuotes,
    DoubleQuotes,
    DoubleQuotesEscape,
}

/// What has been read.
struct Reader {
    at: At,
    line: usize,
    /// The line that the variable begins on.
    begun: usize,
    key: String,
    value: String,
    /// How much of the value is not to be trimmed: it was quoted or escaped, or is not blank.
    kept: usize,
    text: EnvironmentText,
}

impl EnvironmentText {
    /// Reads the text of an environment file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader {
            at: At::LineStart,
            line: 1,
            begun: 1,
            key: String::new(),
            value: String::new(),
            kept: 0,
            text: Self::default(),
        };
        for character in text.chars() {
            reader.at = reader.next(character);
            if character == '\n' {
                reader.line += 1;
            }
        }
        reader.end()
    }
}

const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

const fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

impl Reader {
    /// Takes a character; where we are after it.
    fn next(&mut self, character: char) -> At {
        match (self.at, character) {
            (At::LineStart, '#' | ';') => At::Comment,
            (At::LineStart, blank) if is_blank(blank) => At::LineStart,
            (At::LineStart, _) => {
                self.begun = self.line;
                self.key.push(character);
                if character == '=' { self.key_ends() } else { At::Key }
            }
            (At::Comment, '\\') => At::CommentEscape,
            (At::Comment | At::CommentEscape, end) if is_line_end(end) => At::LineStart,
            (At::Comment | At::CommentEscape, _) => At::Comment,
            (At::Key, end) if is_line_end(end) => {
                self.no_assignment();
                At::LineStart
            }
            (At::Key, '=') => At::Gap,
            (At::Key, _) => {
                self.key.push(character);
                At::Key
            }
            (At::Gap | At::Value, end) if is_line_end(end) => {
                self.assignment();
                At::LineStart
            }
            (At::Gap, '\'') => At::SingleQuotes,
            (At::Gap, '"') => At::DoubleQuotes,
            (At::Gap | At::Value, '\\') => self.keep(At::ValueEscape),
            (At::Gap, blank) if is_blank(blank) => At::Gap,
            (At::Gap | At::Value, _) => self.push(character, !is_blank(character), At::Value),
            (At::ValueEscape, end) if is_line_end(end) => self.keep(At::Value),
            (At::ValueEscape, _) => self.push(character, true, At::Value),
            (At::SingleQuotes, '\'') | (At::DoubleQuotes, '"') => At::Gap,
            (At::DoubleQuotes, '\\') => At::DoubleQuotesEscape,
            (At::SingleQuotes | At::DoubleQuotes, _) => self.push(character, true, self.at),
            (At::DoubleQuotesEscape, '"' | '\\' | '`' | '$') => {
                self.push(character, true, At::DoubleQuotes)
            }
            (At::DoubleQuotesEscape, '\n') => At::DoubleQuotes,
            (At::DoubleQuotesEscape, _) => {
                self.value.push('\\');
                self.push(character, true, At::DoubleQuotes)
            }
        }
    }

    /// A line that begins with `=` has an empty name, which is warned of where it ends.
    fn key_ends(&mut self) -> At {
        self.key.clear();
        At::Gap
    }

    fn push(&mut self, character: char, keep: bool, then: At) -> At {
        self.value.push(character);
        if keep { self.keep(then) } else { then }
    }

    /// All of the value so far is meant.
    fn keep(&mut self, then: At) -> At {
        self.kept = self.value.len();
        then
    }

    fn no_assignment(&mut self) {
        self.key.clear();
        self.text.warnings.push(EnvironmentWarning::NoAssignment { line: self.begun });
    }

    fn assignment(&mut self) {
        let mut value = std::mem::take(&mut self.value);
        value.truncate(std::mem::take(&mut self.kept));
        let name = std::mem::take(&mut self.key);
        let name = name.trim_end_matches(is_blank).to_owned();
        match check_variable(&name, &value) {
            Ok(()) => self.text.assignments.push((name, value)),
            Err(problem) => {
                let warning = EnvironmentWarning::NotAVariable { line: self.begun, problem };
                self.text.warnings.push(warning);
            }
        }
    }

    fn end(mut self) -> EnvironmentText {
        let quote = match self.at {
            At::LineStart | At::Comment | At::CommentEscape => return self.text,
            At::Key => {
                self.no_assignment();
                return self.text;
            }
            At::Gap | At::Value | At::ValueEscape => None,
            At::SingleQuotes => Some('\''),
            At::DoubleQuotes | At::DoubleQuotesEscape => Some('"'),
        };
        let line = self.begun;
        let open = quote.map(|quote| EnvironmentWarning::OpenQuote { line, quote });
        self.text.warnings.extend(open);
        self.assignment();
        self.text
    }
}
