//! Files of variables, as systemd reads them.

use proptest::{prelude::*, test_runner::Config};
use units::{EnvironmentText, EnvironmentWarning, InvalidVariable, check_variable};

/// Text, and the assignments that it means.
const RULES: [(&str, &[(&str, &str)]); 31] = [
    ("", &[]),
    ("A=b", &[("A", "b")]),
    ("A=b\n\nC=d\n", &[("A", "b"), ("C", "d")]),
    ("A=b\r\nC=d\r\n", &[("A", "b"), ("C", "d")]),
    ("# A=b\n; C=d\n  # E=f\nG=h", &[("G", "h")]),
    ("# a comment that \\\nA=b", &[("A", "b")]),
    ("A=b # no comment", &[("A", "b # no comment")]),
    ("A=", &[("A", "")]),
    ("A=\nB=c", &[("A", ""), ("B", "c")]),
    ("  A =  b  ", &[("A", "b")]),
    ("A=b c\td", &[("A", "b c\td")]),
    ("A='b c '", &[("A", "b c ")]),
    ("A=\"b c \"", &[("A", "b c ")]),
    ("A='b'  ", &[("A", "b")]),
    ("A='b' \"c\" d", &[("A", "bcd")]),
    ("A=b'c'", &[("A", "b'c'")]),
    ("A=it\\'s", &[("A", "it's")]),
    ("A=b\\\nc", &[("A", "bc")]),
    ("A=b\\ \\ ", &[("A", "b  ")]),
    ("A=b\\nc", &[("A", "bnc")]),
    ("A='b\\nc'", &[("A", "b\\nc")]),
    ("A='b\nc'", &[("A", "b\nc")]),
    ("A=\"b\nc\"", &[("A", "b\nc")]),
    ("A=\"b\\\nc\"", &[("A", "bc")]),
    ("A=\"\\\"\\\\\\`\\$\"", &[("A", "\"\\`$")]),
    ("A=\"\\n\\'\"", &[("A", "\\n\\'")]),
    ("A=$B ${C}", &[("A", "$B ${C}")]),
    ("A=b=c", &[("A", "b=c")]),
    ("A=b\nA=c", &[("A", "b"), ("A", "c")]),
    ("_a1=\u{e4}\u{1f980}", &[("_a1", "\u{e4}\u{1f980}")]),
    ("A=\u{a0}b", &[("A", "\u{a0}b")]),
];

fn read(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let EnvironmentText { assignments, warnings } = EnvironmentText::parse(text);
    (assignments, warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn each_rule_holds() {
    for (text, expected) in RULES {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(read(text), (expected, vec![]), "{text:?}");
    }
}

#[test]
fn what_means_nothing_is_left_out_with_its_line() {
    for (text, warning) in [
        ("A=b\nnothing\nC=d", "line 2: left out, for it has no '='; NAME=VALUE is expected"),
        (
            "A=b\n\nexport X=1\nC=d",
            "line 3: left out, for \"export X\" is not the name of a variable; letters, digits and '_' \
             are expected, no digit first",
        ),
        (
            "A=b\n1X=1\nC=d",
            "line 2: left out, for \"1X\" is not the name of a variable; letters, digits and '_' are \
             expected, no digit first",
        ),
        (
            "A=b\n=1\nC=d",
            "line 2: left out, for \"\" is not the name of a variable; letters, digits and '_' are \
             expected, no digit first",
        ),
        (
            "A=b\nX='1\n2\0'\nC=d",
            "line 2: left out, for the value of X has a NUL byte at offset 3; no variable can contain one",
        ),
    ] {
        let expected = vec![("A".to_owned(), "b".to_owned()), ("C".to_owned(), "d".to_owned())];
        assert_eq!(read(text), (expected, vec![warning.to_owned()]), "{text:?}");
    }
}

#[test]
fn a_quote_that_is_never_closed_reaches_to_the_end_and_is_warned_of() {
    for quote in ['\'', '"'] {
        let text = EnvironmentText::parse(&format!("A=b\nC={quote}d\nE=f"));
        let expected = [("A", "b"), ("C", "d\nE=f")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(text.assignments, expected);
        assert_eq!(text.warnings, [EnvironmentWarning::OpenQuote { line: 2, quote }]);
    }
}

#[test]
fn a_variable_has_a_name_and_no_nul() {
    for name in ["A", "_", "a1_B2", "__X"] {
        assert_eq!(check_variable(name, "any \n = value"), Ok(()), "{name:?}");
    }
    for name in ["", "1", "A B", "A=B", "\u{e4}", "A-B", "A\0"] {
        let refused = check_variable(name, "");
        assert_eq!(refused, Err(InvalidVariable::Name { name: name.to_owned() }));
    }
    let nul = InvalidVariable::Nul { name: "A".to_owned(), offset: 1 };
    assert_eq!(check_variable("A", "b\0"), Err(nul));
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// Whatever stands there: it is read, and what comes of it is variables and warnings of lines that exist.
    #[test]
    fn every_text_is_read(text in "([A-Z_=#;'\"\\\\ \t\r\n$`]|[a-z\u{e4}\0]){0,60}") {
        let lines = text.split('\n').count();
        let EnvironmentText { assignments, warnings } = EnvironmentText::parse(&text);
        for (name, value) in &assignments {
            prop_assert_eq!(check_variable(name, value), Ok(()));
        }
        for warning in &warnings {
            let line = match warning {
                EnvironmentWarning::NoAssignment { line }
                | EnvironmentWarning::NotAVariable { line, .. }
                | EnvironmentWarning::OpenQuote { line, .. } => *line,
            };
            prop_assert!((1..=lines).contains(&line), "{warning:?} of {lines} lines");
        }
        let ends = text.matches(['=', '\n', '\r']).count();
        prop_assert!(assignments.len() + warnings.len() <= 2 * (ends + 1));
    }

    /// What is written between double quotes, with a backslash before what needs one, is read as it was.
    #[test]
    fn what_is_quoted_is_read_as_it_was(
        variables in prop::collection::vec(("[A-Za-z_][A-Za-z0-9_]{0,8}", "[^\0]{0,20}"), 0..6),
    ) {
        let escape = |value: &str| {
            let needs = |c: char| matches!(c, '"' | '\\' | '`' | '$');
            value.chars().map(|c| if needs(c) { format!("\\{c}") } else { c.to_string() }).collect()
        };
        let lines: Vec<String> = variables
            .iter()
            .map(|(name, value)| { let value: String = escape(value); format!("{name}=\"{value}\"\n") })
            .collect();
        prop_assert_eq!(read(&lines.concat()), (variables, vec![]));
    }
}
