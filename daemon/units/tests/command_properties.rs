//! What holds for every command line and every argv.

use proptest::{collection::vec, prelude::*, sample::select};
use units::{
    Argv,
    command::{CommandLine, CommandProblem, Expanded, Unquotable, quote},
};

/// What a command line is made of, so that random ones come close to the rules.
const PARTS: &[&str] = &[
    "/bin/a", "a", "-", "@", ":", "+", "!", " ", " ", "\t", "\n", "\"", "'", "\\", "\\\\", "\\\"",
    "\\'", "\\;", ";", "$", "$$", "$X", "${X}", "${", "}", "X", "_", "\\x", "\\x2", "\\x24",
    "\\u0024", "\\U", "\\377", "\\0", "\\n", "\\s", "\\q", "%", "é", "\u{a0}", "\u{7f}", "4", "/",
    ".", "",
];

fn command_like() -> impl Strategy<Value = String> {
    vec(select(PARTS), 0..24).prop_map(|parts| parts.concat())
}

/// A command line that parses: plain words, references and quotes around them.
fn valid_command() -> impl Strategy<Value = String> {
    let word = select(
        &[
            "a",
            "-b",
            "'c d'",
            "\"\"",
            "$X",
            "'$X'",
            "${X}",
            "e=${X}",
            "\"${X} f\"",
            "$$",
            "\\x41",
            "\\q",
            "\\;",
            "g;",
            "%h",
            "i$X",
        ][..],
    );
    let prefix = select(&["", "-", ":", "-:"][..]);
    (prefix, vec(word, 0..10))
        .prop_map(|(prefix, words)| format!("{prefix}/bin/a {}", words.join(" ")))
}

/// NUL-free bytes, plain words and everything the language treats specially.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(1..=255_u8, 0..12),
        "[a-z@:+!$;|~%{}'\"\\\\ .\n\t\u{1}\u{85}\u{a0}é-]{0,8}".prop_map(String::into_bytes),
        vec(select(PARTS), 0..6).prop_map(|parts| parts.concat().into_bytes()),
    ]
}

fn program() -> impl Strategy<Value = Vec<u8>> {
    word().prop_filter("a program of the command language", |word| is_program(word))
}

fn is_program(word: &[u8]) -> bool {
    match word {
        [] | b"." | b".." | b"/" => false,
        [b'/', rest @ ..] => !rest.ends_with(b"/"),
        _ => !word.contains(&b'/'),
    }
}

fn expand(line: &str, value: Option<&[u8]>) -> Result<Expanded, TestCaseError> {
    let parsed = CommandLine::parse(line)
        .map_err(|error| TestCaseError::fail(format!("{line:?}: {error}")))?;
    parsed.expand(|_| value).map_err(|error| TestCaseError::fail(format!("{line:?}: {error}")))
}

