//! What is wrong with a command line, as one sentence.
//!
//! clap says it on several lines, with the usage below. Here it is what every failure is: what was wrong, on
//! what, and what to do, on one line, however long the words were that somebody gave.

use std::{error::Error as _, ffi::OsString};

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::arguments::Arguments;

/// The most characters of a word of the command line that are repeated.
const LONGEST_WORD: usize = 80;

/// The sentence for a mistake in `words`, the whole command line.
pub(crate) fn sentence(mistake: &clap::Error, words: &[OsString]) -> String {
    let verb = verb(words);
    let fault = fault(mistake, &verb).unwrap_or_else(|| first_paragraph(mistake));
    let tip = tip(mistake, &verb).unwrap_or_else(|| ";".to_owned());
    format!("{fault}{tip} see {verb} --help")
}

/// What is wrong, and on what. None where clap has only a sentence of its own.
fn fault(mistake: &clap::Error, verb: &str) -> Option<String> {
    let argument = || word(mistake, ContextKind::InvalidArg);
    let value = || word(mistake, ContextKind::InvalidValue);
    let fault = match mistake.kind() {
        ErrorKind::UnknownArgument => format!("unexpected argument '{}' for '{verb}'", argument()?),
        ErrorKind::InvalidSubcommand => {
            let unknown = word(mistake, ContextKind::InvalidSubcommand)?;
            format!("there is no verb '{unknown}' of '{verb}'")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("'{verb}' needs a verb: {}", verbs_of(verb))
        }
        ErrorKind::MissingRequiredArgument => format!("'{verb}' needs {}", argument()?),
        ErrorKind::ArgumentConflict => {
            let (this, other) = (argument()?, word(mistake, ContextKind::PriorArg)?);
            if this == other {
                format!("'{this}' is given more than once for '{verb}'")
            } else {
                format!("'{this}' cannot be used together with '{other}' for '{verb}'")
            }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let (argument, value) = (argument()?, value()?);
            match (value.is_empty(), mistake.source()) {
                (true, None) => format!("'{argument}' of '{verb}' needs a value"),
                (_, Some(why)) => {
                    let why = shortened(&why.to_string());
                    format!("'{value}' is no value for '{argument}' of '{verb}': {why}")
                }
                (false, None) => format!("'{value}' is no value for '{argument}' of '{verb}'"),
            }
        }
        ErrorKind::InvalidUtf8 => {
            format!("an argument of '{verb}' is not UTF-8, and only text goes over the wire")
        }
        // No argument of ours asks for what these are about; and clap may come to know more mistakes.
        ErrorKind::NoEquals
        | ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::Io
        | ErrorKind::Format
        | _ => return None,
    };
    Some(fault)
}

/// What would be right, where it can be guessed, with the marks that join it to the rest.
fn tip(mistake: &clap::Error, verb: &str) -> Option<String> {
    let suggested =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    if let Some(right) = suggested.into_iter().find_map(|kind| word(mistake, kind)) {
        return Some(format!("; did you mean {}?", right.replace(", ", " or ")));
    }
    if let Some(valid) = word(mistake, ContextKind::ValidValue).filter(|valid| !valid.is_empty()) {
        return Some(format!("; it can be {valid};"));
    }
    let takes_a_program = ["aer exec", "aer enable"].contains(&verb);
    let unexpected = mistake.kind() == ErrorKind::UnknownArgument;
    let program = unexpected && !word(mistake, ContextKind::InvalidArg)?.starts_with('-');
    (takes_a_program && program).then(|| "; a program and its arguments stand after --;".to_owned())
}

/// One piece of what clap knows of a mistake.
fn word(mistake: &clap::Error, kind: ContextKind) -> Option<String> {
    match mistake.get(kind)? {
        ContextValue::String(word) => Some(shortened(word)),
        ContextValue::Strings(words) => {
            let words: Vec<String> = words.iter().map(|word| shortened(word)).collect();
            Some(words.join(", "))
        }
        // Usages, tips that are whole sentences, and numbers.
        ContextValue::None
        | ContextValue::Bool(_)
        | ContextValue::StyledStr(_)
        | ContextValue::StyledStrs(_)
        | ContextValue::Number(_)
        | _ => None,
    }
}

