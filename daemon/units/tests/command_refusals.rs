//! What the command language refuses, by example: where, why, and what the message says.

use units::command::{CommandLine, CommandProblem as P};

/// Each line is a command line, the column of its problem, and the problem.
#[track_caller]
fn check(table: &[(&str, usize, P)]) {
    for (line, column, problem) in table {
        let refused = CommandLine::parse(line).map_err(|e| (e.column(), e.problem().clone()));
        assert_eq!(refused, Err((*column, problem.clone())), "{line:?}");
    }
}

#[test]
fn programs() {
    let relative = |program: &str| P::RelativeProgram { program: program.to_owned() };
    let directory = |program: &str| P::DirectoryProgram { program: program.to_owned() };
    check(&[
        ("", 1, P::NoProgram),
        ("   ", 4, P::NoProgram),
        ("-", 2, P::NoProgram),
        ("- a", 2, P::NoProgram), // a prefix touches its program
        ("'' a", 1, P::NoProgram),
        ("bin/a", 1, relative("bin/a")),
        ("./a", 1, relative("./a")),
        (" -../a", 3, relative("../a")),
        ("..", 1, relative("..")),
        (".", 1, relative(".")),
        ("'-/bin/a'", 1, relative("-/bin/a")), // quoted, it is no prefix
        ("/", 1, directory("/")),
        ("/bin/", 1, directory("/bin/")),
        ("$ONE a", 1, P::VariableProgram),
        ("${ONE} a", 1, P::VariableProgram),
        ("/bin/${ONE}", 1, P::VariableProgram),
        ("'$ONE'", 2, P::VariableProgram),
        ("@/bin/a ${ONE}", 9, P::VariableProgram),
        ("@/bin/a $ONE", 9, P::VariableProgram),
        ("@/bin/a", 8, P::NoArgumentZero),
        ("@/bin/a  ", 10, P::NoArgumentZero),
        ("@/bin/a '' b", 9, P::NoArgumentZero),
    ]);
}

#[test]
fn prefixes() {
    check(&[
        ("+/bin/a", 1, P::UnsupportedPrefix { prefix: "+" }),
        ("-!/bin/a", 2, P::UnsupportedPrefix { prefix: "!" }),
        ("@!!/bin/a b", 2, P::UnsupportedPrefix { prefix: "!!" }),
        ("|/bin/a", 1, P::UnsupportedPrefix { prefix: "|" }),
        ("--/bin/a", 2, P::RepeatedPrefix { prefix: '-' }),
        ("@-:@/bin/a", 4, P::RepeatedPrefix { prefix: '@' }),
        ("::a", 2, P::RepeatedPrefix { prefix: ':' }),
    ]);
}

#[test]
fn quotes_semicolons_and_control_characters() {
    check(&[
        ("a b\"c\"", 4, P::QuoteInsideWord { quote: '"' }),
        ("a é='c d'", 5, P::QuoteInsideWord { quote: '\'' }), // columns are characters
        ("a don't", 6, P::QuoteInsideWord { quote: '\'' }),
        ("a 'b'c", 6, P::TextAfterQuote),
        ("a 'b''c'", 6, P::TextAfterQuote),
        ("a 'b", 3, P::UnterminatedQuote { quote: '\'' }),
        ("a \"b\\\"", 3, P::UnterminatedQuote { quote: '"' }),
        ("a b\\", 4, P::TrailingBackslash),
        ("a 'b\\", 5, P::TrailingBackslash),
        ("a ; b", 3, P::LoneSemicolon),
        ("a b ;", 5, P::LoneSemicolon),
        ("; a", 1, P::LoneSemicolon),
        ("a \0", 3, P::ControlCharacter { character: '\0' }),
        ("a b\u{1b}[0m", 4, P::ControlCharacter { character: '\u{1b}' }),
        ("a 'b\tc'", 5, P::ControlCharacter { character: '\t' }), // within quotes nothing separates
        ("a 'b\nc'", 5, P::ControlCharacter { character: '\n' }),
        ("a \u{b} b", 3, P::ControlCharacter { character: '\u{b}' }),
        ("a \u{85}", 3, P::ControlCharacter { character: '\u{85}' }),
        ("a b\\\nc", 5, P::ControlCharacter { character: '\n' }), // no continuation lines
    ]);
}

#[test]
fn escapes() {
    let incomplete = |escape, digits| P::IncompleteEscape { escape, digits };
    let (two, three) = ("two hexadecimal digits", "three octal digits");
    let (four, eight) = ("four hexadecimal digits", "eight hexadecimal digits");
    check(&[
        ("a \\x4", 3, incomplete("xHH", two)),
        ("a \\xg0", 3, incomplete("xHH", two)),
        ("a '\\x4'", 4, incomplete("xHH", two)),
        ("a b\\01", 4, incomplete("NNN", three)),
        ("a \\018", 3, incomplete("NNN", three)),
        ("a \\u00e", 3, incomplete("uXXXX", four)),
        ("a \\U0001F60 ", 3, incomplete("UXXXXXXXX", eight)),
        ("a \\400", 3, P::EscapeBeyondByte),
        ("a \\x00", 3, P::NulEscape),
        ("a \\000", 3, P::NulEscape),
        ("a \\u0000", 3, P::NulEscape),
        ("a \\U00000000", 3, P::NulEscape),
        ("a \\ud800", 3, P::NotACharacter),
        ("a \\U00110000", 3, P::NotACharacter),
        ("a \\Uffffffff", 3, P::NotACharacter),
    ]);
}

#[test]
fn variables() {
    let braced = |name: &str| P::NotABracedVariable { name: name.to_owned() };
    let bare = |name: &str| P::NotAVariable { name: name.to_owned() };
    check(&[
        ("a $", 3, bare("")),
        ("a $5", 3, bare("5")),
        ("a $ONE/b", 3, bare("ONE/b")), // systemd drops the word
        ("a $(b)", 3, bare("(b)")),
        ("sh -c '$ONE b'", 8, bare("ONE b")),
        ("a b${X:-y}", 4, braced("X:-y")), // systemd makes it empty
        ("a ${}", 3, braced("")),
        ("a 'b ${1X}'", 6, braced("1X")),
        ("a b${X", 4, P::UnclosedVariable),
        ("a ${X }", 3, P::UnclosedVariable),
    ]);
}

#[test]
fn messages_say_where_what_and_what_would_be_right() {
    let table = [
        (
            "-+/bin/a",
            "column 2: the prefix \"+\" is not supported until users can be set; a program whose name \
             begins with it is written in quotes",
        ),
        (
            "a b'c'",
            "column 4: a quote opens only at the start of a word; quote the whole word, or write \\'",
        ),
        (
            "a ${X:-y}",
            "column 3: \"X:-y\" between braces is not the name of a variable: letters, digits and '_' \
             are expected, not beginning with a digit; write $$ for a dollar sign",
        ),
        (
            "a $X/b",
            "column 3: a word that begins with $ is the name of a variable, which \"X/b\" is not; \
             write ${NAME} for a variable within a word, or $$ for a dollar sign",
        ),
        (
            "a ${X",
            "column 3: this ${ is never closed; } is expected in the same word, or write $$ for a \
             dollar sign",
        ),
        ("a \\x4", "column 3: the escape \\xHH is incomplete; two hexadecimal digits are expected"),
        (
            "a/b",
            "column 1: the program \"a/b\" is a relative path; an absolute path or a name without \
             slashes is expected",
        ),
    ];
    for (line, message) in table {
        assert_eq!(CommandLine::parse(line).expect_err(line).to_string(), message);
    }
}