/// A refusal points into the text, or just behind it.
fn check_any(line: &str, value: &[u8]) -> Result<(), TestCaseError> {
    match CommandLine::parse(line) {
        Err(error) => {
            prop_assert!((1..=line.chars().count() + 1).contains(&error.column()), "{error}");
            prop_assert!(error.to_string().contains(&error.column().to_string()));
        }
        Ok(parsed) => {
            let expanded = parsed.expand(|_| Some(value));
            prop_assert!(expanded.is_ok() || value.contains(&0));
            prop_assert!(is_program(parsed.program()));
            for warning in parsed.warnings() {
                let at = line.chars().skip(warning.column() - 1).take(2).collect::<String>();
                prop_assert_eq!(at, format!("\\{}", warning.character()));
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn parsing_never_panics(line in any::<String>(), value in vec(any::<u8>(), 0..32)) {
        check_any(&line, &value)?;
    }

    #[test]
    fn parsing_something_like_a_command_never_panics(
        line in command_like(),
        value in vec(any::<u8>(), 0..32),
    ) {
        check_any(&line, &value)?;
    }

    #[test]
    fn parsing_a_mutated_command_never_panics(
        line in valid_command(),
        at in any::<prop::sample::Index>(),
        part in select(PARTS),
        value in word(),
    ) {
        let mut characters: Vec<char> = line.chars().collect();
        let at = at.index(characters.len());
        characters.splice(at..=at, part.chars());
        check_any(&characters.into_iter().collect::<String>(), &value)?;
    }

    #[test]
    fn a_valid_command_parses_and_expands(line in valid_command(), value in word()) {
        let expanded = expand(&line, Some(&value))?;
        prop_assert_eq!(&expanded.program, b"/bin/a");
        prop_assert_eq!(expanded.argv.words().first(), Some(&expanded.program));
        // Unset is empty, and expanding twice is expanding once.
        prop_assert_eq!(expand(&line, None)?, expand(&line, Some(b""))?);
        prop_assert_eq!(expand(&line, Some(&value))?, expanded);
    }

    #[test]
    fn a_braced_variable_is_exactly_one_word(value in word()) {
        let expanded = expand("a ${X} b${X}c", Some(&value))?;
        let around = [b"b", value.as_slice(), b"c"].concat();
        prop_assert_eq!(expanded.argv.words(), [b"a".to_vec(), value, around]);
    }

    #[test]
    fn a_bare_variable_without_quotes_is_split_at_whitespace(
        value in "[a-z$;%{}é \t\r\n]{0,20}",
    ) {
        let expanded = expand("a $X", Some(value.as_bytes()))?;
        let words = value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let expected: Vec<&[u8]> = std::iter::once("a").chain(words).map(str::as_bytes).collect();
        prop_assert_eq!(expanded.argv.words(), expected);
    }

    #[test]
    fn without_variables_the_environment_means_nothing(line in valid_command(), value in word()) {
        let line = format!(":{}", line.trim_start_matches(['-', ':']));
        prop_assert_eq!(expand(&line, Some(&value))?, expand(&line, None)?);
    }

    #[test]
    fn quoted_words_parse_back(
        program in program(),
        arguments in vec(word(), 0..6),
        value in word(),
    ) {
        let argv: Vec<_> = std::iter::once(program).chain(arguments).collect();
        let line = quote(&argv).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let expanded = expand(&line, Some(&value))?;
        prop_assert_eq!(&expanded.program, &argv[0], "{}", line);
        prop_assert_eq!(expanded.argv.words(), &argv, "{}", line);
        prop_assert!(!expanded.ignore_failure);
        prop_assert!(CommandLine::parse(&line).is_ok_and(|parsed| parsed.warnings().is_empty()));
        // It can be shown on a terminal, and it is a fixed point.
        prop_assert!(!line.contains(char::is_control));
        prop_assert_eq!(quote(expanded.argv.words()), Ok(line));
    }

    #[test]
    fn quoting_is_total(argv in vec(vec(any::<u8>(), 0..6), 0..6)) {
        let quoted = quote(&argv);
        match argv.iter().position(|word| word.contains(&0)) {
            _ if argv.is_empty() => prop_assert_eq!(quoted, Err(Unquotable::NoWords)),
            Some(index) => prop_assert_eq!(quoted, Err(Unquotable::Nul { index })),
            None => {
                let parses = quoted.is_ok_and(|line| CommandLine::parse(&line).is_ok());
                prop_assert_eq!(parses, is_program(&argv[0]));
            }
        }
    }
}

#[test]
fn plain_words_stay_readable() {
    let table: &[(&[&str], &str)] = &[
        (&["/bin/sh", "-c", "echo hi"], "/bin/sh -c \"echo hi\""),
        (&["/bin/sh", "-c", "echo \"$HOME\""], "/bin/sh -c 'echo \"$$HOME\"'"),
        (&["sed", "s/'/\"/", "it's"], "sed \"s/'/\\\"/\" \"it's\""),
        (&["find", "-exec", "a", "{}", ";"], "find -exec a {} \";\""),
        (&["a", "", "b;", "100%", "é", "x=$1", "@b"], "a \"\" b; 100% é x=$$1 @b"),
        (&["-a", "a\\b", "\n\t\u{1b}\u{85}"], "\"-a\" \"a\\\\b\" \"\\n\\t\\x1b\\xc2\\x85\""),
    ];
    for (argv, line) in table {
        let argv: Vec<_> = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(quote(&argv).as_deref(), Ok(*line));
        assert_eq!(Argv::new(argv).expect("an argv").to_command(), *line);
    }
    assert_eq!(quote(&[b"a".to_vec(), b"\xffb".to_vec()]).as_deref(), Ok("a \"\\xffb\""));
}

#[test]
fn what_cannot_be_a_program_is_quoted_and_refused_by_name() {
    let line = quote(&[b"bin/a".to_vec(), b"b c".to_vec()]).expect("quoting is total");
    assert_eq!(line, "bin/a \"b c\"");
    let error = CommandLine::parse(&line).expect_err("a relative path");
    let relative = CommandProblem::RelativeProgram { program: "bin/a".to_owned() };
    assert_eq!(error.problem(), &relative);
}