/// clap's own sentence.
fn first_paragraph(mistake: &clap::Error) -> String {
    let text = mistake.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

/// The verb that a command line is about, as far as it can be read: `aer schedule export`.
fn verb(words: &[OsString]) -> String {
    let command = Arguments::command().ignore_errors(true).disable_help_flag(true);
    let mut verb = "aer".to_owned();
    if let Ok(matches) = command.try_get_matches_from(words) {
        let mut next = matches.subcommand();
        while let Some((name, below)) = next {
            verb.push(' ');
            verb.push_str(name);
            next = below.subcommand();
        }
    }
    verb
}

fn verbs_of(verb: &str) -> String {
    let mut command = Arguments::command();
    for name in verb.split(' ').skip(1) {
        let Some(below) = command.find_subcommand(name).cloned() else { break };
        command = below;
    }
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    names.join(", ")
}

fn shortened(word: &str) -> String {
    match word.char_indices().nth(LONGEST_WORD).and_then(|(cut, _)| word.get(..cut)) {
        Some(beginning) => format!("{beginning}…"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentence_of(words: &[&str]) -> String {
        let words: Vec<OsString> = ["aer"].iter().chain(words).map(OsString::from).collect();
        sentence(&Arguments::read(words.clone()).unwrap_err(), &words)
    }

    #[test]
    fn a_mistake_is_what_on_what_and_what_to_do() {
        for (words, wanted) in [
            (
                &["exec", "--bogus"][..],
                "unexpected argument '--bogus' for 'aer exec'; see aer exec --help",
            ),
            (
                &["--socket", "/s", "exec", "--nam", "x", "--", "y"],
                "unexpected argument '--nam' for 'aer exec'; did you mean --name? see aer exec --help",
            ),
            (
                &["exec", "ls"],
                "unexpected argument 'ls' for 'aer exec'; a program and its arguments stand after --; see aer exec --help",
            ),
            (&["exce"], "there is no verb 'exce' of 'aer'; did you mean exec? see aer --help"),
            (
                &["schedule", "xport"],
                "there is no verb 'xport' of 'aer schedule'; did you mean import or export? see aer schedule --help",
            ),
            (
                &["schedule"],
                "'aer schedule' needs a verb: export, import, repair; see aer schedule --help",
            ),
            (&["exec"], "'aer exec' needs <--command <STRING>|CMD>; see aer exec --help"),
            (&["disable"], "'aer disable' needs <NAME>...; see aer disable --help"),
            (&["show", "a", "b"], "unexpected argument 'b' for 'aer show'; see aer show --help"),
            (
                &["list", "--enabled", "--disabled"],
                "'--enabled' cannot be used together with '--disabled' for 'aer list'; see aer list --help",
            ),
            (
                &["list", "--enabled", "--enabled"],
                "'--enabled' is given more than once for 'aer list'; see aer list --help",
            ),
            (
                &["list", "-o"],
                "'--output <FORMAT>' of 'aer list' needs a value; it can be table, json, short, cat, precise; see aer list --help",
            ),
            (
                &["list", "-o", "jsn"],
                "'jsn' is no value for '--output <FORMAT>' of 'aer list'; did you mean json? see aer list --help",
            ),
            (
                &["list", "--address", "x:1"],
                "'x:1' is no value for '--address <URI>' of 'aer list': \"x:1\" does not begin with http://; write http://HOST:PORT; see aer list --help",
            ),
            (
                &["--socket", "/s", "--address", "http://h:1", "list"],
                "--socket and --address cannot be used together; see aer list --help",
            ),
        ] {
            assert_eq!(sentence_of(words), wanted, "{words:?}");
        }
        assert!(sentence_of(&[]).starts_with("'aer' needs a verb: exec, status, "));
        assert!(sentence_of(&["-o", "json"]).starts_with("'aer' needs a verb: exec, "));
    }

    proptest! {
        #[test]
        fn every_mistake_has_a_sentence_of_bounded_length(
            words in proptest::collection::vec(
                prop_oneof![
                    "(exec|enable|disable|list|show|schedule|export|import|logs|--|-f|-c|-o|--name|--run|--pid|--bogus)",
                    "(start|stop|signal|wait|watch|forget|--memory-max|--restart|--from|--all|--now|--kill|HUP|5s|1G)",
                    any::<String>(),
                    "[a-]{0,9}x{1000}"
                ],
                0..6
            )
        ) {
            let words: Vec<OsString> = ["aer".to_owned()].into_iter().chain(words).map(OsString::from).collect();
            if let Err(mistake) = Arguments::read(words.clone()) {
                let sentence = sentence(&mistake, &words);
                prop_assert!(!sentence.is_empty() && sentence.chars().count() < 1000, "{sentence}");
            }
        }
    }
}
