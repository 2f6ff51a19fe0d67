//! The rules of the command language, by example, after systemd.service(5).

use units::{CommandLine, Expanded, InvalidArgv};

/// The environment of every example.
fn lookup(name: &str) -> Option<&'static [u8]> {
    match name {
        "ONE" => Some(b"one"),
        "TWO" => Some(b"one two"),
        "SPACES" => Some(b"  a \t b\n"),
        "EMPTY" => Some(b""),
        "QUOTED" => Some(br#"'one two' "" x"y z"w"#),
        "ESCAPED" => Some(br#"a\ b \"c \n d\"#),
        "INNER" => Some(br#""a\"b c" 'd\'"#),
        "UNBALANCED" => Some(br#"a "b c"#),
        "DOLLAR" => Some(b"$ONE ${ONE} $$"),
        "RAW" => Some(b"\xff \xfe"),
        "_x1" => Some(b"underscore"),
        _ => None,
    }
}

fn expand(line: &str) -> Result<Expanded, String> {
    let parsed = CommandLine::parse(line).map_err(|error| error.to_string())?;
    parsed.expand(lookup).map_err(|error| error.to_string())
}

/// Each line is a command line, its words, and why.
#[track_caller]
fn check_words(table: &[(&str, &[&[u8]], &str)]) {
    for (line, words, why) in table {
        let expanded = expand(line).map(|expanded| expanded.argv.into_words());
        let words = words.iter().map(|word| word.to_vec()).collect();
        assert_eq!(expanded, Ok(words), "{line:?}: {why}");
    }
}

#[test]
fn words_are_separated_quoted_and_escaped() {
    check_words(&[
        ("/bin/true", &[b"/bin/true"], "a program alone"),
        ("true", &[b"true"], "a name to be looked up"),
        ("  a   b\tc\nd\r\n", &[b"a", b"b", b"c", b"d"], "any run of whitespace separates"),
        ("a \u{a0}b", &[b"a", b"\xc2\xa0b"], "U+00A0 does not separate"),
        ("a 'b c' d", &[b"a", b"b c", b"d"], "single quotes hold a word together"),
        ("a \"b c\" d", &[b"a", b"b c", b"d"], "double quotes too"),
        ("a '' \"\"", &[b"a", b"", b""], "an empty word needs quotes"),
        ("a 'b\"c' \"d'e\"", &[b"a", b"b\"c", b"d'e"], "the other quote is literal inside"),
        ("'/bin/a b' c", &[b"/bin/a b", b"c"], "the program may be quoted"),
        (r"a \a\b\f\n\r\t\v", &[b"a", b"\x07\x08\x0c\n\r\t\x0b"], "C escapes, outside quotes"),
        (r#"a '\n\'' "\t\"""#, &[b"a", b"\n'", b"\t\""], "C escapes in both kinds of quotes"),
        (r#"a \"b\' \\"#, &[b"a", b"\"b'", b"\\"], "an escaped quote is literal anywhere"),
        (r"a b\sc", &[b"a", b"b c"], "\\s is a space that does not separate"),
        (r"a b\x20c\040d", &[b"a", b"b c d"], "nor do numeric escapes for one"),
        (r"a \x41\101\xfF\377", &[b"a", b"AA\xff\xff"], "\\xHH and \\NNN are raw bytes"),
        (r"a \u00e9\U0001F600", &[b"a", "é😀".as_bytes()], "\\u and \\U are UTF-8"),
        (r"a \x414 \1011", &[b"a", b"A4", b"A1"], "digits beyond the count are literal"),
        (r"a \d+\.", &[b"a", br"\d+\."], "an unknown escape is kept, backslash included"),
        (r"a 'b\ c'", &[b"a", br"b\ c"], "backslash and space is no escape"),
        (r"a b\ c", &[b"a", br"b\ c"], "outside quotes it keeps the word together"),
        ("a 100%", &[b"a", b"100%"], "% is always literal"),
        ("a %n %% %i", &[b"a", b"%n", b"%%", b"%i"], "there are no specifiers"),
        (
            "a * ? ~ > | & <(b) #c `d`",
            &[b"a", b"*", b"?", b"~", b">", b"|", b"&", b"<(b)", b"#c", b"`d`"],
            "not a shell",
        ),
        ("a é", &[b"a", "é".as_bytes()], "text is UTF-8"),
    ]);
}

#[test]
fn semicolons() {
    check_words(&[
        (r"find . \;", &[b"find", b".", b";"], "\\; alone is a semicolon"),
        (r"a \; b", &[b"a", b";", b"b"], "also before other words"),
        ("a ';' \";\"", &[b"a", b";", b";"], "a quoted one does not separate"),
        ("a b; ;c ;;", &[b"a", b"b;", b";c", b";;"], "only a lone one separates"),
        (r"a b\;", &[b"a", br"b\;"], "within a word \\; is an unknown escape, as in systemd"),
        (r"a '\;'", &[b"a", br"\;"], "and within quotes"),
        (r"a \\;", &[b"a", br"\;"], "an escaped backslash, then a semicolon"),
    ]);
}

#[test]
fn variables() {
    check_words(&[
        ("a ${ONE}", &[b"a", b"one"], "braces: one word"),
        ("a ${TWO}", &[b"a", b"one two"], "one word even with spaces"),
        ("a --b=${TWO}/c", &[b"a", b"--b=one two/c"], "also within a word"),
        ("a ${ONE}${TWO}", &[b"a", b"oneone two"], "several in a word"),
        ("a ${EMPTY} ${UNSET}", &[b"a", b"", b""], "one word even if empty or unset"),
        ("a ${SPACES}", &[b"a", b"  a \t b\n"], "whitespace is kept exactly"),
        ("a ${QUOTED}", &[b"a", br#"'one two' "" x"y z"w"#], "quotes are kept exactly"),
        ("a $TWO b", &[b"a", b"one", b"two", b"b"], "bare: split at whitespace"),
        ("a $SPACES", &[b"a", b"a", b"b"], "whitespace at the ends vanishes"),
        ("a $EMPTY $UNSET b", &[b"a", b"b"], "perhaps no word at all"),
        ("a $QUOTED", &[b"a", b"one two", b"", b"xy zw"], "quotes are respected, then removed"),
        ("a $ESCAPED", &[b"a", b"a b", b"\"c", b"n", b"d"], "a backslash escapes one byte"),
        ("a $INNER", &[b"a", b"a\"b c", b"d'"], "within quotes too"),
        ("a $UNBALANCED", &[b"a", b"a", b"b c"], "an open quote reaches to the end"),
        (
            "a $DOLLAR ${DOLLAR}",
            &[b"a", b"$ONE", b"${ONE}", b"$$", b"$ONE ${ONE} $$"],
            "a value is not expanded again",
        ),
        ("a $RAW", &[b"a", b"\xff", b"\xfe"], "values are bytes"),
        ("a $_x1 ${_x1}", &[b"a", b"underscore", b"underscore"], "names as in C"),
        ("a b$ONE", &[b"a", b"b$ONE"], "$X within a word is literal"),
        ("a --b=$ONE", &[b"a", b"--b=$ONE"], "the usual mistake stays visible"),
        ("a b$ 5$", &[b"a", b"b$", b"5$"], "a dollar sign at the end is literal"),
        ("a $$ $$ONE b$$ONE", &[b"a", b"$", b"$ONE", b"b$ONE"], "$$ is a dollar sign"),
        ("a $${ONE} $$$${ONE}", &[b"a", b"${ONE}", b"$${ONE}"], "also before a brace"),
        ("a $$$ONE", &[b"a", b"$$ONE"], "what follows $$ is within a word"),
        ("a b} {ONE}", &[b"a", b"b}", b"{ONE}"], "braces alone are literal"),
        ("a '${ONE}' \"${ONE}\"", &[b"a", b"one", b"one"], "quotes do not protect a variable"),
        ("a '$TWO' \"$TWO\"", &[b"a", b"one", b"two", b"one", b"two"], "nor a bare one"),
        (
            r"a \x24TWO \044{ONE} \u0024\u0024",
            &[b"a", b"one", b"two", b"one", b"$"],
            "nor do escapes: expansion comes after",
        ),
        (r"a \$ONE", &[b"a", br"\$ONE"], "\\$ is an unknown escape, so $ is within a word"),
        (r"a \${ONE}", &[b"a", br"\one"], "and braces work there"),
    ]);
}

#[test]
fn without_variables() {
    check_words(&[
        (":a ${ONE} $TWO $$", &[b"a", b"${ONE}", b"$TWO", b"$$"], "':' makes all of them literal"),
        (":a $(b) ${X:-y} ${ $", &[b"a", b"$(b)", b"${X:-y}", b"${", b"$"], "even malformed ones"),
        (":$a", &[b"$a"], "even in the program"),
        (":@a $b", &[b"$b"], "and in its argv[0]"),
    ]);
}

#[test]
fn programs() {
    // The line, its program, its argv, and whether failure is ignored.
    type Row = (&'static str, &'static [u8], &'static [&'static [u8]], bool);
    let table: &[Row] = &[
        ("/bin/sh -c x", b"/bin/sh", &[b"/bin/sh", b"-c", b"x"], false),
        ("-/bin/false", b"/bin/false", &[b"/bin/false"], true),
        ("@/bin/sh -sh x", b"/bin/sh", &[b"-sh", b"x"], false),
        ("-@:sh a $b", b"sh", &[b"a", b"$b"], true),
        (":-@sh a $b", b"sh", &[b"a", b"$b"], true),
        ("  -'/bin/a b'", b"/bin/a b", &[b"/bin/a b"], true),
        ("'-a'", b"-a", &[b"-a"], false),
        (r"\x2da", b"-a", &[b"-a"], false),
        ("-\"@a\"", b"@a", &[b"@a"], true),
        ("a$$b", b"a$b", &[b"a$b"], false),
        ("a$b", b"a$b", &[b"a$b"], false),
        ("/a//b/../c", b"/a//b/../c", &[b"/a//b/../c"], false),
        ("...", b"...", &[b"..."], false),
        (r"\;", b";", &[b";"], false),
        (r"/\xff", b"/\xff", &[b"/\xff"], false),
    ];
    for (line, program, argv, ignore_failure) in table {
        let expanded = expand(line).expect(line);
        assert_eq!(expanded.program, *program, "{line:?}");
        assert_eq!(expanded.argv.words(), *argv, "{line:?}");
        assert_eq!(expanded.ignore_failure, *ignore_failure, "{line:?}");
    }
}

#[test]
fn unknown_escapes_are_reported() {
    let line = CommandLine::parse(r"é \d '\. \n' \é \;").expect("unknown escapes are kept");
    let warnings: Vec<_> = line.warnings().iter().map(|w| (w.column(), w.character())).collect();
    assert_eq!(warnings, [(3, 'd'), (7, '.'), (14, 'é')]);
    assert_eq!(
        line.warnings()[0].to_string(),
        r"column 3: the escape \d is unknown and kept as it stands; write \\d if that is meant"
    );
}

#[test]
fn a_line_has_at_most_128_kib() {
    let line = format!("é{}", "x".repeat(CommandLine::MAX_LENGTH - 2));
    assert!(CommandLine::parse(&line).is_ok());
    let error = CommandLine::parse(&format!("{line}y")).expect_err("one byte too many");
    assert_eq!(error.column(), CommandLine::MAX_LENGTH);
    let error = CommandLine::parse(&format!("x{line}")).expect_err("one byte too many");
    assert_eq!(error.column(), CommandLine::MAX_LENGTH);
    let many = "a ".repeat(CommandLine::MAX_LENGTH / 2);
    assert_eq!(expand(&many).expect("short words").argv.words().len(), CommandLine::MAX_LENGTH / 2);
}

#[test]
fn values_that_make_too_much_are_refused_on_the_way() {
    let long = vec![b'x'; 100 * 1024];
    let parse = |line: &str| CommandLine::parse(line).expect("a command line");
    let lines = [
        format!("a {}", "$X ".repeat(40_000)),
        format!("a {}", "${X} ".repeat(20_000)),
        format!("a {}", "${X}".repeat(20_000)),
    ];
    for line in lines {
        assert!(parse(&line).expand(|_| Some(&long)).is_err());
        assert!(parse(&line).expand(|_| Some(b"")).is_ok());
    }
    // The word is not built to its end: two values are enough to know.
    let error = parse(&format!("a {}", "${X}".repeat(20_000))).expand(|_| Some(&long));
    assert_eq!(error, Err(InvalidArgv::WordTooLong { index: 1, length: 2 * long.len() }));
    assert!(parse("a ${X}").expand(|_| Some(b"b\0c")).is_err());
}
