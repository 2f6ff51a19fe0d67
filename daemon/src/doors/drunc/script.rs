//! From a request to the shell script that it stands for.
//!
//! drunc's commands are a script: words are joined as they stand, and variables are set in double quotes, so that `$NAME` in
//! a value is replaced. What is no script stays none: of a value nothing but `$NAME` and `${NAME}` (with a plain default,
//! `${NAME:-word}`) is replaced, and no value can end its quotes or execute anything; names of variables are checked.

use std::fmt::Write as _;

use api::drunc::fourth::ProcessDescription;

use super::fault::Fault;

/// The longest word that a program can be given (execve(2), MAX_ARG_STRLEN), with its end.
const LONGEST: usize = (128 << 10) - 1;

/// The script of a process.
pub(super) fn of(description: &ProcessDescription) -> Result<String, Fault> {
    let mut script = String::new();
    for (name, value) in &description.env {
        if !is_name(name) {
            return Err(Fault::Form(format!(
                "env: {name:?} is no name of a variable; letters, digits and '_' are, and no digit at the front"
            )));
        }
        // Writing to a String does not fail.
        writeln!(script, "export {name}=\"{}\"", quoted(value)).ok();
    }
    let mut says_something = false;
    for command in &description.executable_and_arguments {
        let words = std::iter::once(&command.exec).chain(&command.args);
        let line = words.map(String::as_str).collect::<Vec<_>>().join(" ");
        says_something |= !line.trim().is_empty();
        script.push_str(&line);
        // As a semicolon, but for commands that end with one, or with an ampersand.
        script.push('\n');
    }
    if !says_something {
        return Err(Fault::Form(
            "executable_and_arguments says nothing that could be executed".to_owned(),
        ));
    }
    if let Some(at) = script.find('\0') {
        return Err(Fault::Form(format!(
            "the script has a NUL byte at {at}, which no shell can read"
        )));
    }
    if script.len() > LONGEST {
        let length = script.len();
        return Err(Fault::Form(format!(
            "commands and variables are {length} bytes long together; at most {LONGEST} are allowed: put the rest in a file"
        )));
    }
    Ok(script)
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A value as it stands between double quotes, with nothing but variables left to be replaced.
fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\\' => escape(rest),
            '$' => variable(rest),
            '"' | '`' => None,
            _ => Some(next.len_utf8()),
        };
        match taken {
            Some(length) => quoted.push_str(rest.get(..length).unwrap_or_default()),
            // It means itself.
            None => quoted.extend(['\\', next]),
        }
        rest = rest.get(taken.unwrap_or(next.len_utf8())..).unwrap_or_default();
    }
    quoted
}

/// How long the escape is that the text begins with, as a shell reads it between double quotes; none where the backslash is
/// one that would escape the end.
fn escape(text: &str) -> Option<usize> {
    match text.chars().nth(1) {
        None => None,
        Some('$' | '`' | '"' | '\\' | '\n') => Some(2),
        // Before anything else a backslash means itself, there too.
        Some(_) => Some(1),
    }
}

/// How long the variable is that the text begins with; none where it is none.
fn variable(text: &str) -> Option<usize> {
    let after = text.strip_prefix('$')?;
    let Some(inside) = after.strip_prefix('{') else {
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let length = end.unwrap_or(after.len());
        return is_name(after.get(..length)?).then_some(length + 1);
    };
    let end = inside.find('}')?;
    let content = inside.get(..end)?;
    let cut = content.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(end);
    let (name, default) = content.split_at_checked(cut)?;
    let word = default.strip_prefix(":-").or_else(|| default.strip_prefix('-'));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=~ ".contains(c);
    let ends_well = default.is_empty() || word.is_some_and(|word| word.chars().all(plain));
    (is_name(name) && ends_well).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use api::drunc::fourth::process_description::ExecAndArgs;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_quoted() {
        for (value, wanted) in [
            ("plain", "plain"),
            ("$HOME/x", "$HOME/x"),
            ("${HOME}x ${A:-/b c}", "${HOME}x ${A:-/b c}"),
            ("a\"b", "a\\\"b"),
            ("$(id)", "\\$(id)"),
            ("`id`", "\\`id\\`"),
            ("${A:-$(id)}", "\\${A:-\\$(id)}"),
            ("${A", "\\${A"),
            ("$1 $$ $", "\\$1 \\$\\$ \\$"),
            ("end\\", "end\\\\"),
            ("\\$HOME \\n \\\\", "\\$HOME \\n \\\\"),
        ] {
            assert_eq!(quoted(value), wanted, "{value}");
        }
    }

    fn description(env: &[(&str, &str)], commands: &[&[&str]]) -> ProcessDescription {
        let command = |words: &&[&str]| ExecAndArgs {
            exec: words[0].to_owned(),
            args: words[1..].iter().map(|&word| word.to_owned()).collect(),
        };
        ProcessDescription {
            env: env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            executable_and_arguments: commands.iter().map(command).collect(),
            ..ProcessDescription::default()
        }
    }

    #[test]
    fn a_script_is_what_was_asked_for() {
        let asked = description(
            &[("B", "2"), ("A", "$B")],
            &[&["source", "env.sh"], &["echo;sleep", "1s;"]],
        );
        let wanted = "export A=\"$B\"\nexport B=\"2\"\nsource env.sh\necho;sleep 1s;\n";
        assert_eq!(of(&asked).unwrap(), wanted);
        for (env, commands, word) in [
            (&[("A B", "")][..], &[&["true"][..]][..], "A B"),
            (&[("1", "")], &[&["true"]], "\"1\""),
            (&[], &[], "nothing"),
            (&[], &[&[" "]], "nothing"),
            (&[("A", "\0")], &[&["true"]], "NUL"),
        ] {
            let said = of(&description(env, commands)).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        let long = "x".repeat(LONGEST);
        assert!(of(&description(&[], &[&["true", &long]])).is_err());
    }

    proptest! {
        /// Read as a shell reads it: the quotes end where the value does, and nothing is executed.
        #[test]
        fn no_value_escapes(value in "[a-zA-Z_{}$()\"'`\\\\:;| \n-]{0,40}") {
            let text = quoted(&value);
            let mut rest = text.as_str();
            while let Some(next) = rest.chars().next() {
                let length = match next {
                    '\\' => {
                        prop_assert!(rest.len() > 1, "{text}");
                        1 + rest.chars().nth(1).map_or(0, char::len_utf8)
                    }
                    '$' => {
                        let length = variable(rest);
                        prop_assert!(length.is_some(), "{text}");
                        length.unwrap()
                    }
                    '"' | '`' => return Err(TestCaseError::fail(text)),
                    other => other.len_utf8(),
                };
                rest = &rest[length..];
            }
        }
    }
}
