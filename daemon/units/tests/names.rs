//! Names and run ids: what is one, and that they print as they were read.

use proptest::prelude::*;
use units::{InvalidName, Name, RunId};

#[test]
fn names_by_example() {
    let longest = "n".repeat(Name::MAX_LENGTH);
    for name in ["a", "A", "0", "_", "web.service", "getty@tty1", "a-b_c:d+e", "_.", &longest] {
        assert_eq!(name.parse::<Name>().map(|name| name.to_string()).as_deref(), Ok(name));
    }
}

#[test]
fn texts_that_are_not_names() {
    use InvalidName::{BadCharacter, BadStart, Empty, TooLong};
    let table = [
        ("", Empty),
        ("../x", BadStart { character: '.' }), // out of the directory
        (".", BadStart { character: '.' }),    // the directory itself
        (".hidden", BadStart { character: '.' }), // a hidden file
        ("-rf", BadStart { character: '-' }),  // an option
        ("/a", BadStart { character: '/' }),   // an absolute path
        ("@a", BadStart { character: '@' }),   // a prefix of the command language
        (" a", BadStart { character: ' ' }),   // trimmed by nobody
        ("\0", BadStart { character: '\0' }),  // ends a C string
        ("é", BadStart { character: 'é' }),    // a letter, but not ASCII
        ("a/b", BadCharacter { character: '/', column: 2 }),
        ("a\0b", BadCharacter { character: '\0', column: 2 }),
        ("a\nb", BadCharacter { character: '\n', column: 2 }),
        ("ab\u{1b}[0m", BadCharacter { character: '\u{1b}', column: 3 }),
        ("a\u{7f}", BadCharacter { character: '\u{7f}', column: 2 }),
        ("a b", BadCharacter { character: ' ', column: 2 }),
        ("a*", BadCharacter { character: '*', column: 2 }),
        ("aé/", BadCharacter { character: 'é', column: 2 }),
        ("a\u{202e}b", BadCharacter { character: '\u{202e}', column: 2 }), // turns text around
        ("a\u{ff0f}b", BadCharacter { character: '\u{ff0f}', column: 2 }), // looks like a slash
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
    }
    assert_eq!("n".repeat(300).parse::<Name>(), Err(TooLong { length: 300 }));
    assert_eq!("n".repeat(201).parse::<Name>(), Err(TooLong { length: 201 }));
    assert_eq!("é".repeat(300).parse::<Name>(), Err(TooLong { length: 600 }));
}

#[test]
fn run_ids_by_example() {
    let text = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    assert_eq!(text.parse::<RunId>().map(|id| id.to_string()).as_deref(), Ok(text));
    // Other spellings of a UUID are read, but one is written.
    for other in [text.to_uppercase(), text.replace('-', "")] {
        assert_eq!(other.parse::<RunId>(), text.parse::<RunId>());
    }
    for bad in ["", "67e55044", "67e55044-10b1-426f-9247-bb680e5fe0cg", "../67e55044", "\0", "é"] {
        assert!(bad.parse::<RunId>().is_err(), "{bad:?}");
    }
    let error = "\n".repeat(1000).parse::<RunId>().expect_err("not a UUID").to_string();
    assert!(error.len() < 300 && !error.contains('\n'), "a message stays short and printable");
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_is_not(text in any::<String>()) {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn what_is_nearly_a_name_is_judged_by_its_characters(text in "[a-z0-9_.@:+/ \u{1}é-]{0,12}") {
        let bad = |c: char| "/ \u{1}é".contains(c);
        let good_start = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        prop_assert_eq!(text.parse::<Name>().is_ok(), good_start && !text.contains(bad));
    }

    #[test]
    fn names_print_as_they_were_read(text in "[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,199}") {
        let name = text.parse::<Name>().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(name.to_string(), text.as_str());
        prop_assert_eq!(name.as_ref(), text);
    }

    #[test]
    fn run_ids_print_as_they_are_read(bytes in any::<[u8; 16]>()) {
        let id = RunId::from_bytes(bytes);
        prop_assert_eq!(id.to_bytes(), bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn any_text_is_a_run_id_or_is_not(text in any::<String>(), near in "[0-9a-f-]{30,40}") {
        for text in [text, near] {
            if let Ok(id) = text.parse::<RunId>() {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
    }
}
